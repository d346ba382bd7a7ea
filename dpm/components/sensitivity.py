"""Solutions of differential equations whose derivatives of any order are solved for beside them, forward in time."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import diffrax
import jax
from jax import numpy as jnp
from jax.custom_derivatives import SymbolicZero
from optimistix import rms_norm

from dpm.types import Array, Float

State = Float[Array, " state"]
Vector = Float[Array, " value"]
Times = Float[Array, " time"]
Orders = tuple[Array, ...]
"""A state, its first derivatives by a vector of values (one more axis), the second (two more), and so on."""

Rate = Callable[[Array, State, Vector], State]
Start = Callable[[Vector], State]


def solution(
    rate: Rate,
    start: Start,
    *,
    begin: float,
    step: float | None,
    steps: diffrax.AbstractStepSizeController[Any, Any],
    most_steps: int,
) -> Callable[[Vector, Times], Float[Array, "time state"]]:
    r"""$y(t; \theta)$ of $y' = f(t, y, \theta)$, $y(t_0) = s(\theta)$, as a function of $\theta$ and of times.

    $k$-th derivatives by $\theta$ are the solutions of the equations that differentiating $f$ yields, with $y$ and all
    lower ones in one call of the solver, at the steps that $y$ alone asks for: a value does not depend on the
    derivatives wanted, and these are those of the solver's own arithmetic at these steps. Reverse mode only ever
    multiplies by them. By a time they are $f$ itself. Solving backward through the solver's loop instead, at the three
    orders of a marginal likelihood, is minutes of tracing.

    Args:
        rate: $f$, a pure function of one time, one state and $\theta$.
        start: $s$.
        begin: $t_0$.
        step: the first step, or None for the controller's choice.
        steps: how they are chosen, where by an error by that of `size`.
        most_steps: after which the solution is not a number.

    Returns:
        a function of $\theta$ and increasing times beyond `begin` whose value is the state at each.
    """

    def base(orders: Orders, vector: Vector, time: Array) -> Callable[[Vector], State]:
        return lambda move: rate(time, _expanded(orders, move), vector + move)

    def rates(time: Array, orders: Orders, vector: Vector) -> Orders:
        return _derivatives(base(orders, vector, time), jnp.zeros_like(vector), len(orders) - 1)

    def solved(order: int, vector: Vector, times: Times) -> Orders:
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda time, orders, each: rates(jnp.asarray(time), orders, each)),
            diffrax.Tsit5(),
            begin,
            times[-1],
            step,
            _derivatives(start, vector, order),
            args=vector,
            saveat=diffrax.SaveAt(ts=times),
            stepsize_controller=steps,
            adjoint=diffrax.ForwardMode(),
            max_steps=most_steps,
            throw=False,
        )
        succeeded = found.result == diffrax.RESULTS.successful
        return jax.tree_util.tree_map(lambda values: jnp.where(succeeded, values, jnp.nan), found.ys)

    def known(order: int) -> Callable[[Vector, Times], Orders]:
        @jax.custom_jvp
        def states(vector: Vector, times: Times) -> Orders:
            return solved(order, vector, times)

        @partial(states.defjvp, symbolic_zeros=True)
        def moved(primals: tuple[Vector, Times], tangents: tuple[Any, Any]) -> tuple[Orders, Orders]:
            (vector, times), (of_vector, of_times) = primals, tangents
            orders = known(order + 1)(vector, times)
            moves = [jnp.zeros_like(each) for each in orders[:-1]]
            if not isinstance(of_vector, SymbolicZero):
                moves = [each @ of_vector for each in orders[1:]]
            if not isinstance(of_times, SymbolicZero):
                slopes = jax.vmap(rates, in_axes=(0, 0, None))(times, orders[:-1], vector)
                later = [jnp.expand_dims(of_times, range(1, each.ndim)) * each for each in slopes]
                moves = [a + b for a, b in zip(moves, later, strict=True)]
            return orders[:-1], tuple(moves)

        return states

    return lambda vector, times: known(0)(vector, times)[0]


def size(error: Orders) -> Array:
    """Root mean square of a state's own part: what its derivatives add does not choose steps."""
    return rms_norm(error[0])


def _derivatives(function: Callable[[Vector], State], at: Vector, order: int) -> Orders:
    """Value and derivatives up to an order, each from the last by forward mode."""
    if not order:
        return (function(at),)

    def lower(where: Vector) -> tuple[Array, Orders]:
        each = _derivatives(function, where, order - 1)
        return each[-1], each

    highest, each = jax.jacfwd(lower, has_aux=True)(at)
    return (*each, highest)


def _expanded(orders: Orders, move: Vector) -> State:
    """Taylor's polynomial of a state, a move of the values away."""
    total = orders[0]
    for order, term in enumerate(orders[1:], start=1):
        each = term
        for _ in range(order):
            each = each @ move
        total = total + each / math.factorial(order)
    return total
