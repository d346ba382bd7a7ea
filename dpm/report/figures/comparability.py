"""Covariate support: where two sources overlap, variable by variable."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dpm.report.figures.style import BLUE, GREY, ORANGE, figure, styled, unticked, wrapped
from dpm.report.numbers import MISSING, number, percent, words
from dpm.report.run_folder import QUANTILES, Row, each_row

NEGLIGIBLE = 0.1
"""Standardised difference below which two sources are commonly called alike (Austin 2009)."""


@styled
def covariate_support(covariates: pd.DataFrame, *, name_a: str = "a", name_b: str = "b") -> Figure:
    """Range, 1st to 99th percentile, quartiles and median of both sources on a's scale, and the difference.

    Each row is scaled so that a's 1st and 99th percentile lie at 0 and 1: a bar of b beyond the grey band is where a
    has next to nobody. A log-transformed variable is on a log scale. What lies far beyond is cut at the edge with an
    arrow. Shares are listed apart, as numbers.

    Args:
        covariates: of `Comparability`.
        name_a, name_b: of the sources.
    """
    numbers = covariates[covariates["statistic"] == "number"]
    ordered = pd.concat([numbers, covariates[covariates["statistic"] == "share"]])
    drawn = figure(1.35 + 0.42 * len(ordered))
    left, right = drawn.subplots(1, 2, sharey=True, width_ratios=[2.6, 1])
    if len(numbers):
        left.fill_between([0, 1], -0.5, len(numbers) - 0.5, color="#EFEFEF", linewidth=0, zorder=0)
    for place, row in enumerate(each_row(ordered)):
        draw_support(left, row, place) if row["statistic"] == "number" else write_shares(left, row, place)
        draw_difference(right, row, place)
    left.set(xlim=(-0.4, 1.4), ylim=(len(ordered) - 0.5, -0.5))
    left.set_xticks([0, 1], ["1st", "99th"])
    left.set_xlabel(f"percentile of {name_a}\n(outside: share of {name_b} beyond these)")
    left.set_yticks(range(len(ordered)), [row_name(row) for row in each_row(ordered)])
    right.axvspan(-NEGLIGIBLE, NEGLIGIBLE, color="#EFEFEF", linewidth=0)
    right.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
    widest = max(0.3, float(np.nanmax(np.abs(ordered["smd"].to_numpy(dtype=float)), initial=0.0)) * 1.1)
    right.set(xlim=(-widest, widest), xlabel=f"standardised difference\n{wrapped(f'{name_a} minus {name_b}', 20)}")
    for axes in (left, right):
        unticked(axes)
    marks = [
        Line2D([], [], color=colour, linewidth=4, label=name) for colour, name in ((BLUE, name_a), (ORANGE, name_b))
    ]
    drawn.legend(handles=marks, loc="outside upper center", ncols=2)
    return drawn


def row_name(row: Row) -> str:
    """Variable with its unit, and how much of b is outside."""
    unit = "" if row["unit"] == "1" or row["statistic"] == "share" else f" [{row['unit']}]"
    outside = float(row["outside_percentiles"])
    beyond = "" if np.isnan(outside) or row["statistic"] == "share" else f"\n{percent(outside, 1)} outside"
    return f"{words(str(row['variable']))}{unit}{beyond}"


def draw_support(axes: Axes, row: Row, place: int) -> None:
    scale = np.log if row["transform"] == "log" else float
    low, high = scale(row["p1_a"]), scale(row["p99_a"])
    width = high - low if high > low else 1.0
    for side, colour, shift in (("a", BLUE, -0.15), ("b", ORANGE, 0.15)):
        at = {key: (scale(row[f"{key}_{side}"]) - low) / width for key in QUANTILES}
        if np.isnan(at["median"]):
            continue
        y = place + shift
        axes.plot([at["minimum"], at["maximum"]], [y, y], color=colour, linewidth=0.8)
        axes.plot([at["p1"], at["p99"]], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot([at["q1"], at["q3"]], [y, y], color=colour, linewidth=5.5, solid_capstyle="butt")
        axes.plot([at["median"]], [y], "|", color="white", markersize=5.5, markeredgewidth=1.4)
        for end, edge, marker in ((at["minimum"], -0.39, "<"), (at["maximum"], 1.39, ">")):
            if (end < edge) if marker == "<" else (end > edge):
                axes.plot([edge], [y], marker, color=colour, markersize=4, clip_on=False)
    for x, key in ((-0.02, "p1_a"), (1.02, "p99_a")):
        text = axes.text(x, place + 0.42, plain_size(float(row[key])), ha="right" if x < 0 else "left", va="center")
        text.set(fontsize=6, color="#555555")


def write_shares(axes: Axes, row: Row, place: int) -> None:
    for side, colour, x in (("a", BLUE, 0.25), ("b", "#9A6A00", 0.75)):
        share = float(row[f"median_{side}"])
        axes.text(x, place, MISSING if np.isnan(share) else percent(share, 1), color=colour, ha="center", va="center")


def draw_difference(axes: Axes, row: Row, place: int) -> None:
    difference = float(row["smd"])
    if np.isnan(difference):
        axes.text(0, place, MISSING, ha="center", va="center", color=GREY)
        return
    axes.plot([0, difference], [place, place], color=GREY, linewidth=1)
    axes.plot([difference], [place], "o", color="black", markersize=4)


def plain_size(value: float) -> str:
    return number(value, 0) if abs(value) >= 100 else f"{value:.3g}".replace("-", "−")
