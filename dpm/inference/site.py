"""One latent site of a model: its shape, its unconstrained scale, and where a search for it may begin."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

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
"""A share of the prior mean, and by how much less of a log density there a prior still has one at zero: it then falls
off no faster than the logarithm itself."""

FAR_ABOVE, LEAST_POWER = (1e2, 1e3), 3.0
"""Multiples of the prior mean, and the power by which a density falls off between them that has a variance."""


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
        open_at_zero: whether it is positive and its prior has a density at zero, and a variance, as a half-normal one
            has. A half-Cauchy one has none: what is a normal tail below would be a heavy one above.
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


def sites_of(latent: Mapping[str, dict[str, Any]]) -> dict[str, Site]:
    """Latent sites from their messages in a trace, in its order."""
    transforms = {name: biject_to(message["fn"].support) for name, message in latent.items()}
    shapes = {
        name: tuple(np.shape(jax.eval_shape(transforms[name]._inverse, message["value"])))
        for name, message in latent.items()
    }

    def priors() -> dict[str, _Prior]:
        return {name: _prior(message["fn"], transforms[name], shapes[name]) for name, message in latent.items()}

    found, sites = jax.jit(priors)(), {}  # compiled as one, not an operation at a time
    for name, message in latent.items():
        centre, unit, fall, power = found[name]
        axis = len(message["fn"].batch_shape) - 1 if is_subject(message) else None
        open_at_zero = fall is not None and bool(fall < MOST_FALL * centre.size and power > LEAST_POWER * centre.size)
        new_level = bool(message["infer"].get("new_level"))
        sites[name] = Site(name, shapes[name], transforms[name], axis, centre, unit, open_at_zero, new_level)
    return sites


class _Prior(NamedTuple):
    """Of one site: `Site.centre`, `Site.unit`, how much less its log density is near zero, and its tail's power.

    The last two, see `_ends`, of positive values alone.
    """

    centre: Array
    unit: Array
    fall: Array | None
    power: Array | None


def _prior(fn: Any, transform: Transform, shape: tuple[int, ...]) -> _Prior:
    centre = _centre(fn, transform, shape)
    return _Prior(centre, _unit(fn, transform, shape), *_ends(fn, transform, centre))


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


def _ends(fn: Any, transform: Transform, centre: Array) -> tuple[Array, Array] | tuple[None, None]:
    """How much less the log density of a positive value is near zero than at its mean, and by what power it falls.

    That of a density like $s^{-k}$ far above the mean is $k$. Summed over a site's values; of others there are none.
    """
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    if not isinstance(transform, ExpTransform) or not centre.size or centre.shape != fn.shape():
        return None, None
    typical = jnp.exp(centre)

    def at(times: float) -> Array:
        return jnp.sum(fn.log_prob(times * typical))

    near, far = FAR_ABOVE
    return at(1.0) - at(NEAR_ZERO), (at(near) - at(far)) / np.log(far / near)


def _is_linear(transform: Transform) -> bool:
    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return isinstance(transform, IdentityTransform | ZeroSumTransform)
