"""Which visit stands for the time asked about, and what is refused."""

from collections.abc import Callable

import pandas as pd
import pytest

from dpm.cohort import read_cohort
from dpm.cohort.visits import VisitRule
from dpm.control.estimand import Estimand, MeanChange, SlopeDifference, require_outcome, unit_of
from dpm.errors import ControlError
from tests.placebo import history, trial

BOTH = {"death": "hypothetical", "transplant": "hypothetical"}


def test_the_nearest_visit_in_the_window_is_chosen_and_terminal_ones_are_not() -> None:
    strict = MeanChange("log_bilirubin", at=2.0, intercurrent=BOTH)
    every = MeanChange("log_bilirubin", at=2.0, intercurrent=BOTH, visit_rule=None)
    chosen, loose = strict.chosen_visits(trial()), every.chosen_visits(trial())
    assert ((chosen["time"].dropna() - 2.0).abs() <= 0.5).all()
    assert chosen["value"].notna().sum() == 107
    assert loose["value"].notna().sum() == 109
    terminal = trial().visits[trial().terminal_visits(VisitRule())]
    keys = set(zip(terminal["subject"], terminal["time"], strict=True))
    assert not keys & set(zip(chosen.index, chosen["time"], strict=True))


def test_counts_say_what_happened_to_everybody() -> None:
    counts = MeanChange("log_bilirubin", at=2.0, intercurrent=BOTH).counts(trial())
    assert counts["measured in the window"] + counts["imputed"] == trial().n_subjects
    assert (counts["death before 2 years"], counts["transplant before 2 years"]) == (14, 1)


def test_an_event_without_a_strategy_is_refused() -> None:
    with pytest.raises(ControlError, match="transplant"):
        require_outcome(trial(), MeanChange("log_bilirubin", at=2.0, intercurrent={"death": "hypothetical"}))


@pytest.mark.parametrize(
    "make",
    [
        lambda: MeanChange("log_bilirubin", at=2.0, intercurrent={"death": "while_alive"}),
        lambda: MeanChange("log_bilirubin", at=0.4, window=0.5),
        lambda: SlopeDifference("log_bilirubin", over=(2.0, 2.0)),
    ],
)
def test_what_cannot_be_carried_out_is_refused(make: Callable[[], Estimand]) -> None:
    with pytest.raises(ControlError):
        make()


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(ControlError, match="log_bilirubin"):
        require_outcome(history(), SlopeDifference("albumin", intercurrent=BOTH))


def test_units_say_scale_and_time() -> None:
    assert unit_of(trial(), MeanChange("log_bilirubin", at=2.0)) == "log mg/dL"
    assert unit_of(trial(), SlopeDifference("log_bilirubin")) == "log mg/dL/year"


def test_an_outcome_without_a_mean_is_refused() -> None:
    frame = pd.DataFrame({"id": ["A", "B"], "t": [0.0, 0.0], "grade": ["low", "high"]})
    outcome = {"column": "grade", "unit": "1", "kind": "ordinal", "levels": ["low", "high"], "higher_is": "worse"}
    roles = {"subject": "id", "time": {"column": "t", "unit": "years"}, "outcomes": {"grade": outcome}}
    with pytest.raises(ControlError, match="bounded, integer, which has a mean, got ordinal"):
        require_outcome(read_cohort(frame, roles), MeanChange("grade", at=1.0))
