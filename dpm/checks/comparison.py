"""Structural models side by side: which predicts new patients best, and with what weights to average over them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.loo import compare as arviz_compare
from arviz_stats.utils import ELPDDataLOO

from dpm.checks.loo import LOO, loo
from dpm.checks.scored import require_fitted_to, require_same_values, scored
from dpm.cohort.cohort import Cohort
from dpm.errors import CheckError
from dpm.inference.draws import Method
from dpm.inference.marginal import Level
from dpm.posterior.posterior import Posterior
from dpm.types import Key

WEIGHTS = {"stacking": "stacking", "pseudo_bma": "BB-pseudo-BMA"}
"""Columns of weights, and ArviZ's name of the method."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Models compared by how well they predict patients who are left out.

    Attributes:
        table: per model, best first: `elpd`, `se`, `p_loo`; `difference` of elpd to the best and its `se_difference`,
            paired over subjects; weights by `stacking` and `pseudo_bma` (with Bayesian bootstrap, pseudo-BMA+);
            `flagged`, patients whose part of it cannot be relied on; `caution`, ArviZ's words on the difference.
        loo: each model's own.
    """

    table: pd.DataFrame
    loo: Mapping[str, LOO]

    def weights(self, kind: str = "stacking") -> dict[str, float]:
        """By model, to average predictions with; `"stacking"` or `"pseudo_bma"`.

        Raises:
            CheckError: another kind.
        """
        if kind not in WEIGHTS:
            raise CheckError("weights", '"stacking" or "pseudo_bma"', repr(kind))
        return {str(name): float(weight) for name, weight in self.table[kind].items()}


def compare_models(
    posteriors: Mapping[str, Posterior],
    cohort: Cohort,
    *,
    key: Key,
    level: Level | None = None,
    n_nodes: int | None = None,
    refit: Method | None = None,
    progress: bool = True,
) -> Comparison:
    """Compare models fitted to one cohort by leaving patients out.

    All score the same values on the same scale, a probability beside a probability and a density beside a density. The
    last is seen in draws of each model, which may not reach an end of a scale that has little probability.

    Args:
        posteriors: by name of the model, all fitted to `cohort`.
        cohort: that of the fits.
        key: see `loo`; the same for all models.
        level, n_nodes, refit, progress: see `loo`.

    Raises:
        CheckError: fewer than two models, or a posterior of another cohort, of other outcomes, or of the same on
            another scale or by another kind of density: such likelihoods are not comparable.
        PosteriorError, InferenceError: see `loo`.

    Warns:
        CheckWarning: see `loo`.

    Sources: Yao et al. 2018, Bayesian Analysis 13, 917-1007, doi 10.1214/17-BA1091, for both weights.
    """
    if len(posteriors) < 2:
        raise CheckError("compare_models", "at least two posteriors", str(len(posteriors)))
    for name, posterior in posteriors.items():
        require_fitted_to(posterior, cohort, name=name)
    require_same_values({name: scored(posterior, cohort, name=name) for name, posterior in posteriors.items()})
    found = {
        name: loo(posterior, cohort, key=key, level=level, n_nodes=n_nodes, refit=refit, progress=progress)
        for name, posterior in posteriors.items()
    }
    table = weigh(pd.DataFrame({name: one.subjects["elpd"] for name, one in found.items()}))
    table.insert(2, "p_loo", [found[str(name)].p_loo for name in table.index])
    table.insert(7, "flagged", [len(found[str(name)].flagged) for name in table.index])
    return Comparison(table=table, loo=found)


def weigh(elpd: pd.DataFrame) -> pd.DataFrame:
    """Rank models by their elpd and weigh them, by ArviZ.

    Args:
        elpd: per subject and model, its log predictive density when it, or its study, is left out.

    Returns:
        per model, best first: `elpd`, `se`, `difference`, `se_difference`, `stacking`, `pseudo_bma`, `caution`.

    Raises:
        CheckError: a value is not finite.
    """
    bad = ~np.isfinite(elpd.to_numpy()).all(axis=1)
    if bad.any():
        got = f"none for {int(bad.sum()):,} of {len(elpd):,} (first: {elpd.index[bad][0]})"
        raise CheckError("weigh", "a log predictive density of every subject under every model", got)
    # Weights and differences do not depend on what is common to all models, and ArviZ's stacking takes exponentials,
    # which are zero for a patient with some hundred values.
    relative = elpd.sub(elpd.max(axis=1), axis=0)
    each = {str(name): _as_arviz(column) for name, column in relative.items()}
    ranked = {column: arviz_compare(each, method=method, round_to="none") for column, method in WEIGHTS.items()}
    first = ranked["stacking"]
    table = pd.DataFrame({"elpd": elpd.sum(), "se": _se(elpd)}).loc[first.index]
    return table.assign(
        difference=first["elpd_diff"],
        se_difference=_se(relative.sub(relative[first.index[0]], axis=0)),
        **{column: one["weight"] for column, one in ranked.items()},
        caution=first["diag_diff"].astype(str),
    ).rename_axis("model")


def _se(values: pd.DataFrame) -> pd.Series:
    r"""Of each column's sum, $\sqrt{n s^2}$ with the sample variance $s^2$."""
    return np.sqrt(len(values) * values.var(ddof=1))


def _as_arviz(elpd: pd.Series) -> ELPDDataLOO:
    n = len(elpd)
    ids = {"subject": elpd.index.astype(str).to_numpy()}
    return ELPDDataLOO(
        elpd=float(elpd.sum()),
        se=float(np.sqrt(n * elpd.var(ddof=1))),
        p=np.nan,
        n_samples=0,
        n_data_points=n,
        scale="log",
        warning=False,
        good_k=np.nan,
        elpd_i=xr.DataArray(elpd.to_numpy(dtype=float), coords=ids, dims="subject"),
    )
