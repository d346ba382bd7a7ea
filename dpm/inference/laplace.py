"""Maximum likelihood and maximum a posteriori on the marginal likelihood, with standard errors."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Literal, NamedTuple

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp
from scipy.optimize import minimize

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.conditional import Modes
from dpm.inference.draws import Draws, host
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.importance import resample
from dpm.inference.marginal import Level, Marginal
from dpm.inference.population import natural_table, population_draws
from dpm.types import Array, Float, Key, Model

Vector = Float[Array, " population"]
Objective = Literal["map", "ml"]


class Optimum(NamedTuple):
    """The maximum of a marginal objective.

    Attributes:
        vector: population values there, unconstrained scale.
        covariance: inverse of the observed information, same scale.
        effects: every subject's conditional mode there.
        log_likelihood: of the data, effects integrated out at `level`, without the prior.
        decrement: squared Newton decrement; the optimum is within its root of a standard error.
        estimates: per population value on its natural scale: `estimate`, `se` (delta method).
    """

    vector: np.ndarray
    covariance: np.ndarray
    effects: np.ndarray
    log_likelihood: float
    decrement: float
    estimates: pd.DataFrame

    def sample(self, count: int, *, key: Key) -> Float[Array, "draw population"]:
        """Population vectors from the normal approximation at the maximum."""
        noise = np.asarray(jax.random.normal(key, (count, self.vector.size)))
        return jnp.asarray(self.vector + noise @ np.linalg.cholesky(self.covariance).T)


@dataclass(frozen=True, kw_only=True)
class Laplace:
    r"""Fit by maximising $\log p(\varphi) + \sum_i \log p(y_i \mid \varphi)$, effects integrated out.

    L-BFGS from the prior means, then trust-region Newton steps until the squared Newton decrement is below
    `tolerance`. Gradients are exact (implicit); the Hessian is central differences of them. Draws come from the
    normal approximation at the maximum on the unconstrained scale.

    Attributes:
        objective: `"map"`, with priors and the Jacobian of the unconstrained scale; `"ml"`, without either.
        level: accuracy of the integral, see `Marginal`.
        n_nodes: nodes per effect for `level="quadrature"`, points in all for `level="qmc"`.
        draws: how many to take from the normal approximation.
        tolerance: on the squared Newton decrement.
        starts: starting points to try before giving up.
        importance: 0 draws from the normal approximation; otherwise so many proposals around the maximum are weighted
            by the marginal likelihood and the prior, and draws resampled from them, see `resample`. The normal
            approximation puts the sd of a spread a few per cent low when patients are few. Needs `objective="map"`.
    """

    objective: Objective = "map"
    level: Level = "laplace"
    n_nodes: int = 9
    draws: int = 1000
    tolerance: float = 1e-10
    starts: int = 4
    importance: int = 0

    def run(self, model: Model, records: Data, *, key: Key) -> Draws:
        """Fit, and draw from the normal approximation.

        Raises:
            InferenceError: if no start converged, the information there is not positive definite, or, with
                `importance`, the posterior is too far from normal to be reached by weights.
        """
        if self.importance and self.objective != "map":
            do = 'Use objective="map", or importance=0: without a prior there is no posterior to draw from.'
            raise InferenceError("Laplace(importance=...)", 'objective="map"', repr(self.objective), do)
        began = perf_counter()
        optimum_key, draw_key = jax.random.split(key)
        hierarchy = Hierarchy.of(model, records)
        level_key, start_key = jax.random.split(optimum_key)
        marginal = Marginal.at(hierarchy, self.level, n_nodes=self.n_nodes, key=level_key)
        optimum = self.maximise(marginal, records, key=start_key)
        vectors, weighing = self._draw(marginal, records, optimum, key=draw_key)
        sites = population_draws(vectors, hierarchy, records)
        facts = {
            "objective": self.objective,
            "level": self.level,
            "log_likelihood": optimum.log_likelihood,
            "n_population": hierarchy.n_population,
            "newton_decrement": optimum.decrement,
            **weighing,
            "seconds": perf_counter() - began,
        }
        return Draws(
            sites={name: value[None] for name, value in host(sites).items()},
            estimates=optimum.estimates,
            facts=facts,
        )

    def _draw(
        self, marginal: Marginal, records: Data, optimum: Optimum, *, key: Key
    ) -> tuple[Array, dict[str, float | int]]:
        """Population vectors, and how far the weights had to reach."""
        if not self.importance:
            return optimum.sample(self.draws, key=key), {}
        weighted = resample(
            marginal,
            records,
            centre=optimum.vector,
            covariance=optimum.covariance,
            effects=optimum.effects,
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
        surface = _Surface(marginal, records, prior=self.objective == "map")
        tried = []
        for attempt, one in enumerate(jax.random.split(key, self.starts)):
            vector = start if attempt == 0 and start is not None else _start(marginal.hierarchy, attempt, key=one)
            # Prior sds as units rescue a search on data far from unit size, and hamper one under very wide priors.
            unit = np.asarray(marginal.hierarchy.prior_unit()) if attempt else np.ones(np.shape(vector))
            result = surface.climb(np.asarray(vector), self.tolerance, unit)
            if isinstance(result, Optimum):
                return result
            tried.append(result)
        do = "Check the data's scale against the priors, or simplify the model: " + tried[-1]
        raise InferenceError("Laplace", "a well-determined maximum", f"none from {len(tried)} starts", do)


def _negative(
    vector: Vector, marginal: Marginal, prior: bool, start: Array, records: Data
) -> tuple[Array, tuple[Array, Array, Modes]]:
    each, modes = marginal.log_marginal(vector, records, start)
    total = jnp.sum(each)
    return -(total + marginal.hierarchy.log_population(vector, records, prior=prior)), (total, each, modes)


_value_and_gradient = jax.jit(jax.value_and_grad(_negative, has_aux=True), static_argnums=(1, 2))


class _Surface:
    """One objective on one set of records; carries the last converged modes along as warm starts."""

    def __init__(self, marginal: Marginal, records: Data, *, prior: bool) -> None:
        self.marginal, self.records, self.prior = marginal, records, prior
        self.modes = jnp.zeros((marginal.hierarchy.n_effects, records.n_subjects))

    def gradient(self, vector: Array | np.ndarray) -> tuple[tuple[Array, tuple[Array, Array, Modes]], Array]:
        """Negative objective with its parts, and its gradient."""
        at = jnp.asarray(vector)
        result, slope = _value_and_gradient(at, self.marginal, self.prior, self.modes, self.records)
        found = result[1][2]
        if bool(jnp.all(found.converged)):
            self.modes = found.effects
        return result, slope

    def climb(self, vector: np.ndarray, tolerance: float, unit: np.ndarray) -> "Optimum | str":
        """From `vector` to the maximum, or why it was not reached; `unit` is what a search counts each value in."""
        worst = [np.inf]

        def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
            (value, _), slope = self.gradient(point)
            number, direction = float(value), np.asarray(slope)
            if not (np.isfinite(number) and np.all(np.isfinite(direction))):
                # A wall, not a cliff edge: the line search interpolates back from it.
                return worst[0] + 1e4 if np.isfinite(worst[0]) else 1e100, np.zeros_like(point)
            worst[0] = number if not np.isfinite(worst[0]) else max(worst[0], number)
            return number, direction

        objective(vector)
        if not np.isfinite(worst[0]):
            return self._explain(vector)

        def in_units(point: np.ndarray) -> tuple[float, np.ndarray]:
            value, slope = objective(point * unit)
            return value, slope * unit

        options = {"maxiter": 500, "maxcor": 20}
        rough = minimize(in_units, vector / unit, jac=True, method="L-BFGS-B", options=options)
        point = np.asarray(rough.x) * unit
        for _ in range(20):
            information = self.information(point)
            slope = objective(point)[1]
            if not np.all(np.isfinite(information)):
                return self._explain(point)
            if weak := _undetermined(self.marginal.hierarchy, information):
                return weak
            step = np.linalg.solve(information, slope)
            decrement = float(slope @ step)
            if decrement < tolerance:
                return self._optimum(point, information, decrement)
            point = self._newton(objective, point, step, decrement)
        return "the search did not come to rest: the objective is not smooth there."

    @staticmethod
    def _newton(
        objective: Callable[[np.ndarray], tuple[float, np.ndarray]],
        point: np.ndarray,
        step: np.ndarray,
        decrement: float,
    ) -> np.ndarray:
        """A Newton step, halved until it lowers the objective."""
        value, share = objective(point)[0], 1.0
        while share > 1e-4 and objective(point - share * step)[0] > value - 1e-4 * share * decrement + 1e-12 * abs(
            value
        ):
            share /= 2
        return point - share * step

    def information(self, vector: np.ndarray) -> np.ndarray:
        """Observed information by central differences of the exact gradient, steps of 1/1000 standard error."""
        unit = np.asarray(self.marginal.hierarchy.prior_unit())
        least, most = np.minimum(unit, 1.0), np.maximum(unit, 1.0)
        steps = 1e-4 * np.maximum(least, np.abs(vector))
        diagonal = np.diag(self._differences(vector, steps))
        good = 1e-3 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        steps = np.where(diagonal > 0, np.clip(good, 1e-6 * least, 1e-1 * most), steps)
        return self._differences(vector, steps)

    def _differences(self, vector: np.ndarray, steps: np.ndarray) -> np.ndarray:
        columns = []
        for move in np.diag(steps):
            ahead, behind = self.gradient(vector + move)[1], self.gradient(vector - move)[1]
            columns.append((np.asarray(ahead) - np.asarray(behind)) / (2 * move.sum()))
        hessian = np.stack(columns)
        return (hessian + hessian.T) / 2

    def _optimum(self, vector: np.ndarray, information: np.ndarray, decrement: float) -> "Optimum":
        (_, (total, _, modes)), _ = self.gradient(vector)
        covariance = np.linalg.inv(information)
        table = natural_table(self.marginal.hierarchy, self.records, vector, covariance)
        return Optimum(vector, covariance, np.asarray(modes.effects), float(total), decrement, table)

    def _explain(self, vector: np.ndarray) -> str:
        """Why nothing can be computed at a point, in words."""
        (_, (_, each, modes)), slope = self.gradient(vector)
        unfinished = np.flatnonzero(~np.asarray(modes.converged))
        if unfinished.size:
            count, first = unfinished.size, unfinished[0]
            return f"the conditional mode of {count} subjects did not converge (first at position {first})."
        bad = np.flatnonzero(~np.isfinite(np.asarray(each)))
        if bad.size:
            return f"the likelihood of {bad.size} subjects is not finite (first at position {bad[0]})."
        flat = [
            name
            for name, g in zip(self.marginal.hierarchy.population_names(), np.asarray(slope), strict=True)
            if not np.isfinite(g)
        ]
        where = f"for {', '.join(flat[:4])}" if flat else "close by"
        return f"the gradient is not finite {where}."


def _undetermined(hierarchy: Hierarchy, information: np.ndarray) -> str | None:
    """What the data and priors leave open where the search ended, in words; None where all is determined.

    A flat direction is an eigenvalue of the information, scaled to a unit diagonal, that is not above rounding; a
    spread that runs to zero shows as a scale known to no better than a factor of e^10.
    """
    names = hierarchy.population_names()
    diagonal = np.diag(information)
    scale = np.repeat([site.bounded for site in hierarchy.population], [site.size for site in hierarchy.population])
    lost = [name for name, d, s in zip(names, diagonal, scale, strict=True) if d <= 0 or (s and d < 1e-2)]
    if lost:
        return f"nothing determines {', '.join(lost[:4])} where the search ended: not identified, or a spread of zero."
    root = np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(information / np.outer(root, root))
    if values[0] > 1e-8:
        return None
    loading = np.abs(vectors[:, 0])
    together = [names[k] for k in np.argsort(-loading)[:4] if loading[k] > 0.1]
    return f"only a combination of {', '.join(together)} is determined, not each: take one of them out."


def _start(hierarchy: Hierarchy, attempt: int, *, key: Key) -> Vector:
    """The prior means first, then ever wider around them."""
    centre = hierarchy.prior_centre()
    return centre + 0.5 * attempt * hierarchy.prior_unit() * jax.random.normal(key, centre.shape)
