"""The gradient of the marginal likelihood is exact: central differences agree to 1e-6, for every model and level."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.inference.conditional import Density
from dpm.inference.marginal import Level
from dpm.inference.slope import laplace_slope
from dpm.types import Array, PerSubject

from .examples import EXAMPLES, evaluate, hierarchy, marginal, records, vector

NODES = {"focei": 1, "laplace": 1, "quadrature": 15, "qmc": 64}
TWINS = {"wang_additive", "separate_effects", "unbounded_effect"}  # of a model whose every level is tested
NOT_NORMAL = {"poisson"}  # outcomes without a Gauss-Newton Hessian
HEAVY = {("theophylline", "qmc"), ("orthodont", "qmc")}  # the same code as quadrature, on the models slowest to compile


def cases() -> Iterator[Any]:
    for name in EXAMPLES:
        for level in NODES:
            if (name in TWINS and level != "laplace") or (name in NOT_NORMAL and level == "focei"):
                continue
            yield pytest.param(name, level, marks=[pytest.mark.slow] if (name, level) in HEAVY else [])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "level"), list(cases()))
def test_gradient_equals_central_differences(name: str, level: Level) -> None:
    prepared = marginal(name, level, NODES[level] if name == "theophylline" or level != "quadrature" else 5)
    at, data = vector(name), records(name)
    _, exact = evaluate(prepared, at, data)
    scale = np.maximum(1.0, np.abs(np.asarray(at)))
    numerical = np.empty(at.size)
    for k in range(at.size):
        move = np.zeros(at.size)
        move[k] = 2e-3 * scale[k]
        ahead, behind, far, back = (evaluate(prepared, at + c * move, data)[0] for c in (1.0, -1.0, 2.0, -2.0))
        numerical[k] = (8.0 * (ahead - behind) - (far - back)) / (12.0 * move[k])  # error of order step^4
    np.testing.assert_allclose(exact, numerical, rtol=1e-6, atol=1e-7 * np.abs(exact).max())


@pytest.mark.parametrize("name", ["wang_proportional", "orange", "poisson", "joint_effects", "positive_effect"])
def test_the_gradient_written_out_is_the_gradient_differentiated(name: str) -> None:
    """Two routes to the same derivative: Laplace's own formula, and reverse mode through an implicit mode."""
    prepared, at, data = marginal(name, "laplace", 1), vector(name), records(name)
    value, written = evaluate(prepared, at, data)
    total, differentiated = jax.jit(jax.value_and_grad(lambda v: jnp.sum(prepared.log_marginal(v, data)[0])))(at)
    assert value == pytest.approx(float(total), rel=1e-12)
    np.testing.assert_allclose(written, differentiated, rtol=1e-8, atol=1e-9 * np.abs(written).max())


def test_what_a_search_has_left_counts_to_the_second_order() -> None:
    """The value beside the mode is that at the mode: ten times nearer, its error is a hundredth."""
    prepared, at, data = marginal("poisson", "laplace", 1), vector("poisson"), records("poisson")
    modes, everybody = prepared.modes(at, data).effects, jnp.ones(data.n_subjects, bool)

    def density(vector: Array) -> Density:
        return prepared.density(hierarchy("poisson").constrain(vector), data)

    def value(away: float) -> PerSubject:
        return laplace_slope(density, at, modes + away, everybody)[0]

    near, far = (float(jnp.abs(value(away) - value(0.0)).max()) for away in (1e-4, 1e-3))
    assert far / near == pytest.approx(100.0, rel=0.05)
