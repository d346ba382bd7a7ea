"""One model at a glance: its typical course, where 90 % of subjects are, and a cohort that it gives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm.report.figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PALE, PURPLE, SKY, VERMILLION, figure, styled
from dpm.types import Float

SHADES = (GREEN, SKY, ORANGE, VERMILLION, PURPLE, GREY, BLACK)


@dataclass(frozen=True, kw_only=True)
class CoursePanel:
    """An outcome with a course.

    Attributes:
        label: of the vertical axis, with the unit.
        clock: of the horizontal one, with the unit.
        time: where the courses are shown.
        typical: the median of subjects without deviations, or of all of them.
        low, high: where the middle 90 % of subjects' courses are.
        subjects: time and measurements of each simulated subject.
    """

    label: str
    clock: str
    time: Float[np.ndarray, " time"]
    typical: Float[np.ndarray, " time"]
    low: Float[np.ndarray, " time"]
    high: Float[np.ndarray, " time"]
    subjects: Sequence[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class SharePanel:
    """Shares of subjects over time: of states, or free of an event.

    Attributes:
        label: of the vertical axis.
        clock: of the horizontal one, with the unit.
        time: where.
        shares: by name; they add up to one, or are one line.
    """

    label: str
    clock: str
    time: Float[np.ndarray, " time"]
    shares: dict[str, Float[np.ndarray, " time"]]


@dataclass(frozen=True, kw_only=True)
class PriorPanel:
    """What is expected of an outcome before any data, by visit.

    Attributes:
        label: of the vertical axis, with the unit.
        time: of the visits [years].
        percentiles: by percentile, the measurement; 5, 25, 50, 75 and 95.
    """

    label: str
    time: Float[np.ndarray, " visit"]
    percentiles: dict[int, Float[np.ndarray, " visit"]]


type Panel = CoursePanel | SharePanel | PriorPanel


@styled
def model_panels(panels: Sequence[Panel]) -> Figure:
    """Panels side by side, three in a row at most."""
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    drawn = figure(2.9 * rows if columns > 1 else 3.2)
    every = drawn.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel in zip(every, panels, strict=False):
        match panel:
            case CoursePanel():
                _draw_course(axes, panel)
            case SharePanel():
                _draw_shares(axes, panel)
            case PriorPanel():
                _draw_prior(axes, panel)
    for axes in every[len(panels) :]:
        axes.set_visible(False)
    handles: dict[str, Artist] = {}
    for axes in every[: len(panels)]:
        if axes.get_legend() is None:
            handles |= {label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    if handles:
        drawn.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=3)
    return drawn


def _draw_course(axes: Axes, panel: CoursePanel) -> None:
    for k, (time, values) in enumerate(panel.subjects):
        axes.plot(
            time,
            values,
            color=GREY,
            linewidth=0.5,
            alpha=0.6,
            marker="o",
            markersize=1.2,
            label=None if k else "simulated subjects",
            zorder=1,
        )
    axes.fill_between(
        panel.time,
        panel.low,
        panel.high,
        color=SKY,
        alpha=0.35,
        linewidth=0,
        label="courses of 90\u00a0% of subjects",
        zorder=2,
    )
    axes.plot(panel.time, panel.typical, color=BLUE, linewidth=1.8, label="typical course", zorder=3)
    axes.set_xlabel(panel.clock)
    axes.set_ylabel(panel.label)
    axes.margins(x=0.02)


def _draw_shares(axes: Axes, panel: SharePanel) -> None:
    if len(panel.shares) == 1:
        ((_, share),) = panel.shares.items()
        axes.plot(panel.time, 100.0 * share, color=BLUE, linewidth=1.8)
    else:
        axes.stackplot(
            panel.time,
            [100.0 * share for share in panel.shares.values()],
            labels=list(panel.shares),
            colors=SHADES[: len(panel.shares)],
            alpha=0.75,
            linewidth=0,
        )
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    axes.set_ylim(0, 100)
    axes.set_xlabel(panel.clock)
    axes.set_ylabel(panel.label)
    axes.margins(x=0)


def _draw_prior(axes: Axes, panel: PriorPanel) -> None:
    at = panel.percentiles
    axes.fill_between(
        panel.time, at[5], at[95], color=PALE, linewidth=0, label="90\u00a0% of measurements, prior", zorder=0
    )
    axes.fill_between(
        panel.time, at[25], at[75], color=ORANGE, alpha=0.45, linewidth=0, label="50\u00a0%, prior", zorder=0.5
    )
    axes.plot(panel.time, at[50], color=VERMILLION, linestyle="--", label="median, prior", zorder=2)
    axes.set_xlabel("Time since baseline [years]")
    axes.set_ylabel(panel.label)
    axes.margins(x=0.02)
