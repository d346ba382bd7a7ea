"""What a gradient costs under each kind of outcome, beside a Gaussian one: the same course, the same visits, one run.

The gradient is that of the log density of all measurements by a level and a slope of every subject, compiled.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.components.categorical import Ordinal, thresholds
from dpm.components.continuous import StudentT
from dpm.components.count import NegativeBinomial
from dpm.components.outcome import Gaussian, Noise, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.score import BoundedInteger, BoundedScore, IntegerScore
from dpm.components.trajectory import Linear
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Array
from experiments.benchmarks.timing import markdown, timed

SUBJECTS, VISITS, MAXIMUM, CATEGORIES = 1000, 8, 40, 5
CALLS = 20
"""Gradients in one timing."""

NOISES: dict[str, tuple[Noise, float]] = {
    "Gaussian": (Gaussian(sd=dist.HalfNormal(5.0)), 1.0),
    "Student t": (StudentT(scale=dist.HalfNormal(5.0), degrees=5.0), 1.0),
    "bounded score (beta)": (BoundedScore(lower=0, upper=MAXIMUM, precision=dist.LogNormal(3.0, 1.0)), 1.0),
    "integer score (beta-binomial)": (IntegerScore(maximum=MAXIMUM, precision=dist.LogNormal(3.0, 1.0)), 1.0),
    "bounded integer": (BoundedInteger(maximum=MAXIMUM, sd=dist.HalfNormal(0.5)), 1.0),
    "item of five categories (graded)": (
        Ordinal(thresholds=thresholds(CATEGORIES - 1), discrimination=dist.LogNormal(0.0, 0.5)),
        1.0 / MAXIMUM,
    ),
    "count (negative binomial)": (NegativeBinomial(concentration=dist.LogNormal(0.0, 1.0)), 1.0),
}
"""Each with the scale of its course against the Gaussian one."""


def run(times: int) -> list[dict[str, Any]]:
    """The time of a gradient under each noise, and its ratio to the Gaussian one.

    Every round times each noise once, so that what else the machine does falls on all of them; a ratio is the median
    over rounds of the ratio within a round.
    """
    actions = {name: _gradients(noise, scale) for name, (noise, scale) in NOISES.items()}
    rounds = [{name: timed(action, 1).least / CALLS for name, action in actions.items()} for _ in range(times)]
    plain = next(iter(NOISES))
    return [
        {
            "outcome": name,
            "milliseconds": 1000.0 * float(np.median([each[name] for each in rounds])),
            "ratio": float(np.median([each[name] / each[plain] for each in rounds])),
        }
        for name in NOISES
    ]


def text(rows: list[dict[str, Any]]) -> str:
    cells = [[row["outcome"], f"{row['milliseconds']:.2f} ms", f"{row['ratio']:.1f}"] for row in rows]
    return markdown(["outcome", "gradient", "ratio"], cells)


def _gradients(noise: Noise, scale: float) -> Callable[[], None]:
    """`CALLS` gradients under a noise, compiled."""
    course = Linear(
        level=Parameter(dist.Normal(12.0 * scale, 5.0 * scale), subject=dist.HalfNormal(3.0 * scale)),
        slope=Parameter(dist.Normal(scale, scale), subject=dist.HalfNormal(0.5 * scale)),
    )
    model = ProgressionModel(outcomes={"y": Outcome(course, noise)}, correlation=None)
    records = _records()
    hierarchy = Hierarchy.of(model, records)
    vector = hierarchy.prior_centre()
    effects = 0.1 * jax.random.normal(jax.random.key(1), (hierarchy.n_effects, SUBJECTS))

    @jax.jit
    def gradient(population: Array, own: Array) -> tuple[Array, Array]:
        def total(p: Array, b: Array) -> Array:
            return jnp.sum(hierarchy.log_subject(hierarchy.constrain(p), b, records))

        return jax.grad(total, (0, 1))(population, own)

    def calls() -> None:
        for _ in range(CALLS):
            jax.block_until_ready(gradient(vector, effects))

    assert all(bool(jnp.isfinite(part).all()) for part in gradient(vector, effects))
    return calls


def _records() -> Records:
    """Whole measurements from 1 to 4, which every outcome here can give."""
    shape = (VISITS, SUBJECTS)
    time = jnp.broadcast_to(jnp.linspace(0.0, 3.5, VISITS)[:, None], shape)
    values = jnp.asarray(np.random.default_rng(1).integers(1, CATEGORIES, shape).astype(float))
    return Records(time, {"y": values}, {"y": jnp.ones(shape, bool)}, {}, {})
