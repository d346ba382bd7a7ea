"""Each method against a number known from elsewhere, or against itself with the answer put in by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dpm.cohort.visits import VisitRule
from dpm.control.estimand import Estimand, MeanChange, SlopeDifference
from dpm.control.external import unadjusted
from dpm.control.randomised import randomised
from dpm.control.twin import TreatedCourse, compare
from dpm.errors import ControlError
from dpm.virtual.arm import VirtualArm, synthetic_arm
from dpm.virtual.averaged import averaged_arm
from tests.placebo import KEY, certain_posterior, history, trial

BOTH = {"death": "hypothetical", "transplant": "hypothetical"}
CHANGE = MeanChange("log_bilirubin", at=2.0, intercurrent=BOTH)
SLOPE = SlopeDifference("log_bilirubin", intercurrent=BOTH)


def test_the_randomised_slope_is_the_published_one() -> None:
    """references: -0.0043 (SE 0.0248); nlme gives -0.004322 (0.024753)."""
    effect = randomised(trial(), history(), estimand=SLOPE)
    assert effect.estimate == pytest.approx(-0.00432, abs=5e-5)
    assert effect.se == pytest.approx(0.02475, abs=1e-4)


def test_the_randomised_change_is_that_of_nlme() -> None:
    """The same visit means in nlme 3.1 by maximum likelihood: -0.0902447, standard error 0.0895251, logLik -934.831."""
    effect = randomised(trial(), history(), estimand=CHANGE)
    assert effect.estimate == pytest.approx(-0.0902447, abs=5e-5)
    assert effect.se == pytest.approx(0.0895251, rel=5e-3)  # nlme scales its standard errors by the degrees of freedom


def test_the_unadjusted_change_is_welchs() -> None:
    effect = unadjusted(trial(), history(), estimand=CHANGE)
    groups = []
    for cohort in (trial(), history()):
        chosen = CHANGE.chosen_visits(cohort)["value"]
        base = cohort.visits.query("time == 0").set_index("subject")["log_bilirubin"]
        groups.append((chosen - base.reindex(chosen.index)).dropna())
    welch = stats.ttest_ind(*groups, equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert effect.estimate / effect.se == pytest.approx(welch.statistic)
    assert effect.interval == pytest.approx((interval.low, interval.high))


def test_a_shift_of_the_treated_shifts_every_answer_by_as_much() -> None:
    after = trial().visits["time"] > 0
    moved = replace(trial(), visits=trial().visits.assign(log_bilirubin=trial().visits["log_bilirubin"] + 0.3 * after))
    for method in (unadjusted, randomised):
        before, now = (method(cohort, history(), estimand=CHANGE).estimate for cohort in (trial(), moved))
        assert now - before == pytest.approx(0.3, abs=5e-3), method.__name__


@pytest.fixture(scope="module")
def arm() -> VirtualArm:
    return synthetic_arm(certain_posterior(100), like=trial(), key=KEY, draws=100, replicates=4)


@pytest.fixture(scope="module")
def course(arm: VirtualArm) -> TreatedCourse:
    return TreatedCourse.of(arm, trial(), key=KEY)


@pytest.mark.parametrize("estimand", [CHANGE, SLOPE])
def test_the_twin_answer_is_a_difference_of_means(arm: VirtualArm, course: TreatedCourse, estimand: Estimand) -> None:
    effect = compare(trial(), arm, estimand=estimand, key=KEY, course=course)
    assert effect.draws is not None
    assert effect.estimate == pytest.approx(effect.draws.mean())
    assert effect.interval[0] < effect.estimate < effect.interval[1]
    assert effect.layers["variance_share"].sum() == pytest.approx(1.0)
    # The layers are the whole of it: independent parts add up to the variance of the answer.
    assert np.sqrt((effect.layers["sd"] ** 2).sum()) == pytest.approx(effect.se, rel=0.12)
    row = effect.to_row(estimand="x", role="answer")
    assert row["low"], row["high"] == effect.interval


def test_measured_values_enter_as_measured(arm: VirtualArm, course: TreatedCourse) -> None:
    """Raising the values in the window by 0.3 raises the answer by 0.3 times the share measured there."""
    before = compare(trial(), arm, estimand=CHANGE, key=KEY, course=course)
    chosen = CHANGE.chosen_visits(trial())
    visits = trial().visits
    hit = visits["time"].eq(visits["subject"].map(chosen["time"]))
    moved = replace(trial(), visits=visits.assign(log_bilirubin=visits["log_bilirubin"] + 0.3 * hit))
    after = compare(moved, arm, estimand=CHANGE, key=KEY, course=course)
    assert after.estimate - before.estimate == pytest.approx(0.3 * 107 / 158, abs=1e-9)


def test_the_arm_of_other_patients_is_refused(arm: VirtualArm) -> None:
    with pytest.raises(ControlError, match="own patients"):
        compare(history(), arm, estimand=CHANGE, key=KEY)


def test_the_interval_does_not_shrink_with_more_twins(course: TreatedCourse) -> None:
    few, many = (
        synthetic_arm(certain_posterior(100), like=trial(), key=KEY, draws=100, replicates=replicates)
        for replicates in (2, 16)
    )
    se = [compare(trial(), each, estimand=CHANGE, key=KEY, course=course).se for each in (few, many)]
    assert se[1] == pytest.approx(se[0], rel=0.2)


def test_treated_courses_are_not_extrapolated(arm: VirtualArm, course: TreatedCourse) -> None:
    """Treated patients measured for one year say nothing of the second, whatever their model does."""
    records = course.records
    seen = {name: mask & (records.time <= 1.0) for name, mask in records.observed.items()}
    short = course._replace(records=replace(records, observed=seen))
    with pytest.raises(ControlError, match=r"times up to 1\.00 years, the last measurement in a treated patient"):
        compare(trial(), arm, estimand=SLOPE, key=KEY, course=short)


def test_the_randomised_answer_is_to_the_question_or_none() -> None:
    """The visit planned nearest may lie outside the window, and a planned time may have no visits at all."""
    late = MeanChange("log_bilirubin", at=1.4, window=0.2, intercurrent=BOTH)
    with pytest.raises(ControlError, match=r"a planned visit at 1\.4 years, within 0\.2"):
        randomised(trial(), history(), estimand=late)
    rule = VisitRule()
    one_armed, empty = (replace(rule, planned=tuple(sorted((*rule.planned, extra)))) for extra in (0.24, 0.07))
    answers = [randomised(trial(), history(), estimand=replace(CHANGE, visit_rule=each)) for each in (rule, one_armed)]
    assert answers[0].estimate == answers[1].estimate
    assert np.isfinite(randomised(trial(), history(), estimand=replace(CHANGE, visit_rule=empty)).se)
    unseen = replace(trial(), visits=trial().visits[~trial().visits["time"].between(1.5, 2.5)].reset_index(drop=True))
    with pytest.raises(ControlError, match=r"both arms at 2 years, within 0\.5, got 0 of treated patients and"):
        randomised(unseen, history(), estimand=CHANGE)


def test_each_answer_says_for_whom_its_interval_is(arm: VirtualArm, course: TreatedCourse) -> None:
    assert CHANGE.describe()["interval_for"] == "these patients"
    for method in (unadjusted, randomised):
        assert "for patients like these" in method(trial(), history(), estimand=SLOPE).note
    assert "for patients like these" not in compare(trial(), arm, estimand=SLOPE, key=KEY, course=course).note


def test_twins_of_several_models_are_compared_as_those_of_one(arm: VirtualArm, course: TreatedCourse) -> None:
    """The same arm twice is that arm; what the weights were stands among the assumptions."""
    twice = averaged_arm({"one": arm, "two": arm}, {"one": 0.4, "two": 0.6}, key=KEY)
    found, alone = (compare(trial(), each, estimand=CHANGE, key=KEY, course=course) for each in (twice, arm))
    assert (found.estimate, found.se) == (alone.estimate, alone.se)
    assert "one 0.400 (40 of 100 draws), two 0.600 (60 of 100 draws)" in " ".join(found.assumptions)
