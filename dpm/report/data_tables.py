"""Tables of the report on the data themselves: quality, fitness for use, support, cleaning."""

import numpy as np
import pandas as pd

from dpm.report.numbers import MISSING, number
from dpm.report.run_folder import each_row
from dpm.report.tables import Line, Table, with_unit


def cleaning_table(ledger: pd.DataFrame) -> Table:
    lines = tuple(
        Line(
            cells=(
                str(row["kind"]),
                str(row["rule"]),
                str(row["reason"]) or MISSING,
                number(row["rows"], 0),
                number(row["subjects"], 0),
                str(row["first"]),
            )
        )
        for row in each_row(ledger)
    )
    columns = ("Change", "Rule", "Reason", "Rows", "Patients", "First row")
    return Table(
        caption="Cleaning ledger: every change to the raw tables", columns=columns, lines=lines, numeric=(3, 4)
    )


def quality_table(quality: pd.DataFrame) -> Table:
    shares = ("available", "on_time", "digit_share", "censored")
    numbers = ("minimum", "median", "maximum")
    lines = tuple(
        Line(
            cells=(
                with_unit(row),
                str(row["source"]),
                number(row["n"], 0),
                *(share(row[column]) for column in shares),
                *(figures(row[column]) for column in numbers),
                str(row["missing"]) or MISSING,
            )
        )
        for row in each_row(quality)
    )
    return Table(
        caption="Quality of each variable; last digit: share of the most frequent one (a tenth is expected)",
        columns=(
            *("Variable", "Source", "n", "Available", "On time", "Last digit", "Censored"),
            *("Minimum", "Median", "Maximum", "Missing, by reason"),
        ),
        lines=lines,
        numeric=tuple(range(2, 10)),
    )


def fitness_table(fitness: pd.DataFrame) -> Table:
    lines = tuple(
        Line(
            cells=(
                *(str(row[column]) for column in ("light", "kind", "rule")),
                str(row["variable"]) or MISSING,
                str(row["source"]),
                str(row["words"]),
            )
        )
        for row in each_row(fitness)
    )
    columns = ("Verdict", "Kind", "Rule", "Variable", "Source", "Why")
    return Table(caption="Fitness for use, by limits that are conventions", columns=columns, lines=lines)


def support_table(support: pd.DataFrame) -> Table:
    lines = tuple(
        Line(
            cells=(
                with_unit(row),
                share(row["outside_percentiles"]),
                share(row["outside_range"]),
                number(row["smd"], 2),
            )
        )
        for row in each_row(support)
    )
    return Table(
        caption="Treated patients outside the natural history's support at baseline",
        columns=("Variable", "Outside its 1st to 99th percentile", "Outside its range", "SMD"),
        lines=lines,
        numeric=(1, 2, 3),
    )


def share(value: float) -> str:
    return f"{100 * value:.0f}\u00a0%" if np.isfinite(value) else MISSING


def figures(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else MISSING
