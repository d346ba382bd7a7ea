"""Quasi-Newton steps reach a minimum that is known, from an information that is only about right, and then end."""

import numpy as np
import pytest

from dpm.inference.descent import PATIENCE, STEPS, descend


class Counted:
    """A quartic around `centre`, and how often it was asked for."""

    def __init__(self, curvature: np.ndarray, centre: np.ndarray, quartic: float) -> None:
        self.curvature, self.centre, self.quartic, self.calls = curvature, centre, quartic, 0

    def __call__(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        self.calls += 1
        off = point - self.centre
        value = 0.5 * off @ self.curvature @ off + self.quartic * np.sum(off**4)
        return float(value), self.curvature @ off + 4.0 * self.quartic * off**3


def positive(size: int, seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T + size * np.eye(size)


def test_one_step_where_the_information_is_right() -> None:
    curvature, centre = positive(5, 0), np.arange(5.0)
    objective = Counted(curvature, centre, 0.0)
    np.testing.assert_allclose(descend(objective, np.zeros(5), curvature, 1e-12), centre, atol=1e-10)
    assert objective.calls == 2


@pytest.mark.parametrize("quartic", [0.0, 0.3])
def test_an_information_that_is_half_or_twice_the_truth(quartic: float) -> None:
    """It learns: fewer evaluations than the same steps with an information that stays wrong would take."""
    curvature, centre = positive(8, 1), np.linspace(-1.0, 1.0, 8)
    wrong = np.sqrt(np.geomspace(0.5, 2.0, 8))
    objective = Counted(curvature, centre, quartic)
    found = descend(objective, np.zeros(8), curvature * np.outer(wrong, wrong), 1e-20)
    np.testing.assert_allclose(found, centre, atol=1e-10)
    assert objective.calls < 40


def test_it_ends_where_the_gradient_is_rough() -> None:
    """Noise in the gradient keeps the decrement from its tolerance: the steps end, near the minimum."""
    rng, centre = np.random.default_rng(2), np.ones(3)
    exact = Counted(positive(3, 3), centre, 0.0)

    def rough(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = exact(point)
        return value, slope + 1e-4 * rng.normal(size=3)

    found = descend(rough, np.zeros(3), exact.curvature, 1e-30)
    np.testing.assert_allclose(found, centre, atol=1e-3)
    assert exact.calls <= 15 * (PATIENCE + 4) < 15 * STEPS


def test_past_a_wall_and_along_a_hump() -> None:
    """A wall where nothing can be computed, and a stretch that curves the other way, turn no step uphill."""

    def valley(point: np.ndarray) -> tuple[float, np.ndarray]:
        if point[0] < -1.0:
            return 1e4, np.zeros(1)
        return float(-np.cos(point[0])), np.sin(point)

    found = descend(valley, np.array([2.8]), np.array([[0.05]]), 1e-16)
    np.testing.assert_allclose(found, 0.0, atol=1e-7)


def test_it_ends_before_a_wall_that_is_too_near() -> None:
    """And not in it, where nothing can be computed: an information far too small makes every step too long."""

    def walled(point: np.ndarray) -> tuple[float, np.ndarray]:
        return (1e4, np.zeros(1)) if point[0] > 1e-6 else (float(-point[0]), -np.ones(1))

    np.testing.assert_array_equal(descend(walled, np.zeros(1), np.array([[1e-3]]), 1e-12), 0.0)
