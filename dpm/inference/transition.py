"""One transition of a no-U-turn chain: a tree of steps, and the adaptation during the warm-up."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from numpyro.infer.hmc_util import (
    HMCAdaptState,
    IntegratorState,
    build_adaptation_schedule,
    build_tree,
    dual_averaging,
    euclidean_kinetic_energy,
    warmup_adapter,
)

from dpm.inference.integrator import LEAPFROG, LOBATTO, gradients, stepping
from dpm.types import Array, Key, Sites

LONG_STEP = 1.2
"""Of Lobatto's kind [radians]: three are a little more than the half turn at which a trajectory ends."""

POOR = 0.5
"""An acceptance rate that, twice in a warm-up, tells of a tail. Where the residual is the sum of many subjects' small
ones, rates lie close together: of a logistic marker in 1,000 subjects one in 2,000 is lower, in 10,000 one in 1,000, of
a marker and death in 1,000 none. Where a spread may be near zero, as of the same in 100 subjects, 2 to 9 in 100 are,
and some of these diverge."""


class Trial(NamedTuple):
    """How transitions of a warm-up with steps of Lobatto's kind went.

    Attributes:
        tried: how many there were.
        accepted: the sum of their acceptance rates.
        poor: how many had a rate below `POOR`.
    """

    tried: Array
    accepted: Array
    poor: Array

    def after(self, rate: Array, with_lobatto: Array) -> "Trial":
        """With one more transition, if it was one of these."""
        return Trial(
            tried=self.tried + with_lobatto,
            accepted=self.accepted + jnp.where(with_lobatto, rate, 0.0),
            poor=self.poor + (with_lobatto & (rate < POOR)),
        )


class Chain(NamedTuple):
    """Where a chain is, and how it moves.

    Attributes:
        done: transitions.
        position, slope, potential: its variables, the gradient of minus their log density, and that.
        energy: of the last transition's draw.
        kind: of the steps, see `integrator`.
        steps: of the last transition's trajectory.
        acceptance_rate, diverging: of that trajectory.
        trial: of steps of Lobatto's kind.
        adapted: the size of leapfrog steps, and variances.
        key: of what comes.
    """

    done: Array
    position: Sites
    slope: Sites
    potential: Array
    energy: Array
    kind: Array
    steps: Array
    acceptance_rate: Array
    diverging: Array
    trial: Trial
    adapted: HMCAdaptState
    key: Key

    @property
    def step_size(self) -> Array:
        """Of the next trajectory [radians]."""
        return jnp.where(self.kind == LOBATTO, LONG_STEP, self.adapted.step_size)

    def kept(self) -> Sites:
        """Of the last transition: where the chain is, and the sampler's statistics."""
        return {
            **self.position,
            "diverging": self.diverging,
            "energy": self.energy,
            "n_steps": self.steps * gradients(self.kind),
            "tree_depth": jnp.ceil(jnp.log2(self.steps + 1.0)).astype(int),
            "acceptance_rate": self.acceptance_rate,
            "step_size": self.step_size,
            "potential": self.potential,
        }


@dataclass(frozen=True, kw_only=True)
class Transition:
    """No-U-turn transitions (Hoffman & Gelman 2014, with multinomial trees, Betancourt 2017), by NumPyro's trees.

    Positions hold the population's variables `u` and, in `NUTS`, the subjects' `w`, all nearly standard normal. Their
    variances are adapted; with Lobatto's steps those of `w` are one: where there is no tail the whitening knows them to
    a few per cent, which is better than a warm-up's estimates, and every error of them is one of the steps.

    Steps are leapfrog's, of adapted size. Where there are subjects' variables, a chain tries Lobatto's from halfway
    through the first window of its warm-up on. Before the last window it returns to leapfrog with the second transition
    that is `POOR`, or where a window ends and all together were accepted less often than asked. Of a logistic marker in
    1,000 subjects Lobatto's are kept and take 9 gradients a draw, leapfrog 31; of three markers they are not. With
    population variables alone they are not tried: these are few, so that leapfrog's error for a normal is small. And
    where there is a tail it is that error that keeps steps short enough for it: of a marker and death in 100 subjects
    4,000 draws have 2 to 12 divergences with Lobatto's or with rotations and one kick, and none with leapfrog.

    Attributes:
        potential: minus the log density of a position.
        warmup: transitions that adapt.
        target_accept: of the step-size adaptation.
        max_tree_depth: doublings per draw.
    """

    potential: Callable[[Sites], Array]
    warmup: int
    target_accept: float
    max_tree_depth: int

    def begin(self, start: Sites, potential: Array, slope: Sites, *, key: Key) -> Chain:
        """The state of a chain at its start, with the potential there and its gradient."""
        own, adapt_key, _ = jax.random.split(jax.random.split(key)[0], 3)
        begin, _ = warmup_adapter(self.warmup, target_accept_prob=self.target_accept)
        adapted = begin(IntegratorState(z=start), adapt_key, jnp.asarray(1.0))
        zero, none = jnp.zeros((), int), jnp.zeros(())
        begun = Chain(
            done=zero,
            position=start,
            slope=slope,
            potential=potential,
            energy=potential,
            kind=zero + LEAPFROG,
            steps=zero,
            acceptance_rate=none,
            diverging=jnp.asarray(False),
            trial=Trial(zero, none, zero),
            adapted=adapted,
            key=own,
        )
        return jax.tree_util.tree_map(_typed, begun)

    def step(self, chain: Chain) -> Chain:
        """The next state."""
        key, momentum_key, tree_key = jax.random.split(chain.key, 3)
        flat, whole = ravel_pytree(chain.position)
        whitened = (chain.kind == LOBATTO) & (np.arange(flat.size) >= chain.position["u"].size)
        variances = jnp.where(whitened, 1.0, chain.adapted.inverse_mass_matrix)
        scale = jnp.where(whitened, 1.0, chain.adapted.mass_matrix_sqrt)
        momentum = whole(scale * jax.random.normal(momentum_key, flat.shape))
        tree = build_tree(
            stepping(self.potential, chain.kind),
            euclidean_kinetic_energy,
            IntegratorState(chain.position, momentum, chain.potential, chain.slope),
            variances,
            chain.step_size,
            tree_key,
            max_tree_depth=self.max_tree_depth,
        )
        rate = tree.sum_accept_probs / tree.num_proposals
        moved = chain._replace(
            done=chain.done + 1,
            position=tree.z_proposal,
            slope=tree.z_proposal_grad,
            potential=tree.z_proposal_pe,
            energy=tree.z_proposal_energy,
            steps=tree.num_proposals,
            acceptance_rate=rate,
            diverging=tree.diverging,
            key=key,
        )
        return lax.cond(chain.done < self.warmup, self._adapted, lambda same: same, moved)

    def _adapted(self, chain: Chain) -> Chain:
        """Adapted to its last transition, the kind of its steps too."""
        before, place, long = chain.adapted, IntegratorState(z=chain.position), chain.kind == LOBATTO
        _, adapt = warmup_adapter(self.warmup, target_accept_prob=self.target_accept)
        adapted = adapt(chain.done - 1, chain.acceptance_rate, place, before)
        adapted = _where(long, adapted._replace(step_size=before.step_size, ss_state=before.ss_state), adapted)
        trial, windows = chain.trial.after(chain.acceptance_rate, long), build_adaptation_schedule(self.warmup)
        ended, last = adapted.window_idx > before.window_idx, before.window_idx == len(windows) - 1
        tries = len(windows) > 1 and "w" in chain.position and chain.position["w"].size > 0
        begins = (chain.done == (windows[0].end + 1) // 2) & tries
        fails = long & ~last & ((trial.poor > 1) | (ended & (trial.accepted < trial.tried * self.target_accept)))
        size = jnp.where(begins, jnp.exp(adapted.ss_state[1]), adapted.step_size)
        anew = adapted._replace(step_size=size, ss_state=dual_averaging()[0](jnp.log(10.0 * size)))
        return chain._replace(
            kind=jnp.where(begins, LOBATTO, jnp.where(fails, LEAPFROG, chain.kind)),
            trial=trial,
            adapted=_where(begins | fails, anew, adapted),
        )


def _where(which: Array, one: HMCAdaptState, other: HMCAdaptState) -> HMCAdaptState:
    chosen: HMCAdaptState = lax.cond(which, lambda: one, lambda: other)
    return chosen


def _typed(leaf: Array) -> Array:
    """Of its own type and no weak one, which would be compiled for anew when a transition has made it a type."""
    return leaf if is_key(leaf) else lax.convert_element_type(leaf, leaf.dtype)


def is_key(leaf: Any) -> bool:
    """Whether a part of a state is a random key, which has no numbers of its own."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
