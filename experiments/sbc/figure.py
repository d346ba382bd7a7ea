"""Ranks of the truth: the empirical distribution function less the uniform one, with simultaneous 95 % bands."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from experiments.sbc.simulations import ENGINES, LIKELIHOOD
from experiments.sbc.uniform import band
from experiments.sbc.worlds import WORLDS

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6d31")
TITLES = {
    "nuts": "NUTS",
    "marginal_nuts": "MarginalNUTS",
    "laplace_weighted": "Laplace, weighted",
    "variational": "Variational",
    "laplace": "Laplace",
}


def panel(axes: Axes, rows: pd.DataFrame) -> None:
    """One engine in one world: a line per quantity."""
    names = list(dict.fromkeys(rows["quantity"]))
    colours = dict(zip([name for name in names if name != LIKELIHOOD], COLOURS, strict=False)) | {LIKELIHOOD: "black"}
    n = int(rows.groupby("quantity").size().max())
    grid, low, high = band(n)
    axes.fill_between(grid, low - grid, high - grid, step="mid", color="0.88", linewidth=0)
    axes.axhline(0.0, color="0.6", linewidth=0.6)
    for name in names:
        values = np.sort(rows.loc[rows["quantity"] == name, "fraction"].to_numpy())
        at = np.concatenate([[0.0], np.repeat(values, 2), [1.0]])
        steps = np.repeat(np.arange(n + 1) / n, 2)
        width = 1.4 if name == LIKELIHOOD else 0.9
        axes.plot(at, steps - at, color=colours[name], linewidth=width, label=name.replace("_", " "))
    axes.text(0.97, 0.04, f"{n} fits", transform=axes.transAxes, ha="right", fontsize=7, color="0.35")


def draw(rows: pd.DataFrame, path: Path) -> None:
    """A row of panels per world, a column per engine."""
    figure, grid = plt.subplots(
        len(WORLDS), len(ENGINES), figsize=(11.5, 4.9), sharex=True, sharey=True, layout="constrained"
    )
    for line, world in zip(grid, WORLDS, strict=True):
        for axes, engine in zip(line, ENGINES, strict=True):
            panel(axes, rows[(rows["world"] == world) & (rows["engine"] == engine)])
            axes.set(xlim=(0, 1), xticks=(0, 0.5, 1))
            axes.spines[["top", "right"]].set_visible(False)
            axes.tick_params(labelsize=8)
        line[0].set_ylabel(f"{world}\nECDF \N{MINUS SIGN} uniform", fontsize=9)
        line[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), fontsize=7, frameon=False)
    for axes, engine in zip(grid[0], ENGINES, strict=True):
        claim = "claims to be exact" if ENGINES[engine].exact else "does not claim to be"
        axes.set_title(f"{TITLES[engine]}\n({claim})", fontsize=9)
    figure.supxlabel("rank of the true value among posterior draws, as a fraction", fontsize=9)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
