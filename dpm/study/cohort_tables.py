"""What `dpm validate` prints of the data: quality, visits, fitness for use, visit process, cleaning ledger."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dpm.cohort.cohort import Cohort

STYLES = {"green": "green", "amber": "yellow", "red": "red", "grey": "dim"}
NOTHING = "-"
MOST_COLUMNS = 8
"""Of a table whose cells may be folded; one with more is listed where the terminal is too narrow."""


def show_cohort(console: Console, cohort: Cohort, tables: Mapping[str, pd.DataFrame]) -> None:
    """Everything on one cohort."""
    console.print(repr(cohort), highlight=False, soft_wrap=True)
    _show(console, "Variables", _variables(tables["cohort/quality.csv"]))
    _show(console, "Visits", _visits(tables["cohort/visits.csv"]))
    show_judgement(console, tables)


def show_fitness(console: Console, run: Path) -> None:
    """The judgement that a run holds on its data."""
    names = ("cohort/fitness.csv", "cohort/verdicts.csv", "cohort/ledger.csv")
    show_judgement(console, {name: pd.read_csv(run / name, keep_default_na=False, dtype=str) for name in names})


def show_judgement(console: Console, tables: Mapping[str, pd.DataFrame]) -> None:
    """Fitness, visit process and cleaning ledger."""
    fitness = tables["cohort/fitness.csv"]
    table = Table(title="Fitness for use, by the limits of the study file or dpm's own", title_justify="left")
    for heading in ("", "kind", "rule", "variable", "source", "why"):
        table.add_column(heading)
    for row in fitness.to_dict("records"):
        cells = (row["light"], row["kind"], row["rule"], row["variable"] or NOTHING, row["source"], row["words"])
        table.add_row(*map(escape, map(str, cells)), style=STYLES[str(row["light"])])
    console.print(table)
    for row in tables["cohort/verdicts.csv"].to_dict("records"):
        text = f"Visit process, {row['outcome']}: {row['verdict']}."
        console.print(escape(text), highlight=False, soft_wrap=True)
    _show(console, "Cleaning ledger", tables["cohort/ledger.csv"].astype(str))


def _variables(quality: pd.DataFrame) -> pd.DataFrame:
    shares = {"available": "available", "on_time": "on time", "digit_share": "top last digit", "censored": "censored"}
    numbers = {"minimum": "min", "median": "median", "maximum": "max"}
    shown = quality[["variable", "role", "source", "unit", "n"]].astype(str).replace("nan", NOTHING)
    shown["n"] = [f"{int(n):,}" for n in quality["n"]]
    for column, name in shares.items():
        shown[name] = [NOTHING if pd.isna(value) else f"{value:.0%}" for value in quality[column]]
    for column, name in numbers.items():
        shown[name] = [NOTHING if pd.isna(value) else f"{value:.4g}" for value in quality[column]]
    return shown.assign(missing=quality["missing"].astype(str))


def _visits(visits: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "source": visits["source"].astype(str),
            "subjects": [f"{n:,}" for n in visits["subjects"]],
            "visits": [f"{n:,}" for n in visits["visits"]],
            "visits each (median, max)": [
                f"{m:g}, {x:g}" for m, x in zip(visits["visits_median"], visits["visits_max"], strict=True)
            ],
            "gap [days] (median)": [NOTHING if pd.isna(g) else f"{g:.0f}" for g in visits["gap_median"]],
            "follow-up [years] (median, max)": [
                NOTHING if pd.isna(m) else f"{m:.3g}, {x:.3g}"
                for m, x in zip(visits["follow_up_median"], visits["follow_up_max"], strict=True)
            ],
            "dropped out": [NOTHING if pd.isna(s) else f"{s:.0%}" for s in visits["dropped_out"]],
        }
    )


def _show(console: Console, title: str, frame: pd.DataFrame) -> None:
    if frame.empty:
        console.print(f"{title}: nothing.", highlight=False)
        return
    cells = [[str(cell) for cell in row] for row in frame.itertuples(index=False)]
    columns = zip(*cells, strict=True)
    widths = [max(len(str(name)), *map(len, column)) for name, column in zip(frame.columns, columns, strict=True)]
    if len(widths) > MOST_COLUMNS and sum(widths) + 3 * len(widths) > console.width:
        _show_listed(console, title, [str(name) for name in frame.columns], cells)
        return
    table = Table(title=title, title_justify="left")
    for name in frame.columns:
        table.add_column(escape(str(name)))
    for row in cells:
        table.add_row(*map(escape, row))
    console.print(table)


def _show_listed(console: Console, title: str, names: list[str], cells: list[list[str]]) -> None:
    """A table too wide for the terminal, a line per row: what it is about, then what is known of it by name."""
    console.print(title, style="italic", highlight=False)
    for row in cells:
        facts = [f"{name} {cell}" for name, cell in zip(names[1:], row[1:], strict=True) if cell not in ("", NOTHING)]
        console.print(escape(f"  {row[0]}: {', '.join(facts)}"), highlight=False)
