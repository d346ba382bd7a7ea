"""Chains of NUTS, run in pieces: the draws are the same wherever a piece ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal, Protocol, runtime_checkable

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from dpm.inference.precision import Precision, cast, computing
from dpm.inference.transition import Chain, Transition, is_key
from dpm.types import Array, Key, Sites

LONGEST = 100
"""Transitions of one piece at most: what they keep lies on the device until the piece is done."""

COMPILED = 32
"""Kinds of chains whose compiled code is kept for the next fit."""

ChainMethod = Literal["auto", "vectorized", "parallel", "sequential"]
"""How chains run, see `NUTS`."""

Rows = Mapping[str, np.ndarray]
"""What transitions keep, by name, with leading axes `(chain, draw)`."""


@runtime_checkable
class Compiled(Protocol):
    """A potential whose work is done by functions that are compiled on their own, and may have been for others."""

    def __call__(self, position: Sites, data: Any, /) -> Array:
        """The potential."""

    def valued(self, position: Sites, data: Any, /) -> tuple[Array, Sites]:
        """The potential and its gradient."""


Potential = Compiled | Callable[[Sites, Any], Array]
"""Minus the log density of a position, given data; equal ones, as two of `NUTS` for one model are, compile once."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is known of chains when they are compiled; equal ones are compiled once, see `Chains`.

    Attributes:
        potential: minus the log density of a position, given data; a constant of the compiled code.
        count: of chains.
        warmup: adaptation steps per chain.
        target_accept: of the step-size adaptation.
        max_tree_depth: doublings per draw.
        method: see `NUTS`.
        precision: of everything that chains compute and keep.
    """

    potential: Potential
    count: int
    warmup: int
    target_accept: float
    max_tree_depth: int
    method: ChainMethod
    precision: Precision = "float64"

    @property
    def side_by_side(self) -> bool:
        """Whether one compiled step moves all chains."""
        on_cpu = jax.default_backend() == "cpu"
        return self.count > 1 and (self.method == "vectorized" or (self.method == "auto" and not on_cpu))


@dataclass(frozen=True, eq=False)
class Chains:
    """Several chains of `Transition`, adapting up to the end of the warm-up.

    One function is compiled for pieces of every length, warm-up and sampling alike, and for all chains of one model on
    data of one shape: the data are its arguments. A transition sees the data and the state of its chain and nothing
    else, the random key included, so that where pieces end, or a process did, is not in the draws.

    Attributes:
        settings: what is compiled for.
        data: of the potential, arrays in a pytree, of that precision.
    """

    settings: Settings
    data: Any

    def begin(self, starts: Sites, *, key: Key) -> Chain:
        """The state of every chain at its start, leading axis `chain`."""
        count = self.settings.count
        keys = jax.random.split(key, count) if count > 1 else key[None]
        with computing(self.settings.precision):
            places = cast(starts, self.settings.precision)
            return _beginning(self.settings)(places, *self._valued(places), keys)

    def shape(self, starts: Sites, *, key: Key) -> Chain:
        """What `begin` gives, in shape and kind alone."""
        with computing(self.settings.precision):
            begun = cast(starts, self.settings.precision)
            return jax.eval_shape(lambda own_start, own: self.begin(own_start, key=own), begun, key)

    def advance(self, state: Chain, length: int) -> tuple[Chain, Rows]:
        """So many transitions of every chain, at most `LONGEST`, and what they keep."""
        with computing(self.settings.precision):
            state, rows = jax.block_until_ready(_advancing(self.settings)(state, jnp.asarray(length), self.data))
        first = 0 if self.settings.side_by_side else 1
        whole = {name: np.moveaxis(np.asarray(values), first, 1) for name, values in rows.items()}
        return state, {name: values[:, :length].copy() for name, values in whole.items()}

    def potentials(self, state: Chain) -> np.ndarray:
        """The potential of every chain where it is, computed anew."""
        with computing(self.settings.precision):
            return np.asarray(self._valued(state.position)[0])

    def _valued(self, positions: Sites) -> tuple[Array, Sites]:
        """The potential and its gradient at every chain's position."""
        potential = self.settings.potential
        each = [jax.tree_util.tree_map(lambda rows, k=k: rows[k], positions) for k in range(self.settings.count)]
        if isinstance(potential, Compiled):
            found = [potential.valued(position, self.data) for position in each]
        else:
            found = [_valued(position, self.data, potential) for position in each]
        return jax.tree_util.tree_map(lambda *rows: jnp.stack(rows), *found)


@partial(jax.jit, static_argnums=2)
def _valued(position: Sites, data: Any, potential: Potential) -> tuple[Array, Sites]:
    return jax.value_and_grad(potential)(position, data)


def _transition(settings: Settings, data: Any) -> Transition:
    return Transition(
        potential=lambda position: settings.potential(position, data),
        warmup=settings.warmup,
        target_accept=settings.target_accept,
        max_tree_depth=settings.max_tree_depth,
    )


@lru_cache(maxsize=COMPILED)
def _beginning(settings: Settings) -> Callable[[Sites, Array, Sites, Array], Chain]:
    def one(start: Sites, potential: Array, slope: Sites, key: Key) -> Chain:
        return _transition(settings, None).begin(start, potential, slope, key=key)

    return jax.jit(jax.vmap(one))


@lru_cache(maxsize=COMPILED)
def _advancing(settings: Settings) -> Callable[[Chain, Array, Any], tuple[Chain, Sites]]:
    def run(state: Chain, length: Array, data: Any) -> tuple[Chain, Sites]:
        step = _transition(settings, data).step
        return _repeated(jax.vmap(step) if settings.side_by_side else step)(state, length)

    if settings.side_by_side:
        return jax.jit(run)
    if settings.method == "parallel" and jax.local_device_count() >= settings.count:
        return jax.pmap(run, in_axes=(0, None, None))
    return jax.jit(lambda states, length, data: lax.map(lambda state: run(state, length, data), states))


def _repeated(step: Callable[[Chain], Chain]) -> Callable[[Chain, Array], tuple[Chain, Sites]]:
    """A step done `length` times, with what each keeps; rows from `length` on are zero."""

    def run(state: Chain, length: Array) -> tuple[Chain, Sites]:
        def once(row: Array, carry: tuple[Chain, Sites]) -> tuple[Chain, Sites]:
            moved, rows = step(carry[0]), carry[1]
            return moved, jax.tree_util.tree_map(lambda all_, one: all_.at[row].set(one), rows, moved.kept())

        empty = {name: jnp.zeros((LONGEST, *one.shape), one.dtype) for name, one in state.kept().items()}
        return lax.fori_loop(0, length, once, (state, empty))

    return run


def packed(state: Chain) -> dict[str, np.ndarray]:
    """A state as plain arrays, numbered; random keys as their numbers."""
    leaves = jax.tree_util.tree_leaves(state)
    return {
        f"state_{k}": np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for k, leaf in enumerate(leaves)
    }


def unpacked(arrays: Mapping[str, np.ndarray], shape: Chain, *, key: Key) -> Chain:
    """The inverse of `packed`, for a state of this shape, its keys of the same kind as `key`."""
    leaves, structure = jax.tree_util.tree_flatten(shape)
    found: list[Any] = [jnp.asarray(arrays[f"state_{k}"]) for k in range(len(leaves))]
    kind = jax.random.key_impl(key)
    whole = [
        jax.random.wrap_key_data(own, impl=kind) if is_key(leaf) else own
        for leaf, own in zip(leaves, found, strict=True)
    ]
    return jax.tree_util.tree_unflatten(structure, whole)


def fits(arrays: Mapping[str, np.ndarray], shape: Chain) -> bool:
    """Whether arrays hold a state of this shape: another version's has other parts."""
    leaves = jax.tree_util.tree_leaves(shape)
    names = {f"state_{k}" for k in range(len(leaves))}
    if names != {name for name in arrays if name.startswith("state_")}:
        return False
    return all(is_key(leaf) or arrays[f"state_{k}"].shape == leaf.shape for k, leaf in enumerate(leaves))
