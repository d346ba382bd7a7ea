"""Twins: what was measured in a treated patient over the untreated course predicted from that patient's baseline."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm.report.figures.scale import OutcomeScale, label_outcome
from dpm.report.figures.style import BLACK, BLUE, SKY, figure, styled

COLUMNS = 3


@styled
def twin_courses(visits: pd.DataFrame, bands: pd.DataFrame, scale: OutcomeScale) -> Figure:
    """One small panel per patient: measurements over the bands of the untreated twin.

    Args:
        visits: `arm/twin_visits.csv`, on the model's scale; time [years].
        bands: `arm/twin_bands.csv`: 90 % bands of the course and of a measurement.
        scale: the outcome.
    """
    subjects = list(dict.fromkeys(bands["subject"]))
    rows = math.ceil(len(subjects) / COLUMNS)
    drawn = figure(0.75 + 1.45 * rows)
    panels = drawn.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, subject in zip(panels, subjects, strict=False):
        draw_twin(axes, visits[visits["subject"] == subject], bands[bands["subject"] == subject])
        axes.set_title(f"Patient {subject}", fontweight="normal", fontsize=8.5)
    for index, axes in enumerate(panels):
        label_outcome(axes, scale, named=False)
        axes.set_visible(index < len(subjects))
        if index + COLUMNS >= len(subjects):
            axes.tick_params(labelbottom=True)
    drawn.supxlabel("Time since baseline [years]", fontsize=8.5)
    drawn.supylabel(f"{scale.measured}, log scale" if scale.is_log else scale.measured, fontsize=8.5)
    handles, labels = panels[0].get_legend_handles_labels()
    drawn.legend(handles, labels, loc="outside upper center", ncols=3)
    return drawn


def draw_twin(axes: Axes, visits: pd.DataFrame, bands: pd.DataFrame) -> None:
    bands, visits = bands.sort_values("time"), visits.sort_values("time")
    time, measured = bands["time"], "90\u00a0% band of a measurement"
    axes.fill_between(time, bands["pred_low"], bands["pred_high"], color=SKY, alpha=0.3, linewidth=0, label=measured)
    course = "90\u00a0% band of the course"
    axes.fill_between(time, bands["mean_low"], bands["mean_high"], color=BLUE, alpha=0.4, linewidth=0, label=course)
    axes.plot(time, bands["mean_median"], color=BLUE, linewidth=1.2, label="untreated twin, median")
    first, later = visits[visits["baseline"]], visits[~visits["baseline"]]
    treated, *_ = axes.plot(later["time"], later["value"], "o", label="measured under treatment")
    baseline, *_ = axes.plot(first["time"], first["value"], "o", label="baseline")
    for dots in (treated, baseline):
        dots.set(color=BLACK, markersize=3.5)
    baseline.set_markerfacecolor("white")
