"""From a start to the maximum of a surface, and the information there; or why there is none."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from dpm.inference.descent import descend
from dpm.inference.evaluation import Evaluated
from dpm.inference.faults import Fault
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.surface import Surface

LEAST = 1e-8
"""An eigenvalue of an information with a unit diagonal that is above rounding."""

SETTLED, PER = 1e7 * float(np.finfo(float).eps), 1_000
"""Relative gain of a step at which the first search ends, of so many subjects; of more it ends at as many log units. Of
100,000 the same share would be 4e-3: too early on a ridge of a spread and its levels, where it curves downwards."""

LOOSEST = 10.0
"""Standard error of a logarithm, such as that of a spread, above which it is not determined."""


class Summit(NamedTuple):
    """Where a climb ended.

    Attributes:
        point: the maximum, in the coordinates of the surface.
        information: there.
        decrement: squared Newton decrement there.
        found: the evaluation there.
    """

    point: np.ndarray
    information: np.ndarray
    decrement: float
    found: Evaluated


class _Objective:
    """The surface as minimisers want it: where it cannot be computed, a wall from which a line search comes back."""

    def __init__(self, surface: Surface) -> None:
        self.surface, self.worst = surface, np.inf

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        found = self.surface.at(point)
        number, direction = float(found.negative), np.asarray(found.slope)
        if not (np.isfinite(number) and np.all(np.isfinite(direction))):
            return self.worst + 1e4 if np.isfinite(self.worst) else 1e100, np.zeros_like(point)
        self.worst = number if not np.isfinite(self.worst) else max(self.worst, number)
        return number, direction


def ascend(surface: Surface, start: np.ndarray, tolerance: float, unit: np.ndarray) -> Summit | Fault:
    """`climb`, of many subjects first that of a sample, and from its maximum, with its information, that of all.

    A search from a start needs hundreds of evaluations, which a sample has for little, and one from there some twenty.
    Where either fails, as of a sample that lacks a level of a group, all subjects are climbed from the start.
    """
    if (sample := surface.sample()) is not None:
        found = climb(sample, start, tolerance, unit)
        if isinstance(found, Summit):
            found = climb(surface, found.point, tolerance, unit, found.information)
        if isinstance(found, Summit):
            return found
    return climb(surface, start, tolerance, unit)


def climb(
    surface: Surface, start: np.ndarray, tolerance: float, unit: np.ndarray, information: np.ndarray | None = None
) -> Summit | Fault:
    """L-BFGS, then quasi-Newton steps until the squared decrement is below `tolerance`.

    The information is taken by forward differences where the first search ended, which serves for such steps, and
    again by central ones at the maximum, with steps of 1/1000 of the standard errors then known. There every subject's
    mode is searched for once more from a grid, and where one has a better one the search goes on with that.

    Args:
        surface: to climb.
        start: where to begin, in the coordinates of the surface.
        tolerance: on the squared Newton decrement.
        unit: what the first search counts each value in.
        information: at the start, where it is about known and positive definite: there is then no first search.
    """
    surface.forget()
    objective = _Objective(surface)
    objective(start)
    if not np.isfinite(objective.worst):
        return surface.explain(start)

    point = np.asarray(start)
    if information is None:
        point = _searched(objective, point, unit, SETTLED * min(1.0, PER / surface.data.n_subjects))
        information = surface.information(point, _first_steps(surface, point), both=False)
    for _ in range(12):
        if not np.all(np.isfinite(information)):
            return surface.explain(point)
        if np.all(np.diag(information) > 0) and (curved := _upright(information)) is not None:
            point = descend(objective, point, curved, tolerance * 1e-2)
        information = surface.information(point, _steps(surface, point, np.diag(information)))
        if not np.all(np.isfinite(information)):
            return surface.explain(point)
        if weak := undetermined(surface.marginal.hierarchy, information):
            return weak
        found = surface.at(point)
        slope = np.asarray(found.slope)
        decrement = float(slope @ np.linalg.solve(information, slope))
        if decrement < tolerance and not surface.higher_modes(point, found):
            return Summit(point, information, decrement, found)
    return Fault("the search did not come to rest: the objective is not smooth there")


def _searched(objective: _Objective, start: np.ndarray, unit: np.ndarray, settled: float) -> np.ndarray:
    """Where L-BFGS comes to."""

    def in_units(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = objective(point * unit)
        return value, slope * unit

    rough = minimize(
        in_units, start / unit, jac=True, method="L-BFGS-B", options={"maxiter": 500, "maxcor": 20, "ftol": settled}
    )
    return np.asarray(rough.x) * unit


def _upright(information: np.ndarray) -> np.ndarray | None:
    """The information, downward curvatures turned upwards: steps lead away from a saddle; none where one is flat."""
    root = np.sqrt(np.diag(information))
    values, vectors = np.linalg.eigh(information / np.outer(root, root))
    if values[0] > LEAST:
        return information
    return (vectors * np.abs(values)) @ vectors.T * np.outer(root, root) if np.min(np.abs(values)) > LEAST else None


def rises(information: np.ndarray) -> bool:
    """Whether an information is positive definite, above rounding."""
    return bool(np.all(np.diag(information) > 0)) and flattest(information)[0] > LEAST


def flattest(information: np.ndarray) -> tuple[float, np.ndarray]:
    """The least eigenvalue of an information scaled to a unit diagonal, and its direction."""
    root = np.sqrt(np.diag(information))
    values, vectors = np.linalg.eigh(information / np.outer(root, root))
    return float(values[0]), vectors[:, 0]


def loaded(names: list[str], direction: np.ndarray) -> str:
    """The values that a direction is mostly made of."""
    loading = np.abs(direction)
    return ", ".join(names[k] for k in np.argsort(-loading)[:4] if loading[k] > 0.1)


def _first_steps(surface: Surface, point: np.ndarray) -> np.ndarray:
    """Steps of differences where nothing is known of standard errors."""
    unit = np.asarray(surface.marginal.hierarchy.prior_unit())
    return 1e-4 * np.maximum(np.minimum(unit, 1.0), np.abs(point))


def _steps(surface: Surface, point: np.ndarray, diagonal: np.ndarray) -> np.ndarray:
    """Steps of 1/1000 of the standard errors by a diagonal of the information."""
    unit = np.asarray(surface.marginal.hierarchy.prior_unit())
    least, most = np.minimum(unit, 1.0), np.maximum(unit, 1.0)
    good = 1e-3 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    return np.where(diagonal > 0, np.clip(good, 1e-6 * least, 1e-1 * most), _first_steps(surface, point))


def undetermined(hierarchy: Hierarchy, information: np.ndarray) -> Fault | None:
    """What the data and priors leave open where the search ended; None where all is determined.

    A flat direction is an eigenvalue of the information, scaled to a unit diagonal, that is not above rounding, or one
    along which a scale is known to no better than a factor of e^10; a spread that runs to zero shows as such a scale,
    were all others known.
    """
    names = hierarchy.population_names()
    diagonal = np.diag(information)
    scale = np.repeat([site.bounded for site in hierarchy.population], [site.size for site in hierarchy.population])
    lost = [name for name, d, s in zip(names, diagonal, scale, strict=True) if d <= 0 or (s and d < LOOSEST**-2)]
    if lost:
        why = f"nothing determines {', '.join(lost[:4])} where the search ended: not identified, or a spread of zero"
        return Fault(why, "Take it out of the model, give it a number, or a prior that keeps it.")
    least, direction = flattest(information)
    if least > LEAST and not np.any(scale & (np.diag(np.linalg.inv(information)) > LOOSEST**2)):
        return None
    why = f"only a combination of {loaded(names, direction)} is determined, not each"
    return Fault(why, "Take one of them out, or give it a number.")
