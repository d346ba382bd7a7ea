"""Profile likelihood and sandwich errors against what they are in closed form."""

import jax
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from scipy.optimize import brentq
from scipy.stats import chi2

from dpm.cohort import Records
from dpm.errors import InferenceError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace, Optimum
from dpm.inference.marginal import Marginal
from dpm.inference.profile import profile
from dpm.inference.surface import Surface

from .examples import records

KEY = jax.random.key(3)


def straight(data: Records) -> None:
    """A line for everybody, independent errors; in twenty-seven children, so that subjects are clusters."""
    level = numpyro.sample("level", dist.Normal(17.0, 5.0))
    slope = numpyro.sample("slope", dist.Normal(0.7, 1.0))
    sd = numpyro.sample("sd", dist.HalfNormal(3.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1), numpyro.plate("visit", data.time.shape[0], dim=-2):
        numpyro.sample("distance", dist.Normal(level + slope * data.time, sd), obs=data.values["distance"])


def with_shares(data: Records) -> None:
    """`straight`, and shares of which nothing depends."""
    numpyro.sample("shares", dist.Dirichlet(np.full(3, 5.0)))
    straight(data)


def design() -> tuple[np.ndarray, np.ndarray]:
    """Per child, the design of its values and they themselves."""
    data = records("orthodont")
    time = np.asarray(data.time).T
    return np.stack([np.ones_like(time), time], axis=-1), np.asarray(data.values["distance"]).T


def surface() -> Surface:
    data = records("orthodont")
    return Surface(Marginal(Hierarchy.of(straight, data)), data, prior=False)


@pytest.fixture(scope="module")
def optimum() -> Optimum:
    whole = surface()
    return Laplace(objective="ml").maximise(whole.marginal, whole.data, key=KEY)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_limits_of_a_residual_sd(optimum: Optimum, level: float) -> None:
    r"""Of $n$ residuals with squares $S$, $2(\hat\ell - \ell(\sigma)) = n(\log r - 1 + 1/r)$, $r = n\sigma^2/S$."""
    x, y = design()
    x, y = x.reshape(-1, 2), y.ravel()
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    n, best = y.size, np.sqrt(residual @ residual / y.size)

    def excess(sd: float) -> float:
        r = (sd / best) ** 2
        return n * (np.log(r) - 1.0 + 1.0 / r) - chi2.ppf(level, 1)

    found = profile(surface(), optimum, "sd", level=level)
    assert found.estimate == pytest.approx(best, rel=1e-6)
    assert found.lower == pytest.approx(brentq(excess, 0.3 * best, best), rel=1e-5)
    assert found.upper == pytest.approx(brentq(excess, best, 3.0 * best), rel=1e-5)
    assert found.upper - found.estimate > 1.02 * (found.estimate - found.lower)
    assert found.table["value"].is_monotonic_increasing and found.table["root"].is_monotonic_increasing


def test_the_limits_of_a_slope(optimum: Optimum) -> None:
    r"""$2(\hat\ell - \ell(\beta)) = n \log(1 + (\beta - \hat\beta)^2 / (v S))$, $v$ the slope's in $(X'X)^{-1}$."""
    x, y = design()
    x, y = x.reshape(-1, 2), y.ravel()
    beta = np.linalg.lstsq(x, y, rcond=None)[0]
    squares = float((y - x @ beta) @ (y - x @ beta))
    half = np.sqrt((np.exp(chi2.ppf(0.95, 1) / y.size) - 1.0) * squares * np.linalg.inv(x.T @ x)[1, 1])
    found = profile(surface(), optimum, "slope")
    np.testing.assert_allclose([found.lower, found.upper], beta[1] + half * np.array([-1.0, 1.0]), rtol=1e-5)


def test_what_cannot_be_profiled(optimum: Optimum) -> None:
    with pytest.raises(InferenceError, match="a population site: level, slope, sd, got 'slop'"):
        profile(surface(), optimum, "slop")
    with pytest.raises(InferenceError, match="an element from 0 to 0, got 1"):
        profile(surface(), optimum, "sd", element=1)
    data = records("orthodont")
    bound = Surface(Marginal(Hierarchy.of(with_shares, data)), data, prior=True)
    with pytest.raises(InferenceError, match="values bind each other"):
        profile(bound, optimum, "shares")


def stretched(data: Records) -> None:
    """A line through a known level, whose slope is a product."""
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    level = numpyro.sample("level", dist.Normal(0.0, 1.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1), numpyro.plate("visit", data.time.shape[0], dim=-2):
        numpyro.sample("distance", dist.Normal(17.0 + spread * level * data.time, 2.0), obs=data.values["distance"])


def test_a_level_has_no_profile_under_a_prior() -> None:
    data = records("orthodont")
    marginal = Marginal(Hierarchy.of(stretched, data))
    found = Laplace().maximise(marginal, data, key=KEY)
    product = Surface(marginal, data, prior=True, coordinates=found.coordinates)
    with pytest.raises(InferenceError, match=r"one that a spread multiplies.*\nProfile the spread"):
        profile(product, found, "level")


def test_a_sandwich_by_hand() -> None:
    r"""Of a line, $(X'X)^{-1} \sum_i X_i' e_i e_i' X_i (X'X)^{-1}$: alike values of a child."""
    whole = surface()
    found = Laplace(objective="ml", errors="sandwich").maximise(whole.marginal, whole.data, key=KEY)
    naive = Laplace(objective="ml").maximise(whole.marginal, whole.data, key=KEY)
    x, y = design()
    flat = x.reshape(-1, 2)
    beta = np.linalg.lstsq(flat, y.ravel(), rcond=None)[0]
    scores = np.einsum("ijk,ij->ik", x, y - x @ beta)
    bread = np.linalg.inv(flat.T @ flat)
    np.testing.assert_allclose(found.covariance[:2, :2], bread @ scores.T @ scores @ bread, rtol=1e-4)
    np.testing.assert_allclose(
        found.estimates["se"][["level", "slope"]], np.sqrt(np.diag(found.covariance)[:2]), rtol=1e-6
    )
    assert naive.estimates["se"]["slope"] > 1.2 * found.estimates["se"]["slope"]  # a child is its own comparison


def test_weighted_draws_have_no_sandwich() -> None:
    with pytest.raises(InferenceError, match='expected errors="hessian"'):
        Laplace(errors="sandwich", importance=100).run(straight, records("orthodont"), key=KEY)
