"""Twin g-computation: each treated patient against that patient's own untreated twins."""

from dataclasses import replace
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.records import Records
from dpm.control.effect import Effect
from dpm.control.estimand import Estimand, MeanChange, SlopeDifference, require_outcome, unit_of
from dpm.errors import ControlError
from dpm.inference.effects import draw_effects, unreliable
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.posterior.fit import fit
from dpm.posterior.predict import Predicted, predict_draws
from dpm.types import Array, Float, Key
from dpm.virtual.arm import mean_layers
from dpm.virtual.averaged import Arm

METHOD = "Untreated twins"

ASSUMPTIONS = (
    "Given the covariates and the baseline value, trial patients left untreated would have followed the natural-"
    "history model: no unmeasured prognostic difference, no effect of entering a trial, no drift of standard of care.",
    "The natural-history model is right in form.",
    "Missing visits and intercurrent events depend on what was measured before them (missing at random).",
    "Treated and untreated courses of one patient are independent given covariates and baseline.",
)


class TreatedCourse(NamedTuple):
    """The treated patients' own courses, given all that was measured in them; for values that were not."""

    hierarchy: Hierarchy
    records: Records
    vectors: Float[Array, "draw population"]
    effects: Float[Array, "draw replicate effect subject"]

    @classmethod
    def of(cls, arm: Arm, trial: Cohort, *, key: Key, method: Laplace | None = None) -> "TreatedCourse":
        """Fit the arm's model to the treated patients alone, by Laplace, and draw their effects given their data.

        Args:
            arm: the twins, whose model and number of draws are used.
            trial: the treated patients, with all their visits.
            key: for the fit and the draws.
            method: other settings of the fit; `Laplace()` by default.

        Raises:
            InferenceError: the model of the treated arm cannot be fitted.
            ControlError: a treated patient's effects cannot be drawn.
        """
        fit_key, effect_key = jax.random.split(key)
        method = replace(method or Laplace(), draws=int(arm.vectors.shape[0]))
        posterior = fit(arm.posterior.model, trial, method=method, key=fit_key)
        records = trial.records(posterior.encodings)
        hierarchy = posterior.hierarchy(records)
        vectors = posterior.vectors(hierarchy)
        drawn = draw_effects(hierarchy, vectors, records, key=effect_key)
        if why := unreliable(drawn):
            do = "The treated patients' own courses cannot be drawn from this model: simplify it."
            raise ControlError("compare", "conditional draws for every treated patient", why, do)
        return cls(hierarchy, records, vectors, drawn.effects)

    def predict(self, time: Float[np.ndarray, "visit subject"], *, key: Key) -> Predicted:
        """Treated courses and measurements at `time` [years], leading axes `(draw, replicate)`.

        Raises:
            ControlError: a time lies beyond the last measurement of any treated patient.
        """
        seen = np.stack([np.asarray(mask) for mask in self.records.observed.values()]).any(axis=0)
        longest, latest = float(np.asarray(self.records.time)[seen].max()), float(np.max(time))
        if latest > longest:
            do = "Ask for an earlier time: nobody's treated course was measured that late, so it is extrapolation."
            expected = f"times up to {longest:.2f} years, the last measurement in a treated patient"
            raise ControlError("compare", expected, f"{latest:.2f}", do)
        return predict_draws(
            self.hierarchy, self.vectors, self.effects, self.records.at(jax.numpy.asarray(time)), key=key
        )


def compare(trial: Cohort, arm: Arm, *, estimand: Estimand, key: Key, course: TreatedCourse | None = None) -> Effect:
    """Compare treated patients with their untreated twins.

    The interval holds parameter, between-patient and residual uncertainty of the twins and the uncertainty of what
    was not measured in the treated. Each twin is one patient: the twins' mean is over as many patients as were
    treated, never over an arm made large to shrink the interval.

    Args:
        trial: the treated patients, with all their visits.
        arm: `synthetic_arm(..., like=trial)`, or `averaged_arm` of several.
        estimand: what to estimate.
        key: for the treated patients' imputations and the twins' residuals.
        course: `TreatedCourse.of(arm, trial)`, where several estimands share it; otherwise it is fitted here.

    Raises:
        ControlError: the arm is not of these patients, the estimand does not fit the cohort, or it asks for a time
            beyond the last measurement of the treated.
        VirtualError: the estimand asks for a time beyond the follow-up of the natural history.
        InferenceError: the model of the treated arm cannot be fitted.
    """
    require_outcome(trial, estimand)
    if list(trial.subjects.index) != list(arm.history.subjects.index):
        raise ControlError(
            "compare", "the arm's own patients, in its order", "other patients", "Use synthetic_arm(..., like=trial)."
        )
    course_key, treated_key, twin_key = jax.random.split(key, 3)
    course = TreatedCourse.of(arm, trial, key=course_key) if course is None else course
    if isinstance(estimand, MeanChange):
        return _mean_change(trial, arm, course, estimand, treated_key, twin_key)
    return _slope(trial, arm, course, estimand, treated_key, twin_key)


def _mean_change(
    trial: Cohort, arm: Arm, course: TreatedCourse, estimand: MeanChange, treated_key: Key, twin_key: Key
) -> Effect:
    chosen = estimand.chosen_visits(trial)
    time = chosen["time"].fillna(estimand.at).to_numpy()[None, :]
    imputed = np.asarray(course.predict(time, key=treated_key).measurement[estimand.outcome])[:, 0, 0, :]
    observed = chosen["value"].to_numpy()
    treated = np.where(np.isnan(observed), imputed, observed).mean(axis=1)
    twins = arm.predict(time, key=twin_key)
    means = np.asarray(twins.course[estimand.outcome])[:, :, 0, :].mean(axis=-1)
    measured = np.asarray(twins.measurement[estimand.outcome])[:, :, 0, :].mean(axis=-1)
    sizes = {"treated patients": trial.n_subjects, **estimand.counts(trial)}
    return _effect(arm, estimand, treated, means, measured, sizes)


def _slope(
    trial: Cohort, arm: Arm, course: TreatedCourse, estimand: SlopeDifference, treated_key: Key, twin_key: Key
) -> Effect:
    start, end = estimand.over
    time = np.tile([[start], [end]], (1, trial.n_subjects))

    def slopes(predicted: Predicted) -> Float[np.ndarray, "draw replicate"]:
        values = np.asarray(predicted.course[estimand.outcome])
        return ((values[:, :, 1] - values[:, :, 0]) / (end - start)).mean(axis=-1)

    treated = slopes(course.predict(time, key=treated_key))[:, 0]
    twins = slopes(arm.predict(time, key=twin_key))
    return _effect(arm, estimand, treated, twins, twins, {"treated patients": trial.n_subjects})


def _effect(
    arm: Arm,
    estimand: Estimand,
    treated: Float[np.ndarray, " draw"],
    means: Float[np.ndarray, "draw replicate"],
    measured: Float[np.ndarray, "draw replicate"],
    sizes: dict[str, int],
) -> Effect:
    """Draws of the difference; treated and untreated draws are independent, so pairing them by position is fair."""
    draws = (treated[:, None] - measured).ravel()
    control = int(arm.posterior.provenance["n_subjects"])
    monte_carlo = (treated - measured.mean(axis=1)).std(ddof=1) / np.sqrt(len(treated))
    return Effect.from_draws(
        draws,
        method=METHOD,
        estimand=estimand,
        unit=unit_of(arm.history, estimand),
        n_treated=arm.history.n_subjects,
        n_control=control,
        sizes={**sizes, "natural-history patients": control, "draws": draws.size},
        assumptions=(*ASSUMPTIONS, *arm.notes),
        layers=_layers(treated, means, measured),
        note=f"Monte Carlo standard error of the estimate: {monte_carlo:.2g}.",
    )


def _layers(
    treated: Float[np.ndarray, " draw"],
    means: Float[np.ndarray, "draw replicate"],
    measured: Float[np.ndarray, "draw replicate"],
) -> pd.DataFrame:
    """Layers of the twins' mean, and that of the treated patients' unmeasured values."""
    layers = mean_layers(means, measured)[["layer", "sd"]]
    layers = pd.concat(
        [layers, pd.DataFrame([{"layer": "treated course", "sd": float(treated.std(ddof=1))}])], ignore_index=True
    )
    layers["variance_share"] = layers["sd"] ** 2 / (layers["sd"] ** 2).sum()
    return layers[layers["sd"] > 0].reset_index(drop=True)
