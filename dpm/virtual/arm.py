"""Virtual arms: every patient's own untreated twin, given what was known at the index date."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.cohort.cohort import Cohort
from dpm.cohort.records import Records
from dpm.errors import VirtualError
from dpm.inference.effects import LEAST_ACCEPTED, draw_effects
from dpm.inference.hierarchy import Hierarchy
from dpm.posterior.posterior import Posterior
from dpm.posterior.predict import Predicted, predict_draws
from dpm.types import Array, Float, Key


@dataclass(frozen=True, kw_only=True, eq=False)
class VirtualArm:
    r"""Twins of patients, with each source of uncertainty on an axis of its own.

    Axis `draw` holds what is uncertain about the population, $\varphi \sim p(\varphi \mid \text{history})$; axis
    `replicate` what is uncertain about a patient given it, $b_i \sim p(b_i \mid h_i, \varphi)$; residual noise comes on
    top in `predict(...).measurement`. Nested so, the mean over `replicate` varies by parameter uncertainty alone
    (and by Monte Carlo error, which `layers` takes out).

    Attributes:
        posterior: of the natural-history model.
        history: the patients, and what the twins are conditioned on.
        records: the same as arrays, encoded as at the fit.
        hierarchy: the model, split at its plate.
        vectors: population draws, unconstrained scale.
        effects: twins' effects.
        patients: per patient: share of proposals accepted, share of draws with an inner mode found, number of
            covariates and groups outside the support of the fit.
        notes: what a reader of a comparison has to know of the twins, a sentence each.
    """

    posterior: Posterior
    history: Cohort
    records: Records
    hierarchy: Hierarchy
    vectors: Float[Array, "draw population"]
    effects: Float[Array, "draw replicate effect subject"]
    patients: pd.DataFrame
    notes: tuple[str, ...] = ()

    def predict(self, time: Float[np.ndarray, "visit subject"], *, key: Key) -> Predicted:
        """Untreated courses and measurements at `time` [years], leading axes `(draw, replicate)`.

        Raises:
            VirtualError: a time lies beyond the follow-up the model was fitted to, or before baseline.
        """
        longest = float(self.posterior.provenance["longest_follow_up"])
        latest = float(np.max(time))
        if latest > longest or float(np.min(time)) < 0:
            got = f"{float(np.min(time)):.2f} to {latest:.2f}"
            raise VirtualError(
                "predict",
                f"times from 0 to {longest:.2f} years, the follow-up of the fit",
                got,
                "Ask for an earlier time: beyond it the course is extrapolation.",
            )
        return predict_draws(self.hierarchy, self.vectors, self.effects, self.records.at(jnp.asarray(time)), key=key)

    def take(self, ids: list[str]) -> "VirtualArm":
        """The twins of some patients."""
        chosen = self.history.subjects.index.get_indexer(pd.Index(ids))
        kept = self.history.subset(ids)
        order = np.sort(chosen)
        return replace(
            self,
            history=kept,
            records=self.records.take(order),
            effects=self.effects[..., order],
            patients=self.patients.iloc[order],
        )


def synthetic_arm(
    posterior: Posterior,
    *,
    like: Cohort,
    key: Key,
    until: float = 0.0,
    draws: int = 1000,
    replicates: int = 4,
    share_outside: float = 0.1,
) -> VirtualArm:
    """An untreated twin for every patient of `like`, conditional on covariates and on visits until the index date.

    Args:
        posterior: of the natural-history model.
        like: the trial; only what is known of it at `until` is read, visits and events.
        key: for the twins' effects.
        until: the index date [years]; with 0, baseline alone is conditioned on.
        draws: population draws used.
        replicates: twins per population draw.
        share_outside: refuse when more than this share of patients has a covariate or a group outside the support of
            the fit. A level of a group that was not met is not outside where the model pools over the group: it is
            drawn from the population of levels, one value for all patients at it, and `notes` say so.

    Raises:
        VirtualError: too many patients outside the support, or a patient's inner mode was not found.
        CohortError: the trial lacks a covariate of the model.
    """
    history = like.known_at(until)
    records = history.records(posterior.encodings)
    hierarchy = posterior.hierarchy(records)
    anew = drawn_anew(hierarchy, records)
    outside = covariates_outside(posterior, history, drawn=anew)
    share = float((outside > 0).mean())
    if share > share_outside:
        got = f"{int((outside > 0).sum())} of {len(outside)} ({share:.0%})"
        do = "Restrict the comparison to patients the natural history covers, or add natural history that covers them."
        raise VirtualError(
            "synthetic_arm",
            f"at most {share_outside:.0%} with a covariate beyond its range at the fit or a group not met there",
            got,
            do,
        )
    vectors = posterior.vectors(hierarchy, draws, key=jax.random.fold_in(key, 1))
    drawn = draw_effects(hierarchy, vectors, records, key=key, replicates=replicates)
    patients = pd.DataFrame(
        {
            "acceptance": np.asarray(drawn.acceptance),
            "converged": np.asarray(drawn.converged),
            "outside": outside.to_numpy(),
        },
        index=history.subjects.index,
    )
    _require_twins(patients)
    return VirtualArm(
        posterior=posterior,
        history=history,
        records=records,
        hierarchy=hierarchy,
        vectors=vectors,
        effects=drawn.effects,
        patients=patients,
        notes=tuple(_new_levels(name, history, posterior) for name in anew),
    )


def drawn_anew(hierarchy: Hierarchy, records: Records) -> tuple[str, ...]:
    """The groupings with levels that were not met at the fit, and that the model draws from their population."""
    new = [site.name for site in hierarchy.population if site.new_level]
    return tuple(name for name in records.unseen if any(site.endswith(f"_{name}_new") for site in new))


def _new_levels(name: str, history: Cohort, posterior: Posterior) -> str:
    met = posterior.encodings.levels[name]
    text = history.subjects[name].astype(str)
    new = text[~text.isin(met)]
    return (
        f"{name} {', '.join(sorted(set(new)))} ({len(new)} of {len(text)} patients) was not met at the fit: drawn from "
        f"the population of the {len(met)} that were, one value for all patients at a level, not informed by them."
    )


def covariates_outside(posterior: Posterior, cohort: Cohort, *, drawn: Sequence[str] = ()) -> pd.Series:
    """Per patient, how many covariates lie outside the range the model was fitted to, or groups it has not met.

    A group that was not met, such as a new hospital, is outside unless it is among `drawn`, see `drawn_anew`.
    """
    count = pd.Series(0, index=cohort.subjects.index)
    for name, (low, high) in posterior.provenance["support"].items():
        values = cohort.subjects[name].astype(float)
        count += ((values < low) | (values > high)).astype(int)
    for name in cohort.roles.groups:
        if name in posterior.encodings.levels and name not in drawn:
            count += (~cohort.subjects[name].astype(str).isin(posterior.encodings.levels[name])).astype(int)
    return count


def _require_twins(patients: pd.DataFrame) -> None:
    lost = patients.index[patients["converged"] < 1.0]
    if len(lost):
        got = f"{len(lost)} of {len(patients)} (first: {lost[0]})"
        raise VirtualError(
            "synthetic_arm",
            "an inner mode for every patient and draw",
            f"none for some draws of {got}",
            "Look at these patients' baseline values.",
        )
    stuck = patients.index[patients["acceptance"] < LEAST_ACCEPTED]
    if len(stuck):
        got = f"less for {len(stuck)} of {len(patients)} (first: {stuck[0]})"
        raise VirtualError(
            "synthetic_arm",
            f"at least {LEAST_ACCEPTED:.0%} of conditional proposals accepted",
            got,
            "Their conditional distribution is far from its normal approximation: simplify the model.",
        )


def mean_layers(
    values: Float[np.ndarray, "draw replicate"], residual: Float[np.ndarray, "draw replicate"]
) -> pd.DataFrame:
    r"""Split the variance of an arm's mean into its layers.

    With $m_{sr}$ the mean course over patients in draw $s$ and replicate $r$ and $y_{sr}$ the same with residual noise,
    between-patient variance is the mean over $s$ of the variance over $r$, parameter variance the variance over $s$ of
    $\bar m_s$ less its Monte Carlo part, residual variance that of $y - m$.

    Returns:
        columns `layer`, `sd`, `variance_share`.
    """
    replicates = values.shape[1]
    between = float(values.var(axis=1, ddof=1).mean())
    parameter = max(float(values.mean(axis=1).var(ddof=1)) - between / replicates, 0.0)
    noise = float((residual - values).var(ddof=1))
    variances = {"parameter": parameter, "between-patient": between, "residual": noise}
    total = sum(variances.values())
    rows = [{"layer": name, "sd": value**0.5, "variance_share": value / total} for name, value in variances.items()]
    return pd.DataFrame(rows)


def arm_mean(values: Float[Array, "draw replicate subject"]) -> Float[np.ndarray, "draw replicate"]:
    """Mean over patients."""
    return np.asarray(jax.numpy.mean(values, axis=-1))
