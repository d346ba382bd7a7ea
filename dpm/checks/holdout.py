"""Predict patients the model has not seen, from what their twins would be given."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.checks.calibration import coverage_table, covered_by
from dpm.cohort.cohort import Cohort
from dpm.cohort.encodings import Encodings
from dpm.errors import CheckError
from dpm.inference.effects import draw_effects, unreliable
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.posterior.predict import predict_draws
from dpm.types import Float, Int, Key, Model

LEVELS = (0.5, 0.8, 0.9, 0.95)


def held_out_coverage(
    model: Model,
    cohort: Cohort,
    *,
    outcome: str,
    at: float,
    key: Key,
    subgroups: Sequence[str] = (),
    folds: int = 5,
    levels: Sequence[float] = LEVELS,
    method: Laplace | None = None,
    draws: int = 400,
) -> pd.DataFrame:
    """Coverage of prediction intervals for held-out patients, overall and by subgroup.

    Patients are split in `folds` at random; each fold is predicted by the model fitted to the others, from baseline
    covariates and baseline value alone, at the follow-up visit nearest to `at`. One visit per patient: visits of one
    patient are not independent, and the binomial range would be too narrow. Covariates are encoded anew in every
    fold.

    Args:
        model: to refit; `method` refits it.
        cohort: the natural history.
        outcome: whose intervals.
        at: the time that matters to the estimand [years].
        key: for folds, fits and predictions.
        subgroups: columns of the cohort's subjects.
        folds: how many.
        levels: nominal coverages.
        method: `Laplace()` by default; its normal approximation stands in for the sampler in the refits.
        draws: population draws per fold.

    Returns:
        see `coverage_table`.

    Raises:
        CheckError: fewer patients than folds have a follow-up visit, a value to predict is censored, or a held-out
            patient cannot be predicted.
        InferenceError: the model cannot be fitted without one of the folds.
    """
    fold_key, fit_key = jax.random.split(key)
    visit = nearest_follow_up(cohort, outcome, at)
    if len(visit) < folds:
        raise CheckError("holdout", f"at least {folds} patients with a follow-up visit", str(len(visit)))
    fold = np.asarray(jax.random.permutation(fold_key, cohort.n_subjects)) % folds
    fitter = _FoldFitter(model, cohort, outcome, method or Laplace(), draws)
    predicted = np.empty((fitter.n_predictions, cohort.n_subjects))
    time = visit["time"].reindex(cohort.subjects.index).fillna(at).to_numpy()[None, :]
    for number, one in enumerate(jax.random.split(fit_key, folds)):
        held = fold == number
        predicted[:, held] = fitter.predict(held, time, key=one)[:, held]
    chosen = cohort.subjects.index.get_indexer(visit.index)
    covered = covered_by(predicted[:, chosen], visit["value"].to_numpy(), levels)
    return coverage_table(covered, {name: cohort.subjects.loc[visit.index, name] for name in subgroups})


def nearest_follow_up(cohort: Cohort, outcome: str, at: float) -> pd.DataFrame:
    """Per subject with one, `time` and `value` of the measured visit after baseline nearest to `at`.

    Raises:
        CheckError: the value of such a visit is censored.
    """
    visits = cohort.visits[cohort.visits["time"].gt(0) & cohort.visits[outcome].notna()]
    visits = visits.assign(beyond=cohort.beyond_limits(outcome))
    ordered = visits.assign(gap=(visits["time"] - at).abs()).sort_values(["gap", "time"], kind="stable")
    first = ordered.drop_duplicates("subject").set_index("subject")
    _refuse_censored(first, outcome)
    kept = cohort.subjects.index[cohort.subjects.index.isin(first.index)]
    return first.loc[kept, ["time", outcome]].rename(columns={outcome: "value"})


def _refuse_censored(chosen: pd.DataFrame, outcome: str) -> None:
    beyond = chosen["beyond"]
    if beyond.any():
        got = f"a limit in its place for {int(beyond.sum()):,} of {len(beyond):,} patients (first: {beyond.idxmax()})"
        do = (
            "Ask for another time, or exclude these patients: whether an interval covers a censored value is not known."
        )
        raise CheckError(f"holdout: {outcome}", "a measured value at the visit to predict", got, do)


class _FoldFitter:
    """Refits with held-out patients masked instead of removed: arrays keep their shape, so nothing compiles twice."""

    def __init__(self, model: Model, cohort: Cohort, outcome: str, method: Laplace, draws: int) -> None:
        self.cohort, self.outcome, self.method, self.draws = cohort, outcome, method, draws
        self.replicates = 4
        self.n_predictions = draws * self.replicates
        self.ids = cohort.subjects.index
        self.hierarchy = Hierarchy.of(model, cohort.records())
        self.marginal = Marginal.at(
            self.hierarchy, method.level, cohort.records(), n_nodes=method.n_nodes, key=jax.random.key(0)
        )

    def predict(
        self, held: Int[np.ndarray, " subject"] | np.ndarray, time: Float[np.ndarray, "visit subject"], *, key: Key
    ) -> Float[np.ndarray, "draw subject"]:
        fit_key, sample_key, effect_key, noise_key = jax.random.split(key, 4)
        encodings = self._encodings(held)
        training = self.cohort.records(encodings).hide(jnp.asarray(held))
        optimum = self.method.maximise(self.marginal, training, key=fit_key)
        vectors = optimum.sample(self.draws, key=sample_key)
        baseline = self.cohort.known_at(0.0).records(encodings)
        drawn = draw_effects(self.hierarchy, vectors, baseline, key=effect_key, replicates=self.replicates)
        used = drawn._replace(converged=drawn.converged[held], acceptance=drawn.acceptance[held])
        if why := unreliable(used):
            do = "An interval without these patients would look better than the model is: simplify the model."
            raise CheckError("holdout", "predictions for every held-out patient", why, do)
        predicted = predict_draws(self.hierarchy, vectors, drawn.effects, baseline.at(jnp.asarray(time)), key=noise_key)
        return np.asarray(predicted.measurement[self.outcome])[:, :, 0, :].reshape(-1, self.cohort.n_subjects)

    def _encodings(self, held: Int[np.ndarray, " subject"] | np.ndarray) -> Encodings:
        """Centres and scales of the training patients; the levels of groups are the cohort's, so that one met in the
        held-out patients alone is drawn from its prior.
        """
        learned = Encodings.learn(self.cohort.subset(self.ids[~held]))
        return replace(learned, levels=Encodings.learn(self.cohort).levels)
