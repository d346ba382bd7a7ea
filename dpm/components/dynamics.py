"""Courses that are solutions of ordinary differential equations."""

from abc import abstractmethod
from typing import Any

import diffrax
import jax
import optimistix
from jax import lax
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from dpm.components.sensitivity import size, solution
from dpm.components.trajectory import Trajectory
from dpm.errors import ModelError
from dpm.types import Array, PerVisit

MOST_STEPS = 4096
"""Of the solver, for one subject; a course that needs more is not a number, and so is its density."""

HAIR = 1e-7
"""Between the times of two visits at least [years]: three seconds."""


class Dynamics(Trajectory):
    r"""$y' = f(t, y;\ \theta_i)$ from a starting state on, and what of it is seen, $\mu(t) = g(y(t);\ \theta_i)$.

    A subclass is a frozen dataclass with the equation in its docstring, and three pure functions of one subject, whose
    keyword arguments are its parameters and scalars: `initial`, `rate`, `readout`. Before `begin` the state is the
    initial one. Solved by Tsitouras' 5(4) method with adaptive steps, each visit's state by its interpolant, the
    subjects side by side; derivatives, of every order, are solved for beside it (`dpm.components.sensitivity`). An
    input that varies in time, such as a dose, is a function of `time` inside `rate`, or one of diffrax's interpolations
    of a table; where it jumps, name the times in `jumps`. An equation that is at rest before `begin` has
    `self.at_rest(...)` for `initial`.

    Attributes:
        begin: when the equation begins to hold, on the model's clock [years].
        tolerance: relative and absolute, of a step.
        step: takes steps of this length instead [years], whose error nothing bounds: for a rate that is cheap and
            smooth, where adapting the step costs more than it saves.
        jumps: times at which `rate` is not continuous [years].

    Raises:
        ModelError: a parameter differs between the visits of a subject, or `step` and `jumps` are both given.
    """

    begin: float = 0.0
    tolerance: float = 1e-8
    step: float | None = None
    jumps: tuple[float, ...] = ()

    @abstractmethod
    def initial(self, **values: Any) -> Array:
        """The state at `begin`, a vector."""

    @abstractmethod
    def rate(self, time: Array, state: Array, **values: Any) -> Array:
        """Its derivative [1/years] at one time of one subject."""

    def readout(self, state: Array, **values: Any) -> Array:
        """What is seen of a state; its first component unless overridden."""
        return state[0]

    def at_rest(self, guess: Array, **values: Any) -> Array:
        """The state near `guess` whose rate at `begin` is zero, by Newton's method; not a number where it finds none.

        Its derivatives are those of the implicit function, whatever the guess.
        """
        found: optimistix.Solution[Array, Any] = optimistix.root_find(
            lambda state, each: self.rate(jnp.asarray(self.begin), state, **each),
            optimistix.Newton(rtol=self.tolerance, atol=self.tolerance),
            lax.stop_gradient(guess),
            args=values,
            throw=False,
        )
        settled = found.result == optimistix.RESULTS.successful
        return jnp.where(settled, found.value, jnp.nan)

    def curve(self, time: PerVisit, **values: Any) -> PerVisit:
        own = {name: values[name] for name in self.parameters()}
        within = [name for name, value in own.items() if jnp.ndim(value) > 1]
        if within:
            do = "Take `within` out of it: a state is carried from one visit to the next."
            raise ModelError(f"{type(self).__name__}: {within[0]}", "one value per subject", "one at each visit", do)
        shared = {name: value for name, value in values.items() if name not in own}
        spread = {name: jnp.broadcast_to(value, (time.shape[1],)) for name, value in own.items()}
        return jax.vmap(lambda t, each: self._solved(t, {**each, **shared}), in_axes=(1, 0), out_axes=1)(time, spread)

    @property
    def _steps(self) -> diffrax.AbstractStepSizeController[Any, Any]:
        if self.step is not None:
            if self.jumps:
                do = "Leave `step` out: adaptive steps end at the jumps."
                raise ModelError(f"{type(self).__name__}: jumps", "none with steps of one length", str(self.jumps), do)
            return diffrax.ConstantStepSize()
        return diffrax.ClipStepSizeController(
            diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance, norm=size),
            jump_ts=jnp.asarray(self.jumps) if self.jumps else None,
        )

    def _solved(self, time: Array, values: dict[str, Array]) -> Array:
        """One subject's course at its own times, in whatever order."""
        order = jnp.argsort(time)
        # A hair apart, since the solver takes no two equal times; far below any unit of a visit.
        wanted = jnp.maximum(time[order], self.begin) + HAIR * jnp.arange(1, len(time) + 1)
        vector, named = ravel_pytree(values)
        states = solution(
            lambda t, y, each: self.rate(t, y, **named(each)),
            lambda each: self.initial(**named(each)),
            begin=self.begin,
            step=self.step,
            steps=self._steps,
            most_steps=MOST_STEPS,
        )
        seen = jax.vmap(lambda state: self.readout(state, **values))(states(vector, wanted))
        return jnp.zeros_like(seen).at[order].set(seen)
