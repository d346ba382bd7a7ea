"""Calibration by subgroup: how often held-out values fell inside their prediction intervals."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dpm.report.figures.style import BLACK, BLUE, GREY, PALE, VERMILLION, figure, styled, unticked, wrapped
from dpm.report.numbers import words
from dpm.report.run_folder import each_row

UNJUDGED = "cannot be judged at this n"
MARKS = {"inside": ("o", BLUE, BLUE), "outside": ("D", VERMILLION, VERMILLION), UNJUDGED: ("o", "white", GREY)}
"""Marker, fill and edge by verdict."""


@styled
def subgroup_calibration(coverage: pd.DataFrame) -> Figure:
    """Observed coverage of prediction intervals: one row per subgroup, one panel per nominal level.

    Args:
        coverage: rows of `check/coverage.csv`; shares in [0, 1].
    """
    rows = coverage[["subgroup", "level"]].drop_duplicates().reset_index(drop=True)
    places = row_places(rows)
    nominals = sorted(coverage["nominal"].unique())
    drawn = figure(1.15 + 0.3 * (max(places) + 1))
    panels = drawn.subplots(1, len(nominals), sharey=True, squeeze=False)[0]
    for axes, nominal in zip(panels, nominals, strict=True):
        cells = rows.assign(place=places).merge(coverage[coverage["nominal"] == nominal], on=["subgroup", "level"])
        draw_level(axes, cells, float(nominal))
    label_rows(panels[0], rows, places, coverage)
    panels[0].set_ylim(max(places) + 0.7, -0.8)
    drawn.supxlabel("Observed coverage [%]", fontsize=8.5)
    drawn.legend(handles=legend(coverage), loc="outside upper center", ncols=2)
    return drawn


def row_places(rows: pd.DataFrame) -> list[float]:
    """Vertical place of each row, with a gap wherever the subgroup changes."""
    changed = rows["subgroup"] != rows["subgroup"].shift()
    return [float(i + 0.5 * gaps) for i, gaps in enumerate(changed.cumsum() - 1)]


def draw_level(axes: Axes, cells: pd.DataFrame, nominal: float) -> None:
    axes.axvline(nominal, color=BLACK, linewidth=0.8, linestyle=":", zorder=0.5)
    axes.set_title(f"{nominal * 100:g}\u00a0% intervals", fontweight="normal", loc="center")
    for cell in each_row(cells):
        marker, fill, edge = MARKS.get(str(cell["verdict"]), MARKS[UNJUDGED])
        shade = PALE if cell["verdict"] == UNJUDGED else "#A6C8E0"
        axes.barh(cell["place"], cell["high"] - cell["low"], left=cell["low"], height=0.5, color=shade, linewidth=0)
        (dot,) = axes.plot([cell["observed"]], [cell["place"]], marker, markersize=5, clip_on=False)
        dot.set(markerfacecolor=fill, markeredgecolor=edge)
        if cell["verdict"] == UNJUDGED:
            below = axes.text(cell["low"], cell["place"] - 0.27, UNJUDGED.removesuffix(" at this n"), va="bottom")
            below.set(fontsize=6, color="#6B6B6B", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4})
    low, high = min(cells["low"].min(), cells["observed"].min()), max(cells["high"].max(), cells["observed"].max())
    axes.set_xlim(max(-0.02, low - 0.04), min(1.02, high + 0.04))
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol="", decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    unticked(axes)


def label_rows(axes: Axes, rows: pd.DataFrame, places: list[float], coverage: pd.DataFrame) -> None:
    """Name each row, say its n, and grey the rows of which no cell can be judged."""
    groups = coverage.groupby(["subgroup", "level"])
    judged = groups["verdict"].agg(lambda verdicts: bool((verdicts != UNJUDGED).any()))
    counts = groups["n"].max()
    keys = list(zip(rows["subgroup"], rows["level"], strict=True))
    named = ["Overall" if group == "overall" else f"{words(group).capitalize()}: {level}" for group, level in keys]
    labels = [f"{name} (n = {counts[key]:.0f})" for name, key in zip(named, keys, strict=True)]
    axes.set_yticks(places, [wrapped(label, 32) for label in labels])
    for tick, key in zip(axes.get_yticklabels(), keys, strict=True):
        tick.set_color(BLACK if judged[key] else GREY)


def legend(coverage: pd.DataFrame) -> list[Line2D | Patch]:
    named = {"inside": "observed, inside the range", "outside": "observed, outside", UNJUDGED: f"observed, {UNJUDGED}"}
    marks = [
        Line2D([], [], linestyle="", marker=MARKS[verdict][0], color=MARKS[verdict][2], label=name)
        for verdict, name in named.items()
        if (coverage["verdict"] == verdict).any()
    ]
    for mark in marks:
        mark.set_markerfacecolor("white" if UNJUDGED in str(mark.get_label()) else str(mark.get_color()))
    exact = Patch(color="#A6C8E0", label="exact 95\u00a0% range if calibrated")
    return [*marks, exact, Line2D([], [], color=BLACK, linestyle=":", linewidth=0.8, label="nominal level")]
