"""Tables as they are shown: cells are text, numbers carry as many digits as their uncertainty bears."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dpm.errors import ReportError
from dpm.report.criteria import criterion, limit
from dpm.report.estimands import EstimandText
from dpm.report.figures.calibration import UNJUDGED
from dpm.report.figures.effects import in_order, row_labels
from dpm.report.numbers import MISSING, confidence, decimals, number, percent, plain, significant, span, whole, words
from dpm.report.run_folder import Row, each_row

Cell = str | tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row. `kind` marks it: "", "answer", "truth", "failed", "attention", "grey" or "group"."""

    cells: tuple[Cell, ...]
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table to show. `numeric` are the places of the columns set flush right."""

    caption: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    numeric: tuple[int, ...] = ()


def flow_table(flow: pd.DataFrame) -> Table:
    lines = tuple(
        Line(
            cells=(
                row["step"],
                row["reason"] or "stayed",
                row["arm"] or "all",
                whole(row["patients"]),
                whole(row["visits"]),
            ),
            kind="grey" if row["reason"] else "",
        )
        for row in each_row(flow)
    )
    columns = ("Step", "Stayed, or why not", "Arm", "Patients", "Visits")
    return Table(caption="Patients and visits at each step", columns=columns, lines=lines, numeric=(3, 4))


def with_unit(row: Row) -> str:
    """A variable and its unit, where it has one."""
    return f"{row['variable']} [{row['unit']}]" if row["unit"] not in ("", "1") else str(row["variable"])


def baseline_table(baseline: pd.DataFrame) -> Table:
    arms = [str(column) for column in baseline if column not in ("variable", "unit", "statistic", "smd")]
    lines = tuple(
        Line(
            cells=(
                with_unit(row),
                row["statistic"],
                *(str(row[arm]) for arm in arms),
                number(row["smd"], 2),
            )
        )
        for row in each_row(baseline)
    )
    return Table(
        caption="Baseline by arm; SMD: standardised mean difference",
        columns=("Variable", "Statistic", *arms, "SMD"),
        lines=lines,
        numeric=tuple(range(2, len(arms) + 3)),
    )


def priors_table(priors: Sequence[Row]) -> Table:
    keys = ("label", "prior", "unit", "reason")
    lines = tuple(Line(cells=tuple(str(prior.get(key) or MISSING) for key in keys)) for prior in priors)
    return Table(caption="Priors", columns=("Parameter", "Prior", "Unit", "Reason"), lines=lines)


def convergence_table(convergence: pd.DataFrame) -> Table:
    lines = tuple(
        Line(
            cells=(
                criterion(row),
                plain(row["value"]),
                limit(row),
                ("passed" if row["passed"] else "failed") + (", relaxed gate" if row["relaxed_from"] else ""),
                limit(row, "relaxed_from") or MISSING,
                row["worst"] or MISSING,
                row["remedy"] or MISSING,
            ),
            kind="failed" if not row["passed"] else "attention" if row["relaxed_from"] else "",
        )
        for row in each_row(convergence)
    )
    columns = ("Criterion", "Value", "Gate", "Verdict", "Default gate, if relaxed", "Worst", "Remedy")
    return Table(caption="Criteria of convergence and their gates", columns=columns, lines=lines, numeric=(1,))


def parameters_table(parameters: pd.DataFrame) -> Table:
    def line(row: Row) -> Line:
        places = decimals(row["sd"])
        shown = [number(row[column], places) for column in ("mean", "sd")]
        laplace = [number(row[column], places) for column in ("laplace_estimate", "laplace_se")]
        sampler = [
            number(row["rhat"], 4),
            whole(row["ess_bulk"]),
            whole(row["ess_tail"]),
            significant(row["mcse_mean"], 2),
        ]
        bounds = span(row["q2.5"], row["q97.5"], places)
        return Line(cells=(row["label"] or row["site"], row["unit"], *shown, bounds, *sampler, *laplace))

    columns = (
        *("Parameter", "Unit", "Mean", "SD", "95\u00a0% interval", "R-hat", "ESS bulk", "ESS tail", "MCSE"),
        *("Laplace estimate", "Laplace SE"),
    )
    lines = tuple(line(row) for row in each_row(parameters))
    caption = "Population parameters: posterior, sampler diagnostics, and the Laplace estimate as a second route"
    return Table(caption=caption, columns=columns, lines=lines, numeric=tuple(range(2, len(columns))))


def coverage_table(coverage: pd.DataFrame) -> Table:
    lines = tuple(
        Line(
            cells=(
                words(row["subgroup"]),
                row["level"],
                whole(row["n"]),
                confidence(row["nominal"]),
                f"{whole(row['covered'])}/{whole(row['n'])}",
                percent(row["observed"], 1),
                f"{percent(row['low'], 1)} to {percent(row['high'], 1)}",
                number(row["power"], 2),
                row["verdict"],
            ),
            kind={UNJUDGED: "grey", "outside": "attention"}.get(row["verdict"], ""),
        )
        for row in each_row(coverage)
    )
    columns = ("Subgroup", "Level", "n", "Nominal", "Covered", "Observed", "Range if calibrated", "Power", "Verdict")
    caption = (
        "Coverage of prediction intervals by subgroup, with the exact binomial 95\u00a0% range of a calibrated model"
    )
    return Table(caption=caption, columns=columns, lines=lines, numeric=(2, 3, 4, 5, 6, 7))


def effects_table(effects: pd.DataFrame, estimand: EstimandText) -> Table:
    """Numbers of every method on one estimand, in the order of the forest plot."""
    rows = in_order(effects[effects["estimand"] == estimand.name])
    lines = []
    for row, label in zip(each_row(rows), row_labels(rows), strict=True):
        places = decimals(row["se"])
        cells = (
            *(label, row["role"], number(row["estimate"], places), number(row["se"], places)),
            *(span(row["low"], row["high"], places), confidence(row["level"])),
            *(whole(row["n_treated"]), whole(row["n_control"])),
        )
        lines.append(Line(cells=cells, kind=row["role"] if row["role"] in ("answer", "truth") else ""))
    columns = ("Method", "Role", "Estimate", "SE", "Interval", "Level", "Treated", "Controls")
    unit = f" [{rows['unit'].iloc[0]}]" if len(rows) else ""
    return Table(caption=f"{estimand.label}{unit}", columns=columns, lines=tuple(lines), numeric=tuple(range(2, 8)))


def assumptions_table(effects: pd.DataFrame, labels: dict[str, str]) -> Table:
    """What each method takes for granted, and its effective sample sizes, each under its own name."""
    lines = []
    for estimand in dict.fromkeys(effects["estimand"]):
        rows = in_order(effects[effects["estimand"] == estimand])
        for row, label in zip(each_row(rows), row_labels(rows), strict=True):
            name = labels.get(str(estimand), str(estimand))
            cells = (label, name, items(row, "assumptions"), items(row, "sizes"), row["note"] or MISSING)
            lines.append(Line(cells=cells))
    columns = ("Method", "Estimand", "Assumptions", "Counts and sample sizes", "Note")
    return Table(caption="What each method assumes and how much it rests on", columns=columns, lines=tuple(lines))


def items(row: Row, column: str) -> Cell:
    """The list or mapping that a cell holds as JSON, as lines of text.

    Raises:
        ReportError: the cell is not valid JSON.
    """
    try:
        found: Any = json.loads(row[column] or "[]")
    except json.JSONDecodeError as error:
        where = f"compare/effects.csv: {column} of {row['method']}"
        raise ReportError(
            where, "JSON text", repr(row[column]), "Run stage `compare` again: `dpm run STUDY`."
        ) from error
    if isinstance(found, dict):
        return tuple(f"{words(str(key))}: {size(value)}" for key, value in found.items()) or MISSING
    return tuple(str(each) for each in (found if isinstance(found, list) else [found])) or MISSING


def size(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return whole(float(value)) if float(value).is_integer() else number(float(value), 1)


def layers_table(layers: pd.DataFrame, labels: dict[str, str]) -> Table:
    largest = layers.groupby("estimand")["sd"].transform("max")  # one number of decimals per estimand, as in the figure
    lines = tuple(
        Line(
            cells=(
                labels.get(str(row["estimand"]), str(row["estimand"])),
                row["layer"],
                number(row["sd"], decimals(top)),
                percent(row["variance_share"], 1),
            )
        )
        for row, top in zip(each_row(layers), largest, strict=True)
    )
    columns = ("Estimand", "Layer", "SD", "Share of the variance")
    return Table(caption="Layers of uncertainty", columns=columns, lines=lines, numeric=(2, 3))
