"""Models and data that no method can fit: every method says which site, where, and in whom."""

from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.buckets import bucketed
from dpm.cohort.records import Records
from dpm.errors import InferenceError, ModelError
from dpm.inference.draws import Method
from dpm.inference.faults import fault_of
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal_nuts import MarginalNUTS
from dpm.inference.nuts import NUTS
from dpm.inference.variational import Variational
from dpm.types import Array, Model

from .hand_written import SUBJECTS, VISITS, counts

KEY = jax.random.key(5)
DATA = counts()
METHODS: dict[str, Method] = {
    "Laplace": Laplace(),
    "NUTS": NUTS(progress=False),
    "MarginalNUTS": MarginalNUTS(progress=False),
    "Variational": Variational(progress=False),
    "from the prior": Variational(start="prior", progress=False),
    "from paths": Variational(start="pathfinder", progress=False),
}


def curved(course: Callable[[Array, Array], Array], *, noise: type[dist.Distribution] = dist.Normal) -> Model:
    """A score around `course` of the subject's level and time."""

    def model(data: Records) -> None:
        typical = numpyro.sample("typical", dist.Normal(5.0, 2.0))
        sd = numpyro.sample("sd", dist.HalfNormal(1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            level = typical + numpyro.sample("effect", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                mean = numpyro.deterministic("score_mean", course(level, data.time))
                scored = noise(mean, sd).mask(data.observed["score"])
                numpyro.sample("score", scored, obs=data.values["score"])

    return model


def walled(data: Records) -> None:
    """The fourth subject is impossible wherever `typical` is."""
    curved(lambda level, time: level + time)(data)
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        numpyro.factor("wall", jnp.where(jnp.arange(data.n_subjects) == 3, -jnp.inf, 0.0))


def fault(model: Model, data: Records = DATA) -> tuple[str, tuple[int, ...]]:
    hierarchy = Hierarchy.of(model, data)
    found = fault_of(hierarchy, hierarchy.prior_centre(), data)
    assert found is not None
    return found.why, found.subjects


# Where ----------------------------------------------------------------------------------------------------------------


def test_a_model_that_is_finite_has_no_fault() -> None:
    hierarchy = Hierarchy.of(curved(lambda level, time: level + time), DATA)
    assert fault_of(hierarchy, hierarchy.prior_centre(), DATA) is None


def test_a_course_that_is_not_a_number_for_some() -> None:
    late = DATA.time.max()
    why, subjects = fault(curved(lambda level, time: level + jnp.where(time == late, jnp.nan, 0.0)))
    whose = tuple(int(k) for k in jnp.flatnonzero(((DATA.time == late) & DATA.observed["score"]).any(axis=0)))
    assert subjects == whose and len(whose) == 1
    assert why.startswith(f"the density of score is not a number in 1 of {SUBJECTS} subjects (the first: ")
    assert f"measured at {float(late):g} years, where the course is not a number)" in why
    assert "at typical = 5, sd = 0.7979" in why


def test_padding_that_is_not_a_number_is_no_fault() -> None:
    hidden = replace(DATA, time=jnp.where(DATA.observed["score"], DATA.time, 99.0))
    hierarchy = Hierarchy.of(curved(lambda level, time: level + jnp.where(time == 99.0, jnp.nan, 0.0)), hidden)
    found = fault_of(hierarchy, hierarchy.prior_centre(), hidden)
    assert found is None or found.why.startswith("the slope")  # a masked value still spoils a gradient


def test_a_measurement_that_its_noise_cannot_give() -> None:
    values = DATA.values["score"].at[0, 2].set(-1.5)
    bad = replace(DATA, values={**DATA.values, "score": values})
    why, subjects = fault(curved(lambda level, time: 1.0 + 0.0 * (level + time), noise=dist.LogNormal), bad)
    assert subjects == (2,)
    assert "-1.5 measured at" in why and "where 1 is expected" in why


def test_a_slope_that_is_not_a_number() -> None:
    why, subjects = fault(curved(lambda level, time: jnp.sqrt(jnp.abs(level - 5.0)) + time))
    assert why.startswith("the slope of the density in effect is not a number")
    assert subjects == tuple(range(SUBJECTS))


def test_a_prior_that_is_not_a_number() -> None:
    def model(data: Records) -> None:
        base = numpyro.sample("base", dist.Normal(0.0, 1.0))
        numpyro.sample("scaled", dist.Normal(0.0, jnp.sqrt(base - 40.0)))
        curved(lambda level, time: level + base + time)(data)

    why, subjects = fault(model)
    assert why.startswith("the prior density of scaled is not a number") and not subjects


def test_positions_are_those_of_the_cohort_in_buckets_too() -> None:
    values = DATA.values["score"].at[0, 3].set(jnp.inf)
    visits = np.asarray(DATA.observed["score"].sum(axis=0))
    data = bucketed(replace(DATA, values={**DATA.values, "score": values}), visits, most_waste=0.0)
    assert len(data.parts) > 1 and not np.array_equal(data.order, np.arange(SUBJECTS))
    hierarchy = Hierarchy.of(curved(lambda level, time: level + time), data)
    found = fault_of(hierarchy, hierarchy.prior_centre(), data)
    assert found is not None and found.subjects == (3,)


# Every method ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_which_site_and_in_whom(name: str) -> None:
    with pytest.raises(InferenceError, match=f"the density of wall is zero in 1 of {SUBJECTS} subjects") as refusal:
        METHODS[name].run(walled, DATA, key=KEY)
    assert refusal.value.subjects == (3,)
    assert str(refusal.value).endswith("Subjects at positions 3.")
    assert str(refusal.value.named(list("abcdef"))).endswith("Subjects d.")


def test_a_course_that_is_not_a_number_far_from_typical() -> None:
    """Finite for the typical subject: draws of a guide meet it, and the refusal says where it lies."""
    model = curved(lambda level, time: level + time + 0.0 * jnp.log(level - 5.0 + 0.1))
    with pytest.raises(InferenceError, match=r"the density of score is not a number .*and effects of -3"):
        METHODS["from the prior"].run(model, DATA, key=KEY)


def test_a_search_that_starts_where_the_density_is_zero_looks_elsewhere() -> None:
    """Of the three starts drawn around the prior means, seven times in ten none has a density above zero."""

    def model(data: Records) -> None:
        curved(lambda level, time: level + time)(data)
        shift = numpyro.sample("shift", dist.Normal(0.0, 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            nearer = jnp.where(shift < 1.2, -jnp.inf, -5.0 * (shift - 3.0) ** 2)
            numpyro.factor("wall", nearer * jnp.ones(data.n_subjects))

    for seed in range(4):
        draws = Laplace(draws=10).run(model, DATA, key=jax.random.key(seed))
        assert draws.estimates.loc["shift", "estimate"] == pytest.approx(3.0 * 60.0 / 61.0, rel=1e-6)


def test_a_sum_of_two_spreads_has_no_maximum_of_its_likelihood() -> None:
    """Measured once, a subject's level and the noise are seen as their sum: an sd of hundreds was reported before."""

    def model(data: Records) -> None:
        typical = numpyro.sample("typical", dist.Normal(5.0, 2.0))
        between, within = (numpyro.sample(name, dist.HalfNormal(2.0)) for name in ("between", "within"))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            level = typical + between * numpyro.sample("effect", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                noise = dist.Normal(level * jnp.ones_like(data.time), within).mask(data.observed["score"])
                numpyro.sample("score", noise, obs=data.values["score"])

    once = replace(DATA, observed={**DATA.observed, "score": DATA.observed["score"].at[1:].set(False)})
    with pytest.raises(InferenceError, match=r"only a combination of (between, within|within, between) is determined"):
        Laplace(objective="ml").run(model, once, key=KEY)


# What a model may not sample ------------------------------------------------------------------------------------------


def test_two_sites_of_one_name() -> None:
    def model(data: Records) -> None:
        numpyro.sample("sd", dist.HalfNormal(1.0))
        curved(lambda level, time: level + time)(data)

    with pytest.raises(ModelError, match=r"^sd: expected sites of different names, got two of this name"):
        Hierarchy.of(model, DATA)


def test_a_parameter_outside_its_range() -> None:
    def model(data: Records) -> None:
        numpyro.sample("share", dist.Beta(-1.0 * jnp.ones(()), 2.0))
        curved(lambda level, time: level + time)(data)

    with pytest.raises(ModelError, match=r"^share: expected Beta with a concentration1 that is .*got .* = -1\."):
        Hierarchy.of(model, DATA)


def test_a_course_that_is_not_a_number_at_some_draws_of_the_prior_is_fitted() -> None:
    """At a random draw of its priors this course is not a number; from the prior means on it always is."""
    model = curved(lambda level, time: level + time + 0.0 * jnp.log(level - 4.0 + 0.0 * time))
    assert Hierarchy.of(model, DATA).n_effects == 1
    assert DATA.time.shape == (VISITS, SUBJECTS)
