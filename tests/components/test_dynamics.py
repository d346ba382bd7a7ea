"""Courses that are solutions of differential equations: closed forms of them and of their derivatives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import diffrax
import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.components.dynamics import Dynamics
from dpm.components.parameter import Parameter
from dpm.errors import ModelError
from dpm.types import Array

P = Parameter(0.0)


@dataclass(frozen=True, kw_only=True)
class Logistic(Dynamics):
    """$y' = r y (1 - y)$, from a half at `begin`."""

    rate_: Parameter

    begin = 1.0
    equation = r"y' = \mathrm{rate\_}\,y\,(1 - y)"

    def initial(self, **values: Any) -> Array:
        return jnp.array([0.5])

    def rate(self, time: Array, state: Array, *, rate_: Array) -> Array:
        return rate_ * state * (1.0 - state)


@dataclass(frozen=True, kw_only=True)
class Stepped(Logistic):
    """The same by steps of one length."""

    step: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Dosed(Dynamics):
    """$y' = u(t) - k y$ with an input of one until time 2 and none after it."""

    loss: Parameter

    jumps = (2.0,)
    equation = r"y' = u(t) - \mathrm{loss}\,y"

    def initial(self, **values: Any) -> Array:
        return jnp.zeros(1)

    def rate(self, time: Array, state: Array, *, loss: Array) -> Array:
        return jnp.where(time < 2.0, 1.0, 0.0) - loss * state


@dataclass(frozen=True, kw_only=True)
class SteppedDose(Dosed):
    """The same by steps of one length, which miss the jump."""

    step = 0.1


def test_equations_agree_with_their_closed_forms() -> None:
    """At unsorted, repeated and early times, subject by subject; an input that jumps; and the derivative."""
    time = jnp.array([[3.0, 1.0], [0.0, 4.0], [3.0, 2.0], [6.0, 0.0]])
    rate = jnp.array([0.8, 1.5])
    after = np.maximum(np.asarray(time) - 1.0, 0.0)
    closed = 1.0 / (1.0 + np.exp(-np.asarray(rate) * after))
    solve = jax.jit(lambda r: Logistic(rate_=P).curve(time, rate_=r))
    np.testing.assert_allclose(solve(rate), closed, atol=1e-6)
    with pytest.raises(ModelError, match="rate_: expected one value per subject, got one at each visit"):
        Logistic(rate_=P).curve(time, rate_=jnp.ones((4, 2)))
    loss = np.array([0.5, 1.0])
    t = np.asarray(time)
    up = (1.0 - np.exp(-loss * np.minimum(t, 2.0))) / loss
    dosed = jax.jit(lambda k: Dosed(loss=P).curve(time, loss=k))(jnp.asarray(loss))
    np.testing.assert_allclose(dosed, up * np.exp(-loss * np.maximum(t - 2.0, 0.0)), atol=1e-6)


@dataclass(frozen=True, kw_only=True)
class Settled(Dynamics):
    r"""$y' = s - k y^2$ from rest, $y(0) = \sqrt{s / k}$, with a supply that is a table and doubles by time 1."""

    supply: Parameter
    loss: Parameter

    equation = r"y' = \mathrm{supply} - \mathrm{loss}\,y^2"

    def initial(self, **values: Any) -> Array:
        return self.at_rest(jnp.ones(1), **values)

    def rate(self, time: Array, state: Array, *, supply: Array, loss: Array) -> Array:
        table = diffrax.LinearInterpolation(jnp.array([0.0, 1.0, 50.0]), jnp.array([1.0, 2.0, 2.0]))
        return supply * table.evaluate(time) - loss * state**2


def test_rest_and_a_table_as_input() -> None:
    """At the beginning and long after, both at rest; and the derivatives of the root, which Newton's steps hide."""
    time = jnp.array([[0.0, 0.0], [40.0, 40.0]])
    values = {"supply": jnp.array([2.0, 3.0]), "loss": jnp.array([0.5, 0.7])}
    curve = jax.jit(lambda each: Settled(supply=P, loss=P).curve(time, **each))(values)
    root = np.sqrt(np.asarray(values["supply"]) / np.asarray(values["loss"]))
    np.testing.assert_allclose(curve, [root, np.sqrt(2.0) * root], atol=1e-6)

    def rest(supply: Array) -> Array:
        return Settled(supply=P, loss=P).at_rest(jnp.ones(1), supply=supply, loss=0.5)[0]

    assert float(jax.grad(rest)(2.0)) == pytest.approx(0.5 / np.sqrt(2.0 * 0.5), rel=1e-8)
    assert float(jax.grad(jax.grad(rest))(2.0)) == pytest.approx(-0.25 * 2.0**-1.5 / np.sqrt(0.5), rel=1e-6)
    assert np.isnan(rest(jnp.asarray(-1.0)))


def test_steps_of_one_length() -> None:
    """The same course as by adaptive steps, the closer the shorter they are."""
    time, rate = jnp.array([[3.0, 1.0], [6.0, 4.0]]), jnp.array([0.8, 1.5])
    closed = 1.0 / (1.0 + np.exp(-np.asarray(rate) * np.maximum(np.asarray(time) - 1.0, 0.0)))
    errors = [
        np.abs(np.asarray(jax.jit(lambda r, h=h: Stepped(rate_=P, step=h).curve(time, rate_=r))(rate)) - closed).max()
        for h in (2.0, 0.1)
    ]
    assert errors[1] < 1e-6
    assert errors[1] < errors[0] / 100
    with pytest.raises(ModelError, match="jumps: expected none with steps of one length"):
        SteppedDose(loss=P).curve(time, loss=rate)


# Derivatives ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Chain(Dynamics):
    """$x' = -a x$, $y' = a x - b y$, from $(d, 0)$; $\\log(1 + y)$ is seen."""

    dose: Parameter
    gain: Parameter
    loss: Parameter

    equation = r"x' = -\mathrm{gain}\,x,\; y' = \mathrm{gain}\,x - \mathrm{loss}\,y"

    def initial(self, *, dose: Array, **values: Any) -> Array:
        return jnp.array([dose, 0.0])

    def rate(self, time: Array, state: Array, *, gain: Array, loss: Array, **values: Any) -> Array:
        return jnp.array([-gain * state[0], gain * state[0] - loss * state[1]])

    def readout(self, state: Array, **values: Any) -> Array:
        return jnp.log1p(state[1])


@dataclass(frozen=True, kw_only=True)
class SteppedChain(Chain):
    """The same by steps of one length."""

    step = 0.02


def chain(point: Array) -> Array:
    """Bateman's solution; `point` is dose, gain, loss and a time."""
    dose, gain, loss, time = point
    return jnp.log1p(dose * gain / (loss - gain) * (jnp.exp(-gain * time) - jnp.exp(-loss * time)))


def solved(point: Array, kind: type[Chain] = Chain) -> Array:
    dose, gain, loss, time = point
    return kind(dose=P, gain=P, loss=P).curve(time[None, None], dose=dose[None], gain=gain[None], loss=loss[None])[0, 0]


POINT = jnp.array([2.0, 0.8, 0.3, 2.5])


def third(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """As the gradient of a marginal likelihood takes them: reverse of forward of forward."""
    return jax.jacrev(jax.jacfwd(jax.jacfwd(function)))


def test_derivatives_by_values_and_time_agree_with_those_of_the_closed_form() -> None:
    """And the value does not depend on those wanted, since the state alone chooses the steps."""
    alone = jax.jit(solved)(POINT)
    value, slope, highest = jax.jit(lambda at: (solved(at), jax.grad(solved)(at), third(solved)(at)))(POINT)
    assert float(value) == pytest.approx(float(alone), rel=1e-14)
    np.testing.assert_allclose(slope, jax.grad(chain)(POINT), atol=1e-7)
    np.testing.assert_allclose(highest, third(chain)(POINT), atol=2e-6)


@pytest.mark.slow
def test_derivatives_by_steps_of_one_length() -> None:
    found = jax.jit(third(lambda at: solved(at, SteppedChain)))(POINT)
    np.testing.assert_allclose(found, third(chain)(POINT), atol=2e-6)
