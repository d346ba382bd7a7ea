"""The randomised answer, where there is one: the truth that an external comparison is held against."""

import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.visits import VisitRule
from dpm.control.effect import FOR_NEW_PATIENTS, Effect
from dpm.control.estimand import Estimand, MeanChange, require_outcome, unit_of
from dpm.control.mixed import mixed_model, straight_lines, visit_means
from dpm.errors import ControlError


def randomised(trial: Cohort, control: Cohort, *, estimand: Estimand, level: float = 0.95) -> Effect:
    r"""Treated against randomised controls in one linear mixed model with random level and slope.

    For a slope, straight lines in each arm over all visits: the coefficient of treatment by time. For a mean change,
    a mean per planned visit up to the end of the window, the same in both arms at baseline: the coefficient of
    treatment at the planned visit nearest to the estimand's time. Visits that the estimand does not let stand for a
    visit are left out of the latter.

    Raises:
        ControlError: the estimand does not fit a cohort, its time is not near a planned visit of both arms, or the
            model did not converge.
    """
    require_outcome(trial, estimand)
    require_outcome(control, estimand)
    treated = pd.concat([pd.Series(1.0, trial.subjects.index), pd.Series(0.0, control.subjects.index)])
    if isinstance(estimand, MeanChange):
        return _mean_change(trial, control, estimand, treated, level)
    visits = pd.concat([_measured(cohort, estimand.outcome) for cohort in (trial, control)], ignore_index=True)
    fitted = mixed_model(visits, estimand.outcome, straight_lines(visits, treated))
    return _effect(
        trial, control, estimand, fitted.estimate["treated_years"], fitted.se["treated_years"], level, visits
    )


def _mean_change(trial: Cohort, control: Cohort, estimand: MeanChange, treated: pd.Series, level: float) -> Effect:
    if estimand.visit_rule is None:
        do = "Give the estimand a visit rule: its planned times say which visits belong together."
        raise ControlError("randomised", "planned visit times", "none", do)
    kept = [cohort.drop_visits(cohort.terminal_visits(estimand.visit_rule), "terminal") for cohort in (trial, control)]
    visits = pd.concat([_measured(cohort, estimand.outcome) for cohort in kept], ignore_index=True)
    visits = visits[visits["time"] <= estimand.at + estimand.window].reset_index(drop=True)
    planned, at = _planned(visits, estimand, estimand.visit_rule, treated)
    design = visit_means(visits, planned, treated)
    fitted = mixed_model(visits, estimand.outcome, design)
    return _effect(trial, control, estimand, fitted.estimate[at], fitted.se[at], level, visits)


def _planned(visits: pd.DataFrame, estimand: MeanChange, rule: VisitRule, treated: pd.Series) -> tuple[np.ndarray, str]:
    """The planned times at which anyone was measured, and the coefficient of treatment at the estimand's time.

    Raises:
        ControlError: no planned time lies in the window, or an arm was not measured at it.
    """
    times = np.asarray([time for time in rule.planned if time <= estimand.at + estimand.window])
    gap = np.abs(times - estimand.at)
    window = f"{estimand.at:g} years, within {estimand.window:g}"
    if not times.size or gap.min() > estimand.window:
        got = f"none of {', '.join(f'{time:g}' for time in rule.planned[:8])}, ..."
        do = "Plan a visit there (visit_rule), or ask for a planned time: the answer at another is not to the question."
        raise ControlError("randomised", f"a planned visit at {window}", got, do)
    nearest = np.abs(visits["time"].to_numpy()[:, None] - times[None, :]).argmin(axis=1)
    arms = visits["subject"].map(treated)[nearest == int(gap.argmin())]
    if arms.nunique() < 2:
        got = f"{int((arms == 1.0).sum())} of treated patients and {int((arms == 0.0).sum())} of controls"
        raise ControlError("randomised", f"measurements of both arms at {window}", got)
    # A time at which only one arm was measured has a mean but no effect: its visits are left to the nearest other.
    both = [k for k in range(len(times)) if k == 0 or visits["subject"].map(treated)[nearest == k].nunique() == 2]
    kept = times[both]
    return kept, f"treated_{int(np.abs(kept - estimand.at).argmin())}"


def _measured(cohort: Cohort, outcome: str) -> pd.DataFrame:
    return cohort.visits.loc[cohort.visits[outcome].notna(), ["subject", "time", outcome]]


def _effect(
    trial: Cohort, control: Cohort, estimand: Estimand, estimate: float, se: float, level: float, visits: pd.DataFrame
) -> Effect:
    form = "visit means" if isinstance(estimand, MeanChange) else "straight lines"
    return Effect.from_normal(
        float(estimate),
        float(se),
        level=level,
        method=f"Randomised, {form}",
        estimand=estimand,
        unit=unit_of(trial, estimand),
        n_treated=trial.n_subjects,
        n_control=control.n_subjects,
        sizes={"visits": len(visits)},
        assumptions=("Randomisation.", f"Mixed model with {form} and random level and slope.", "Missing at random."),
        note=FOR_NEW_PATIENTS,
    )
