"""Leave one study out: how well the patients of each are predicted by a fit to all the others."""

import warnings
from dataclasses import dataclass

import jax
import numpy as np
import pandas as pd

from dpm.checks.loo import located, log_mean, tell
from dpm.cohort.cohort import Cohort
from dpm.errors import CheckError, CheckWarning
from dpm.inference.draws import Method
from dpm.inference.marginal import Level
from dpm.posterior.fit import fit
from dpm.posterior.likelihood import SubjectLikelihood
from dpm.types import Float, Key, Model


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupsLeftOut:
    r"""Log predictive densities of patients whose whole study was left out, $\log p(y_i \mid y_{-g(i)})$.

    Attributes:
        by: the column of the groups.
        subjects: per subject, its `group`, `elpd`, and `mcse`, the Monte Carlo error of the mean over draws.
        groups: per group, `n` patients, `elpd` of them together, its `se` ($\sqrt{n \operatorname{var}_i}$; not a
            number for one patient), and `drawn_anew`, the values of its level that came from the population of groups.
    """

    by: str
    subjects: pd.DataFrame
    groups: pd.DataFrame

    @property
    def elpd(self) -> float:
        """Of all patients."""
        return float(self.groups["elpd"].sum())


def leave_one_group_out(
    model: Model,
    cohort: Cohort,
    *,
    by: str,
    method: Method,
    key: Key,
    level: Level | None = None,
    n_nodes: int | None = None,
    progress: bool = True,
) -> GroupsLeftOut:
    r"""Fit without each level of a column, such as the study, and score that level's patients.

    $$\log p(y_i \mid y_{-g}) = \log \frac1S \sum_s p(y_i \mid \varphi_s), \quad \varphi_s \sim p(\varphi \mid y_{-g})$$

    with the patient's own effects integrated out. Each refit is what it would be had the group never been seen:
    covariates are encoded anew, and where the model pools over `by`, the group's own value is drawn at every
    $\varphi_s$ from the population of groups. Each patient is scored alone: patients of one new study do not inform
    each other of it.

    Args:
        model: to refit.
        cohort: all groups.
        by: `study`, `site`, `era`, `arm`, or another group or subgroup of the cohort.
        method: of the refits. With plain `Laplace()` the densities are those of its normal approximation.
        key: for the fits, the integral and the new levels.
        level, n_nodes: of the integral, see `subject_log_likelihood`.
        progress: tell on the error stream how far the refits are.

    Raises:
        CheckError: the cohort has no such column, or fewer than two levels of it.
        CohortError: a group has a visit of a kind that the others lack, or lacks what their encodings need.
        InferenceError: the model cannot be fitted without one of the groups.
        PosteriorError: a patient has no marginal likelihood at some draw.

    Warns:
        CheckWarning: of two levels, one is left in a fit that pools over them.
    """
    labels = _labels(cohort, by)
    levels = sorted(labels.unique())
    rows, tables = {}, []
    said = tell(f"leave one {by} out: refits", len(levels), progress)
    for number, left_out in enumerate(levels):
        fit_key, score_key = jax.random.split(jax.random.fold_in(key, number))
        ids = labels.index[labels == left_out]
        with located(f"leave_one_group_out: without {by} {left_out}"):
            posterior = fit(model, cohort.exclude(ids, f"{by} {left_out} left out"), method=method, key=fit_key)
            likelihood = SubjectLikelihood.of(
                posterior, cohort.subset(ids), key=score_key, level=level, n_nodes=n_nodes
            )
            each = likelihood.each()
        table = pd.DataFrame({"group": left_out, "elpd": log_mean(each), "mcse": _mcse(each)}, index=likelihood.ids)
        new = [site.name for site in likelihood.marginal.hierarchy.population if site.new_level]
        rows[left_out] = _row(table["elpd"], new)
        tables.append(table)
        said(number + 1)
    if len(levels) == 2 and any(row["drawn_anew"] for row in rows.values()):
        text = f"leave_one_group_out: with one {by} left in a fit, how far a new one lies from it is told by the prior."
        warnings.warn(text, CheckWarning, stacklevel=2)
    groups = pd.DataFrame.from_dict(rows, orient="index").rename_axis(by)
    return GroupsLeftOut(by=by, subjects=pd.concat(tables).loc[cohort.subjects.index], groups=groups)


def _row(elpd: pd.Series, new: list[str]) -> dict[str, object]:
    n = len(elpd)
    se = float(np.sqrt(n * elpd.var(ddof=1))) if n > 1 else np.nan
    return {"n": n, "elpd": float(elpd.sum()), "se": se, "drawn_anew": ", ".join(new)}


def _labels(cohort: Cohort, by: str) -> pd.Series:
    allowed = (["arm"] if cohort.roles.arm else []) + list(cohort.roles.groupings)
    if by not in allowed:
        there = ", ".join(allowed) or "(no arm, group or subgroup declared)"
        raise CheckError("leave_one_group_out: by", f"one of: {there}", repr(by))
    labels = cohort.subjects[by].astype(str)
    if labels.nunique() < 2:
        got = f"{labels.nunique()} in {cohort.n_subjects:,} subjects"
        raise CheckError(f"leave_one_group_out: {by}", "at least two levels", got)
    return labels


def _mcse(each: Float[np.ndarray, "draw subject"]) -> Float[np.ndarray, " subject"]:
    """Of the log of the mean over independent draws, by the delta method."""
    weights = np.exp(each - each.max(axis=0))
    return np.asarray(weights.std(axis=0, ddof=1) / weights.mean(axis=0) / np.sqrt(len(each)))
