"""Leave one patient out: how well each would be predicted by a fit to all the others."""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import jax
import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats.loo import loo as psis_loo
from arviz_stats.loo import loo_approximate_posterior as psis_loo_approximate
from arviz_stats.sampling_diagnostics import ess
from arviz_stats.utils import ELPDDataLOO
from scipy.special import logsumexp

from dpm.checks.normal_draws import is_normal, log_densities, refuse_guide
from dpm.checks.scored import require_fitted_to
from dpm.cohort.cohort import Cohort
from dpm.errors import CheckWarning, DPMError
from dpm.inference.draws import Method
from dpm.inference.marginal import Level
from dpm.inference.progress import duration
from dpm.posterior.likelihood import SubjectLikelihood, by_draw
from dpm.posterior.posterior import Posterior
from dpm.types import Float, Key, Model

LARGEST_LEVEL_ERROR = 0.5
"""Of the sum over subjects; a difference in elpd below 4 tells little (Sivula et al. 2025, arXiv:2008.10296)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LOO:
    r"""Expected log predictive density of new patients, $\sum_i \log p(y_i \mid y_{-i})$, and what it rests on.

    Attributes:
        subjects: per subject, `elpd`; `p`, by how much its log predictive density falls when it is left out;
            `pareto_k` of its weights; `refitted`, whether `elpd` comes from a fit without it; `level_error`, what a
            finer integral changes in its log likelihood at the mean of the draws.
        good_k: a larger Pareto k makes the weights unreliable: $\min(1 - 1/\log_{10} S, 0.7)$ for $S$ draws.
        n_draws: $S$.
        level: of the integral over subjects' effects.
        corrected: whether the draws came from a normal approximation and were weighted back to the posterior.
    """

    subjects: pd.DataFrame
    good_k: float
    n_draws: int
    level: Level
    corrected: bool

    @property
    def elpd(self) -> float:
        """The sum over subjects."""
        return float(self.subjects["elpd"].sum())

    @property
    def se(self) -> float:
        r"""Of `elpd`, $\sqrt{n \operatorname{var}_i}$."""
        return float(np.sqrt(len(self.subjects) * self.subjects["elpd"].var(ddof=1)))

    @property
    def p_loo(self) -> float:
        """The effective number of values learned: near that of the population values where the model fits."""
        return float(self.subjects["p"].sum())

    @property
    def flagged(self) -> list[str]:
        """Subjects whose `elpd` cannot be relied on: a Pareto k above `good_k`, and not refitted."""
        bad = ~(self.subjects["pareto_k"] <= self.good_k) & ~self.subjects["refitted"]
        return [str(name) for name in self.subjects.index[bad]]

    def __repr__(self) -> str:
        n, refitted, flagged = len(self.subjects), int(self.subjects["refitted"].sum()), self.flagged
        lines = [f"LOO({n:,} subjects: elpd {self.elpd:.1f}, se {self.se:.1f}, p_loo {self.p_loo:.1f}"]
        if refitted:
            lines.append(f"{refitted:,} refitted")
        if flagged:
            lines.append(f"not to be relied on for {len(flagged):,}: Pareto k above {self.good_k:.2f}")
        return "; ".join(lines) + ")"

    def to_arviz(self) -> ELPDDataLOO:
        """The same as ArviZ holds it; a subject that was refitted has a Pareto k of zero there, as in its `reloo`."""
        k = self.subjects["pareto_k"].where(~self.subjects["refitted"], 0.0)
        ids = {"subject": self.subjects.index.astype(str).to_numpy()}
        return ELPDDataLOO(
            elpd=self.elpd,
            se=self.se,
            p=self.p_loo,
            n_samples=self.n_draws,
            n_data_points=len(self.subjects),
            scale="log",
            warning=bool(self.flagged),
            good_k=self.good_k,
            elpd_i=xr.DataArray(self.subjects["elpd"].to_numpy(), coords=ids, dims="subject"),
            pareto_k=xr.DataArray(k.to_numpy(), coords=ids, dims="subject"),
            approx_posterior=self.corrected,
        )


def loo(
    posterior: Posterior,
    cohort: Cohort,
    *,
    key: Key,
    level: Level | None = None,
    n_nodes: int | None = None,
    refit: Method | None = None,
    progress: bool = True,
) -> LOO:
    r"""Leave each patient out, by weights on the draws of one fit.

    $$\log p(y_i \mid y_{-i}) = -\log \int \frac{p(\varphi \mid y)}{p(y_i \mid \varphi)}\,\mathrm{d}\varphi$$

    with the patient's effects integrated out, and the weights $1 / p(y_i \mid \varphi_s)$ Pareto-smoothed by ArviZ.
    Draws of `Laplace()` without `importance` are weighted back to the posterior first (Magnusson et al. 2019).

    Args:
        posterior: of `cohort`.
        cohort: that of the fit.
        key: for the integral and the refits.
        level, n_nodes: of the integral, see `subject_log_likelihood`.
        refit: how to fit anew, without each patient whose Pareto k is too large; the encodings of covariates stay.
            Without it these patients are flagged. Refitted by `Laplace()` without `importance`, their `elpd` is that
            of the normal approximation.
        progress: tell on the error stream how far the refits are.

    Raises:
        CheckError: the posterior was not fitted to this cohort, or its draws are a variational guide's own, or
            of a normal approximation too far from it.
        PosteriorError: a subject has no marginal likelihood at some draw.
        InferenceError: the model cannot be fitted without a patient.

    Warns:
        CheckWarning: patients are flagged, or the integral over effects is not accurate enough.

    Sources: Vehtari, Gelman & Gabry 2017, doi 10.1007/s11222-016-9696-4; Vehtari et al. 2024, JMLR 25(72);
    Magnusson et al. 2019, PMLR 97, 4244-4253.
    """
    require_fitted_to(posterior, cohort)
    refuse_guide(posterior)
    likelihood_key, correction_key, finer_key, refit_key = jax.random.split(key, 4)
    likelihood = SubjectLikelihood.of(posterior, cohort, key=likelihood_key, level=level, n_nodes=n_nodes)
    each = likelihood.each()
    found = _weighted(posterior, likelihood, each, key=correction_key)
    subjects = pd.DataFrame(
        {
            "elpd": found.elpd_i.to_numpy(),
            "p": logsumexp(each, axis=0) - np.log(len(each)) - found.elpd_i.to_numpy(),
            "pareto_k": found.pareto_k.to_numpy(),
            "refitted": False,
            "level_error": likelihood.level_error(key=finer_key),
        },
        index=likelihood.ids,
    )
    bad = np.flatnonzero(~(subjects["pareto_k"] <= found.good_k))
    if refit is not None and bad.size:
        again = _refitted(posterior.model, cohort, likelihood, posterior, bad, refit, progress=progress, key=refit_key)
        subjects.loc[subjects.index[bad], "p"] += subjects["elpd"].iloc[bad] - again
        subjects.loc[subjects.index[bad], "elpd"] = again
        subjects.loc[subjects.index[bad], "refitted"] = True
    result = LOO(
        subjects=subjects,
        good_k=float(found.good_k),
        n_draws=len(each),
        level=likelihood.marginal.level,
        corrected=bool(found.approx_posterior),
    )
    _warn(result)
    return result


def log_mean(values: Float[np.ndarray, "draw subject"]) -> Float[np.ndarray, " subject"]:
    """Log of the mean over draws of what is given as logs."""
    return np.asarray(logsumexp(values, axis=0)) - np.log(len(values))


def tell(what: str, total: int, shown: bool) -> Callable[[int], None]:
    """A line on the error stream each time it is called with how many of `total` are done."""
    began = perf_counter()

    def said(done: int) -> None:
        left = (perf_counter() - began) / done * (total - done) if done else 0.0
        rest = f", about {duration(left)} left" if 0 < done < total else ""
        if shown:
            sys.stderr.write(f"{what}: {done:,} of {total:,}{rest}\n")
            sys.stderr.flush()

    return said


@contextmanager
def located(where: str, ids: pd.Index | None = None) -> Iterator[None]:
    """Say in an error of a fit which of many it was, and name its subjects, whose ids are given."""
    try:
        yield
    except DPMError as error:
        named = error if ids is None else error.named(ids.to_list())
        at = f"{where}: {error.where}"
        raise type(error)(at, error.expected, error.got, error.do, named.subjects) from error


def _weighted(
    posterior: Posterior, likelihood: SubjectLikelihood, each: Float[np.ndarray, "draw subject"], *, key: Key
) -> ELPDDataLOO:
    """ArviZ's answer; what it warns of is said by `_warn`, with names."""
    array = by_draw(posterior, each, likelihood.ids)
    tree = xr.DataTree.from_dict({"log_likelihood": array.to_dataset(name="subject_log_likelihood")})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter", category=UserWarning)
        if not is_normal(posterior):
            efficiency = ess(np.exp(array - array.max(("chain", "draw"))), method="mean", relative=True)
            return psis_loo(tree, pointwise=True, reff=float(efficiency.mean()))
        densities = log_densities(posterior, likelihood, each, key=key)
        densities.require_near()
        target, proposal = (
            xr.DataArray(values.reshape(array.shape[:2]), dims=array.dims[:2], coords=array.coords.drop_vars("subject"))
            for values in (densities.target, densities.proposal)
        )
        return psis_loo_approximate(tree, target, proposal, pointwise=True)


def _refitted(
    model: Model,
    cohort: Cohort,
    likelihood: SubjectLikelihood,
    posterior: Posterior,
    chosen: np.ndarray,
    method: Method,
    *,
    progress: bool,
    key: Key,
) -> Float[np.ndarray, " refit"]:
    """The log predictive density of each chosen subject, by position, from a fit to all the others."""

    def same(records: object) -> object:  # one function for all refits, so that what is compiled for one serves all
        return model(records)

    found = []
    said = tell("loo: patients refitted without", len(chosen), progress)
    for done, position in enumerate(chosen):
        others = np.delete(np.arange(cohort.n_subjects), position)
        with located(f"loo: without {cohort.subjects.index[position]}", cohort.subjects.index[others]):
            draws = method.run(same, likelihood.records.take(others), key=jax.random.fold_in(key, int(position)))
        fitted = Posterior.of(same, cohort, posterior.encodings, draws, method=repr(method))
        vectors = fitted.vectors(likelihood.marginal.hierarchy)
        each = replace(likelihood, vectors=vectors).each()
        found.append(log_mean(each[:, [position]])[0])
        said(done + 1)
    return np.asarray(found)


def _warn(result: LOO) -> None:
    if flagged := result.flagged:
        some = ", ".join(flagged[:5]) + (" and others" if len(flagged) > 5 else "")
        text = (
            f"loo: Pareto k above {result.good_k:.2f} for {len(flagged):,} of {len(result.subjects):,} patients "
            f"({some}): what leaving them out would change is not known. Give refit=NUTS() to fit without them."
        )
        warnings.warn(text, CheckWarning, stacklevel=3)
    error = float(result.subjects["level_error"].sum())
    if not abs(error) <= LARGEST_LEVEL_ERROR:
        text = (
            f"loo: a finer integral over patients' effects changes the log likelihood by {error:+.2f}; "
            f'level "{result.level}" is too coarse. Give a higher level or more nodes.'
        )
        warnings.warn(text, CheckWarning, stacklevel=3)
