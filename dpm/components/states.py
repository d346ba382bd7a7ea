"""Disease states seen at visits: intensities of moving between them, in continuous time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import numpy as np
import numpyro
from jax import lax
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro.distributions import constraints

from dpm.cohort.records import Records
from dpm.components.course import Courses
from dpm.components.covariate_effect import covariate_value
from dpm.components.link import Link
from dpm.components.scalar import Scalar, sample_scalar
from dpm.errors import ModelError
from dpm.types import Array, Bool, Float, Key, PerVisit

Step = tuple[str, str]
"""From which state to which."""

SQUARINGS, TERMS = 10, 10
"""Of the matrix exponential: a series of ten terms of a thousandth of the exponent, squared ten times."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    r"""The intensity of one move, $\log q_i(t) = r + \sum_k \beta_k x_{ik} + \sum_l \alpha_l\,g_{li}(t)$.

    Attributes:
        log_rate: $r$ [log 1/years].
        effects: per covariate, its log intensity ratio.
        links: to the subject's course, as in `Event`; constant from one visit to the next, at the value of the first.
    """

    log_rate: Scalar
    effects: Mapping[str, Scalar] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)

    def scalars(self) -> dict[str, Scalar]:
        """Every population value, by what its site ends with."""
        links = {name: link.effect for name, link in self.links.items()}
        return {"log_rate": self.log_rate, **self.effects, **links}


@dataclass(frozen=True, kw_only=True)
class MultiState:
    r"""A Markov process in continuous time of which only the states at visits are known.

    $$P(s_{j} \mid s_{j-1}) = \{e^{Q_i (t_j - t_{j-1})}\}_{s_{j-1} s_j},\qquad
    P(d \text{ at } t_j \mid s_{j-1}) = \sum_{s \neq d} \{e^{Q_i (t_j - t_{j-1})}\}_{s_{j-1} s}\, q_{sd}$$

    the second for a state whose time of entry is known, such as death. The state at the first visit is given. With
    `misclassified` the true state is hidden: $P(\text{seen } o \mid s) = e_{so}$, and the likelihood sums over all
    paths (a hidden Markov model). Sites: `<name>_<from>_<to>_log_rate` and so on, `<name>_<true>_seen_<observed>`.

    Attributes:
        states: the levels of the outcome, in order.
        transitions: intensities, by (from, to); every other move is impossible.
        exact: states whose time of entry is known.
        misclassified: probabilities $e_{so}$ of seeing one state in another, by (true, seen). Where those of one true
            state sum to more than one the density is no number, which no method takes for a place to stay.

    Raises:
        ModelError: a state is not among `states`.

    Sources: Kalbfleisch & Lawless 1985, doi 10.1080/01621459.1985.10478195; Jackson 2011, doi 10.18637/jss.v038.i08.
    """

    states: tuple[str, ...]
    transitions: Mapping[Step, Transition]
    exact: tuple[str, ...] = ()
    misclassified: Mapping[Step, Scalar] = field(default_factory=dict)

    equation = r"P(s_j \mid s_{j-1}) = \{\exp(Q_i (t_j - t_{j-1}))\}_{s_{j-1} s_j}"

    def __post_init__(self) -> None:
        named = {state for step in (*self.transitions, *self.misclassified) for state in step} | set(self.exact)
        unknown = sorted(named - set(self.states))
        if unknown:
            raise ModelError("MultiState", f"states among {', '.join(self.states)}", ", ".join(unknown))
        for state in self.states:
            shares = [value for (true, _), value in self.misclassified.items() if true == state]
            total = sum(float(value) for value in shares if isinstance(value, int | float))
            if total > 1.0:
                expected = f"probabilities of seeing {state} in other states that sum to at most 1"
                raise ModelError("MultiState: misclassified", expected, f"{total:g}")

    def scalars(self) -> dict[str, Scalar]:
        """Every population value, by what its site ends with."""
        moves = {
            f"{one}_{other}_{key}": scalar
            for (one, other), transition in self.transitions.items()
            for key, scalar in transition.scalars().items()
        }
        return {**moves, **{f"{true}_seen_{seen}": scalar for (true, seen), scalar in self.misclassified.items()}}

    def observe(self, name: str, records: Records, courses: Courses) -> None:
        """Sample the population values outside the plate, and score or draw the states inside it, at site `name`."""
        values = {key: sample_scalar(f"{name}_{key}", scalar) for key, scalar in self.scalars().items()}
        rates = self._rates(name, values, records, courses)
        observed = records.observed[name]
        law = StateSequence(rates, self._emission(values), self._exact, records.time, observed)
        with (
            numpyro.plate("subject", records.n_subjects, dim=-1),
            numpyro.plate("visit", records.time.shape[0], dim=-2),
        ):
            numpyro.sample(name, law.mask(observed), obs=records.values[name])

    def _rates(
        self, name: str, values: dict[str, Array], records: Records, courses: Courses
    ) -> Float[Array, "state state visit subject"]:
        """$Q_i$ from each visit on."""
        size = len(self.states)
        time = records.time + 0.0  # a course at these times, without what belongs to the visits themselves
        rows = [[jnp.zeros(records.time.shape) for _ in range(size)] for _ in range(size)]
        for (one, other), transition in self.transitions.items():
            own = f"{one}_{other}"
            log_rate = values[f"{own}_log_rate"] + jnp.zeros(records.time.shape)
            for covariate in transition.effects:
                where = f"{name}_{own}"
                log_rate = log_rate + values[f"{own}_{covariate}"] * covariate_value(where, covariate, records)
            for key, link in transition.links.items():
                log_rate = log_rate + values[f"{own}_{key}"] * link.follow(key, courses, time)
            i, j = self.states.index(one), self.states.index(other)
            rows[i][j] = jnp.exp(log_rate)
            rows[i][i] = rows[i][i] - rows[i][j]
        return jnp.stack([jnp.stack(row) for row in rows])

    def _emission(self, values: dict[str, Array]) -> Float[Array, "state state"] | None:
        """$e_{so}$; None where states are seen as they are."""
        if not self.misclassified:
            return None
        size = len(self.states)
        seen = jnp.eye(size)
        for true, other in self.misclassified:
            i, j = self.states.index(true), self.states.index(other)
            share = values[f"{true}_seen_{other}"]
            seen = seen.at[i, j].add(share).at[i, i].add(-share)
        # Shares drawn each from its own prior may sum to more than one: no probability, so no density either.
        return jnp.where(jnp.all(seen >= 0.0), seen, jnp.nan)

    @property
    def _exact(self) -> np.ndarray:
        return np.array([state in self.exact for state in self.states])


def refuse_other_states(name: str, model: MultiState, levels: tuple[str, ...], records: Records) -> None:
    """Refuse a cohort whose states are others, or in another order, or not known at the first visit.

    Args:
        name: of the outcome.
        model: of it.
        levels: of the outcome, as its role declares them; none for one that is no state.
        records: of the cohort.

    Raises:
        ModelError: see above.
    """
    if levels != model.states:
        do = "Name the states of the model as the levels of the outcome, in that order."
        got = ", ".join(levels) or "an outcome without levels"
        raise ModelError(f"fit: {name}", f"the states {', '.join(model.states)}, in this order", got, do)
    unknown = ~np.asarray(records.observed[name])[0]
    if unknown.any():
        got = f"none for {int(unknown.sum()):,} of {unknown.size:,}"
        do = "Begin these subjects at their first visit with a state, or exclude them."
        raise ModelError(f"fit: {name}", "the state of every subject at its first visit", got, do)


def _times(a: Array, b: Array) -> Array:
    """Product of small matrices whose other axes come last."""
    return jnp.einsum("ij...,jk...->ik...", a, b)


def matrix_exponential(exponent: Float[Array, "state state *rest"]) -> Float[Array, "state state *rest"]:
    """Of many small matrices at once, by scaling and squaring."""
    size = exponent.shape[0]
    unit = jnp.eye(size).reshape(size, size, *[1] * (exponent.ndim - 2))
    small = exponent / 2.0**SQUARINGS
    total = unit + 0.0 * small
    for k in range(TERMS, 0, -1):
        total = unit + _times(small, total) / k
    for _ in range(SQUARINGS):
        total = _times(total, total)
    return total


class StateSequence(dist.Distribution):
    """Of the states of a subject at its visits; see `MultiState`.

    The log probability at a visit is that of its state given those seen before it; that of the first visit is zero.

    Args:
        rates: intensities from each visit on.
        emission: of each true state, the probabilities of those seen; None where they are the same.
        exact: which states have a known time of entry.
        time, observed: of the visits; a visit that is earlier than the one before it is padding.
    """

    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("rates", "emission", "time", "observed")
    pytree_aux_fields = ("exact",)

    def __init__(
        self,
        rates: Float[Array, "state state visit subject"],
        emission: Float[Array, "state state"] | None,
        exact: np.ndarray,
        time: PerVisit,
        observed: Bool[Array, "visit subject"],
    ) -> None:
        self.rates, self.emission, self.time, self.observed = rates, emission, time, observed
        self.exact = tuple(bool(each) for each in exact)
        dist.Distribution.__init__(self, batch_shape=time.shape, validate_args=False)

    def _moves(self) -> Float[Array, "gap state state subject"]:
        gap = jnp.maximum(jnp.diff(self.time, axis=0), 0.0)
        return jnp.moveaxis(matrix_exponential(self.rates[:, :, :-1] * gap), 2, 0)

    def log_prob(self, value: PerVisit) -> PerVisit:
        size = self.rates.shape[0]
        seen = jnp.moveaxis(jax.nn.one_hot(value.astype(int), size), -1, 1)
        moves, rates = self._moves(), jnp.moveaxis(self.rates[:, :, :-1], 2, 0)
        exact = jnp.asarray(self.exact, dtype=value.dtype)[:, None]

        def step(state: Array, at: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
            move, rate, here, known = at
            reached = jnp.einsum("sn,skn->kn", state, move)
            entered = jnp.einsum("sn,skn->kn", reached * (1.0 - exact), rate * (1.0 - jnp.eye(size)[:, :, None]))
            plain = here if self.emission is None else self.emission @ here
            told = jnp.where(exact > 0.0, entered * here, reached * plain)
            joint = jnp.where(known, told, reached)
            total = jnp.sum(joint, axis=0)
            possible = total > 0.0
            # What no intensity allows has no probability, and no small one that a fit could live with.
            safe = jnp.where(possible, total, 1.0)
            return jnp.where(possible, joint / safe, 1.0 / size), jnp.where(possible, jnp.log(safe), -jnp.inf)

        _, later = lax.scan(step, seen[0], (moves, rates, seen[1:], self.observed[1:]))
        return jnp.concatenate([jnp.zeros((1, value.shape[1])), jnp.where(self.observed[1:], later, 0.0)])

    def sample(self, key: Key | None, sample_shape: tuple[int, ...] = ()) -> Array:
        """States at the visits, from the first state on; entry into an exact state is seen at the next visit."""
        assert key is not None and not sample_shape
        n = self.time.shape[1]
        start = jnp.zeros(n, dtype=int)
        keys = jax.random.split(key, self.time.shape[0])

        def step(state: Array, at: tuple[Array, Key]) -> tuple[Array, Array]:
            move, one = at
            share = jnp.take_along_axis(move, state[None, None, :], axis=0)[0]
            new = jax.random.categorical(one, jnp.log(jnp.maximum(share, 1e-300)), axis=0)
            return new, new

        _, rest = lax.scan(step, start, (self._moves(), keys[1:]))
        true = jnp.concatenate([start[None], rest])
        if self.emission is not None:
            shares = jnp.log(jnp.maximum(self.emission[true], 1e-300))
            true = jnp.where(jnp.arange(len(true))[:, None] > 0, jax.random.categorical(keys[0], shares), true)
        return true.astype(self.time.dtype)
