"""What the sampler itself reports: energies, trees and where in parameter space it diverged."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from arviz_stats.sampling_diagnostics import bfmi

from dpm.errors import CheckError
from dpm.posterior.posterior import Posterior
from dpm.types import Float

LOCATED = 3.0
"""Standard errors by which divergent draws must lie elsewhere before a value is named as their place."""


def elements(posterior: Posterior) -> Iterator[tuple[str, Float[np.ndarray, "chain draw"]]]:
    """Label and draws of every population value that no other determines, see `parameter_table`."""
    for name, values in posterior.draws.data_vars.items():
        if str(name).endswith("_cholesky") and str(name).removesuffix("_cholesky") in posterior.draws:
            continue
        array = values.to_numpy()
        for index in _informative(array):
            label = f"{name}[{','.join(map(str, index))}]" if index else str(name)
            element: tuple[Any, ...] = (..., *index)
            yield label, array[element]


def _informative(array: np.ndarray) -> list[tuple[Any, ...]]:
    """The elements of a site, of shape (chain, draw, ...), that no other element determines."""
    every = list(np.ndindex(array.shape[2:]))
    if array.ndim != 4 or array.shape[2] != array.shape[3] or array.shape[2] < 2:
        return every
    upper = [index for index in every if index[0] < index[1]]
    symmetric = np.allclose(array, np.swapaxes(array, 2, 3), rtol=1e-12)
    triangular = all(bool(np.all(array[..., row, column] == 0.0)) for row, column in upper)
    if not (symmetric or triangular):
        return every
    ones = [(k, k) for k in range(array.shape[2]) if np.allclose(array[..., k, k], 1.0, rtol=1e-12)]
    return [index for index in every if index not in upper and index not in ones]


def statistics(posterior: Posterior) -> dict[str, np.ndarray]:
    """The sampler's statistics, each of shape `(chain, draw)`.

    Raises:
        CheckError: the posterior was not sampled by a chain.
    """
    if "sample_stats" not in posterior.tree.children:
        method = str(posterior.provenance.get("method", "a method without chains"))
        raise CheckError("posterior", "draws of a chain", method.partition("(")[0], "Sample it with NUTS().")
    return {str(name): value.to_numpy() for name, value in posterior.tree["sample_stats"].to_dataset().items()}


def chain_table(posterior: Posterior) -> pd.DataFrame:
    r"""What each chain reports of itself.

    `e_bfmi` is the energy fraction of missing information,
    $\sum_t (E_t - E_{t-1})^2 / \sum_t (E_t - \bar E)^2$: about two where energies are independent from draw to draw,
    below 0.3 where they crawl (Betancourt 2016, arXiv:1604.00695). `saturated` is the share of draws whose tree was
    stopped at the largest depth allowed, before it turned.

    Returns:
        A row per chain; columns `chain`, `draws`, `divergences`, `e_bfmi`, `acceptance`, `step_size`, `tree_depth`
        (mean) and `saturated`; NaN where the sampler did not keep what is needed.

    Raises:
        CheckError: the posterior was not sampled by a chain.
    """
    stats = statistics(posterior)
    chains, draws = stats["diverging"].shape
    unknown = np.full((chains, draws), np.nan)
    return pd.DataFrame(
        {
            "chain": np.arange(chains),
            "draws": draws,
            "divergences": stats["diverging"].sum(axis=1),
            "e_bfmi": np.atleast_1d(bfmi(stats["energy"])) if "energy" in stats else np.nan,
            "acceptance": stats.get("acceptance_rate", unknown).mean(axis=1),
            "step_size": stats.get("step_size", unknown)[:, -1],
            "tree_depth": _depth(stats, unknown).mean(axis=1),
            "saturated": _saturated(posterior, stats, unknown).mean(axis=1),
        }
    )


def _depth(stats: dict[str, np.ndarray], unknown: np.ndarray) -> np.ndarray:
    if "tree_depth" in stats or "n_steps" not in stats:
        return stats.get("tree_depth", unknown)
    return np.ceil(np.log2(stats["n_steps"] + 1))


def _saturated(posterior: Posterior, stats: dict[str, np.ndarray], unknown: np.ndarray) -> np.ndarray:
    most = posterior.provenance.get("max_tree_depth")
    depth = _depth(stats, unknown)
    return unknown if most is None else np.where(np.isnan(depth), np.nan, depth >= most)


def divergence_table(posterior: Posterior) -> pd.DataFrame:
    r"""Where divergent draws lie: the values in which they differ most from the others.

    $(\bar x_\mathrm{divergent} - \bar x_\mathrm{other}) / \mathrm{sd}(x)$ for every population value and, where they
    were kept, every subject effect; values that are positive in all draws by their logarithm, so that a spread near
    zero shows. Under no difference its standard error is $\sqrt{1/n_d + 1/n_o}$, and that of the largest of many is
    larger: what is `located` lies beyond `LOCATED` of these, which a few of many values do by chance.

    Returns:
        columns `site`, `subject` (its identifier; empty for a population value), `scale` (`log` or `natural`),
        `divergent`, `other` (means on that scale), `difference` (in sds) and `located`, largest difference first; no
        row where no draw diverged.

    Raises:
        CheckError: the posterior was not sampled by a chain.
    """
    diverging = statistics(posterior)["diverging"].astype(bool).ravel()
    columns = ["site", "subject", "scale", "divergent", "other", "difference", "located"]
    if not diverging.any() or diverging.all():
        return pd.DataFrame(columns=columns)
    error = np.sqrt(1.0 / diverging.sum() + 1.0 / (~diverging).sum())
    parts = [_compared(label, [""], draws.reshape(1, -1), diverging) for label, draws in elements(posterior)]
    if "subjects" in posterior.tree.children:
        for name, values in posterior.tree["subjects"].to_dataset().items():
            array = values.to_numpy()
            ids = values["subject"].to_numpy()
            for index in np.ndindex(array.shape[2:-1]):
                label = f"{name}[{','.join(map(str, index))}]" if index else str(name)
                element: tuple[Any, ...] = (slice(None), slice(None), *index)
                parts.append(_compared(label, ids, array[element].reshape(-1, len(ids)).T, diverging))
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(located=table["difference"].abs() > LOCATED * error)
    order = table["difference"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order, columns].reset_index(drop=True)


def _compared(label: str, subjects: Any, values: np.ndarray, diverging: np.ndarray) -> pd.DataFrame:
    """Rows of one site: draws of shape (value, draw)."""
    positive = values.min(axis=1, keepdims=True) > 0.0
    scaled = np.where(positive, np.log(np.where(positive, values, 1.0)), values)
    divergent, other = scaled[:, diverging].mean(axis=1), scaled[:, ~diverging].mean(axis=1)
    sd = scaled.std(axis=1, ddof=1)
    return pd.DataFrame(
        {
            "site": label,
            "subject": subjects,
            "scale": np.where(positive[:, 0], "log", "natural"),
            "divergent": divergent,
            "other": other,
            "difference": np.where(sd > 0.0, (divergent - other) / np.where(sd > 0.0, sd, 1.0), 0.0),
        }
    )


def moves_with_energy(posterior: Posterior) -> tuple[str, float]:
    """The population value whose draws, positive ones by their logarithm, go most with the energy: correlation."""
    energy = statistics(posterior)["energy"]
    best, strength = "", 0.0
    for label, draws in elements(posterior):
        values = np.log(draws) if draws.min() > 0.0 else draws
        if values.std() > 0.0 and energy.std() > 0.0:
            found = float(np.corrcoef(values.ravel(), energy.ravel())[0, 1])
            if abs(found) > abs(strength):
                best, strength = label, found
    return best, strength
