"""One latent site of a model: its shape, its unconstrained scale, and where a search for it may begin."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from numpyro.distributions.transforms import (
    ExpTransform,
    IdentityTransform,
    IndependentTransform,
    Transform,
    ZeroSumTransform,
    biject_to,
)

from dpm.inference.plate_rule import is_subject
from dpm.types import Array

NEAR_ZERO, MOST_FALL = 1e-6, 3.0
"""A share of the prior mean, and by how much less of a log density there a prior still has one at zero."""


@dataclass(frozen=True)
class Site:
    """One latent site.

    Attributes:
        name: as sampled.
        shape: of its value on the unconstrained scale.
        transform: from the unconstrained scale to the support.
        subject_axis: where the plate sits in `shape`; None for a population site.
        centre: the prior mean on the unconstrained scale, zero where the prior has none.
        unit: the prior sd of a value without bounds, in its own unit; one for a bounded value or without a prior sd.
        open_at_zero: whether it is positive and its prior has a density at zero, as a half-normal one has.
        new_level: whether it stands for levels of a group that were not met at the fit (sampled with
            `infer={"new_level": True}`): its prior, of which no posterior has draws, is standard normal.
    """

    name: str
    shape: tuple[int, ...]
    transform: Transform
    subject_axis: int | None
    centre: Array
    unit: Array
    open_at_zero: bool = False
    new_level: bool = False

    @property
    def bounded(self) -> bool:
        """Whether the unconstrained scale is another than the natural one, such as a logarithm."""
        return not _is_linear(self.transform)

    @property
    def size(self) -> int:
        """Unconstrained values, per subject where the site is a subject's."""
        kept = [length for axis, length in enumerate(self.shape) if axis != self.subject_axis]
        return int(np.prod(kept)) if kept else 1


def site_of(name: str, message: dict[str, Any]) -> Site:
    """A latent site from its message in a trace."""
    fn = message["fn"]
    transform = biject_to(fn.support)
    shape = tuple(np.shape(jax.eval_shape(transform._inverse, message["value"])))
    axis = len(fn.batch_shape) - 1 if is_subject(message) else None
    new_level = bool(message["infer"].get("new_level"))
    centre, unit = _centre(fn, transform, shape), _unit(fn, transform, shape)
    return Site(name, shape, transform, axis, centre, unit, _open_at_zero(fn, transform, centre), new_level)


def _centre(fn: Any, transform: Transform, shape: tuple[int, ...]) -> Array:
    try:
        centre = transform._inverse(jnp.broadcast_to(fn.mean, fn.shape()))
    except NotImplementedError:
        return jnp.zeros(shape)
    # A Cauchy prior has no mean, and that of a half-open support may lie on its edge.
    return jnp.where(jnp.isfinite(centre), centre, 0.0).reshape(shape)


def _unit(fn: Any, transform: Transform, shape: tuple[int, ...]) -> Array:
    if not _is_linear(transform) or shape != fn.shape():
        return jnp.ones(shape)
    try:
        sd = jnp.sqrt(jnp.broadcast_to(fn.variance, shape))
    except NotImplementedError:
        return jnp.ones(shape)
    return jnp.where(jnp.isfinite(sd) & (sd > 0.0), sd, 1.0)


def _open_at_zero(fn: Any, transform: Transform, centre: Array) -> bool:
    """Whether the prior density of a logarithm falls off no faster than the logarithm itself."""
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    if not isinstance(transform, ExpTransform) or not centre.size or centre.shape != fn.shape():
        return False
    typical = jnp.exp(centre)
    fall = jnp.sum(fn.log_prob(typical)) - jnp.sum(fn.log_prob(NEAR_ZERO * typical))
    return bool(fall < MOST_FALL * centre.size)


def _is_linear(transform: Transform) -> bool:
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return isinstance(transform, IdentityTransform | ZeroSumTransform)
