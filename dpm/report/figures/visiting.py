"""The visit process: when visits take place, and what they have to do with illness."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm.report.figures.style import BLACK, BLUE, GREY, VERMILLION, figure, styled, title, unticked, wrapped
from dpm.report.numbers import number, span
from dpm.report.run_folder import Row, each_row


@styled
def visit_timing(
    gaps: pd.DataFrame, measures: pd.DataFrame, *, verdict: str, off_days: float, within_days: float
) -> Figure:
    """Above, visits by their distance from the plan and the time left; below, the three comparisons and the verdict.

    Args:
        gaps: of `visit_distances`: `days_off_plan` of each visit, and `days_to_end` until a terminal event.
        measures: `VisitProcess.table`.
        verdict: of the same.
        off_days, within_days: from how many days on a visit is off schedule, and near the end.
    """
    drawn = figure(5.2)
    upper, lower = drawn.subplots(2, 1, height_ratios=[1.2, 1.1])
    draw_distances(upper, gaps, off_days, within_days)
    draw_measures(lower, measures)
    title(lower, verdict[:1].upper() + verdict[1:])
    return drawn


def draw_distances(axes: Axes, gaps: pd.DataFrame, off_days: float, within_days: float) -> None:
    """Shares of visits per bin of distance to the plan: of those shortly before the end, and of all others."""
    near = (gaps["days_to_end"] <= within_days).to_numpy()
    days = gaps["days_off_plan"].to_numpy(dtype=float)
    edges = np.linspace(-180.0, 180.0, 19)
    groups = ((~near, GREY, "other visits"), (near, VERMILLION, f"up to {within_days:g} days before an event"))
    for where, colour, name in groups:
        if where.any():
            inside = np.clip(days[where], edges[0], edges[-1])
            shares = np.histogram(inside, edges)[0] / where.sum()
            axes.stairs(shares, edges, color=colour, linewidth=1.6, label=f"{name} (n = {where.sum():,})")
    for edge in (-off_days, off_days):
        axes.axvline(edge, color=BLACK, linewidth=0.8, linestyle=":")
    axes.text(off_days + 3, axes.get_ylim()[1] * 0.6, "off schedule →", fontsize=7.5)
    axes.text(-off_days - 3, axes.get_ylim()[1] * 0.6, "← off schedule", fontsize=7.5, ha="right")
    axes.set(xlabel="days from the nearest planned visit", ylabel="share of visits", xlim=(edges[0], edges[-1]))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def draw_measures(axes: Axes, measures: pd.DataFrame) -> None:
    """Ratios on a log axis against 1; a difference and the counts as text."""
    ratios = measures[measures["measure"].str.contains("ratio")]
    others = measures[~measures["measure"].str.contains("ratio")]
    for place, row in enumerate(each_row(ratios)):
        if not np.isnan(row["estimate"]):
            axes.plot([row["low"], row["high"]], [place, place], color=BLUE)
            axes.plot([row["estimate"]], [place], "o", color=BLUE, markersize=5)
        axes.text(1.02, place, shown(row), transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
    for place, row in enumerate(each_row(others), len(ratios)):
        axes.text(1.02, place, shown(row), transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
    every = pd.concat([ratios, others])
    axes.set_xscale("log")
    low = np.nanmin([0.5, *(ratios["low"].dropna() * 0.9)])
    high = np.nanmax([2.0, *(ratios["high"].dropna() * 1.1)])
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.axvline(1, color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlim=(low, high), ylim=(len(every) - 0.4, -0.6), xlabel="ratio (95 % interval)")
    axes.set_yticks(range(len(every)), [wrapped(str(name), 36) for name in every["measure"]])
    axes.tick_params(axis="y", labelsize=7.5)
    unticked(axes)


def shown(row: Row) -> str:
    """Estimate with its interval, or a count."""
    if np.isnan(row["low"]):
        if np.isnan(row["estimate"]) or not row["of"]:
            return "cannot be judged"
        return f"{row['n']:,.0f} of {row['of']:,.0f} ({row['estimate'] * 100:.1f} %)"
    return f"{number(row['estimate'], 2)} ({span(row['low'], row['high'], 2)})"
