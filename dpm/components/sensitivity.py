"""Solutions of differential equations whose derivatives of any order are solved for beside them, forward in time."""

from collections.abc import Callable
from functools import partial
from itertools import combinations_with_replacement
from typing import Any

import diffrax
import jax
import numpy as np
from jax import numpy as jnp
from jax.custom_derivatives import SymbolicZero
from optimistix import rms_norm

from dpm.types import Array, Float

State = Float[Array, " state"]
Vector = Float[Array, " value"]
Times = Float[Array, " time"]
Orders = tuple[Array, ...]
"""A state, its first derivatives by a vector of values, its second ones, and so on: from the first on of shape
(state, which), where `which` runs over `_directions`."""

Flow = Callable[[State, Vector], State]


def solution(
    rate: Callable[[Array, State, Vector], State],
    start: Callable[[Vector], State],
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
    multiplies by them. By a time they are $f$ itself. Differentiating the solver's loop instead, at the three orders of
    a marginal likelihood, takes minutes of tracing.

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

    def rates(time: Array, orders: Orders, vector: Vector) -> Orders:
        return _derivatives(partial(rate, time), orders, vector)

    def solved(order: int, vector: Vector, times: Times) -> Orders:
        found = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda time, orders, each: rates(jnp.asarray(time), orders, each)),
            diffrax.Tsit5(),
            begin,
            times[-1],
            step,
            _started(start, vector, order),
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
                moves = [_along(orders[at + 1], of_vector, at) for at in range(order + 1)]
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


def _directions(values: int, order: int) -> list[tuple[int, ...]]:
    """Which values a derivative is by, each combination once."""
    return list(combinations_with_replacement(range(values), order))


def _places(values: int, order: int) -> dict[tuple[int, ...], int]:
    return {which: place for place, which in enumerate(_directions(values, order))}


def _along(next_order: Array, move: Vector, order: int) -> Array:
    """What a move of the values changes in the derivatives of an order, from those of the next."""
    places = _places(len(move), order + 1)
    index = [[places[tuple(sorted((*which, k)))] for k in range(len(move))] for which in _directions(len(move), order)]
    changed = jnp.sum(next_order[..., np.array(index)] * move, axis=-1)
    return changed if order else changed[..., 0]


def _started(start: Callable[[Vector], State], vector: Vector, order: int) -> Orders:
    state = jax.eval_shape(start, vector)
    counts = [len(_directions(len(vector), at)) for at in range(1, order + 1)]
    still = (jnp.zeros(state.shape, state.dtype), *(jnp.zeros((*state.shape, n), state.dtype) for n in counts))
    return _derivatives(lambda _, each: start(each), still, vector)


def _derivatives(flow: Flow, orders: Orders, vector: Vector) -> Orders:
    r"""Of $\theta \mapsto f(y(\theta), \theta)$, value and derivatives, from those of $y$.

    Forward mode nested as often as the order is high, every combination of directions side by side. Each derivative of
    a lower order is read off one combination, that which repeats its first direction.
    """
    order, values = len(orders) - 1, len(vector)
    if not order:
        return (flow(orders[0], vector),)
    wholes = _directions(values, order)
    units = np.eye(values)
    sides = []
    for mask in range(2**order):
        parts = [tuple(which[k] for k in range(order) if mask >> k & 1) for which in wholes]
        depth = len(parts[0])
        if depth == 0:
            sides.append((_repeated(orders[0], len(wholes)), _repeated(vector, len(wholes))))
            continue
        places = _places(values, depth)
        moves = units[:, [part[0] for part in parts]] if depth == 1 else np.zeros((values, len(wholes)))
        sides.append((orders[depth][:, np.array([places[part] for part in parts])], jnp.asarray(moves, vector.dtype)))
    found = jax.vmap(_nested(flow, order), in_axes=-1, out_axes=-1)(*sides)
    places, each = _places(values, order), [found[0][..., 0]]
    for depth in range(1, order + 1):
        mask = (2**depth - 1) << (order - depth)
        each.append(found[mask][..., np.array([places[_padded(which, order)] for which in _directions(values, depth)])])
    return tuple(each)


def _repeated(column: Array, times: int) -> Array:
    return jnp.broadcast_to(column[:, None], (len(column), times))


def _padded(which: tuple[int, ...], order: int) -> tuple[int, ...]:
    return (which[0],) * (order - len(which)) + which


def _nested(flow: Flow, order: int) -> Callable[..., tuple[State, ...]]:
    """Forward mode of forward mode: arguments and results by which of the directions (bits) they are derivatives by."""
    if not order:
        return lambda pair: (flow(*pair),)
    lower, half = _nested(flow, order - 1), 2 ** (order - 1)

    def nested(*sides: tuple[State, Vector]) -> tuple[State, ...]:
        values, moves = jax.jvp(lower, sides[:half], sides[half:])
        return (*values, *moves)

    return nested
