"""What a traced model says of itself: which sites are the population's, which a subject's, and their densities."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any, Literal
from weakref import WeakKeyDictionary

import jax
import numpy as np
from jax import numpy as jnp
from jax.scipy.special import logsumexp
from numpyro import handlers
from numpyro.distributions.distribution import validation_enabled
from numpyro.distributions.transforms import IdentityTransform
from numpyro.infer.util import compute_log_probs

from dpm.cohort.buckets import Buckets, Data
from dpm.cohort.records import Records
from dpm.inference.plate_rule import (
    Ran,
    check_independent,
    check_own_data,
    check_plate,
    check_supports,
    class_values,
    is_subject,
)
from dpm.inference.site import Site, sites_of
from dpm.inference.tracing import Drawing, altered, altered_first, drawing, first_run, sampled_sites
from dpm.types import Array, Bool, Float, Model, PerSubject, Sites

Part = Literal["all", "latent"]


_KNOWN: WeakKeyDictionary[Model, dict[tuple[Any, ...], "Hierarchy"]] = WeakKeyDictionary()
"""Traced models, so that functions compiled for one are found again by the next fit of the same model."""


def _over_subjects(log_prob: Array) -> PerSubject:
    """Sum every axis but the last, which the plate owns."""
    return log_prob if log_prob.ndim == 1 else jnp.sum(log_prob.reshape(-1, log_prob.shape[-1]), axis=0)


@jax.jit
def _joined(parts: list[Array]) -> Float[Array, " population"]:
    return jnp.concatenate([jnp.zeros(0), *(jnp.ravel(part) for part in parts)])


@dataclass(frozen=True, eq=False)
class Hierarchy:
    r"""A model split at its subject plate.

    $$\log p(y, b, \varphi) = \log p(\varphi) + \sum_i \ell_i(b_i, \varphi)$$

    Built by `Hierarchy.of(model, records)`, and compared by identity, so that functions compiled for one are kept.
    Population values travel as one vector on the unconstrained scale,
    subject effects as an array of shape `(effect, subject)` on theirs.

    A discrete site inside the plate, such as a subject's subtype, is summed out:
    $\ell_i(b_i) = \log \sum_z \exp \ell_i(b_i, z)$. Where effects carry a row for each such site below their own,
    those are its values, and nothing is summed.

    Attributes:
        model: any callable that keeps the subject-plate rule.
        population: latent sites outside the plate, in order of sampling.
        subject: continuous latent sites inside it.
        classes: discrete latent sites inside it, with their values.
        assigned: a value for each of `classes`; None where they are summed out.
        of_effects: deterministic sites outside the plate that move with subjects' effects, such as their mean: no
            population value determines them.
        observes: whether anything is observed outside the plate.
        draw: draws from the priors of the population values, see `drawing`.
    """

    model: Model
    population: tuple[Site, ...]
    subject: tuple[Site, ...]
    classes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    assigned: tuple[int, ...] | None = None
    of_effects: frozenset[str] = frozenset()
    observes: bool = field(kw_only=True)
    draw: Drawing = field(kw_only=True, repr=False)
    _by_class: dict[tuple[int, ...], "Hierarchy"] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, model: Model, records: Data) -> "Hierarchy":
        """Trace `model` once on `records`; the same model on records of the same shapes gives the same object.

        Raises:
            ModelError: if no site stands in `plate("subject", n, dim=-1)`, that plate is elsewhere, a latent
                site of the population is discrete, or one of subjects that has no finite number of values, a support
                is not the same for all data and values, or a subject's effects enter a density that is not that
                subject's.
        """
        if isinstance(records, Buckets):
            records = records.largest
        shapes = (jax.tree_util.tree_structure(records), *(leaf.shape for leaf in jax.tree_util.tree_leaves(records)))
        try:
            known = _KNOWN.setdefault(model, {})
        except (
            TypeError
        ):  # a model that cannot be a key, such as a dataclass with a mapping in it, is traced every time
            known = {}
        if shapes not in known:
            known[shapes] = cls._traced(model, records)
        return known[shapes]

    @classmethod
    def _traced(cls, model: Model, records: Records) -> "Hierarchy":
        draw = drawing(model)
        sampled = first_run(model, records, draw)
        check_plate(sampled, records.n_subjects)
        latent = {name: message for name, message in sampled.items() if not message["is_observed"]}
        with validation_enabled(False):
            check_supports(latent, sampled_sites(model, jax.tree_util.tree_map(altered, records), draw, seed=1))
        discrete = {name: message for name, message in latent.items() if message["fn"].support.is_discrete}
        sites = sites_of({name: message for name, message in latent.items() if name not in discrete})
        split = cls(
            model,
            tuple(site for site in sites.values() if site.subject_axis is None),
            tuple(site for site in sites.values() if site.subject_axis is not None),
            tuple((name, class_values(message)) for name, message in discrete.items()),
            observes=any(message["is_observed"] and not is_subject(message) for message in sampled.values()),
            draw=draw,
        )
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree_util.tree_leaves(records)):
            return split
        # Inside a trace its own values are wanted now; outside one this would only hinder a solver's run-time checks.
        traced = isinstance(jnp.zeros(()), jax.core.Tracer)
        with jax.ensure_compile_time_eval() if traced else nullcontext(), validation_enabled(False):
            return replace(split, of_effects=split._independent(records))

    def _independent(self, records: Records) -> frozenset[str]:
        """Compare densities at effects, and data, of which one subject's, then all, were moved.

        See `check_independent` and `check_own_data`.
        """
        still = 0.1 * np.random.default_rng(0).standard_normal((self.n_effects, records.n_subjects))
        one = still + 0.3 * (np.arange(records.n_subjects) == 0)

        @jax.jit
        def run(vector: Array, effects: Array, data: Records) -> Ran:
            log_probs, trace = self._log_probs({**self.constrain(vector), **self.effect_values(effects)}, data)
            return Ran.of(log_probs, trace)

        centre = np.asarray(self.prior_centre()) + 0.1
        runs = [run(centre, effects, records) for effects in (still, one, still + 0.3)]
        check_own_data(runs[0], run(centre, still, jax.tree_util.tree_map(altered_first, records)))
        return check_independent(runs)

    @property
    def n_population(self) -> int:
        return sum(site.size for site in self.population)

    @property
    def n_effects(self) -> int:
        return sum(site.size for site in self.subject)

    @property
    def summed(self) -> bool:
        """Whether there are discrete sites without an assigned value."""
        return bool(self.classes) and self.assigned is None

    def by_class(self) -> list["Hierarchy"]:
        """The same model at every combination of the values of its discrete sites; itself where there are none."""
        if not self.summed:
            return [self]
        for values in product(*(values for _, values in self.classes)):
            if values not in self._by_class:
                self._by_class[values] = replace(self, assigned=values, _by_class={})
        return list(self._by_class.values())

    def prior_centre(self) -> Float[Array, " population"]:
        """The prior means, where a search may begin."""
        return _joined([site.centre for site in self.population])

    def prior_unit(self) -> Float[Array, " population"]:
        """How far a search may step in each value before it has learned better."""
        return _joined([site.unit for site in self.population])

    def near_zero(self) -> Bool[np.ndarray, " population"]:
        """Which values are positive with a prior that has a density at zero, as spreads do."""
        each = [np.full(site.size, site.open_at_zero) for site in self.population]
        return np.concatenate(each) if each else np.zeros(0, bool)

    def population_names(self) -> list[str]:
        """A name per element of the population vector: the site's, with an index where it has several."""
        return [
            site.name if site.size == 1 else f"{site.name}[{k}]" for site in self.population for k in range(site.size)
        ]

    def constrain(self, vector: Float[Array, " population"]) -> Sites:
        """Population values on their natural scale."""
        return {site.name: site.transform(value) for site, value in self._split(vector)}

    def unconstrain(self, values: Sites) -> Float[Array, " population"]:
        """The inverse of `constrain`."""
        parts = [jnp.ravel(site.transform._inverse(jnp.asarray(values[site.name]))) for site in self.population]
        return jnp.concatenate(parts) if parts else jnp.zeros(0)

    def _split(self, vector: Float[Array, " population"]) -> list[tuple[Site, Array]]:
        if not self.population:
            return []
        stops = np.cumsum([site.size for site in self.population])[:-1]
        return [
            (site, part.reshape(site.shape))
            for site, part in zip(self.population, jnp.split(vector, stops), strict=True)
        ]

    def effect_values(self, effects: Float[Array, "effect subject"]) -> Sites:
        """Subject sites on their natural scale, each in the shape the model samples, discrete ones where known."""
        values = {site.name: site.transform(value) for site, value in self._split_effects(effects)}
        for row, (name, _) in enumerate(self.classes, self.n_effects):
            if row < effects.shape[0]:
                values[name] = effects[row].astype(int)
            elif self.assigned is not None:
                values[name] = jnp.full(effects.shape[-1], self.assigned[row - self.n_effects])
        return values

    def _split_effects(self, effects: Float[Array, "effect subject"]) -> list[tuple[Site, Array]]:
        pieces, start = [], 0
        for site in self.subject:
            axis = site.subject_axis
            assert axis is not None
            rest = [length for position, length in enumerate(site.shape) if position != axis]
            block = effects[start : start + site.size].reshape(*rest, effects.shape[-1])
            pieces.append((site, jnp.moveaxis(block, -1, axis)))
            start += site.size
        return pieces

    def unconstrain_effects(self, values: Sites) -> Float[Array, "effect subject"]:
        """The inverse of `effect_values`."""
        parts = []
        for site in self.subject:
            assert site.subject_axis is not None
            raw = jnp.moveaxis(site.transform._inverse(values[site.name]), site.subject_axis, -1)
            parts.append(raw.reshape(site.size, raw.shape[-1]))
        return jnp.concatenate(parts)

    def trace(self, population: Sites, effects: Sites, records: Records) -> dict[str, dict[str, Any]]:
        """The model's trace with every latent value given; invisible to an enclosing NumPyro model."""
        with handlers.block():
            return handlers.trace(self._filled({**population, **effects})).get_trace(records)

    def _filled(self, values: Sites) -> Model:
        """The model with latent values given. The seed stands outside, so that it draws no key for a given site."""
        return handlers.seed(handlers.substitute(self.model, data=values), jax.random.key(0))

    def log_population(self, vector: Float[Array, " population"], records: Data, *, prior: bool) -> Float[Array, ""]:
        r"""$\log p(\varphi)$ with the Jacobian of the unconstrained scale.

        Without `prior`, only what is observed outside the plate.
        """
        if not prior and not self.observes:
            return jnp.zeros(())
        values = self.constrain(vector)
        if isinstance(records, Buckets):
            records = records.largest
        zeros = self.effect_values(jnp.zeros((self.n_effects, records.n_subjects)))

        def wanted(message: dict[str, Any]) -> bool:
            return not is_subject(message) and (prior or message["is_observed"])

        log_probs, _ = self._log_probs({**values, **zeros}, records, wanted)
        total = jnp.zeros(())
        for log_prob in log_probs.values():
            total += jnp.sum(log_prob)
        if prior:
            for site, raw in self._split(vector):
                total += jnp.sum(site.transform.log_abs_det_jacobian(raw, values[site.name]))
        return total

    def log_subject(
        self, population: Sites, effects: Float[Array, "effect subject"], records: Data, *, part: Part = "all"
    ) -> PerSubject:
        r"""$\ell_i$: each subject's log density, with the Jacobian of its effects' unconstrained scale.

        With `part="latent"` the observed sites are left out.
        """
        if isinstance(records, Buckets):
            pairs = zip(records.split(effects), records.parts, strict=True)
            return records.join([self.log_subject(population, own, bucket, part=part) for own, bucket in pairs])
        if self.summed and effects.shape[0] == self.n_effects:
            each = [one.log_subject(population, effects, records, part=part) for one in self.by_class()]
            return logsumexp(jnp.stack(each), axis=0)
        return self._log_subject(population, effects, records, part)

    @partial(jax.jit, static_argnums=(0, 4))
    def _log_subject(
        self, population: Sites, effects: Float[Array, "effect subject"], records: Records, part: Part
    ) -> PerSubject:
        """Runs the model once for arrays of the same shapes, however often it is differentiated."""
        values = self.effect_values(effects)

        def wanted(message: dict[str, Any]) -> bool:
            return is_subject(message) and (part == "all" or not message["is_observed"])

        log_probs, _ = self._log_probs({**population, **values}, records, wanted)
        total = jnp.zeros(effects.shape[-1])
        for log_prob in log_probs.values():
            total += _over_subjects(log_prob)
        for site, raw in self._split_effects(effects):
            if isinstance(site.transform, IdentityTransform):
                continue  # of which the log Jacobian is zero
            jacobian = site.transform.log_abs_det_jacobian(raw, values[site.name])
            assert site.subject_axis is not None
            total += _over_subjects(jnp.moveaxis(jacobian, site.subject_axis, -1))
        return total

    def _log_probs(
        self, values: Sites, records: Records, wanted: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> tuple[Sites, dict[str, dict[str, Any]]]:
        """Log densities of the sampled sites that are wanted, and the trace without the others.

        What nobody adds up is not traced: each derivative of a density would be traced with it.
        """

        def hidden(message: dict[str, Any]) -> bool:
            return message["type"] == "sample" and not wanted(message)

        with handlers.block():
            shown = handlers.block(self._filled(values), hide_fn=hidden)
            return compute_log_probs(shown, (records,), {}, {}, sum_log_prob=False)
