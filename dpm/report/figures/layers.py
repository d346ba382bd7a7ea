"""Layers of uncertainty: how much each source adds to the variance of an estimate."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dpm.report.figures.style import BLUE, GREY, figure, styled, title, unticked, wrapped
from dpm.report.numbers import decimals, number, percent
from dpm.report.run_folder import each_row

TOTAL = "total"


@styled
def uncertainty_layers(layers: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """One panel per estimand: a waterfall in which each layer starts where the one above ends.

    Args:
        layers: `compare/layers.csv`; shares of the variance in [0, 1].
        titles: what readers call each estimand, by its name.
    """
    groups = {name: layers[layers["estimand"] == name] for name in dict.fromkeys(layers["estimand"])}
    sizes = [len(rows) + 1.2 for rows in groups.values()]
    drawn = figure(0.6 + 0.3 * sum(sizes))
    panels = drawn.subplots(len(groups), 1, squeeze=False, height_ratios=sizes, sharex=True)[:, 0]
    for axes, (name, rows) in zip(panels, groups.items(), strict=True):
        draw_waterfall(axes, rows.reset_index(drop=True))
        title(axes, titles.get(name, name))
    panels[-1].set_xlabel("Share of the variance of the estimate [%]")
    panels[-1].xaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    return drawn


def is_total(layer: str) -> bool:
    return layer.lower().startswith(TOTAL)


def draw_waterfall(axes: Axes, rows: pd.DataFrame) -> None:
    shares = rows["variance_share"].where(~rows["layer"].map(is_total), 0.0)
    ends, places = shares.cumsum(), decimals(rows["sd"].max())
    for place, (row, end, share) in enumerate(zip(each_row(rows), ends, shares, strict=True)):
        total = is_total(str(row["layer"]))
        left, width = (0.0, row["variance_share"]) if total else (end - share, share)
        axes.barh(place, width, left=left, height=0.62, color=GREY if total else BLUE, linewidth=0)
        if place > 0 and not total:
            axes.vlines(end - share, place - 0.69, place - 0.31, color="#444444", linewidth=0.7)
        text = f"SD {number(row['sd'], places)} · {percent(row['variance_share'])}"
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [wrapped(layer, 34) for layer in rows["layer"]])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(min(0.0, float((ends - shares).min()), float(ends.min())), max(1.0, float(ends.max())))
    unticked(axes)
