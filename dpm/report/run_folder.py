"""Read what the stages before the report left in a run folder.

Every table is read as text and then converted column by column, so that a subgroup level called "None" or "NA" stays
a level, and so that what is absent or not a number is refused by name before anything is drawn.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dpm.errors import ReportError

QUANTILES = ("minimum", "p1", "q1", "median", "q3", "p99", "maximum")

NUMBERS = {
    "cohort/flow.csv": ("patients", "visits"),
    "cohort/baseline.csv": ("smd",),
    "cohort/ledger.csv": ("rows", "subjects"),
    "cohort/fitness.csv": ("value", "green", "amber"),
    "cohort/quality.csv": ("n", "available", "on_time", "digit_share", "censored", "minimum", "median", "maximum"),
    "cohort/verdicts.csv": (),
    "cohort/support.csv": (
        *(f"{quantile}_{side}" for side in "ab" for quantile in QUANTILES),
        *("outside_percentiles", "outside_range", "smd"),
    ),
    "fit/parameters.csv": (
        *("mean", "sd", "q2.5", "q97.5", "rhat", "ess_bulk", "ess_tail", "mcse_mean"),
        *("laplace_estimate", "laplace_se"),
    ),
    "fit/convergence.csv": ("value",),
    "check/vpc.csv": (
        *("time", "bin_left", "bin_right", "n_subjects", "n_values"),
        *("percentile", "observed", "low", "median", "high"),
    ),
    "check/coverage.csv": ("n", "nominal", "covered", "observed", "low", "high", "power"),
    "arm/twin_visits.csv": ("time", "value"),
    "arm/twin_bands.csv": ("time", "mean_median", "mean_low", "mean_high", "pred_low", "pred_high"),
    "compare/effects.csv": ("estimate", "se", "low", "high", "level", "n_treated", "n_control"),
    "compare/layers.csv": ("sd", "variance_share"),
}
"""Columns that hold numbers (an empty cell is a missing one), by table."""

TEXTS = {
    "cohort/flow.csv": ("step", "reason", "arm"),
    "cohort/baseline.csv": ("variable", "unit", "statistic"),
    "cohort/ledger.csv": ("kind", "rule", "column", "reason", "first"),
    "cohort/fitness.csv": ("rule", "kind", "variable", "source", "direction", "light", "words"),
    "cohort/quality.csv": ("variable", "role", "source", "unit", "missing"),
    "cohort/verdicts.csv": ("outcome", "verdict"),
    "cohort/support.csv": ("variable", "unit", "statistic", "transform"),
    "fit/parameters.csv": ("site", "label", "unit"),
    "fit/convergence.csv": ("criterion", "gate", "worst", "remedy", "relaxed_from"),
    "check/vpc.csv": ("outcome",),
    "check/coverage.csv": ("subgroup", "level", "verdict"),
    "arm/twin_visits.csv": ("subject",),
    "arm/twin_bands.csv": ("subject",),
    "compare/effects.csv": ("estimand", "label", "method", "role", "unit", "sizes", "assumptions", "note"),
    "compare/layers.csv": ("estimand", "layer"),
}
"""Columns that hold text, by table."""

TRUTHS = {"fit/convergence.csv": ("passed",), "arm/twin_visits.csv": ("baseline",)}
"""Columns that hold true or false, by table."""

FILLED = (
    *("cohort/flow.csv", "fit/convergence.csv", "check/vpc.csv", "check/coverage.csv", "arm/twin_bands.csv"),
    *("compare/effects.csv", "compare/layers.csv"),
)
"""Tables without which there is nothing to report: an empty one is refused."""

TRUE, FALSE = ("true", "1", "yes"), ("false", "0", "no")


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The append-only record of what was done to a run.

    Attributes:
        entries: one mapping (time, event, detail, previous) per line, oldest first.
        head: SHA-256 of the last line without its line break, which the next entry would carry as `previous`.
        broken_at: number of the first line, from 1, whose `previous` is not the hash of the line before; 0 if none.
    """

    entries: tuple[Mapping[str, Any], ...]
    head: str
    broken_at: int


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Tables of one run, as the stages wrote them; columns are those of `NUMBERS`, `TEXTS` and `TRUTHS`."""

    folder: Path
    manifest: Mapping[str, Any]
    ledger: Ledger
    model: Mapping[str, Any]
    estimands: tuple[Mapping[str, Any], ...]
    flow: pd.DataFrame
    baseline: pd.DataFrame
    cleaning: pd.DataFrame
    quality: pd.DataFrame
    fitness: pd.DataFrame
    verdicts: pd.DataFrame
    support: pd.DataFrame
    parameters: pd.DataFrame
    convergence: pd.DataFrame
    vpc: pd.DataFrame
    coverage: pd.DataFrame
    twin_visits: pd.DataFrame
    twin_bands: pd.DataFrame
    effects: pd.DataFrame
    layers: pd.DataFrame


Row = dict[str, Any]
"""One row of a table, by column."""


def each_row(table: pd.DataFrame) -> list[Row]:
    return [{str(column): cell for column, cell in row.items()} for row in table.to_dict("records")]


def read_run(folder: Path) -> RunFolder:
    """Read every table the report needs.

    Raises:
        ReportError: a file is missing, empty where it may not be, not valid JSON, or lacks a column; the stage that
            writes it is named.
    """
    if not folder.is_dir():
        raise ReportError(str(folder), "the folder of a run", "no such folder", "Run the study first: `dpm run STUDY`.")
    estimands = read_estimands(folder)
    tables = {Path(name).stem: read_table(folder, name) for name in TEXTS}
    for name in ("effects", "layers"):
        check_estimands(tables[name], estimands, f"compare/{name}.csv: estimand")
    return RunFolder(
        folder=folder,
        manifest=read_mapping(folder, "manifest.json"),
        ledger=read_ledger(folder),
        model=read_mapping(folder, "fit/model.json"),
        estimands=estimands,
        cleaning=tables.pop("ledger"),
        **tables,
    )


def check_estimands(table: pd.DataFrame, estimands: tuple[Mapping[str, Any], ...], where: str) -> None:
    """A row on an estimand that nothing describes would be drawn without saying what it estimates."""
    known = [str(each["name"]) for each in estimands]
    unknown = sorted(set(table["estimand"]) - set(known))
    if unknown:
        expected = f"only those of compare/estimands.json ({', '.join(known)})"
        raise ReportError(where, expected, ", ".join(unknown), remedy("compare"))


def read_text(folder: Path, name: str) -> str:
    path = folder / name
    if not path.is_file():
        stage = name.split("/")[0] if "/" in name else "run"
        expected = f"the file that stage `{COMMANDS.get(stage, stage)}` writes"
        raise ReportError(name, expected, "no such file", remedy(stage))
    return path.read_text(encoding="utf-8")


COMMANDS = {"cohort": "validate"}
"""The command of a stage whose folder has another name."""


def remedy(stage: str) -> str:
    first = "Run the study" if stage == "run" else f"Run stage `{COMMANDS.get(stage, stage)}` of the study"
    return f"{first}: `dpm run STUDY` runs what is missing and leaves unchanged stages as they are."


def read_table(folder: Path, name: str) -> pd.DataFrame:
    """One CSV table of the run, its columns checked and typed.

    Raises:
        ReportError: the file or one of its columns is missing, or a cell does not hold what its column must.
    """
    read_text(folder, name)
    try:
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ReportError(name, "a CSV table with a header", str(error).strip(), remedy(name.split("/")[0])) from error
    truths = TRUTHS.get(name, ())
    absent = [column for column in (*TEXTS[name], *NUMBERS[name], *truths) if column not in table]
    if absent:
        got = f"none of that name among {list(table)}"
        raise ReportError(name, f"column(s) {', '.join(absent)}", got, remedy(name.split("/")[0]))
    if table.empty and name in FILLED:
        raise ReportError(name, "at least one row", "none", remedy(name.split("/")[0]))
    numbers = {column: as_numbers(table[column], f"{name}: {column}") for column in NUMBERS[name]}
    return table.assign(**numbers, **{column: as_truth(table[column], f"{name}: {column}") for column in truths})


def as_numbers(column: pd.Series, where: str) -> pd.Series:
    values = pd.to_numeric(column.where(column.str.strip() != "", "nan"), errors="coerce")
    wrong = values.isna() & ~column.str.strip().str.lower().isin(["", "nan"])
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise ReportError(where, "numbers", f"{column.iloc[row]!r} in row {row + 2} ({wrong.sum()} of {len(column)})")
    return values.astype(float)


def as_truth(column: pd.Series, where: str) -> pd.Series:
    words = column.str.strip().str.lower()
    wrong = ~words.isin([*TRUE, *FALSE])
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise ReportError(where, "True or False", f"{column.iloc[row]!r} in row {row + 2}")
    return words.isin(TRUE)


def parse(text: str, where: str, stage: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ReportError(where, "valid JSON", str(error), remedy(stage)) from error


def read_mapping(folder: Path, name: str) -> Mapping[str, Any]:
    stage = name.split("/")[0] if "/" in name else "run"
    found = parse(read_text(folder, name), name, stage)
    if not isinstance(found, dict):
        raise ReportError(name, "a JSON object", type(found).__name__, remedy(stage))
    return found


def read_estimands(folder: Path) -> tuple[Mapping[str, Any], ...]:
    name = "compare/estimands.json"
    found = parse(read_text(folder, name), name, "compare")
    if not (isinstance(found, list) and found and all(isinstance(each, dict) and "name" in each for each in found)):
        raise ReportError(name, "a list of estimands, each with a name", type(found).__name__, remedy("compare"))
    return tuple(found)


def read_ledger(folder: Path) -> Ledger:
    """The ledger and whether its chain of hashes holds."""
    lines = [line for line in read_text(folder, "ledger.jsonl").split("\n") if line.strip()]
    entries = tuple(parse(line, f"ledger.jsonl, line {i}", "run") for i, line in enumerate(lines, 1))
    hashes = [hashlib.sha256(line.encode()).hexdigest() for line in lines]
    breaks = [i + 1 for i in range(1, len(lines)) if entries[i].get("previous") != hashes[i - 1]]
    return Ledger(entries=entries, head=hashes[-1] if hashes else "", broken_at=breaks[0] if breaks else 0)
