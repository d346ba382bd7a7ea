"""Chains of NUTS, run in pieces: the draws are the same wherever a piece ends."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from numpyro.infer import NUTS as Kernel
from numpyro.infer.hmc import HMCState

from dpm.types import Array, Key, Sites

LONGEST = 100
"""Transitions of one piece at most: what they keep lies on the device until the piece is done."""

COMPILED = 32
"""Kinds of chains whose compiled code is kept for the next fit."""

ChainMethod = Literal["auto", "vectorized", "parallel", "sequential"]
"""How chains run, see `NUTS`."""

Rows = Mapping[str, np.ndarray]
"""What transitions keep, by name, with leading axes `(chain, draw)`."""


def kept(state: HMCState) -> Sites:
    """Of one transition: where the chain is, and the sampler's statistics."""
    return {
        **state.z,
        "diverging": state.diverging,
        "energy": state.energy,
        "n_steps": state.num_steps,
        "acceptance_rate": state.accept_prob,
        "step_size": state.adapt_state.step_size,
        "potential": state.potential_energy,
    }


Potential = Callable[[Sites, Any], Array]
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
    """

    potential: Potential
    count: int
    warmup: int
    target_accept: float
    max_tree_depth: int
    method: ChainMethod

    @property
    def side_by_side(self) -> bool:
        """Whether one compiled step moves all chains."""
        on_cpu = jax.default_backend() == "cpu"
        return self.count > 1 and (self.method == "vectorized" or (self.method == "auto" and not on_cpu))


@dataclass(frozen=True, eq=False)
class Chains:
    """NumPyro's kernel for several chains, adapting up to the end of the warm-up.

    One function is compiled for pieces of every length, warm-up and sampling alike, and for all chains of one model on
    data of one shape: the data are its arguments. A transition sees the data and the state of its chain and nothing
    else, the random key included, so that where pieces end, or a process did, is not in the draws.

    Attributes:
        settings: what is compiled for.
        data: of the potential, arrays in a pytree.
    """

    settings: Settings
    data: Any

    def begin(self, starts: Sites, *, key: Key) -> HMCState:
        """The state of every chain at its start, leading axis `chain`."""
        count = self.settings.count
        keys = jax.random.split(key, count) if count > 1 else key[None]
        return _beginning(self.settings)(starts, keys, self.data)

    def shape(self, starts: Sites, *, key: Key) -> HMCState:
        """What `begin` gives, in shape and kind alone."""
        return jax.eval_shape(lambda begun, own: self.begin(begun, key=own), starts, key)

    def advance(self, state: HMCState, length: int) -> tuple[HMCState, Rows]:
        """So many transitions of every chain, at most `LONGEST`, and what they keep."""
        state, rows = jax.block_until_ready(_advancing(self.settings)(state, jnp.asarray(length), self.data))
        first = 0 if self.settings.side_by_side else 1
        whole = {name: np.moveaxis(np.asarray(values), first, 1) for name, values in rows.items()}
        return state, {name: values[:, :length].copy() for name, values in whole.items()}

    def potentials(self, state: HMCState) -> np.ndarray:
        """The potential of every chain where it is, computed anew."""
        return np.asarray(jax.jit(jax.vmap(lambda position: self.settings.potential(position, self.data)))(state.z))


def _kernel(settings: Settings, data: Any) -> Kernel:
    return Kernel(
        potential_fn=lambda position: settings.potential(position, data),
        target_accept_prob=settings.target_accept,
        max_tree_depth=settings.max_tree_depth,
    )


@lru_cache(maxsize=COMPILED)
def _beginning(settings: Settings) -> Callable[[Sites, Array, Any], HMCState]:
    def one(start: Sites, key: Key, data: Any) -> HMCState:
        return _kernel(settings, data).init(key, settings.warmup, init_params=start)

    if settings.side_by_side:
        return jax.jit(jax.vmap(one, in_axes=(0, 0, None)))
    return jax.jit(lambda starts, keys, data: lax.map(lambda pair: one(pair[0], pair[1], data), (starts, keys)))


@lru_cache(maxsize=COMPILED)
def _advancing(settings: Settings) -> Callable[[HMCState, Array, Any], tuple[HMCState, Sites]]:
    def run(state: HMCState, length: Array, data: Any) -> tuple[HMCState, Sites]:
        kernel = _kernel(settings, data)

        def ready(chain: HMCState) -> HMCState:
            return kernel.init(chain.rng_key, settings.warmup, init_params=chain.z)

        def step(chain: HMCState) -> HMCState:
            return kernel.sample(chain, (), {})

        if not settings.side_by_side:
            jax.eval_shape(ready, state)  # a kernel steps after it was begun, from whatever state
            return _repeated(step)(state, length)
        jax.eval_shape(jax.vmap(ready), state)
        return _repeated(jax.vmap(step))(state, length)

    if settings.side_by_side:
        return jax.jit(run)
    if settings.method == "parallel" and jax.local_device_count() >= settings.count:
        return jax.pmap(run, in_axes=(0, None, None))
    return jax.jit(lambda states, length, data: lax.map(lambda state: run(state, length, data), states))


def _repeated(step: Callable[[HMCState], HMCState]) -> Callable[[HMCState, Array], tuple[HMCState, Sites]]:
    """A step done `length` times, with what each keeps; rows from `length` on are zero."""

    def run(state: HMCState, length: Array) -> tuple[HMCState, Sites]:
        def once(row: Array, carry: tuple[HMCState, Sites]) -> tuple[HMCState, Sites]:
            moved, rows = step(carry[0]), carry[1]
            return moved, jax.tree_util.tree_map(lambda all_, one: all_.at[row].set(one), rows, kept(moved))

        empty = {name: jnp.zeros((LONGEST, *one.shape), one.dtype) for name, one in kept(state).items()}
        return lax.fori_loop(0, length, once, (state, empty))

    return run


def packed(state: HMCState) -> dict[str, np.ndarray]:
    """A state as plain arrays, numbered; random keys as their numbers."""
    leaves = jax.tree_util.tree_leaves(state)
    return {
        f"state_{k}": np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf) for k, leaf in enumerate(leaves)
    }


def unpacked(arrays: Mapping[str, np.ndarray], shape: HMCState, *, key: Key) -> HMCState:
    """The inverse of `packed`, for a state of this shape, its keys of the same kind as `key`."""
    leaves, structure = jax.tree_util.tree_flatten(shape)
    found: list[Any] = [jnp.asarray(arrays[f"state_{k}"]) for k in range(len(leaves))]
    kind = jax.random.key_impl(key)
    whole = [
        jax.random.wrap_key_data(own, impl=kind) if _is_key(leaf) else own
        for leaf, own in zip(leaves, found, strict=True)
    ]
    return jax.tree_util.tree_unflatten(structure, whole)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
