"""What stands where something else should: refused when the model is built, with the name of the field."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.components.event import Event
from dpm.components.growth import Power
from dpm.components.hazard import Exponential
from dpm.components.outcome import Gaussian, Noise, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.scalar import ByLevel, Scalar
from dpm.components.trajectory import Linear, Trajectory
from dpm.errors import ModelError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.types import PerVisit

LINE = Linear(level=Parameter(1.0), slope=Parameter(dist.Normal(0.0, 1.0), subject=dist.HalfNormal(1.0)))


def replaced(part: Any, **fields: Any) -> Any:
    """With other fields, as where types are not checked."""
    for name, value in fields.items():
        object.__setattr__(part, name, value)
    return part


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (Parameter(dist.HalfNormal(1.0)), "a Parameter"),
        (None, "none"),
        ("wide", "str 'wide'"),
        ([1.0], "list"),
    ],
)
def test_a_scalar_is_a_number_or_a_prior(value: Any, got: str) -> None:
    noise = replaced(Gaussian(sd=1.0), sd=value)
    with pytest.raises(ModelError, match=f"^Gaussian: sd: expected a number or a prior, got {got}"):
        Outcome(LINE, noise)


@pytest.mark.parametrize(
    ("field", "value", "where", "got"),
    [
        ("typical", dist.Normal(jnp.zeros(3), 1.0), "typical", r"one of shape \(3,\)"),
        ("effects", {"age": dist.Normal(jnp.zeros(2), 1.0).to_event(1)}, "effects.age", r"one of shape \(2,\)"),
        ("subject", -1, "subject", "-1"),
        ("subject", float("nan"), "subject", "nan"),
        ("subject", dist.Normal(1.0, 1.0), "subject", "a Normal prior that reaches below"),
        ("groups", {"site": dist.Uniform(-1.0, 1.0)}, "groups.site", "a Uniform prior that reaches below"),
        ("within", {"part": dist.StudentT(3.0)}, "within.part", "a StudentT prior that reaches below"),
    ],
)
def test_the_priors_of_a_parameter(field: str, value: Any, where: str, got: str) -> None:
    with pytest.raises(ModelError, match=f"^Parameter: {where}: expected .*, got {got}"):
        Parameter(**{"typical": 1.0, field: value})


@pytest.mark.parametrize(
    "spread", [0, 2, 0.5, dist.HalfNormal(1), dist.LogNormal(0, 1), dist.Uniform(0, 1), dist.Gamma(2, 1)]
)
def test_spreads_that_are_none_the_worse(spread: Any) -> None:
    assert Parameter(1.0, subject=spread).subject is spread


def test_parts_of_another_kind() -> None:
    outcome = Outcome(LINE, Gaussian(sd=1.0))
    for fields, message in (
        ({"trajectory": Parameter(1.0)}, r"Outcome: trajectory: expected a trajectory, .*got Parameter"),
        ({"noise": dist.Normal(0.0, 1.0)}, r"Outcome: noise: expected a noise, .*got Normal"),
        ({"changes": {"drug": Parameter(1.0)}}, r"Outcome: changes\.drug: expected a change .*got Parameter"),
    ):
        with pytest.raises(ModelError, match=message):
            replaced(Outcome(LINE, Gaussian(sd=1.0)), **fields).__post_init__()
    for fields, message in (
        ({"outcomes": {"y": LINE}}, r"outcomes\.y: expected an Outcome\(.*got Linear"),
        ({"events": {"end": outcome}}, r"events\.end: expected an Event\(.*got Outcome"),
        ({"latent": {"z": outcome}}, r"latent\.z: expected a trajectory.*got Outcome"),
    ):
        with pytest.raises(ModelError, match=message):
            replaced(ProgressionModel(outcomes={"y": outcome}), **fields).__post_init__()


def test_what_may_be_either_varies_between_subjects() -> None:
    """A course takes a parameter in the place of a population value; a noise, which has no subjects, does not."""
    course = Power(level=Parameter(1.0), change=Parameter(1.0), exponent=Parameter(2.0))
    assert {*course.parameters()} == {"level", "change", "exponent"} and not course.scalars()


# By level -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Shifted(Trajectory):
    """A level, and what every visit adds."""

    level: Parameter
    shift: Scalar

    equation = r"\mathrm{level} + \mathrm{shift}"

    def curve(self, time: PerVisit, *, level: Any, shift: Any) -> PerVisit:
        return level + shift + 0.0 * time


BY_MODE = ByLevel(dist.Normal(0.0, 1.0), by="mode")


def uneven() -> Records:
    """Twelve subjects, of whom half were seen twice and half four times, at home every other time."""
    rng = np.random.default_rng(3)
    seen = np.arange(4)[:, None] < np.where(np.arange(12) % 2, 4, 2)
    home = (np.arange(4)[:, None] + np.arange(12)) % 2
    value = np.where(home, 3.0 * rng.normal(size=(4, 12)), 0.5 * rng.normal(size=(4, 12))) + rng.normal(size=12)
    return Records(
        time=jnp.asarray(np.where(seen, np.arange(4.0)[:, None], 0.0)),
        values={"y": jnp.asarray(value * seen)},
        observed={"y": jnp.asarray(seen)},
        covariates={},
        groups={},
        levels={"mode": jnp.asarray(np.stack([(1 - home) * seen, home * seen]).astype(float))},
    )


def test_an_sd_by_mode_where_visits_are_uneven() -> None:
    """Where there is no visit there was an sd of zero: no model with one could be fitted."""
    noise = Gaussian(sd=ByLevel(dist.HalfNormal(3.0), by="mode"))
    level = Linear(level=Parameter(dist.Normal(0.0, 1.0), subject=dist.HalfNormal(1.0)), slope=Parameter(0.0))
    found = Laplace(draws=10).run(
        ProgressionModel(outcomes={"y": Outcome(level, noise)}), uneven(), key=jax.random.key(0)
    )
    clinic, home = found.estimates.loc[["y_sd[0]", "y_sd[1]"], "estimate"]
    assert clinic < 1.0 < 2.0 < home


def test_a_value_by_visit_of_a_course_that_events_follow() -> None:
    """An event follows a course at any time: with as many nodes as visits it would have run, and been wrong."""
    course, noise = Shifted(level=Parameter(0.0, subject=dist.HalfNormal(1.0)), shift=BY_MODE), Gaussian(sd=1.0)
    alone = ProgressionModel(outcomes={"y": Outcome(course, noise)})
    assert Hierarchy.of(alone, uneven()).population_names()[1:] == ["y_shift[0]", "y_shift[1]"]
    event = Event(hazard=Exponential(log_rate=dist.Normal(0.0, 1.0)))
    with pytest.raises(ModelError, match=r"^y_shift: expected one value at all times .*, got a value by mode"):
        ProgressionModel(outcomes={"y": Outcome(course, noise)}, events={"end": event})
    scored: Noise = Gaussian(sd=ByLevel(dist.HalfNormal(1.0), by="mode"))
    assert ProgressionModel(outcomes={"y": Outcome(LINE, scored)}, events={"end": event}).events
