"""Quality of the data: what is there by variable and source, and whether it is fit for use."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dpm.report.figures.style import BLACK, GREY, ORANGE, SKY, VERMILLION, WIDTH, figure, styled, unticked, wrapped
from dpm.report.numbers import MISSING, number, percent, words
from dpm.report.run_folder import Row, each_row

ROW = 0.23
"""Height of a row [inches]."""

SHADE = LinearSegmentedColormap.from_list("share", ["#FFFFFF", "#9CC3DE", "#0072B2"])
"""White where nothing is there, full blue where everything is."""

LIGHTS = {
    "green": ("o", SKY, "fit"),
    "amber": ("s", ORANGE, "with care"),
    "red": ("D", VERMILLION, "not fit"),
    "grey": ("X", GREY, "unknown"),
}
"""Marker, colour and word by light; sky blue stands for green, which some readers cannot tell from red."""

SHARES = {"available": "values\nthere", "subjects_available": "subjects\nwith any", "on_time": "planned\non time"}
TEXTS = ("range (median)", "last digit", "repeated\n(by chance)", "censored")


@styled
def quality_overview(quality: pd.DataFrame) -> Figure:
    """Shares that are there as shaded cells, then range, last digits, repeats and limits as text; a row per variable.

    Args:
        quality: of `quality_table`; a row per variable and source.
    """
    labels = row_labels(quality)
    drawn = figure(0.75 + ROW * len(quality))
    drawn.set_layout_engine("none")
    names, shown = 1.75, 1.35
    height = float(drawn.get_figheight())
    bottom, top = 0.06 / height, 1 - 0.6 / height
    left = drawn.add_axes((names / WIDTH, bottom, shown / WIDTH, top - bottom))
    right = drawn.add_axes(((names + shown) / WIDTH, bottom, 1 - (names + shown) / WIDTH, top - bottom))
    draw_shares(left, quality)
    left.set_yticks(range(len(quality)), labels)
    draw_texts(right, quality)
    for axes in (left, right):
        axes.set_ylim(len(quality) - 0.5, -0.5)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0)
    return drawn


def row_labels(quality: pd.DataFrame) -> list[str]:
    """Variable with its source where there are several."""
    several = len(set(quality["source"])) > 1
    texts = []
    for row in each_row(quality):
        name = words(str(row["variable"]))
        shown = name if len(name) <= 16 else f"{name[:15]}…"
        texts.append(f"{shown}, {str(row['source'])[:14]}" if several else name[:30])
    return texts


def draw_shares(axes: Axes, quality: pd.DataFrame) -> None:
    shares = quality[list(SHARES)].to_numpy(dtype=float)
    axes.imshow(np.ma.masked_invalid(shares), cmap=SHADE, vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        dark = share > 0.7
        text = axes.text(column, row, MISSING if np.isnan(share) else whole_percent(share), ha="center", va="center")
        text.set(fontsize=7, color="white" if dark else BLACK)
    axes.set_xticks(range(len(SHARES)), list(SHARES.values()), fontsize=7)
    axes.xaxis.tick_top()
    axes.tick_params(axis="y", labelsize=7.5)
    axes.set_yticks(np.arange(len(quality) - 1) + 0.5, minor=True)
    axes.set_xticks(np.arange(len(SHARES) - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)


def whole_percent(share: float) -> str:
    """A percentage that reads 100 only where nothing is missing, and 0 only where nothing is there."""
    if 0 < share < 0.005:
        return "<1\u00a0%"
    return ">99\u00a0%" if 0.995 <= share < 1 else percent(share)


def draw_texts(axes: Axes, quality: pd.DataFrame) -> None:
    places = (0.02, 0.45, 0.61, 0.84)
    axes.set_xlim(0, 1)
    axes.set_xticks(places, list(TEXTS), fontsize=7)
    axes.xaxis.tick_top()
    axes.set_yticks([])
    for tick in axes.get_xticklabels():
        tick.set(ha="left")
    for place, row in enumerate(each_row(quality)):
        for x, text in zip(places, cells(row), strict=True):
            axes.text(x, place, text, va="center", fontsize=7, color=GREY if text == MISSING else BLACK)


def cells(row: Row) -> tuple[str, str, str, str]:
    """Range and unit, last digit, repeats, share at a limit, as text."""
    spread = MISSING
    if not np.isnan(row["minimum"]):
        ends = f"{size(row['minimum'])} to {size(row['maximum'])} ({size(row['median'])})"
        spread = ends if row["unit"] == "1" or row["role"] == "label" else f"{ends} {row['unit']}"
    if row["role"] == "covariate" and np.isnan(row["decimals"]):
        spread = f"0 or 1 ({row['unit']})"
    digit = MISSING
    if not np.isnan(row["digit_share"]):
        digit = f"{row['digit']:.0f}: {percent(row['digit_share'])}"
    repeated = MISSING
    if not np.isnan(row["repeated"]):
        chance = "" if np.isnan(row["repeated_expected"]) else f" ({percent(row['repeated_expected'])})"
        repeated = f"{percent(row['repeated'])}{chance}"
    limit = MISSING if np.isnan(row["censored"]) else percent(row["censored"])
    return spread, digit, repeated, limit


def size(value: float) -> str:
    return number(value, 0) if abs(value) >= 100 else f"{value:.3g}".replace("-", "−")


@styled
def fitness_lights(fitness: pd.DataFrame) -> Figure:
    """One row per rule and one column per variable and source: a mark, its word, and the value it judges.

    Args:
        fitness: of `fitness`.
    """
    columns = list(dict.fromkeys(zip(fitness["variable"], fitness["source"], strict=True)))
    rules = list(dict.fromkeys(zip(fitness["kind"], fitness["rule"], strict=True)))
    places = [place + (0.7 if kind != rules[0][0] else 0.0) for place, (kind, _) in enumerate(rules)]
    drawn = figure(1.35 + 0.47 * (places[-1] + 1))
    axes = drawn.subplots()
    for row in each_row(fitness):
        at = columns.index((row["variable"], row["source"])), places[rules.index((row["kind"], row["rule"]))]
        draw_light(axes, row, float(at[0]), at[1])
    several = len(set(fitness["source"])) > 1
    axes.set_xticks(range(len(columns)), [column_name(*column, several) for column in columns], fontsize=7)
    axes.xaxis.tick_top()
    axes.tick_params(axis="x", length=0)
    axes.set_yticks(places, [rule_name(fitness, *rule) for rule in rules])
    axes.set(xlim=(-0.6, len(columns) - 0.4), ylim=(places[-1] + 0.6, -0.6))
    unticked(axes)
    axes.spines["bottom"].set_visible(False)
    drawn.legend(handles=light_legend(fitness), loc="outside lower center", ncols=4)
    return drawn


def draw_light(axes: Axes, row: Row, x: float, y: float) -> None:
    marker, colour, word = LIGHTS[str(row["light"])]
    axes.plot([x], [y - 0.2], marker, markersize=7, color=colour, markeredgecolor=BLACK, markeredgewidth=0.5)
    value = float(row["value"])
    shown = MISSING if np.isnan(value) else f"{round(value, 4):g}".replace("-", "−")
    text = axes.text(x, y + 0.24, f"{shown}\n{word}", ha="center")
    text.set(fontsize=6.5, va="center", linespacing=1.05)


def column_name(variable: str, source: str, several: bool) -> str:
    name = wrapped(words(variable), 11) if variable else "whole\nsource"
    return f"{name}\n{wrapped(source, 11)}" if several else name


def rule_name(fitness: pd.DataFrame, kind: str, rule: str) -> str:
    """Rule with its limits and what it judges."""
    rows = fitness[(fitness["rule"] == rule) & (fitness["kind"] == kind)]
    first = each_row(rows)[0]
    sign = "≥" if first["direction"] == "higher" else "≤"
    return f"{rule}\n{kind}: {sign} {first['green']:g} fit, {sign} {first['amber']:g} with care"


def light_legend(fitness: pd.DataFrame) -> list[Line2D]:
    handles = []
    for light, (marker, colour, word) in LIGHTS.items():
        if (fitness["light"] == light).any():
            mark = Line2D([], [], linestyle="", marker=marker, color=colour, label=word, markersize=7)
            mark.set(markeredgecolor=BLACK, markeredgewidth=0.5)
            handles.append(mark)
    return handles
