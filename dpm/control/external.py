"""The unadjusted external difference: what one gets without a model, to be shown beside what one gets with it."""

import numpy as np
from scipy.stats import t as student_t

from dpm.cohort.cohort import Cohort
from dpm.control.effect import FOR_NEW_PATIENTS, Effect
from dpm.control.estimand import Estimand, MeanChange, require_outcome, unit_of
from dpm.control.mixed import MixedFit, mixed_model, straight_lines
from dpm.errors import ControlError

METHOD = "Unadjusted external"


def unadjusted(trial: Cohort, control: Cohort, *, estimand: Estimand, level: float = 0.95) -> Effect:
    r"""Treated minus external control, with no adjustment for how they differ.

    For a mean change, the difference of means over patients measured in the window, with Welch's interval. For a
    slope, the difference of the mean slopes of two linear mixed models, one per arm, without covariates.

    Raises:
        ControlError: the estimand does not fit a cohort, or fewer than two patients of an arm are measured.
    """
    require_outcome(trial, estimand)
    require_outcome(control, estimand)
    if isinstance(estimand, MeanChange):
        return _mean_change(trial, control, estimand, level)
    one, other = (_line(cohort, estimand.outcome) for cohort in (trial, control))
    return Effect.from_normal(
        float(one.estimate["years"] - other.estimate["years"]),
        float(np.hypot(one.se["years"], other.se["years"])),
        level=level,
        method=METHOD,
        estimand=estimand,
        unit=unit_of(trial, estimand),
        n_treated=trial.n_subjects,
        n_control=control.n_subjects,
        assumptions=(
            "The two cohorts differ in nothing that matters but treatment.",
            "Straight lines, missing at random.",
        ),
        note=FOR_NEW_PATIENTS,
    )


def _mean_change(trial: Cohort, control: Cohort, estimand: MeanChange, level: float) -> Effect:
    changes = [_changes(cohort, estimand) for cohort in (trial, control)]
    if min(map(len, changes)) < 2:
        raise ControlError(
            "unadjusted",
            "two or more patients measured in the window in each arm",
            f"{len(changes[0])} and {len(changes[1])}",
            "Widen the window.",
        )
    parts = [values.var(ddof=1) / len(values) for values in changes]
    se = float(np.sqrt(sum(parts)))
    freedom = se**4 / sum(part**2 / (len(values) - 1) for part, values in zip(parts, changes, strict=True))
    estimate = float(changes[0].mean() - changes[1].mean())
    half = float(student_t.ppf(0.5 + level / 2, freedom)) * se
    return Effect(
        method=METHOD,
        estimand=estimand,
        estimate=estimate,
        se=se,
        interval=(estimate - half, estimate + half),
        level=level,
        unit=unit_of(trial, estimand),
        n_treated=len(changes[0]),
        n_control=len(changes[1]),
        sizes={"treated measured in the window": len(changes[0]), "controls measured in the window": len(changes[1])},
        assumptions=(
            "The two cohorts differ in nothing that matters but treatment.",
            "Those measured in the window are like those whose follow-up ended before it or who missed the visit.",
        ),
        note=f"Complete cases only: survivors with a visit. {FOR_NEW_PATIENTS}",
    )


def _line(cohort: Cohort, outcome: str) -> MixedFit:
    visits = cohort.visits[cohort.visits[outcome].notna()]
    return mixed_model(visits, outcome, straight_lines(visits))


def _changes(cohort: Cohort, estimand: MeanChange) -> np.ndarray:
    baseline = cohort.visits[cohort.visits["time"] == 0].set_index("subject")[estimand.outcome]
    change = estimand.chosen_visits(cohort)["value"] - baseline.reindex(cohort.subjects.index)
    return change.dropna().to_numpy()
