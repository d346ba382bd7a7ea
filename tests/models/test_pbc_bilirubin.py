"""The shipped model of bilirubin: densities defined, priors explained, and the same answers as nlme and Stan."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import handlers

from dpm.cohort import Records
from dpm.components.describe import describe_model
from dpm.components.progression import ProgressionModel
from dpm.inference.draws import Draws
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.inference.nuts import NUTS
from dpm.posterior.predict import predict_population
from dpm.types import Array, Key
from models.pbc_bilirubin import COVARIATES, build
from tests.placebo import CORRELATION, TYPICAL, history

KEY = jax.random.key(77)
DRAWS = 100
OUTCOME = "log_bilirubin"


@pytest.fixture(scope="module")
def model() -> ProgressionModel:
    return build()


@pytest.fixture(scope="module")
def records() -> Records:
    """The placebo arm."""
    return history().records()


@pytest.fixture(scope="module")
def hierarchy(model: ProgressionModel, records: Records) -> Hierarchy:
    return Hierarchy.of(model, records)


@pytest.fixture(scope="module")
def marginal(hierarchy: Hierarchy) -> Marginal:
    return Marginal(hierarchy)


@pytest.fixture(scope="module")
def typical(hierarchy: Hierarchy) -> Array:
    """The vector of `TYPICAL`."""
    values = {site.name: jnp.asarray(TYPICAL.get(site.name, 0.0)) for site in hierarchy.population}
    lower = jnp.array([[1.0, 0.0], [CORRELATION, np.sqrt(1.0 - CORRELATION**2)]])
    return hierarchy.unconstrain({**values, "subject_correlation_cholesky": lower})


@pytest.fixture(scope="module")
def points(model: ProgressionModel, hierarchy: Hierarchy, records: Records) -> tuple[Array, Array]:
    """Population vectors and effects, drawn from the prior."""

    def draw(key: Key) -> tuple[Array, Array]:
        trace = handlers.trace(handlers.seed(model, key)).get_trace(records)
        values = {name: site["value"] for name, site in trace.items() if site["type"] == "sample"}
        return hierarchy.unconstrain(values), hierarchy.unconstrain_effects(values)

    return jax.jit(jax.vmap(draw))(jax.random.split(KEY, DRAWS))


@pytest.fixture(scope="module")
def density(hierarchy: Hierarchy, records: Records) -> Callable[[Array, Array], Array]:
    def joint(vector: Array, effects: Array) -> Array:
        subjects = hierarchy.log_subject(hierarchy.constrain(vector), effects, records)
        return jnp.sum(subjects) + hierarchy.log_population(vector, records, prior=True)

    return joint


# Contract -------------------------------------------------------------------------------------------------------------


def test_density_and_gradient_are_finite_at_prior_draws(
    density: Callable[[Array, Array], Array], points: tuple[Array, Array]
) -> None:
    value, slopes = jax.jit(jax.vmap(jax.value_and_grad(density, (0, 1))))(*points)
    assert value.shape == (DRAWS,)
    assert bool(jnp.isfinite(value).all())
    assert all(bool(jnp.isfinite(slope).all()) for slope in slopes)


def test_the_same_compiled_or_not(density: Callable[[Array, Array], Array], points: tuple[Array, Array]) -> None:
    vector, effects = (part[0] for part in points)
    assert float(density(vector, effects)) == pytest.approx(float(jax.jit(density)(vector, effects)), rel=1e-12)


def test_every_site_has_a_unit_and_a_reason(model: ProgressionModel, hierarchy: Hierarchy) -> None:
    rows = describe_model(model)["priors"]
    assert {row["site"] for row in rows} == {site.name.removesuffix("_cholesky") for site in hierarchy.population}
    for row in rows:
        assert row["reason"], row["site"]
        assert row["unit"] or row["site"] == "subject_correlation", row["site"]
    assert model.card is not None
    assert set(model.card.reasons) == {row["site"] for row in rows}
    assert set(model.card.units) == {row["site"] for row in rows} - {"subject_correlation"}
    assert model.card.limitations


def test_priors_are_as_wide_as_their_reasons_say(model: ProgressionModel) -> None:
    """Central 95 % ranges of the priors that the card puts in numbers."""
    tails = jnp.array([0.025, 0.975])
    ranges = {name: np.exp(parameter.typical.icdf(tails)) for name, parameter in model.parameters().items()}
    np.testing.assert_allclose(ranges[f"{OUTCOME}_level"], [0.2, 12.0], rtol=0.2)
    np.testing.assert_allclose(ranges[f"{OUTCOME}_slope"], [0.8, 1.8], rtol=0.05)


def test_gradient_of_the_marginal(marginal: Marginal, typical: Array, records: Records) -> None:
    total = jax.jit(jax.value_and_grad(lambda vector: jnp.sum(marginal.log_marginal(vector, records)[0])))
    exact = np.asarray(total(typical)[1])
    numerical = np.empty(typical.size)
    for k in range(typical.size):
        move = np.zeros(typical.size)
        move[k] = 1e-3
        ahead, behind, far, back = (float(total(typical + c * move)[0]) for c in (1.0, -1.0, 2.0, -2.0))
        numerical[k] = (8.0 * (ahead - behind) - (far - back)) / 12e-3
    np.testing.assert_allclose(exact, numerical, rtol=1e-6, atol=1e-7 * np.abs(exact).max())


# Answers --------------------------------------------------------------------------------------------------------------


def test_a_simulated_cohort_gives_its_truth_back(
    hierarchy: Hierarchy, marginal: Marginal, typical: Array, records: Records
) -> None:
    """The placebo patients with made-up bilirubin: maximum likelihood within 3 standard errors of every value."""
    made = predict_population(hierarchy, typical, records, key=KEY).measurement[OUTCOME]
    data = Records(
        time=records.time,
        values={**records.values, OUTCOME: jnp.where(records.observed[OUTCOME], made, 0.0)},
        observed=records.observed,
        covariates=records.covariates,
        groups=records.groups,
    )
    found = Laplace(objective="ml").maximise(marginal, data, key=KEY)
    score = (found.vector - np.asarray(typical)) / np.sqrt(np.diag(found.covariance))
    assert np.abs(score).max() < 3.0
    # All together, as a chi-squared on as many degrees of freedom as there are values.
    off = found.vector - np.asarray(typical)
    assert off @ np.linalg.solve(found.covariance, off) < 35.0


@pytest.fixture(scope="module")
def results(root: Path) -> Callable[[str], dict[str, Any]]:
    folder = root / "experiments" / "references" / "results"
    return lambda name: dict(json.loads((folder / name).read_text(encoding="utf-8")))


def site_of(name: str) -> str:
    """dpm's label of a value that the reference programs call `name`."""
    if name == "correlation":
        return "subject_correlation[0,1]"
    if name == "noise_sd":
        return f"{OUTCOME}_sd"
    return f"{OUTCOME}_{name}".replace("_edema", "_edema_score")


def test_maximum_likelihood_is_that_of_nlme(
    marginal: Marginal, records: Records, results: Callable[[str], dict[str, Any]]
) -> None:
    reference = results("nlme_pbc.json")["d_placebo"]
    found = Laplace(objective="ml").maximise(marginal, records, key=KEY)
    assert found.log_likelihood == pytest.approx(reference["loglik"], abs=1e-5)
    assert len(reference["parameters"]) == 2 + 2 * len(COVARIATES) + 4
    for name, value in reference["parameters"].items():
        estimate, se = found.estimates.loc[site_of(name)]
        assert estimate == pytest.approx(value["estimate"], abs=0.002 * se), name


def values_of(draws: Draws, name: str) -> np.ndarray:
    if name == "correlation":
        return draws.sites["subject_correlation"][..., 0, 1]
    return draws.sites[site_of(name)]


@pytest.mark.slow
def test_posterior_is_that_of_stan(
    model: ProgressionModel, records: Records, results: Callable[[str], dict[str, Any]]
) -> None:
    reference = results("stan_placebo.json")
    assert reference["passed"]
    draws = NUTS(warmup=300, draws=2500, progress=False).run(model, records, key=KEY)
    assert not draws.stats["diverging"].any()
    for name, stan in reference["parameters"].items():
        own = values_of(draws, name)
        assert own.mean() == pytest.approx(stan["mean"], abs=0.1 * stan["sd"]), name
        assert own.std() == pytest.approx(stan["sd"], rel=0.1), name
