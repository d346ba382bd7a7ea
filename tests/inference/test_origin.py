"""Where a spread's coordinate bends, against a posterior that is known."""

import jax
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from scipy.stats import norm

from dpm.cohort import Records
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace, Optimum
from dpm.inference.marginal import Marginal
from dpm.inference.origin import _lopsided, _marginal, origins
from dpm.inference.surface import Surface

from .examples import records

KEY = jax.random.key(4)
NOISE = 2.0
"""Of the mean of a child's four values; their own spread about it is of the same size."""


def spread_of_means(data: Records) -> None:
    mean = numpyro.sample("mean", dist.Normal(24.0, 5.0))
    spread = numpyro.sample("spread", dist.HalfNormal(8.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        numpyro.sample("distance", dist.Normal(mean + spread * z, NOISE), obs=data.values["distance"].mean(axis=0))


@pytest.fixture(scope="module")
def fitted() -> tuple[Surface, Optimum]:
    data = records("orthodont")
    marginal = Marginal(Hierarchy.of(spread_of_means, data))
    optimum = Laplace().maximise(marginal, data, key=KEY)
    return Surface(marginal, data, prior=True, coordinates=optimum.coordinates), optimum


def exact(log_spread: np.ndarray) -> np.ndarray:
    r"""$\log p(\log s \mid y)$ up to a constant: means are $N(\mu, s^2 + \sigma^2)$, and $\mu$ is integrated out."""
    y = np.asarray(records("orthodont").values["distance"]).mean(axis=0)
    v = np.exp(2.0 * log_spread) + NOISE**2
    precision = y.size / v + 1.0 / 25.0
    best = (y.sum() / v + 24.0 / 25.0) / precision
    rest = (y**2).sum() / v + 24.0**2 / 25.0 - precision * best**2
    log_density = -0.5 * (y.size * np.log(v) + np.log(precision) + rest)
    return log_density + norm.logpdf(np.exp(log_spread), scale=8.0) + log_spread


def test_the_marginal_of_a_spread(fitted: tuple[Surface, Optimum]) -> None:
    """All that is integrated out is normal given the spread, so that Laplace's approximation is exact."""
    surface, optimum = fitted
    k = surface.marginal.hierarchy.population_names().index("spread")
    curve = _marginal(surface, optimum, k)
    assert curve is not None
    grid, log_density = curve
    known = exact(optimum.vector[k] + np.sqrt(optimum.covariance[k, k]) * grid)
    seen = (grid > -3.0) & (grid < 3.0)
    np.testing.assert_allclose((log_density - log_density.max())[seen], (known - known.max())[seen], atol=0.05)


def test_the_bend_evens_a_posterior_out(fitted: tuple[Surface, Optimum]) -> None:
    """Children differ hardly more than by the noise; along the usual coordinate the posterior leans, here not."""
    surface, optimum = fitted
    hierarchy = surface.marginal.hierarchy
    k = hierarchy.population_names().index("spread")
    found, usual = origins(surface, optimum), np.asarray(hierarchy.prior_centre())
    assert found[1 - k] == usual[1 - k]
    logs = np.linspace(-9.0, 2.5, 2000)
    known = exact(logs)
    assert _lopsided(logs - usual[k], known) > 0.5
    assert _lopsided(logs - found[k], known) < 0.25
    assert found[k] < usual[k]


def test_a_place_that_cannot_be_computed_has_no_height(
    fitted: tuple[Surface, Optimum], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The origin is then told by the other places, or stays where it was."""
    surface, optimum = fitted
    whole, end = surface.slope, optimum.point[1] - 2.0 * np.sqrt(optimum.covariance[1, 1])
    monkeypatch.setattr(surface, "slope", lambda point: whole(point) if point[1] > end else np.full(2, np.nan))
    curve = _marginal(surface, optimum, 1)
    assert curve is not None and np.all(np.isfinite(curve[1]))
    monkeypatch.setattr(surface, "slope", lambda point: np.full(2, np.nan))
    assert _marginal(surface, optimum, 1) is None
    np.testing.assert_array_equal(origins(surface, optimum), surface.marginal.hierarchy.prior_centre())
