"""Maximum likelihood and maximum a posteriori on the marginal likelihood, with standard errors."""

from dataclasses import dataclass
from time import perf_counter
from typing import Literal, NamedTuple

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.accuracy import HIGHER, shift_of_maximum
from dpm.inference.bend import log_slope
from dpm.inference.climb import LEAST, Summit, ascend, climb, flattest, loaded, rises
from dpm.inference.coordinates import Coordinates
from dpm.inference.draws import Draws, host
from dpm.inference.faults import Fault
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.importance import resample
from dpm.inference.marginal import Level, Marginal
from dpm.inference.population import natural_table, population_draws
from dpm.inference.products import products, spreads_of_levels
from dpm.inference.surface import Surface
from dpm.types import Array, Float, Key, Model

Vector = Float[Array, " population"]
Objective = Literal["map", "ml"]
Errors = Literal["hessian", "sandwich"]


TRIES = 20
"""Points that are looked at for a start where the density is not zero."""


class Optimum(NamedTuple):
    """The maximum of a marginal objective.

    Attributes:
        vector: population values there, unconstrained scale.
        coordinates: in which it is the maximum, plain ones but for values that a spread multiplies.
        covariance: of the estimates, in these coordinates, see `Laplace.errors`.
        effects: every subject's conditional mode there.
        log_likelihood: of the data, effects integrated out at `level`, without the prior.
        decrement: squared Newton decrement; the optimum is within its root of a standard error.
        evaluations: of the objective with its gradient, over all starts, those of a sample left out.
        estimates: per population value on its natural scale: `estimate`, `se` (delta method).
    """

    vector: np.ndarray
    coordinates: Coordinates
    covariance: np.ndarray
    effects: np.ndarray
    log_likelihood: float
    decrement: float
    evaluations: int
    estimates: pd.DataFrame

    @property
    def point(self) -> np.ndarray:
        """The maximum in its coordinates."""
        return self.coordinates.of(self.vector)

    def bent(self, hierarchy: Hierarchy, origin: Float[np.ndarray, " population"] | None = None) -> "Optimum":
        """The same, values that may be near zero in bent coordinates, whose zero is the prior's mean or `origin`."""
        bends = hierarchy.near_zero()
        start = np.asarray(hierarchy.prior_centre()) if origin is None else origin
        coordinates = self.coordinates._replace(bends=bends, origin=start)
        per = np.where(bends, np.exp(np.asarray(log_slope(jnp.asarray(coordinates.of(self.vector))))), 1.0)
        return self._replace(coordinates=coordinates, covariance=self.covariance / np.outer(per, per))

    def sample(self, count: int, *, key: Key) -> Float[Array, "draw population"]:
        """Population vectors from the normal approximation at the maximum, which is one of its coordinates."""
        noise = np.asarray(jax.random.normal(key, (count, self.vector.size)))
        points = jnp.asarray(self.point + noise @ np.linalg.cholesky(self.covariance).T)
        return points if self.coordinates.is_plain else self.coordinates.all_values(points)[0]


@dataclass(frozen=True, kw_only=True)
class Laplace:
    r"""Fit by maximising $\log p(\varphi) + \sum_i \log p(y_i \mid \varphi)$, effects integrated out.

    L-BFGS from the prior means, then quasi-Newton steps until the squared Newton decrement is below `tolerance`; of
    many subjects, see `dpm.inference.surface`, by way of the maximum of a sample. Gradients are exact (implicit); the
    Hessian is central differences of them. Draws come from the normal approximation at the
    maximum on the unconstrained scale. Levels of a group and the spread that multiplies them have coordinates of their
    own, see `dpm.inference.coordinates`, in which a posterior's maximum is looked for from that on the unconstrained
    scale: the spread's estimate is then the mode with its levels integrated out. Subjects are worked on in chunks, over
    all devices that JAX has.

    Attributes:
        objective: `"map"`, with priors and the Jacobian of the unconstrained scale; `"ml"`, without either.
        level: accuracy of the integral, see `Marginal`.
        n_nodes: nodes per effect that does not enter linearly for `level="quadrature"`, points for `level="qmc"`.
        draws: how many to take from the normal approximation.
        tolerance: on the squared Newton decrement.
        starts: starting points to try before giving up.
        errors: `"hessian"`, the inverse $H^{-1}$ of the observed information; `"sandwich"`,
            $H^{-1} \sum_i s_i s_i^\top H^{-1}$ with the subjects' scores $s_i$, which holds where the model is wrong
            but its maximum still answers the question (White 1982, doi 10.2307/1912526), and for many subjects.
        importance: 0 draws from the normal approximation; otherwise so many proposals around the maximum are weighted
            by the marginal likelihood and the prior, and draws resampled from them, see `resample`. The normal
            approximation puts the sd of a spread a few per cent low when patients are few. Needs `objective="map"`.
        most_shift: refuse a maximum that the next level of accuracy would move by more, see `shift_of_maximum`
            [standard errors]; None does not look. One gradient of that level.
    """

    objective: Objective = "map"
    level: Level = "laplace"
    n_nodes: int = 9
    draws: int = 1000
    tolerance: float = 1e-10
    starts: int = 4
    errors: Errors = "hessian"
    importance: int = 0
    most_shift: float | None = None

    def run(self, model: Model, records: Data, *, key: Key) -> Draws:
        """Fit, and draw from the normal approximation.

        Raises:
            InferenceError: if no start converged, the information there is not positive definite, a sandwich is flat,
                or, with `importance`, the posterior is too far from normal to be reached by weights.
        """
        if self.importance and self.objective != "map":
            do = 'Use objective="map", or importance=0: without a prior there is no posterior to draw from.'
            raise InferenceError("Laplace(importance=...)", 'objective="map"', repr(self.objective), do)
        if self.importance and self.errors != "hessian":
            do = "Use one of the two: weighted draws are of the posterior, a sandwich is of an estimator."
            raise InferenceError("Laplace(importance=...)", 'errors="hessian"', repr(self.errors), do)
        began = perf_counter()
        optimum_key, draw_key = jax.random.split(key)
        hierarchy = Hierarchy.of(model, records)
        level_key, start_key = jax.random.split(optimum_key)
        marginal = Marginal.at(hierarchy, self.level, records, n_nodes=self.n_nodes, key=level_key)
        optimum = self.maximise(marginal, records, key=start_key)
        shift = self._shift(marginal, records, optimum, key=jax.random.fold_in(level_key, 1))
        vectors, weighing = self._draw(marginal, records, optimum, key=draw_key)
        sites = population_draws(vectors, hierarchy, records)
        facts = {
            "objective": self.objective,
            "level": self.level,
            "errors": self.errors,
            "log_likelihood": optimum.log_likelihood,
            "n_population": hierarchy.n_population,
            "newton_decrement": optimum.decrement,
            "evaluations": optimum.evaluations,
            **shift,
            **weighing,
            **self._joint(hierarchy, records, optimum),
            "seconds": perf_counter() - began,
        }
        return Draws(
            sites={name: value[None] for name, value in host(sites).items()},
            estimates=optimum.estimates,
            facts=facts,
        )

    def _joint(self, hierarchy: Hierarchy, records: Data, optimum: Optimum) -> dict[str, list[str]]:
        """A note where a spread was maximised together with the levels that it multiplies, see `_with_products`."""
        plain = self.objective == "map" and optimum.coordinates.is_plain
        spreads = spreads_of_levels(hierarchy, records) if plain else ""
        if not spreads:
            return {}
        note = (
            f"the estimate of {spreads} is the joint maximum with the levels of the groups, which may lie far from the "
            "mode with these integrated out: the search for that did not come to rest. Sample with MarginalNUTS()."
        )
        return {"notes": [note]}

    def _shift(self, marginal: Marginal, records: Data, optimum: Optimum, *, key: Key) -> dict[str, float | str]:
        """Facts of the next level of accuracy.

        Raises:
            InferenceError: it would move the maximum too far.
        """
        if self.most_shift is None or not marginal.hierarchy.n_effects:
            return {}
        found = shift_of_maximum(
            marginal,
            records,
            point=optimum.point,
            coordinates=optimum.coordinates,
            covariance=optimum.covariance,
            effects=optimum.effects,
            prior=self.objective == "map",
            key=key,
        )
        if found.largest > self.most_shift:
            expected = f"a maximum that the next level of accuracy moves by at most {self.most_shift} standard errors"
            got = f"{found.largest:.2f} at {found.of} under {found.finer}"
            raise InferenceError("Laplace", expected, got, HIGHER)
        return {"finer_level": found.finer, "finer_shift": found.largest, "finer_shift_of": found.of}

    def _draw(
        self, marginal: Marginal, records: Data, optimum: Optimum, *, key: Key
    ) -> tuple[Array, dict[str, float | int]]:
        """Population vectors, and how far the weights had to reach."""
        if not self.importance:
            return optimum.sample(self.draws, key=key), {}
        bent = optimum.bent(marginal.hierarchy)
        weighted = resample(
            marginal,
            records,
            centre=bent.point,
            coordinates=bent.coordinates,
            covariance=bent.covariance,
            effects=bent.effects,
            proposals=self.importance,
            count=self.draws,
            key=key,
        )
        facts = {"importance": self.importance, "pareto_k": weighted.pareto_k, "importance_ess": weighted.effective}
        return weighted.vectors, facts

    def maximise(self, marginal: Marginal, records: Data, *, key: Key, start: Vector | None = None) -> Optimum:
        """The maximum alone, of a prepared marginal; the same marginal on records of the same shape compiles once.

        Raises:
            InferenceError: see `run`.
        """
        if not marginal.hierarchy.population:
            do = "Give a prior to what is to be learned."
            raise InferenceError("Laplace", "at least one value to learn", "a model of fixed numbers", do)
        surface = Surface(marginal, records, prior=self.objective == "map")
        summit = self._climbed(surface, key=key, start=start)
        return _optimum(*self._with_products(surface, summit), self.errors)

    def _climbed(self, surface: Surface, *, key: Key, start: Vector | None = None) -> Summit:
        """The maximum on the unconstrained scale."""
        hierarchy, tried = surface.marginal.hierarchy, []
        for attempt, one in enumerate(jax.random.split(key, self.starts)):
            vector = start if attempt == 0 and start is not None else _start(surface, attempt, key=one)
            # Prior sds as units rescue a search on data far from unit size, and hamper one under very wide priors.
            unit = np.asarray(hierarchy.prior_unit()) if attempt else np.ones(np.shape(vector))
            result = ascend(surface, np.asarray(vector), self.tolerance, unit)
            if isinstance(result, Summit):
                return result
            tried.append(result)
        raise InferenceError("Laplace", "a well-determined maximum", *_failure(tried))

    def _with_products(self, surface: Surface, summit: Summit) -> tuple[Surface, Summit]:
        """A posterior's maximum in coordinates for levels of groups, if it has such; there too the surface climbed.

        The information that is known there saves a first search; one that leads nowhere is forgotten.
        """
        pairs = products(surface.marginal.hierarchy, surface.data) if surface.prior else {}
        if not pairs:
            return surface, summit
        coordinates = Coordinates.around(summit.point, np.linalg.inv(summit.information), pairs)
        other = surface.within(coordinates)
        start, unit = coordinates.of(summit.point), np.ones(summit.point.shape)
        information = coordinates.information(start, summit.information, np.asarray(summit.found.slope))
        found: Summit | Fault = Fault("")
        if rises(information):
            found = climb(other, start, self.tolerance, unit, information)
        if isinstance(found, Fault):
            found = climb(other, start, self.tolerance, unit)
        other.evaluations += surface.evaluations
        return (other, found) if isinstance(found, Summit) else (surface, summit)


def _optimum(surface: Surface, summit: Summit, errors: Errors) -> Optimum:
    covariance = np.linalg.inv(summit.information)
    if errors == "sandwich":
        each = surface.scores(summit.point) @ covariance
        covariance = each.T @ each
        _require_full(covariance, surface.marginal.hierarchy.population_names())
    table = natural_table(surface.marginal.hierarchy, surface.data, summit.point, surface.coordinates, covariance)
    return Optimum(
        vector=surface.vector(summit.point),
        coordinates=surface.coordinates,
        covariance=covariance,
        effects=surface.effects(summit.found),
        log_likelihood=float(summit.found.log_likelihood),
        decrement=summit.decrement,
        evaluations=surface.evaluations,
        estimates=table,
    )


def _require_full(covariance: np.ndarray, names: list[str]) -> None:
    """Refuse a sandwich that is flat: subjects' scores leave out the prior, which alone tells a spread from its levels.

    Raises:
        InferenceError: it is.
    """
    still = np.diag(covariance) <= 0.0
    least, direction = (0.0, still.astype(float)) if np.any(still) else flattest(covariance)
    if not least > LEAST:
        expected = "subjects' scores that move every value, and not only a combination of some"
        do = 'Use errors="hessian": what the data leave to the prior, or more values than subjects, have no sandwich.'
        raise InferenceError('Laplace(errors="sandwich")', expected, f"none along {loaded(names, direction)}", do)


def _failure(tried: list[Fault]) -> tuple[str, str, tuple[int, ...]]:
    """What the starts came to: the fault of the first, from the prior means, is the one whose values are known."""
    told = next((fault for fault in tried if fault.do or fault.subjects), tried[-1])
    do = told.do or "Check the data's scale against the priors, or simplify the model."
    return f"none from {len(tried)} starts: {told.why}", do, told.subjects


def _start(surface: Surface, attempt: int, *, key: Key) -> Vector:
    """The prior means first, then ever wider around them, where the density is not zero if there is such a place."""
    hierarchy = surface.marginal.hierarchy
    vector = centre = hierarchy.prior_centre()
    for again in range(TRIES if attempt else 0):
        own = jax.random.fold_in(key, again) if again else key
        vector = centre + 0.5 * attempt * hierarchy.prior_unit() * jax.random.normal(own, centre.shape)
        if np.isfinite(float(surface.at(vector).negative)):
            break
    return vector
