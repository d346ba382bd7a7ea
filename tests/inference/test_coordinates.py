"""Coordinates of levels of groups: changes of variables, closed forms, and the mode of a spread of few levels."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest
from arviz_stats.base.array import array_stats
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy.optimize import minimize_scalar
from scipy.stats import multivariate_normal, norm

import dpm
from dpm.cohort.outcome_role import OutcomeRole
from dpm.errors import InferenceError
from dpm.inference import climb as climbing
from dpm.inference.coordinates import Coordinates
from dpm.inference.faults import Fault
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.inference.products import products
from dpm.inference.surface import Surface
from dpm.inference.whitening import Whitening

KEY = jax.random.key(2)
OMEGA, SIGMA, TIMES = 0.7, 0.4, (0.0, 1.0, 2.0)
SITES = ("a", "b", "c", "d")


def model(**level: object) -> dpm.ProgressionModel:
    """Of a level alone: the spread of sites and their levels are all there is to learn, unless more is given."""
    parameter = dpm.Parameter(level.pop("typical", 0.0), subject=OMEGA, groups={"site": dist.HalfNormal(1.0)}, **level)
    outcome = dpm.Outcome(dpm.Linear(level=parameter, slope=dpm.Parameter(0.0)), dpm.Gaussian(sd=SIGMA))
    return dpm.ProgressionModel(outcomes={"y": outcome})


SMALL = model()


@pytest.fixture(scope="module")
def cohort() -> dpm.Cohort:
    design = dpm.Design(
        n=40,
        times=TIMES,
        outcomes={"y": OutcomeRole(column="y", label="a marker", unit="1", higher_is="worse")},
        covariates={"x": dist.Normal(0.0, 1.0)},
        groups={"site": SITES},
    )
    values = {"y_level_site": [0.6, -1.2, 0.9, -0.3], "y_level_site_sd": 0.4}
    return design.simulate(SMALL, values, key=KEY, n=40)


def log_spread_density(cohort: dpm.Cohort, log_spread: float) -> float:
    r"""Up to a constant, $\log p(\log s \mid y)$: subjects' means are normal with levels that sum to zero inside."""
    records = cohort.records()
    means, member = np.asarray(records.values["y"]).mean(axis=0), np.asarray(records.groups["site"]).T
    within = np.eye(means.size) * (OMEGA**2 + SIGMA**2 / len(TIMES))
    centred = member @ (np.eye(len(SITES)) - 1.0 / len(SITES))
    spread = np.exp(log_spread)
    covariance = within + spread**2 * centred @ centred.T
    return float(multivariate_normal.logpdf(means, cov=covariance) + norm.logpdf(spread) + log_spread)


def test_they_are_a_change_of_variables() -> None:
    """There and back, and the volume is the determinant; the spread is bent, and multiplies two values."""
    found = Coordinates(
        bends=np.array([False, True, False, False]),
        origin=np.array([9.0, 0.4, 9.0, 9.0]),
        scaled=np.array([True, False, False, True]),
        spread=np.array([1, 0, 0, 1]),
        known=np.array([5.0, 0.0, 0.0, 0.3]),
        pull=np.array([2.0, 0.0, 0.0, -0.4]),
    )
    for x in np.random.default_rng(1).normal(size=(5, 4)):
        vector, volume = found.values(jnp.asarray(x))
        np.testing.assert_allclose(found.of(np.asarray(vector)), x, rtol=1e-10)
        sign, determinant = jnp.linalg.slogdet(jax.jacfwd(lambda at: found.values(at)[0])(jnp.asarray(x)))
        assert float(sign) == 1.0
        assert float(volume) == pytest.approx(float(determinant), abs=1e-12)
    stack = np.random.default_rng(2).normal(size=(3, 4))
    np.testing.assert_allclose(found.of(stack)[1], found.of(stack[1]))


def test_an_information_follows_to_coordinates() -> None:
    """Against the second derivative of a density of the coordinates, of which that by population values is known."""
    root = np.random.default_rng(3).normal(size=(4, 4))
    inverse, centre = root @ root.T + np.eye(4), np.array([0.3, -0.7, -0.5, 0.2])
    at = np.array([0.5, -1.0, -0.8, 0.4])
    coordinates = Coordinates.around(at, np.linalg.inv(inverse), {0: 2, 1: 2})
    x = coordinates.of(at)

    def negative(point: jax.Array) -> jax.Array:
        vector, volume = coordinates.values(point)
        return 0.5 * (vector - centre) @ inverse @ (vector - centre) - volume

    found = coordinates.information(x, inverse, inverse @ (at - centre))
    np.testing.assert_allclose(found, jax.hessian(negative)(jnp.asarray(x)), rtol=1e-10, atol=1e-12)


def test_plain_ones_change_nothing() -> None:
    plain, x = Coordinates.plain(3), jnp.array([1.0, -2.0, 0.5])
    np.testing.assert_array_equal(plain.values(x)[0], x)
    assert float(plain.values(x)[1]) == 0.0
    assert plain.is_plain


def test_a_level_is_a_standard_normal_whatever_its_spread() -> None:
    r"""Of $g \sim N(0, 1)$ and $\hat\gamma \sim N(s g, 1/I)$, told by the covariance at one spread alone."""
    information, estimate, at = 7.0, 0.8, 0.5
    precision = 1.0 + information * at**2
    vector = np.array([at * information * estimate / precision, np.log(at)])
    found = Coordinates.around(vector, np.diag([1.0 / precision, 0.1]), {0: 1})
    assert found.known[0] == pytest.approx(information)
    assert found.pull[0] == pytest.approx(information * estimate)

    def excess(x: float, log_spread: float) -> float:
        values, volume = found.values(jnp.array([x, log_spread]))
        level, spread = float(values[0]), np.exp(log_spread)
        log_density = norm.logpdf(level) + norm.logpdf(estimate, spread * level, information**-0.5)
        return float(log_density + volume - norm.logpdf(x))

    for log_spread in (-4.0, -1.0, 0.0, 2.0):
        each = [excess(x, log_spread) for x in (-2.0, 0.0, 1.0)]
        np.testing.assert_allclose(each, each[0], atol=1e-10)


def test_which_values_a_spread_multiplies(cohort: dpm.Cohort) -> None:
    """Levels of a site, and not a coefficient whose prior looks the same."""
    whole = model(typical=dist.Normal(0.0, 1.0), effects={"x": dist.Normal(0.0, 1.0)})
    split = Hierarchy.of(whole, cohort.records())
    names = split.population_names()
    found = {names[value]: names[spread] for value, spread in products(split, cohort.records()).items()}
    assert found == {f"y_level_site[{k}]": "y_level_site_sd" for k in range(3)}


def test_it_does_not_depend_on_who_is_in_the_largest_bucket() -> None:
    """A site acts on a slope alone, and most subjects have but one visit, at time zero."""
    slope = dpm.Parameter(0.0, groups={"site": dist.HalfNormal(1.0)})
    outcome = dpm.Outcome(dpm.Linear(level=dpm.Parameter(0.0, subject=OMEGA), slope=slope), dpm.Gaussian(sd=SIGMA))
    steep = dpm.ProgressionModel(outcomes={"y": outcome})
    design = dpm.Design(
        n=24,
        times=TIMES,
        outcomes={"y": OutcomeRole(column="y", label="a marker", unit="1", higher_is="worse")},
        groups={"site": SITES},
    )
    whole = design.simulate(steep, {"y_slope_site": [0.6, -1.2, 0.9, -0.3], "y_slope_site_sd": 0.4}, key=KEY, n=24)
    once = whole.visits["subject"].isin(whole.subjects.index[np.arange(24) % 4 != 0]) & (whole.visits["time"] > 0)
    uneven = replace(whole, visits=whole.visits[~once])
    buckets = uneven.buckets(most_waste=0.01)
    assert [part.n_subjects for part in buckets.parts] == [18, 6]
    assert products(Hierarchy.of(steep, buckets), buckets) == {1: 0, 2: 0, 3: 0}
    assert products(Hierarchy.of(steep, buckets), uneven.records()) == {1: 0, 2: 0, 3: 0}


def test_levels_and_their_spread_have_no_sandwich(cohort: dpm.Cohort) -> None:
    """Scores of subjects are those of products; along a level and its spread, against each other, they are zero."""
    data = cohort.records()
    method = Laplace(errors="sandwich")
    with pytest.raises(InferenceError, match=r"got none along .*y_level_site_sd.*\nUse errors=\"hessian\""):
        method.maximise(Marginal(Hierarchy.of(SMALL, data)), data, key=KEY)


def test_the_profile_of_a_spread_is_its_marginal(cohort: dpm.Cohort) -> None:
    found = dpm.profile_likelihood(SMALL, cohort, "y_level_site_sd", method=Laplace(), key=KEY)
    height = np.array([log_spread_density(cohort, np.log(at)) for at in found.table["value"]])
    top = log_spread_density(cohort, np.log(found.estimate))
    np.testing.assert_allclose(top - height, found.table["fall"], atol=0.02)
    assert height[0] < top - 1.9 and height[-1] < top - 1.9


def test_the_mode_of_a_spread_is_that_with_its_levels_integrated_out(cohort: dpm.Cohort) -> None:
    """Close to the exact marginal's, from which the joint mode of spread and levels lies half as far again."""
    data = cohort.records()
    marginal = Marginal(Hierarchy.of(SMALL, data))
    place = marginal.hierarchy.population_names().index("y_level_site_sd")
    exact = minimize_scalar(lambda at: -log_spread_density(cohort, at), bounds=(-4.0, 2.0), method="bounded")
    optimum = Laplace().maximise(marginal, data, key=KEY)
    assert np.exp(optimum.vector[place]) == pytest.approx(np.exp(exact.x), rel=0.02)
    plain = Surface(marginal, data, prior=True)
    plain.begin_at(optimum.effects)
    joint = Laplace(objective="map")._climbed(plain, key=KEY).point
    assert np.exp(joint[place]) > 1.3 * np.exp(exact.x)


def test_a_joint_maximum_that_is_kept_is_told(cohort: dpm.Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the climb in the coordinates of levels leads nowhere; not where it does."""
    method = Laplace(objective="map", draws=10)
    climbed = climbing.climb

    def not_in_coordinates(surface: Surface, *rest: Any) -> climbing.Summit | Fault:
        return climbed(surface, *rest) if surface.coordinates.is_plain else Fault("lost")

    assert "notes" not in method.run(SMALL, cohort.records(), key=KEY).facts
    monkeypatch.setattr("dpm.inference.laplace.climb", not_in_coordinates)
    (note,) = method.run(SMALL, cohort.records(), key=KEY).facts["notes"]
    assert "y_level_site_sd is the joint maximum" in note


def test_a_ridge_that_curves_downwards_is_left(cohort: dpm.Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first search that ends early on the ridge of a spread and its levels, where the information is not positive."""
    data = cohort.records()
    marginal = Marginal(Hierarchy.of(SMALL, data))
    start, unit = np.asarray(marginal.hierarchy.prior_centre()), np.ones(marginal.hierarchy.n_population)
    best, least = climbing.climb(Surface(marginal, data, prior=True), start, 1e-10, unit), []
    upright = climbing._upright

    def seen(information: np.ndarray) -> np.ndarray | None:
        least.append(climbing.flattest(information)[0])
        return upright(information)

    monkeypatch.setattr(climbing, "SETTLED", 0.03)
    monkeypatch.setattr(climbing, "_upright", seen)
    found = climbing.climb(Surface(marginal, data, prior=True), start, 1e-10, unit)
    assert least[0] < 0.0
    assert isinstance(best, climbing.Summit) and isinstance(found, climbing.Summit)
    np.testing.assert_allclose(found.point, best.point, atol=1e-5)


@pytest.mark.slow
def test_draws_follow_the_exact_posterior_of_a_spread(cohort: dpm.Cohort) -> None:
    """No divergence, and nearly independent draws: neither the funnel of levels nor zero is in the sampler's way."""
    grid = np.linspace(-6.0, 2.5, 4001)
    density = np.exp([log_spread_density(cohort, at) for at in grid])
    weight = density / density.sum()
    mean = weight @ np.exp(grid)
    sd = np.sqrt(weight @ (np.exp(grid) - mean) ** 2)
    method = dpm.MarginalNUTS(chains=2, warmup=200, draws=1000, progress=False)
    posterior = dpm.fit(SMALL, cohort, method=method, key=KEY)
    draws = np.asarray(posterior.tree["posterior"]["y_level_site_sd"])
    effective = float(array_stats.ess(draws, method="bulk"))
    assert effective > 700
    assert draws.mean() == pytest.approx(mean, abs=4.0 * sd / effective**0.5)
    assert draws.std() == pytest.approx(sd, rel=0.15)
    assert not np.any(posterior.tree["sample_stats"]["diverging"])


def test_whitened_levels_are_placed_by_their_spread(cohort: dpm.Cohort) -> None:
    """The whitened centre is the optimum, and a whitened level moves the less the better it is known."""
    data = cohort.records()
    split = Hierarchy.of(SMALL, data)
    optimum = Laplace().maximise(Marginal(split), data, key=KEY)
    whitening = Whitening.at(split, data, optimum)
    np.testing.assert_allclose(whitening.centre, optimum.vector, rtol=1e-10)
    names = split.population_names()
    level, spread = names.index("y_level_site[0]"), names.index("y_level_site_sd")
    steps = []
    for far in (-2.0, 2.0):
        u = jnp.zeros(len(names)).at[spread].set(far)
        here, there = (whitening.population(at)[0] for at in (u, u.at[level].add(1.0)))
        steps.append(float(jnp.abs(there - here)[level]))
    assert steps[0] > 1.5 * steps[1]
