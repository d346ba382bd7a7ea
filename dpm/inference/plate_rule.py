"""The rule that makes a NumPyro model usable, and refusals of models that would run and be wrong.

What belongs to one subject is sampled inside `plate("subject", n, dim=-1)`, everything else outside, and subjects are
independent given what is outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from numpyro import distributions as dist

from dpm.errors import ModelError
from dpm.types import Array, Sites

type Messages = dict[str, dict[str, Any]]

RULE = 'plate("subject", n, dim=-1)'


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Ran:
    """What a run of a model computes; a pytree.

    Attributes:
        log_probs: by sampled site, before any sum.
        derived: values of deterministic sites.
        inside: which sampled sites stand inside the plate.
    """

    log_probs: Sites
    derived: Sites
    inside: frozenset[str] = field(metadata={"static": True})

    @classmethod
    def of(cls, log_probs: Sites, trace: Messages) -> "Ran":
        """From what NumPyro's `compute_log_probs` returns."""
        derived = {name: message["value"] for name, message in trace.items() if message["type"] == "deterministic"}
        return cls(log_probs, derived, frozenset(name for name in log_probs if is_subject(trace[name])))


def is_subject(message: dict[str, Any]) -> bool:
    """Whether a site stands inside the subject plate."""
    return any(frame.name == "subject" for frame in message["cond_indep_stack"])


def check_plate(sampled: Messages, n_subjects: int) -> None:
    """Refuse a subject plate that is missing, of another size or elsewhere.

    Raises:
        ModelError: see above.
    """
    frames = [frame for message in sampled.values() for frame in message["cond_indep_stack"] if frame.name == "subject"]
    if not frames:
        do = f"Sample what belongs to one subject inside {RULE}."
        raise ModelError("model", f"at least one site inside {RULE}", "none", do)
    wrong = [frame for frame in frames if frame.dim != -1 or frame.size != n_subjects]
    if wrong:
        got = f"size {wrong[0].size} at dim {wrong[0].dim}"
        do = f"Use {RULE} with n = records.n_subjects."
        raise ModelError("model", f"the subject plate of size {n_subjects} at dim -1", got, do)


def check_supports(latent: Messages, again: Messages) -> None:
    """Refuse a support that is discrete or that moves with data or other values: one transform per site is kept.

    Raises:
        ModelError: see above.
    """
    for name, message in latent.items():
        support = message["fn"].support
        if support.is_discrete and is_subject(message):
            class_values(message)
        elif support.is_discrete:
            do = "Sum it out of the model, or give it a continuous form."
            raise ModelError(name, "a continuous latent site", type(innermost(message["fn"])).__name__, do)
        if support != again[name]["fn"].support:
            got = f"{support}, which moves with the data or another site"
            do = "Sample it on a scale of its own, such as a share of the moving bound, and compute the rest."
            raise ModelError(name, "a support that is always the same", got, do)


def class_values(message: dict[str, Any]) -> tuple[int, ...]:
    """The values of a discrete latent site of the subjects, over which the kernel sums.

    Raises:
        ModelError: they are not finitely many whole numbers, or the site has more than one value for a subject.
    """
    name, fn = str(message["name"]), message["fn"]
    if not fn.has_enumerate_support or fn.event_shape or len(fn.batch_shape) != 1:
        do = "Sum it out of the model, or sample one class per subject."
        got = f"{type(innermost(fn)).__name__} of shape {fn.shape()}"
        raise ModelError(name, "a discrete site with finitely many values, one per subject", got, do)
    return tuple(int(value) for value in np.ravel(np.asarray(fn.enumerate_support(expand=False))))


def check_independent(runs: Sequence[Ran]) -> frozenset[str]:
    """Refuse densities that a subject's effects enter and that are not that subject's.

    Every subject's integral is taken on its own, so such a term would be left out or counted wrongly without a sign.

    Args:
        runs: at some effects, at effects of which the first subject's were moved, and at effects that all were.

    Returns:
        the deterministic sites that move with effects.

    Raises:
        ModelError: see above.
    """
    still, one, every = runs
    for name, log_prob in still.log_probs.items():
        if name in still.inside:
            if not _same(log_prob[..., 1:], one.log_probs[name][..., 1:]):
                do = "Let what is inside the plate depend on the subject's own effects and on population values alone."
                raise ModelError(name, "subjects that are independent", "another subject's effects in its density", do)
        elif not _same(log_prob, every.log_probs[name]):
            do = f"Move it inside {RULE}, a term per subject."
            raise ModelError(name, "a site outside the plate without subjects' effects", "a density they enter", do)
    return frozenset(name for name, value in still.derived.items() if not _same(value, every.derived[name]))


def check_own_data(still: Ran, moved: Ran) -> None:
    """Refuse densities that another subject's data enter, such as a covariate less its mean in the cohort.

    Subjects are worked on in parts, new ones are predicted alone, and held-out ones are hidden: a density that looks
    at who else is there would change each time.

    Args:
        still: of a cohort.
        moved: with other data of the first subject.

    Raises:
        ModelError: see above.
    """
    for name, log_prob in still.log_probs.items():
        if name in still.inside and not _same(log_prob[..., 1:], moved.log_probs[name][..., 1:]):
            do = "Compute what is the cohort's once, before the fit, and give it to the model as numbers."
            raise ModelError(name, "subjects that are independent", "another subject's data in its density", do)


def innermost(fn: Any) -> dist.Distribution:
    """A distribution without the wrappers that mask, expand or reinterpret it."""
    while isinstance(fn, dist.MaskedDistribution | dist.ExpandedDistribution | dist.Independent):
        fn = fn.base_dist
    return fn


def _same(one: Array, other: Array) -> bool:
    return bool(np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True))
