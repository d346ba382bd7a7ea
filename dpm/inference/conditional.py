"""The conditional kernel: every subject's mode and curvature given population values, all subjects at once."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from dpm.inference import blocks
from dpm.types import Array, Bool, Float, Int, PerSubject

Effects = Float[Array, "effect subject"]
Blocks = Float[Array, "effect effect subject"]
Density = Callable[[Effects], PerSubject]


class Modes(NamedTuple):
    r"""Result of `find_modes`.

    Attributes:
        effects: each subject's mode, on the unconstrained scale.
        decrement: squared Newton decrement there, $g^\top H^{-1} g$, by the curvature that was last evaluated; infinite
            where that is not definite.
        converged: whether it fell below the tolerance.
        steps: evaluations of curvatures, until the slowest subject was done.
    """

    effects: Effects
    decrement: PerSubject
    converged: Bool[Array, " subject"]
    steps: Int[Array, ""]


class _State(NamedTuple):
    effects: Effects
    value: PerSubject
    gradient: Effects
    curvature: Blocks
    damping: PerSubject
    decrement: PerSubject
    step: Int[Array, ""]


def derivatives(density: Density, effects: Effects) -> tuple[PerSubject, Effects, Blocks]:
    r"""Value, gradient and negative Hessian of every subject's log density.

    Subjects are independent, so the gradient of the sum holds every subject's gradient, and `q` Jacobian–vector
    products of it hold every subject's Hessian block.
    """
    if not len(effects):
        return density(effects), effects, jnp.zeros((0, *effects.shape))

    def total(b: Effects) -> tuple[Float[Array, ""], PerSubject]:
        each = density(b)
        return jnp.sum(each), each

    gradient, tangents, value = jax.linearize(jax.grad(total, has_aux=True), effects, has_aux=True)
    directions = jnp.eye(effects.shape[0], dtype=effects.dtype)
    columns = [tangents(jnp.broadcast_to(unit[:, None], effects.shape)) for unit in directions]
    hessian = jnp.stack(columns, axis=1)
    return value, gradient, -0.5 * (hessian + jnp.swapaxes(hessian, 0, 1))


CLOSE = 1e-12
"""Squared decrement at which a search ends: a mode is then 1e-6 conditional standard deviations away, and the step that
is left, which is known, brings it within the square of that; by a curvature that was kept, within some 1e-9."""

NEAR = 1e-4
"""Squared decrement below which a step may also be taken because it lowers the decrement: a hundredth of a conditional
standard deviation from a mode."""

STEADY = 1e-2
"""Squared decrement below which the curvature is taken to stay as it is, a tenth of a conditional standard deviation
from a mode: with it a step needs the gradient alone, which costs a fifth of both."""

FALL = 0.1
"""Of the squared decrement by such a step, where it is kept."""

FINER = 1e-4
"""Of the tolerance, where such steps end: the one that is left is none of Newton's then, and squares no error."""


def find_modes(density: Density, start: Effects, *, tolerance: float = CLOSE, max_steps: int = 100) -> Modes:
    r"""Maximise each subject's log density by damped Newton (Levenberg) steps, each subject on its own.

    A step solves $(H + \lambda D) s = g$ with $D$ the absolute diagonal of $H$, is taken where it raises that
    subject's own objective (or, near the mode, brings its gradient nearer to zero), and is damped harder where it does
    not or where $H$ is not positive definite. A subject is done when its undamped squared Newton decrement
    $g^\top H^{-1} g$ is below `tolerance`: the mode is then within `tolerance`$^{1/2}$ conditional standard
    deviations, and one more step, which costs no evaluation, is taken from there. Once every subject is near its mode,
    $H$ is kept from the last evaluation, and steps go on with new gradients alone for as long as each brings all
    decrements down (the chord method: Ortega & Rheinboldt 1970, doi 10.1137/1.9780898719468, section 7.1). Not
    differentiable: see `implicit_modes`.

    Args:
        density: per-subject log density of the effects.
        start: where to begin.
        tolerance: on the squared decrement.
        max_steps: evaluations of curvatures before giving up; what has not converged says so.
    """
    q, n = start.shape
    if q == 0:
        return Modes(start, jnp.zeros(n), jnp.ones(n, bool), jnp.array(0))
    # Nothing is known at the start: a step of zero from there, always taken, evaluates it inside the loop, so that
    # the derivatives are compiled once.
    unit = jnp.broadcast_to(jnp.eye(q)[:, :, None], (q, q, n))
    unknown = jnp.full(n, jnp.inf)
    first = _State(start, -unknown, jnp.zeros((q, n)), unit, jnp.zeros(n), unknown, jnp.array(0))

    def unfinished(state: _State) -> Bool[Array, ""]:
        return (state.step < max_steps) & jnp.any(state.decrement >= tolerance)

    def advance(state: _State) -> _State:
        return _go_on(density, _advance(density, state, tolerance), tolerance)

    last = lax.while_loop(unfinished, advance, first)
    converged = last.decrement < tolerance
    # The step that is left is known, and costs no evaluation.
    rest = blocks.solve(blocks.cholesky(last.curvature)[0], last.gradient)
    return Modes(jnp.where(converged, last.effects + rest, last.effects), last.decrement, converged, last.step)


REACH = (1.0, -1.0, 2.0, -2.0)
"""How far from zero, along each effect alone, a search may begin where it has no better start."""


def best_start(density: Density, like: Effects) -> Effects:
    """For every subject, the likeliest of zero and a few values of each effect alone; of the shape of `like`.

    Zero where a density is the same at both signs of the likeliest: there are then two modes alike, one of which is
    not the whole, and a search from between them does not hide it.
    """
    q, n = like.shape
    units = np.eye(q)[:, :, None] * np.ones(n)
    candidates = jnp.stack([jnp.zeros((q, n)), *(far * unit for unit in units for far in REACH)])
    values = lax.map(density, candidates)
    values = jnp.where(jnp.isfinite(values), values, -jnp.inf)
    best = jnp.argmax(values, axis=0)
    mirror = jnp.where(best == 0, 0, best + jnp.where(best % 2 == 1, 1, -1))
    here, there = (jnp.take_along_axis(values, at[None], axis=0)[0] for at in (best, mirror))
    best = jnp.where(here - there <= 1e-12 * (1.0 + jnp.abs(here)), 0, best)
    return jnp.take_along_axis(candidates, best[None, None, :], axis=0)[0]


def search_modes(density: Density, start: Effects, *, tolerance: float = CLOSE, max_steps: int = 100) -> Modes:
    """`find_modes` from `start`, and once more from `best_start` for subjects that found none from there.

    A subject whose start is not a number has `best_start` at once: on a course that a subject's onset shifts, a search
    from zero may end on the wrong side, or nowhere.
    """
    if not start.shape[0]:
        return find_modes(density, start)

    def again(state: tuple[Modes, Int[Array, ""]]) -> Bool[Array, ""]:
        return (state[1] < 2) & ~jnp.all(state[0].converged)

    def attempt(state: tuple[Modes, Int[Array, ""]]) -> tuple[Modes, Int[Array, ""]]:
        before, tried = state
        # A loop of one round at most, not a condition: under `vmap`, of chains, both branches of that are computed.
        lost = ~before.converged & ((tried > 0) | jnp.any(jnp.isnan(before.effects), axis=0))
        begin, _ = lax.while_loop(
            lambda state: state[1] & jnp.any(lost),
            lambda state: (jnp.where(lost, best_start(density, start), state[0]), jnp.array(False)),
            (before.effects, jnp.array(True)),
        )
        found = find_modes(density, begin, tolerance=tolerance, max_steps=max_steps)
        return found._replace(steps=before.steps + found.steps), tried + 1

    n = start.shape[1]
    nothing = Modes(start, jnp.full(n, jnp.inf), jnp.zeros(n, bool), jnp.array(0))
    return lax.while_loop(again, attempt, (nothing, jnp.array(0)))[0]


def _decrement(gradient: Effects, curvature: Blocks) -> PerSubject:
    lower, definite = blocks.cholesky(curvature)
    squared = jnp.sum(blocks.solve_lower(lower, gradient) ** 2, axis=0)
    return jnp.where(definite & jnp.isfinite(squared), squared, jnp.inf)


def _advance(density: Density, state: _State, tolerance: float) -> _State:
    q = state.effects.shape[0]
    scale = jnp.stack([jnp.abs(state.curvature[k, k]) + 1e-8 for k in range(q)])
    ridge = jnp.eye(q)[:, :, None] * (state.damping * scale)[None]
    lower, definite = blocks.cholesky(state.curvature + ridge)
    move = blocks.solve(lower, state.gradient)
    done = state.decrement < tolerance
    trial = jnp.where(definite & ~done, state.effects + move, state.effects)
    value, gradient, curvature = derivatives(density, trial)
    finite = jnp.isfinite(value) & jnp.all(jnp.isfinite(gradient), axis=0)
    # Rounding alone may lower the objective by a few ulp at the mode; a step that small is still progress.
    slack = 1e-13 * (1.0 + jnp.abs(state.value))
    decrement = _decrement(gradient, curvature)
    # Near a mode the gradient tells more than the objective, of whose digits a solver of equations leaves half.
    closer = (state.decrement < NEAR) & (decrement < state.decrement)
    better = definite & ~done & finite & ((value >= state.value - slack) | closer | ~jnp.isfinite(state.value))
    damping = jnp.where(better, state.damping * 0.1, jnp.maximum(4.0 * state.damping, 1e-2))
    damping = jnp.where(better & (damping < 1e-4), 0.0, damping)
    return _State(
        jnp.where(better, trial, state.effects),
        jnp.where(better, value, state.value),
        jnp.where(better, gradient, state.gradient),
        jnp.where(better, curvature, state.curvature),
        jnp.where(done, state.damping, damping),
        jnp.where(better, decrement, state.decrement),
        state.step + 1,
    )


def _go_on(density: Density, state: _State, tolerance: float) -> _State:
    """Steps with the curvatures of `state`, while all subjects are near their modes and come nearer.

    Decrements are by these curvatures too: that the density curves downwards where they end is for a marginal
    likelihood to see, which takes the curvature there.
    """
    lower, _ = blocks.cholesky(state.curvature)

    def total(effects: Effects) -> tuple[Float[Array, ""], PerSubject]:
        each = density(effects)
        return jnp.sum(each), each

    def going(carry: tuple[_State, Bool[Array, ""]]) -> Bool[Array, ""]:
        state, falling = carry
        near = state.decrement < STEADY
        return falling & jnp.all(near) & jnp.any(state.decrement >= FINER * tolerance)

    def step(carry: tuple[_State, Bool[Array, ""]]) -> tuple[_State, Bool[Array, ""]]:
        state, _ = carry
        done = state.decrement < FINER * tolerance
        trial = state.effects + jnp.where(done, 0.0, blocks.solve(lower, state.gradient))
        (_, value), gradient = jax.value_and_grad(total, has_aux=True)(trial)
        decrement = jnp.sum(blocks.solve_lower(lower, gradient) ** 2, axis=0)
        better = ~done & jnp.isfinite(value) & (decrement < FALL * state.decrement)
        moved = state._replace(
            effects=jnp.where(better, trial, state.effects),
            value=jnp.where(better, value, state.value),
            gradient=jnp.where(better, gradient, state.gradient),
            decrement=jnp.where(better, decrement, state.decrement),
        )
        return moved, jnp.all(better | done)

    return lax.while_loop(going, step, (state, jnp.array(True)))[0]


def implicit_modes(density: Density, modes: Effects) -> Effects:
    r"""The same modes, carrying their derivative with respect to whatever `density` depends on.

    One Newton step with the mode and the curvature held constant,
    $\hat b + H^{-1} g(\hat b, \varphi)$, does not move the mode ($g = 0$) and has the implicit derivative
    $\mathrm{d}\hat b / \mathrm{d}\varphi = H^{-1}\,\partial g / \partial\varphi$, without unrolling the search.
    First derivatives are exact, second ones are not.
    """
    fixed = lax.stop_gradient(modes)
    _, gradient, curvature = derivatives(density, fixed)
    lower, definite = blocks.cholesky(lax.stop_gradient(curvature))
    move = blocks.solve(lower, gradient)
    return fixed + jnp.where(definite, move, 0.0)
