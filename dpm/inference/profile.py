"""Profile likelihood: the limits of one population value by how far the maximum of all others falls."""

from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp
from scipy.optimize import brentq, minimize
from scipy.stats import norm

from dpm.errors import InferenceError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Optimum
from dpm.inference.surface import Surface

FARTHEST = 16.0
"""How far limits are looked for [standard errors]."""


class Profile(NamedTuple):
    """One value's profile.

    Attributes:
        name: of the value.
        estimate: at the maximum, natural scale.
        lower, upper: limits of the interval; infinite where the likelihood falls too little within `FARTHEST` standard
            errors.
        table: every value looked at: `value`, `fall` (how far the maximised objective lies below its maximum) and
            `root` (signed root of twice that, a straight line where the normal approximation holds).
    """

    name: str
    estimate: float
    lower: float
    upper: float
    table: pd.DataFrame


def profile(surface: Surface, optimum: Optimum, site: str, *, element: int = 0, level: float = 0.95) -> Profile:
    r"""Limits $\{\theta : 2(\hat\ell - \max_{\varphi:\,\varphi_k = \theta} \ell(\varphi)) \le z^2\}$.

    They need no normal approximation on any scale: a limit of a transformed value is the transformed limit. With
    priors in the objective they are of the penalised likelihood.

    Args:
        surface: the objective, in the coordinates of its maximum.
        optimum: its maximum.
        site: a population site.
        element: which of its values, counted flat.
        level: of the interval.

    Raises:
        InferenceError: no such site or element, or its values are not free of each other, such as correlations.
    """
    hierarchy = surface.marginal.hierarchy
    place, natural = _place(hierarchy, site, element)
    if optimum.coordinates.scaled[place]:
        do = "Profile the spread, or use the draws of a sampler."
        got = "one that a spread multiplies, which has no profile of its own under a prior"
        raise InferenceError(f"profile: {site}", "a value with a coordinate of its own", got, do)
    line = _Line(surface, optimum, place)
    z = float(norm.ppf(0.5 + level / 2.0))
    ends = [line.crossing(side, z) for side in (-1.0, 1.0)]
    lower, upper = sorted(natural(end) for end in ends)
    rows = sorted((natural(at), fall, root) for at, (fall, root) in line.seen.items())
    table = pd.DataFrame(rows, columns=["value", "fall", "root"])
    name = hierarchy.population_names()[place]
    return Profile(name, natural(float(optimum.point[place])), lower, upper, table)


class _Natural:
    """An element's value on the natural scale, as a function of it on the unconstrained one."""

    def __init__(self, hierarchy: Hierarchy, site: str, position: int) -> None:
        self.site = next(one for one in hierarchy.population if one.name == site)
        self.position = position

    def __call__(self, value: float) -> float:
        whole = value * jnp.eye(self.site.size)[self.position]
        return float(jnp.ravel(self.site.transform(whole.reshape(self.site.shape)))[self.position])


def _place(hierarchy: Hierarchy, site: str, element: int) -> tuple[int, _Natural]:
    """Where an element stands in the population vector, and its natural value."""
    sizes = {one.name: one.size for one in hierarchy.population}
    if site not in sizes:
        raise InferenceError("profile", f"a population site: {', '.join(sizes)}", repr(site))
    if not 0 <= element < sizes[site]:
        raise InferenceError(f"profile: {site}", f"an element from 0 to {sizes[site] - 1}", str(element))
    found = next(one for one in hierarchy.population if one.name == site)
    origin = jnp.zeros(found.shape)
    slope = jax.jacfwd(lambda raw: jnp.ravel(found.transform(raw.reshape(found.shape))))(jnp.ravel(origin))
    if slope.shape[0] != slope.shape[1] or bool(jnp.any(jnp.abs(slope - jnp.diag(jnp.diag(slope))) > 0.0)):
        do = "Profile a value of a site whose values are free of each other."
        raise InferenceError(f"profile: {site}", "a site of free values", "one whose values bind each other", do)
    before = int(np.sum([one.size for one in hierarchy.population[: list(sizes).index(site)]]))
    return before + element, _Natural(hierarchy, site, element)


class _Line:
    """The objective maximised over all values but one."""

    def __init__(self, surface: Surface, optimum: Optimum, place: int) -> None:
        self.surface, self.optimum, self.place = surface, optimum, place
        self.rest = np.delete(np.arange(optimum.point.size), place)
        covariance = optimum.covariance
        self.se = float(np.sqrt(covariance[place, place]))
        self.drift = covariance[self.rest, place] / covariance[place, place]
        conditional = covariance[np.ix_(self.rest, self.rest)] - np.outer(self.drift, covariance[place, self.rest])
        self.root = np.linalg.cholesky(conditional) if self.rest.size else np.zeros((0, 0))
        self.least = float(surface.at(optimum.point).negative)
        self.seen: dict[float, tuple[float, float]] = {float(optimum.point[place]): (0.0, 0.0)}

    def crossing(self, side: float, z: float) -> float:
        """Where the signed root reaches `z` on one side; infinite where it does not."""
        best = float(self.optimum.point[self.place])
        near, far = best, best + side * z * self.se
        while abs(self.signed(far)) < z:
            near, far = far, best + 1.6 * (far - best)
            if abs(far - best) > FARTHEST * self.se:
                return side * np.inf
        if near == best:  # the root is zero there, and steep: the bracket is all of it
            near = best + side * 1e-3 * self.se
        return float(brentq(lambda at: abs(self.signed(at)) - z, *sorted((near, far)), xtol=1e-4 * self.se))

    def signed(self, value: float) -> float:
        """The signed root at one value."""
        if value not in self.seen:
            fall = self._fall(value)
            root = np.sign(value - self.optimum.point[self.place]) * np.sqrt(2.0 * max(fall, 0.0))
            self.seen[value] = (fall, float(root))
        return self.seen[value][1]

    def _fall(self, value: float) -> float:
        centre = self.optimum.point[self.rest] + self.drift * (value - self.optimum.point[self.place])

        def objective(w: np.ndarray) -> tuple[float, np.ndarray]:
            point = self._point(value, centre + self.root @ w)
            found = self.surface.at(point)
            return float(found.negative) - self.least, self.root.T @ np.asarray(found.slope)[self.rest]

        options = {"maxiter": 200, "gtol": 1e-4, "ftol": 1e-14}
        found = minimize(objective, np.zeros(self.rest.size), jac=True, method="L-BFGS-B", options=options)
        if not np.isfinite(found.fun):
            where = f"profile: {self.surface.marginal.hierarchy.population_names()[self.place]}"
            fault = self.surface.explain(self._point(value, centre))
            raise InferenceError(where, "a likelihood along the profile", fault.why, fault.do, fault.subjects)
        return float(found.fun)

    def _point(self, value: float, rest: np.ndarray) -> np.ndarray:
        point = np.empty(self.optimum.point.size)
        point[self.place], point[self.rest] = value, rest
        return point
