"""Visual predictive check: percentiles that were observed against those the model simulates."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm.report.figures.scale import OutcomeScale, label_outcome
from dpm.report.figures.style import BLACK, BLUE, SKY, VERMILLION, figure, styled


@styled
def predictive_check(vpc: pd.DataFrame, scale: OutcomeScale) -> Figure:
    """Observed 5th, 50th and 95th percentiles by time bin over the 95 % intervals of the simulated ones.

    Args:
        vpc: rows of `check/vpc.csv` for one outcome, on the model's scale; time [years].
        scale: the outcome.
    """
    drawn = figure(3.7)
    axes = drawn.subplots()
    for percentile, rows in vpc.sort_values("time").groupby("percentile", sort=True):
        draw_percentile(axes, float(str(percentile)), rows, named=bool(percentile == vpc["percentile"].median()))
    label_bins(axes, vpc.drop_duplicates("time").sort_values("time"))
    axes.set_xlabel("Time since baseline [years]")
    axes.margins(x=0.02, y=0.06)
    label_outcome(axes, scale, both=True)
    handles, labels = axes.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=4)
    return drawn


def draw_percentile(axes: Axes, percentile: float, rows: pd.DataFrame, *, named: bool) -> None:
    """One percentile; the legend names the parts of one of them only."""
    fill, edge = (BLUE, BLUE) if percentile == 50 else (SKY, BLUE)
    label = ("95\u00a0% interval, simulated", "median, simulated", "observed") if named else (None, None, None)
    axes.fill_between(rows["time"], rows["low"], rows["high"], color=fill, alpha=0.3, linewidth=0, label=label[0])
    axes.plot(rows["time"], rows["median"], color=edge, linestyle="--", linewidth=1, label=label[1])
    axes.plot(rows["time"], rows["observed"], color=BLACK, marker="o", markersize=3.5, linewidth=1, label=label[2])
    outside = rows[(rows["observed"] < rows["low"]) | (rows["observed"] > rows["high"])]
    label_outside = "observed, outside" if named else None
    (marks,) = axes.plot(outside["time"], outside["observed"], "D", label=label_outside, zorder=3)
    marks.set(color=VERMILLION, markersize=5)
    end = rows.iloc[-1]
    axes.annotate(ordinal(percentile), (end["time"], end["median"]), (6, 0), textcoords="offset points", va="center")


def ordinal(percentile: float) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    teen = percentile % 100 in (11, 12, 13)
    return f"{percentile:g}{'th' if teen else endings.get(int(percentile % 10), 'th')}"


def label_bins(axes: Axes, bins: pd.DataFrame) -> None:
    """Edges of the bins as short marks at the foot, patients in each as numbers at the head."""
    edges = sorted({*bins["bin_left"], *bins["bin_right"]})
    foot = axes.get_xaxis_transform()
    axes.vlines(edges, 0, 0.025, transform=foot, color="#444444", linewidth=0.7)
    for time, n in zip(bins["time"], bins["n_subjects"], strict=True):
        axes.text(time, 1.02, f"{n:.0f}", transform=foot, ha="center", fontsize=7.5, color="#444444")
    axes.text(-0.015, 1.02, "patients", transform=axes.transAxes, ha="right", fontsize=7.5, color="#444444")
