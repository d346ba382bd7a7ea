"""Exact binomial ranges, and when a group is too small to be judged."""

import numpy as np
import pandas as pd
import pytest

from dpm.checks.calibration import INSIDE, OUTSIDE, SMALL, binomial_range, coverage_table, covered_by, power_against

PUBLISHED = [
    (20, 0.9, 0.75, 1.00),
    (30, 0.9, 0.767, 1.00),
    (50, 0.9, 0.82, 0.98),
    (100, 0.9, 0.84, 0.95),
    (200, 0.9, 0.855, 0.94),
    (500, 0.9, 0.872, 0.926),
    (30, 0.8, 0.633, 0.933),
    (100, 0.8, 0.72, 0.88),
]


@pytest.mark.parametrize(("n", "nominal", "low", "high"), PUBLISHED)
def test_the_range_is_the_published_one(n: int, nominal: float, low: float, high: float) -> None:
    found = np.array(binomial_range(n, nominal)) / n
    np.testing.assert_allclose(found, [low, high], atol=6e-4)


def test_the_range_holds_its_level() -> None:
    rng = np.random.default_rng(1)
    for n in (5, 17, 60, 144):
        for nominal in (0.5, 0.8, 0.95):
            low, high = binomial_range(n, nominal)
            drawn = rng.binomial(n, nominal, 40_000)
            assert np.mean((low <= drawn) & (drawn <= high)) > 0.945, (n, nominal)


def test_power_grows_with_n_and_is_a_probability_of_falling_short() -> None:
    powers = [power_against(n, 0.9, 0.15) for n in (5, 20, 80, 320)]
    assert powers == sorted(powers)
    low, _ = binomial_range(80, 0.9)
    drawn = np.random.default_rng(2).binomial(80, 0.75, 100_000)
    assert power_against(80, 0.9, 0.15) == pytest.approx(np.mean(drawn < low), abs=0.01)


def hits(n: int, covered: int) -> np.ndarray:
    return np.arange(n) < covered


def test_verdicts() -> None:
    stage = pd.Series(["early"] * 100 + ["late"] * 6 + ["broken"] * 60)
    hit = np.concatenate([hits(100, 90), hits(6, 6), hits(60, 40)])
    table = coverage_table({0.9: hit}, {"stage": stage}).set_index(["subgroup", "level"])
    assert table.loc[("stage", "early"), "verdict"] == INSIDE
    assert table.loc[("stage", "late"), "verdict"] == SMALL
    assert table.loc[("stage", "broken"), "verdict"] == OUTSIDE
    assert table.loc[("overall", "all"), "n"] == 166
    assert table.loc[("stage", "broken"), ["covered", "observed"]].tolist() == [40, pytest.approx(2 / 3)]


def test_a_tiny_group_that_is_plainly_outside_is_called_outside() -> None:
    table = coverage_table({0.9: hits(6, 1)}, {})
    assert table["verdict"].tolist() == [OUTSIDE]


def test_intervals_are_equal_tailed() -> None:
    draws = np.linspace(0, 1, 1001)[:, None].repeat(4, axis=1)
    covered = covered_by(draws, np.array([0.04, 0.06, 0.5, 0.96]), [0.9])
    assert covered[0.9].tolist() == [False, True, True, False]
