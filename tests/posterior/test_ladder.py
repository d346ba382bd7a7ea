"""The ladder down from components to NumPyro: each rung is one step, and everything downstream still works."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jaxtyping
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers
from numpyro.infer import MCMC, NUTS
from numpyro.infer.reparam import LocScaleReparam

from dpm.checks.convergence import parameter_table
from dpm.cohort import Encodings, Records
from dpm.components.outcome import Gaussian, Noise, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.scalar import Scalar
from dpm.components.trajectory import Linear, Trajectory
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.posterior.fit import fit
from dpm.posterior.posterior import Posterior
from dpm.posterior.predict import predict_population, simulate_draws
from dpm.types import Array, Model, PerVisit

from .small import KEY, SUBJECTS, cohort

METHOD = Laplace(draws=20)
LEVEL = Parameter(dist.Normal(10.0, 5.0), subject=dist.HalfNormal(2.0))
SLOPE = Parameter(dist.Normal(0.0, 2.0))
LINE = ProgressionModel(
    outcomes={"score": Outcome(Linear(level=LEVEL, slope=SLOPE), Gaussian(sd=dist.HalfNormal(1.0)))}
)
SLOPES = ProgressionModel(
    outcomes={
        "score": Outcome(
            Linear(level=LEVEL, slope=replace(SLOPE, subject=dist.HalfNormal(1.0))), Gaussian(sd=dist.HalfNormal(1.0))
        )
    }
)


def usable(whole: Posterior) -> Array:
    """Downstream of the fit: draws back as vectors, and predicted measurements, (draw, visit, subject)."""
    records = cohort().records(whole.encodings)
    hierarchy = whole.hierarchy(records)
    found = simulate_draws(hierarchy, whole.vectors(hierarchy, 10), records, key=KEY).measurement["score"]
    assert found.shape == (10, *records.time.shape)
    assert bool(jnp.isfinite(found).all())
    return found


def log_likelihood(model: Model, **values: Any) -> float:
    records = cohort().records()
    hierarchy = Hierarchy.of(model, records)
    vector = hierarchy.unconstrain({name: jnp.asarray(value, float) for name, value in values.items()})
    return float(jax.jit(Marginal(hierarchy).log_marginal)(vector, records)[0].sum())


VALUES = {"score_level": 10.0, "score_slope": 2.0, "score_level_sd": 1.5, "score_sd": 0.8}


# 1 Replace a field ----------------------------------------------------------------------------------------------------


def test_replace_a_field() -> None:
    """Another noise, the rest as it was; the first model is untouched."""
    quiet = replace(LINE, outcomes={"score": replace(LINE.outcomes["score"], noise=Gaussian(sd=0.8))})
    whole = fit(quiet, cohort(), method=METHOD, key=KEY)
    assert "score_sd" not in whole.draws
    usable(whole)
    rest = {name: value for name, value in VALUES.items() if name != "score_sd"}
    assert log_likelihood(quiet, **rest) == pytest.approx(log_likelihood(LINE, **VALUES), rel=1e-12)


# 2 Write a trajectory or a noise: one class, one function -------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Plateau(Trajectory):
    r"""A rise that levels off.

    $$\mu(t) = \ell + g\,(1 - e^{-t})$$

    Attributes:
        level: at time zero [points].
        gain: in the end [points].
    """

    level: Parameter
    gain: Parameter

    equation = r"\mu(t) = \mathrm{level} + \mathrm{gain}\,(1 - e^{-t})"

    @staticmethod
    def curve(time: PerVisit, *, level: Any, gain: Any) -> PerVisit:
        return level + gain * -jnp.expm1(-time)


@dataclass(frozen=True, kw_only=True)
class HeavyTailed(Noise):
    """Student's t noise.

    Attributes:
        scale: of the distribution [outcome unit].
        tail: its degrees of freedom.
    """

    scale: Scalar
    tail: Scalar

    equation = r"y \sim \mathrm{StudentT}(\mathrm{tail}, \mu, \mathrm{scale})"

    def distribution(self, mean: PerVisit, *, scale: Array, tail: Array) -> dist.Distribution:
        return dist.StudentT(tail, mean, scale)


def test_write_a_trajectory_and_a_noise() -> None:
    course = Plateau(level=LEVEL, gain=Parameter(dist.Normal(0.0, 5.0)))
    model = ProgressionModel(outcomes={"score": Outcome(course, HeavyTailed(scale=dist.HalfNormal(1.0), tail=5.0))})
    whole = fit(model, cohort(), method=METHOD, key=KEY)
    assert set(whole.draws) == {"score_level", "score_level_sd", "score_gain", "score_scale"}
    assert float(whole.draws["score_gain"].mean()) > 0.0
    usable(whole)


# 3 Wrap it with a handler ---------------------------------------------------------------------------------------------


def test_wrap_with_a_handler() -> None:
    """A slope held at zero: the fit is that of a model without it, and predictions are flat."""
    held = handlers.condition(LINE, data={"score_slope": jnp.asarray(0.0)})
    whole = fit(held, cohort(), method=METHOD, key=KEY)
    assert set(whole.draws) == {"score_level", "score_level_sd", "score_sd"}
    usable(whole)
    rest = {name: value for name, value in VALUES.items() if name != "score_slope"}
    flat = log_likelihood(LINE, **{**VALUES, "score_slope": 0.0})
    assert log_likelihood(held, **rest) == pytest.approx(flat, rel=1e-12)
    records = cohort().records()
    hierarchy = whole.hierarchy(records)
    course = predict_population(hierarchy, whole.vectors(hierarchy)[0], records, key=KEY).course["score"]
    np.testing.assert_allclose(course, jnp.broadcast_to(course[0], course.shape))


# 4 Write the whole model by hand --------------------------------------------------------------------------------------


def by_hand(records: Records) -> None:
    """The same line, without a component."""
    level = numpyro.sample("score_level", dist.Normal(10.0, 5.0))
    slope = numpyro.sample("score_slope", dist.Normal(0.0, 2.0))
    spread = numpyro.sample("score_level_sd", dist.HalfNormal(2.0))
    sd = numpyro.sample("score_sd", dist.HalfNormal(1.0))
    with numpyro.plate("subject", records.n_subjects, dim=-1):
        own = numpyro.sample("own", dist.Normal(level, spread))
        with numpyro.plate("visit", records.time.shape[0], dim=-2):
            mean = numpyro.deterministic("score_mean", own + slope * records.time)
            noise = dist.Normal(mean, sd).mask(records.observed["score"])
            numpyro.sample("score", noise, obs=records.values["score"])


def test_write_it_by_hand() -> None:
    """Centred and by hand, or non-centred and from components: one likelihood, one maximum."""
    assert log_likelihood(by_hand, **VALUES) == pytest.approx(log_likelihood(LINE, **VALUES), rel=1e-12)
    hand = fit(by_hand, cohort(), method=METHOD, key=KEY)
    ready = fit(LINE, cohort(), method=METHOD, key=KEY)
    np.testing.assert_allclose(hand.estimates["estimate"], ready.estimates["estimate"], rtol=1e-5)
    np.testing.assert_allclose(hand.estimates["se"], ready.estimates["se"], rtol=1e-3)
    usable(hand)


def test_a_model_by_hand_under_a_handler() -> None:
    """Recentred by NumPyro's own reparametrisation, the integral over the effects is the same."""
    recentred = handlers.reparam(by_hand, config={"own": LocScaleReparam(0.0)})
    assert log_likelihood(recentred, **VALUES) == pytest.approx(log_likelihood(by_hand, **VALUES), rel=1e-12)


# 5 Sample it yourself and come back -----------------------------------------------------------------------------------


@pytest.fixture
def no_shape_checks() -> Iterator[None]:
    """NumPyro rebuilds its arguments with numbers in place of arrays, which the checks of these tests would refuse."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("no_shape_checks")
def test_sample_it_yourself(tmp_path: Path) -> None:
    encodings = Encodings.learn(cohort())
    sampler = MCMC(
        NUTS(by_hand), num_warmup=150, num_samples=150, num_chains=2, chain_method="vectorized", progress_bar=False
    )
    sampler.run(jax.random.key(5), cohort().records(encodings), extra_fields=("diverging", "num_steps"))
    whole = Posterior.from_mcmc(by_hand, cohort(), encodings, sampler)
    assert set(whole.draws) == set(VALUES)
    assert whole.draws["score_level"].shape == (2, 150)
    assert set(whole.tree["sample_stats"].to_dataset()) == {"diverging", "n_steps"}
    assert whole.provenance["n_subjects"] == SUBJECTS
    usable(whole)
    ready = fit(LINE, cohort(), method=METHOD, key=KEY).estimates
    for name in ("score_slope", "score_sd"):
        assert float(whole.draws[name].mean()) == pytest.approx(ready["estimate"][name], abs=0.5 * ready["se"][name])
    whole.save(tmp_path / "own.nc")
    assert Posterior.load(tmp_path / "own.nc", model=by_hand).n_draws == 300


@pytest.mark.slow
@pytest.mark.usefixtures("no_shape_checks")
def test_the_gate_sees_a_correlation_that_was_sampled_by_hand() -> None:
    """Kept as the matrix; its Cholesky factor alone is not in the table of parameters."""
    records = cohort().records(Encodings.learn(cohort()))
    sampler = MCMC(NUTS(SLOPES), num_warmup=5, num_samples=5, num_chains=1, progress_bar=False)
    sampler.run(jax.random.key(5), records, extra_fields=("diverging",))
    whole = Posterior.from_mcmc(SLOPES, cohort(), Encodings.learn(cohort()), sampler)
    assert "score_mean" not in whole.draws
    assert "subject_correlation[1,0]" in set(parameter_table(whole)["site"])


@pytest.mark.slow
def test_a_large_cohort_is_fitted_in_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The placebo patients, as if they were too many for one array: the same answer, bucket by bucket."""
    from dpm.posterior import prepared
    from models.pbc_bilirubin import build
    from tests.placebo import history

    model, key = build(), jax.random.key(1)
    whole = fit(model, history(), method=Laplace(), key=key)
    monkeypatch.setattr(prepared, "BUCKETS_FROM", 0)
    parts = fit(model, history(), method=Laplace(), key=key)
    np.testing.assert_allclose(parts.estimates["estimate"], whole.estimates["estimate"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts.estimates["se"], whole.estimates["se"], rtol=1e-4, atol=1e-8)
