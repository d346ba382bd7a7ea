"""The randomised answer, where there is one: the truth that an external comparison is held against."""

from dataclasses import replace

import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.control.effect import Effect
from dpm.control.estimand import Estimand, MeanChange, require_outcome, unit_of
from dpm.control.mixed import mixed_model

METHOD = "Randomised comparison (mixed model, both arms)"


def randomised(trial: Cohort, control: Cohort, *, estimand: Estimand, level: float = 0.95) -> Effect:
    r"""Treated against randomised controls in one linear mixed model with random level and slope.

    The slope difference is the coefficient of treatment by time; the difference in mean change at $t$ is $t$ times it.

    Raises:
        ControlError: the estimand does not fit a cohort, or the model did not converge.
    """
    require_outcome(trial, estimand)
    require_outcome(control, estimand)
    both = replace(
        trial,
        subjects=pd.concat([trial.subjects, control.subjects]),
        visits=pd.concat([trial.visits, control.visits], ignore_index=True),
        events=pd.concat([trial.events, control.events], ignore_index=True),
    )
    treated = pd.Series(1.0, trial.subjects.index).reindex(both.subjects.index, fill_value=0.0)
    fitted = mixed_model(both, estimand.outcome, treated)
    years = estimand.at if isinstance(estimand, MeanChange) else 1.0
    estimate, se = fitted.contrast({"treated_years": years})
    return Effect.from_normal(
        estimate,
        se,
        level=level,
        method=METHOD,
        estimand=estimand,
        unit=unit_of(trial, estimand),
        n_treated=trial.n_subjects,
        n_control=control.n_subjects,
        sizes={"visits": both.n_visits},
        assumptions=("Randomisation.", "Straight lines on the outcome's scale.", "Missing at random."),
    )
