"""What the stored fits say, and the tables of the README."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.sbc.simulations import ENGINES, LIKELIHOOD
from experiments.sbc.uniform import fractions as as_fractions
from experiments.sbc.uniform import p_value
from experiments.sbc.worlds import WORLDS

Fits = Sequence[Mapping[str, Any]]
R_HAT, ESS = 1.01, 400.0
"""Of the gate that a sampled fit has to pass before it is used, with no divergence."""


def passed(fit: Mapping[str, Any]) -> bool:
    """Whether the convergence gate would let a fit through, as far as it was recorded."""
    if "refused" in fit:
        return False
    return bool(
        fit.get("r_hat", 1.0) < R_HAT and fit.get("divergences", 0) == 0 and ("r_hat" not in fit or fit["ess"] >= ESS)
    )


def fractions(fits: Fits, names: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """A row per fit that was not refused and quantity: `world`, `engine`, `number`, `quantity`, `fraction`.

    Ranks are spread uniformly over their step; the seed of the spreading is that of the simulation, alike for engines.
    """
    rows = []
    for world in WORLDS:
        for engine in ENGINES:
            own = [fit for fit in fits if (fit["world"], fit["engine"]) == (world, engine) and "refused" not in fit]
            for fit in sorted(own, key=lambda one: one["number"]):
                spread = as_fractions(np.array(fit["ranks"]), np.array(fit["of"]), seed=fit["number"])
                rows += [
                    {"world": world, "engine": engine, "number": fit["number"], "quantity": name, "fraction": value}
                    for name, value in zip(names[world], spread, strict=True)
                ]
    return pd.DataFrame(rows)


def calibration_text(table: pd.DataFrame, fits: Fits) -> str:
    """Markdown: a row per world and engine."""
    lines = [
        "| world | engine | fits | refused | gate shut | smallest p, times quantities | at | p of log likelihood |"
        " mean rank less that of MarginalNUTS, furthest | at | CPU a fit [s] |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for pair, part in table.groupby(["world", "engine"], sort=False):
        world, engine = map(str, pair)
        own = [fit for fit in fits if (fit["world"], fit["engine"]) == (world, engine)]
        refused = sum("refused" in fit for fit in own)
        shut = sum(not passed(fit) for fit in own) - refused
        least = part.iloc[int(part["p"].argmin())]
        adjusted = min(1.0, float(least["p"]) * len(part))
        likelihood = float(part.loc[part["quantity"] == LIKELIHOOD, "p"].iloc[0])
        cpu = np.median([fit["cpu"] for fit in own if "cpu" in fit])
        cells = [world, f"`{ENGINES[engine].name}`", str(len(own)), str(refused)]
        cells += [str(shut) if any("r_hat" in fit for fit in own) else ""]
        cells += [_p(adjusted), str(least["quantity"]), _p(likelihood)]
        cells += [*_paired(fits, world, engine, list(part["quantity"])), f"{cpu:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def paired(fits: Fits, world: str, engine: str, other: str) -> np.ndarray:
    """Rank of an engine less that of another in the same simulation, as fractions: a row per simulation of both."""
    middle: dict[str, dict[int, np.ndarray]] = {engine: {}, other: {}}
    for fit in fits:
        if fit["world"] == world and fit["engine"] in middle and "refused" not in fit:
            middle[fit["engine"]][fit["number"]] = (np.array(fit["ranks"]) + 0.5) / (fit["of"] + 1.0)
    return np.array([middle[engine][k] - middle[other][k] for k in sorted(middle[engine]) if k in middle[other]])


def _paired(fits: Fits, world: str, engine: str, names: list[str]) -> tuple[str, str]:
    if engine == "marginal_nuts":
        return "", ""
    apart = paired(fits, world, engine, "marginal_nuts")
    mean, error = apart.mean(axis=0), apart.std(axis=0, ddof=1) / np.sqrt(len(apart))
    at = int(np.argmax(np.abs(mean) / error))
    return f"{mean[at]:+.3f} ± {error[at]:.3f}", names[at]


def gated(fits: Fits, names: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Of sampled fits that pass the gate: `world`, `engine`, `n`, `p`, the smallest times quantities."""
    rows = fractions([fit for fit in fits if passed(fit) and "r_hat" in fit], names)
    found = []
    for (world, engine), part in rows.groupby(["world", "engine"], sort=False):
        each = part.groupby("quantity", sort=False)["fraction"].agg(lambda values: p_value(values.to_numpy()))
        found.append((world, engine, part["number"].nunique(), min(1.0, float(each.min() * len(each))), each.idxmin()))
    return pd.DataFrame(found, columns=["world", "engine", "n", "p", "at"])


def accuracy_text(found: Mapping[str, Any]) -> str:
    """Markdown: a row per world and engine."""
    lines = [
        "| world | engine | largest shift of a mean [sd] | of | sd ratio furthest from 1 | of |",
        "|---|---|---|---|---|---|",
    ]
    for world, one in found.items():
        for engine, own in one["engines"].items():
            cells = [world, f"`{ENGINES[engine].name}`"]
            if "refused" in own:
                cells += ["refused", "", "", ""]
            else:
                cells += [f"{own['shift']:.3f} ± {own['shift_error']:.3f}", own["shift_of"]]
                cells += [f"{own['ratio']:.3f} ± {own['ratio_error']:.3f}", own["ratio_of"]]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
