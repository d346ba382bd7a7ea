"""Quasi-Newton steps to a minimum from a place where its curvature is about known."""

from collections.abc import Callable

import numpy as np

from dpm.types import Float

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""A value and its gradient."""

STEPS = 100
"""Steps, at most."""

PATIENCE = 10
"""Steps in which the squared decrement is to fall to a quarter; where it does not, rounding or a kink holds it."""


def descend(
    objective: Objective,
    point: Float[np.ndarray, " value"],
    information: Float[np.ndarray, "value value"],
    tolerance: float,
) -> Float[np.ndarray, " value"]:
    r"""Newton steps with an information that learns from each, until the squared decrement is below `tolerance`.

    A step $-H^{-1} g$ is halved until it helps. With $s$ the step taken and $y$ the change of the gradient, then

    $$H \leftarrow H - \frac{H s s^\top H}{s^\top H s} + \frac{y y^\top}{s^\top y}$$

    (BFGS; left out where $s^\top y$ is not positive). An information that is wrong by a tenth or a half, as that of a
    sample or of a place near by, serves as well as one taken anew, which costs a gradient or two a value. Where no
    share of a step helps, and the least still leads up by more than a whole one was to gain, the steps end before it.

    Args:
        objective: to minimise; large where it cannot be computed.
        point: where to begin.
        information: positive definite, about that there.
        tolerance: on the squared Newton decrement $g^\top H^{-1} g$.
    """
    value, slope = objective(point)
    decrements: list[float] = []
    for _ in range(STEPS):
        step = -np.linalg.solve(information, slope)
        decrements.append(-float(slope @ step))
        stuck = len(decrements) > PATIENCE and decrements[-1] > 0.25 * decrements[-1 - PATIENCE]
        if decrements[-1] < tolerance or stuck:
            break
        share, rounding = 1.0, 1e-12 * abs(value)
        trial = objective(point + step)
        while trial[0] > value - 1e-4 * share * decrements[-1] + rounding and share > 1e-4:
            share /= 2
            trial = objective(point + share * step)
        if trial[0] > value + max(decrements[-1], rounding):  # a wall that no share of the step stays before
            break
        information = _learned(information, share * step, trial[1] - slope)
        point = point + share * step
        value, slope = trial
    return point


def _learned(information: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    along, gained = information @ step, float(step @ change)
    expected = float(step @ along)
    if not gained > 1e-8 * expected:
        return information
    return information - np.outer(along, along) / expected + np.outer(change, change) / gained
