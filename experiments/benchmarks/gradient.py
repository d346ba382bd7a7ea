"""What a gradient of the joint log density costs: dpm's, that of a function written by hand for one model, and Stan's.

By all population values and all subjects' effects, on the unconstrained scale. The function by hand is what somebody
who knows JAX would write for that model and no other; its gradient must be dpm's, or no time is printed. Both run in a
compiled loop, as in a sampler. Stan's time is the difference of two runs of one chain, alike but for their lengths, so
that neither start nor warm-up counts; the output of its draws does, some hundredths of the time in 100 subjects.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from numpyro.distributions.transforms import CorrCholeskyTransform, ZeroSumTransform

import dpm
from dpm.cohort.records import Records
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Array
from experiments.benchmarks import programs, simulators
from experiments.benchmarks.posteriors import RIVALS, STAN_PYTHON, stan_given
from experiments.benchmarks.timing import markdown, shown

SIZES = (100, 1_000, 10_000)
ROUNDS, CALLS = 15, 200
"""Timings of each function in turn, and gradients in one of them."""

TINY = 1e-9
"""Step between two of these."""

ITERATIONS = (5, 45)
"""Draws of Stan's two runs, of 127 gradients each."""

MOST_OF_STAN = 1_000
"""Subjects up to which Stan runs; of more it would take ten times as long for the same ratio."""

Density = Callable[[Array, Array], Array]
"""Up to a constant, of population values and effects on the unconstrained scale."""

Gradient = Callable[[Array, Array], tuple[Array, Array]]


def _normal(x: Array, sd: Array | float, centre: Array | np.ndarray | float = 0.0) -> Array:
    return -jnp.sum(0.5 * ((x - centre) / sd) ** 2)


def _spreads(x: Array, sd: Array | float) -> tuple[Array, Array]:
    """Of logarithms: the spreads, and their log density under half-normal priors."""
    return jnp.exp(x), _normal(jnp.exp(x), sd) + jnp.sum(x)


def _factor(x: Array, q: int) -> tuple[Array, Array]:
    """The Cholesky factor of a correlation matrix, and its log density under LKJ(2)."""
    transform = CorrCholeskyTransform()
    factor = transform(x)
    order = q + 2.0 - np.arange(2, q + 1)
    log_density = jnp.sum(order * jnp.log(jnp.diagonal(factor)[1:]))
    return factor, log_density + transform.log_abs_det_jacobian(x, factor)


def _measured(y: Array, expected: Array, sd: Array) -> Array:
    return -jnp.sum(0.5 * ((y - expected) / sd) ** 2) - y.size * jnp.log(sd)


def logistic(records: Records) -> Density:
    """`simulators.logistic`, every subject at every visit."""
    time, y = records.time, records.values["y"]

    def density(vector: Array, z: Array) -> Array:
        typical, logs, correlated, log_sd = jnp.split(vector, (3, 6, 9))
        spread, of_spread = _spreads(logs, jnp.array([2.0, 1.0, 0.3]))
        factor, of_factor = _factor(correlated, 3)
        sd, of_sd = _spreads(log_sd[0], 0.5)
        asymptote, midpoint, scale = typical[:, None] + (spread[:, None] * factor) @ z
        expected = asymptote * jax.nn.sigmoid((time - midpoint) / scale)
        prior = _normal(typical, jnp.array([4.0, 2.0, 0.5]), jnp.array([9.0, 4.5, 1.1])) + of_spread + of_factor + of_sd
        return prior + _normal(z, 1.0) + _measured(y, expected, sd)

    return density


LATENT_TIME = {
    "onset_x": 2,
    "onset_site_sd": 1,
    "onset_site": 3,
    "pace_x": 2,
    "pace_site_sd": 1,
    "pace_site": 3,
    "a": 4,
    "b": 4,
    "c": 3,
    "spread": 5,
    "correlated": 10,
    "ceiling": 3,
    "sd": 3,
}
"""Pieces of the population vector of `simulators.latent_time`, with their sizes; of a marker: its floor, the floor's
effect if it has one, midpoint and log rate."""


def latent_time(records: Records) -> Density:
    """`simulators.latent_time`, every subject at every visit."""
    time, sites = records.time, records.groups["site"]
    x = jnp.stack([records.covariates["x1"], records.covariates["x2"]])
    y = jnp.stack([records.values[name] for name in simulators.MARKERS])
    centres = np.array([(ceiling, midpoint) for ceiling, _, midpoint in simulators.MARKERS.values()])
    zero_sum = ZeroSumTransform(1)

    def density(vector: Array, z: Array) -> Array:
        pieces = jnp.split(vector, np.cumsum(list(LATENT_TIME.values()))[:-1])
        at = dict(zip(LATENT_TIME, pieces, strict=True))
        spread, of_spread = _spreads(at["spread"], jnp.array([2.0, 0.5, 0.5, 0.5, 0.5]))
        factor, of_factor = _factor(at["correlated"], 5)
        sd, of_sd = _spreads(at["sd"], 0.5)
        prior = of_spread + of_factor + of_sd + _normal(z, 1.0)
        effects = (spread[:, None] * factor) @ z
        clock = []
        for k, (name, wide, far) in enumerate((("onset", 1.0, 1.0), ("pace", 0.3, 0.3))):
            site_sd, of_site_sd = _spreads(at[f"{name}_site_sd"][0], far)
            prior += of_site_sd + _normal(at[f"{name}_x"], wide)
            levels = zero_sum(at[f"{name}_site"])
            prior += _normal(levels, 1.0)
            clock.append(at[f"{name}_x"] @ x + site_sd * levels @ sites + effects[k])
        low = jnp.stack([at["a"][0] + at["a"][1] * x[0], at["b"][0] + at["b"][1] * x[1], at["c"][0] + 0.0 * x[0]])
        low += effects[2:]
        midpoint, rate = jnp.stack([at[name][-2:] for name in "abc"], axis=1)
        floors = jnp.concatenate([at["a"][:2], at["b"][:2], at["c"][:1]])
        prior += _normal(floors, 0.5) + _normal(at["ceiling"], 0.5, centres[:, 0])
        prior += _normal(midpoint, 1.0, centres[:, 1]) + _normal(rate, 0.5)
        latent = jnp.exp(clock[1]) * (time - clock[0])
        share = jax.nn.sigmoid(jnp.exp(rate)[:, None, None] * (latent - midpoint[:, None, None]))
        expected = low[:, None, :] + (at["ceiling"][:, None, None] - low[:, None, :]) * share
        return prior + sum((_measured(y[k], expected[k], sd[k]) for k in range(3)), jnp.zeros(()))

    return density


BY_HAND = {"logistic": logistic, "latent_time": latent_time}


def composed(name: str, records: Records) -> tuple[Hierarchy, Density]:
    """The model of `simulators` as dpm has it."""
    hierarchy = Hierarchy.of(simulators.MODELS[name](), records)

    def density(vector: Array, z: Array) -> Array:
        subjects = hierarchy.log_subject(hierarchy.constrain(vector), z, records)
        return jnp.sum(subjects) + hierarchy.log_population(vector, records, prior=True)

    return hierarchy, density


def agreeing(name: str, records: Records) -> dict[str, Callable[[], None]]:
    """The gradients of dpm and by hand, compiled, `CALLS` of them one after the other.

    Raises:
        AssertionError: they are not the same at two points.
    """
    hierarchy, own = composed(name, records)
    each = {"dpm": jax.grad(own, (0, 1)), "by hand": jax.grad(BY_HAND[name](records), (0, 1))}
    for seed in range(2):
        keys = jax.random.split(jax.random.key(seed))
        vector = hierarchy.prior_centre() + 0.2 * jax.random.normal(keys[0], (hierarchy.n_population,))
        effects = jax.random.normal(keys[1], (hierarchy.n_effects, records.n_subjects))
        found = [jax.jit(gradient)(vector, effects) for gradient in each.values()]
        for ours, theirs in zip(*found, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10 * float(jnp.abs(theirs).max()))
    return {label: _calls(gradient, vector, effects) for label, gradient in each.items()}


def _calls(gradient: Gradient, vector: Array, effects: Array) -> Callable[[], None]:
    """In one compiled loop, as a sampler has it, each from where the last one has moved to: a very little."""

    def step(_: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        of_vector, of_effects = gradient(*at)
        return at[0] + TINY * of_vector, at[1] + TINY * of_effects

    compiled = jax.jit(lambda *at: lax.fori_loop(0, CALLS, step, at)).lower(vector, effects).compile()
    return lambda: jax.block_until_ready(compiled(vector, effects))


def one(name: str, file: str) -> dict[str, float]:
    """CPU seconds of a gradient, medians over rounds in each of which both are timed, and of the ratio in a round."""
    actions = agreeing(name, dpm.read_written(file).records())
    rounds = np.array([[_cpu(action) / CALLS for action in actions.values()] for _ in range(ROUNDS)])
    return {
        **dict(zip(actions, np.median(rounds, axis=0), strict=True)),
        "ratio": float(np.median(rounds[:, 0] / rounds[:, 1])),
    }


def _cpu(action: Callable[[], None]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def run(times: int, sizes: Sequence[int] | None = None, limit: float = 300.0) -> dict[str, Any]:
    """Every model at every size, each program in a process of its own on one core; Stan up to `MOST_OF_STAN`."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for name in BY_HAND:
            for n in sizes or SIZES:
                file = simulators.stored(name, n, Path(place))
                each = [programs.python("gradient", name, file, limit=limit) for _ in range(times)]
                stan = [_by_stan(name, file, limit) for _ in range(times)] if n <= MOST_OF_STAN else []
                found[f"{name} {n}"] = {"dpm": [_found(ran) for ran in each], "stan": [_found(ran) for ran in stan]}
    return found


def _found(ran: programs.Ran | str) -> dict[str, Any] | str:
    return ran if isinstance(ran, str) else ran.found


def _by_stan(name: str, file: Path, limit: float) -> programs.Ran | str:
    given = file.parent / f"{name}.json"
    given.write_text(json.dumps(stan_given(name, file)), encoding="utf-8")
    words = [RIVALS / "stan_gradient.py", RIVALS / f"{name}.stan", given, *ITERATIONS]
    return programs.run([STAN_PYTHON, *map(str, words)], limit=limit)


def text(result: dict[str, Any]) -> str:
    """Medians over the times; of dpm to what is by hand, of the ratios within a round."""
    rows = []
    for label, runs in result.items():
        name, n = label.split()
        own = [one for one in runs["dpm"] if isinstance(one, dict)]
        if not own:
            rows.append([name, f"{int(n):,}", str(runs["dpm"][0]), "", "", "", ""])
            continue
        ours, by_hand, ratio = (float(np.median([one[key] for one in own])) for key in ("dpm", "by hand", "ratio"))
        stan = [one["seconds"] for one in runs["stan"] if isinstance(one, dict)]
        theirs = [str(next(iter(runs["stan"]), "")), ""]
        if stan:
            theirs = [shown(float(np.median(stan))), f"{np.median(stan) / ours:.1f}"]
        rows.append([name, f"{int(n):,}", shown(ours), shown(by_hand), f"{ratio:.2f}", *theirs])
    return markdown(["model", "subjects", "dpm", "by hand", "dpm / by hand", "Stan", "Stan / dpm"], rows)


if __name__ == "__main__":
    print(json.dumps(one(*sys.argv[1:3])))
