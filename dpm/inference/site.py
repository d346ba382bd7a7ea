"""One latent site of a model: its shape, its unconstrained scale, and where a search for it may begin."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from numpyro.distributions.transforms import (
    IdentityTransform,
    IndependentTransform,
    Transform,
    ZeroSumTransform,
    biject_to,
)

from dpm.inference.plate_rule import is_subject
from dpm.types import Array


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
        new_level: whether it stands for levels of a group that were not met at the fit (sampled with
            `infer={"new_level": True}`): its prior, of which no posterior has draws, is standard normal.
    """

    name: str
    shape: tuple[int, ...]
    transform: Transform
    subject_axis: int | None
    centre: Array
    unit: Array
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
    return Site(name, shape, transform, axis, _centre(fn, transform, shape), _unit(fn, transform, shape), new_level)


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


def _is_linear(transform: Transform) -> bool:
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return isinstance(transform, IdentityTransform | ZeroSumTransform)
