"""Forest plot: every method's answer to an estimand against the randomised one."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm.report.figures.style import BLACK, BLUE, GREEN, GREY, figure, styled, title, unticked, wrapped
from dpm.report.numbers import decimals, number, span
from dpm.report.run_folder import each_row

ROLES = {"truth": ("s", GREEN), "answer": ("D", BLUE), "comparison": ("o", BLACK), "sensitivity": ("o", "white")}
"""Marker and fill by role, in the order of the rows."""


@styled
def effect_forest(effects: pd.DataFrame, titles: Mapping[str, str], contrasts: Mapping[str, str]) -> Figure:
    """One panel per estimand: estimate and interval by method, the randomised interval as a band behind all.

    Args:
        effects: `compare/effects.csv`.
        titles: what readers call each estimand, by its name.
        contrasts: what is compared with what, by the estimand's name, e.g. "treated minus untreated twin".
    """
    groups = {name: in_order(effects[effects["estimand"] == name]) for name in dict.fromkeys(effects["estimand"])}
    sizes = [len(rows) + 1.6 for rows in groups.values()]
    drawn = figure(0.35 + 0.33 * sum(sizes))
    panels = drawn.subplots(len(groups), 1, squeeze=False, height_ratios=sizes)[:, 0]
    for axes, (name, rows) in zip(panels, groups.items(), strict=True):
        draw_estimand(axes, rows)
        title(axes, titles.get(name, name))
        axes.set_xlabel(f"{contrasts.get(name) or 'Effect'} [{rows['unit'].iloc[0]}]")
    return drawn


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Truth first, then the answer, then the others, each kind in the order of the table."""
    order = {role: place for place, role in enumerate(ROLES)}
    places = [order.get(role, len(order)) for role in rows["role"]]
    return rows.assign(place=places).sort_values("place", kind="stable").drop(columns="place")


def row_labels(rows: pd.DataFrame) -> list[str]:
    """The label of each row of one estimand; the method's name where labels do not tell the rows apart."""
    shown = rows["label"].where(~rows["label"].duplicated(keep=False), rows["method"].str.replace("_", " "))
    return [str(label) for label in shown]


def draw_estimand(axes: Axes, rows: pd.DataFrame) -> None:
    for truth in each_row(rows[rows["role"] == "truth"].head(1)):
        axes.axvspan(truth["low"], truth["high"], color=GREEN, alpha=0.14, linewidth=0)
        axes.axvline(truth["estimate"], color=GREEN, linewidth=0.9)
    axes.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
    for place, row in enumerate(each_row(rows)):
        marker, fill = ROLES.get(str(row["role"]), ROLES["sensitivity"])
        edge = BLACK if fill == "white" else fill
        axes.plot(
            [row["low"], row["high"]], [place, place], color=edge, linewidth=1.6 if row["role"] == "answer" else 1.1
        )
        size = 6.5 if row["role"] == "answer" else 5
        axes.plot([row["estimate"]], [place], marker, markersize=size, markerfacecolor=fill, markeredgecolor=edge)
        places = decimals(row["se"])
        text = f"{number(row['estimate'], places)} ({span(row['low'], row['high'], places)})"
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [wrapped(label, 30) for label in row_labels(rows)])
    for tick, role in zip(axes.get_yticklabels(), rows["role"], strict=True):
        tick.set_fontweight("bold" if role == "answer" else "normal")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    unticked(axes)
