"""A design: refused where it cannot be, and filled with the model's own cohort."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from numpyro import distributions as dist

from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.event import Competing, Event
from dpm.components.hazard import Exponential
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.errors import VirtualError
from dpm.virtual.design import Design
from models import cav_states, pbc_joint

KEY = jax.random.key(5)
SCORE = {"y": OutcomeRole(column="y", unit="points", higher_is="worse")}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 0, "times": (0.0, 1.0)}, "n: expected at least 1 subject, got 0"),
        ({"n": 5, "times": (0.5, 1.0)}, "times: expected 0 and later times"),
        ({"n": 5, "times": (0.0, 1.0, 1.0)}, "times: expected 0 and later times"),
        ({"n": 5, "times": (0.0, 1.0), "events": {"a": ("x",), "b": ("y",)}}, "events: expected one process at most"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(VirtualError, match=message):
        Design(outcomes=SCORE, **fields)


def test_subjects_are_drawn_as_the_design_says() -> None:
    design = Design(
        n=2000,
        times=(0.0, 1.0),
        outcomes=SCORE,
        covariates={"age": dist.Normal(1.0, 2.0)},
        clocks={"onset": dist.Uniform(2.0, 4.0)},
        groups={"study": ("a", "b", "c")},
        parts=("right", "left"),
    )
    records = design.planned(key=KEY)
    assert records.time[:, 0].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert records.levels["part"][:, :, 0].tolist() == [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    age, onset = np.asarray(records.covariates["age"]), np.asarray(records.origins["onset"])
    assert age.mean() == pytest.approx(1.0, abs=5 * 2.0 / np.sqrt(2000))
    assert onset.min() >= 2.0
    assert onset.max() <= 4.0
    shares = np.asarray(records.groups["study"]).mean(axis=1)
    np.testing.assert_allclose(shares, 1 / 3, atol=5 * np.sqrt(2 / 9 / 2000))


def test_a_value_too_many_or_too_few_is_refused() -> None:
    few = {name: value for name, value in pbc_joint.TYPICAL.items() if name != "end_shape"}
    with pytest.raises(VirtualError, match="a value for each population site, got none for end_shape"):
        pbc_joint.DESIGN.simulate(pbc_joint.build(), few, key=KEY, n=3)


def test_an_impossible_value_and_what_the_model_does_not_draw_are_refused() -> None:
    with pytest.raises(VirtualError, match=r"Design: values\.end_shape: expected a value of shape \(\) in the support"):
        pbc_joint.DESIGN.simulate(pbc_joint.build(), {**pbc_joint.TYPICAL, "end_shape": -1.0}, key=KEY, n=3)
    with pytest.raises(VirtualError, match="outcomes: expected those of the model, log_bilirubin, got y"):
        replace(pbc_joint.DESIGN, outcomes=SCORE).simulate(pbc_joint.build(), pbc_joint.TYPICAL, key=KEY)
    with pytest.raises(VirtualError, match="events: expected those of the model, end, got none"):
        replace(pbc_joint.DESIGN, events={}).simulate(pbc_joint.build(), pbc_joint.TYPICAL, key=KEY)


def test_types_of_events_are_those_that_the_model_numbers() -> None:
    """Competing events in another order than the design names them: nine in ten are deaths."""
    line = Linear(level=Parameter(0.0, subject=1.0), slope=Parameter(0.0))
    often, rarely = (Event(hazard=Exponential(log_rate=float(np.log(rate)))) for rate in (0.9, 0.1))
    model = ProgressionModel(
        outcomes={"y": Outcome(line, Gaussian(sd=1.0))},
        events={"end": Competing(by_type={"death": often, "transplant": rarely})},
    )
    design = Design(n=400, times=(0.0, 1.0), outcomes=SCORE, events={"end": ("transplant", "death")}, follow_up=9.0)
    events = design.simulate(model, {}, key=KEY).events
    assert events is not None
    assert (events["event"] == "death").mean() == pytest.approx(0.9, abs=0.06)


@pytest.mark.slow
def test_visits_end_with_the_event_and_a_known_entry_into_a_state() -> None:
    cohort = pbc_joint.simulate(KEY, 200)
    end = cohort.events.set_index("subject")["time"]
    assert (cohort.visits["time"] <= cohort.visits["subject"].map(end) + 1e-9).all()
    dead = (cohort.events["event"] == "death").mean()
    assert 0.25 < dead < 0.75
    states = cav_states.simulate(KEY, 200).visits
    last = states.groupby("subject")["state"].transform("idxmax")
    entered = states["state"] == 3
    assert entered.groupby(states["subject"]).sum().max() == 1
    assert (last[entered] == states.index[entered]).all()
    assert not np.isclose(states.loc[entered, "time"] % 1.0, 0.0).all()
    assert np.isclose(states.loc[~entered, "time"] % 1.0, 0.0).all()
