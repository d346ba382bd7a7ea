"""The intervals of the twin comparison cover as often as they say; experiments/calibration holds the long run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dpm.checks.calibration import binomial_range
from experiments.calibration import summary
from experiments.calibration.run import RESULTS, remaining, run
from experiments.calibration.trials import (
    ESTIMANDS,
    OUTCOME,
    SCENARIOS,
    Scenario,
    real_cohorts,
    simulate_trial,
    truth,
)


@pytest.fixture(scope="module")
def stored() -> pd.DataFrame:
    return pd.read_csv(RESULTS / "replicates.csv")


def test_the_readme_shows_the_stored_results(stored: pd.DataFrame) -> None:
    readme = (RESULTS.parent / "README.md").read_text(encoding="utf-8")
    assert summary.coverage_text(summary.coverage(stored)) in readme
    assert summary.accuracy_text(summary.accuracy(stored)) in readme


def test_the_stored_results_are_complete_and_know_the_effect(stored: pd.DataFrame) -> None:
    assert list(remaining(RESULTS / "replicates.csv", {name: one.replicates for name, one in SCENARIOS.items()})) == []
    for (scenario, estimand), part in stored.groupby(["scenario", "estimand"]):
        assert part["replicate"].is_unique
        assert part["truth"].to_numpy() == pytest.approx(truth(SCENARIOS[str(scenario)], str(estimand)))
    for name in ("coverage", "accuracy"):
        kept = pd.read_csv(RESULTS / f"{name}.csv")
        pd.testing.assert_frame_equal(kept, getattr(summary, name)(stored), rtol=1e-5, check_dtype=False)


def test_a_second_start_continues(tmp_path: Path) -> None:
    out = tmp_path / "replicates.csv"
    half = {"scenario": "no_effect", "replicate": [0, 0, 1], "estimand": [*ESTIMANDS, "change_2y"]}
    pd.DataFrame(half).to_csv(out, index=False)
    assert list(remaining(out, {"no_effect": 3, "dropout": 1})) == [("no_effect", 1), ("no_effect", 2), ("dropout", 0)]


def test_simulated_trials_have_the_effect_they_are_said_to_have() -> None:
    real, rng = real_cohorts(), np.random.default_rng(3)
    scenario = Scenario(effect=-0.05)
    trials = [simulate_trial(*real, scenario, rng) for _ in range(60)]
    for name in ESTIMANDS:
        drawn = np.array([trial.drawn[name] for trial in trials])
        assert drawn.mean() == pytest.approx(truth(scenario, name), abs=4 * drawn.std(ddof=1) / np.sqrt(len(drawn)))


def test_who_drops_out_is_measured_until_then_and_had_higher_values() -> None:
    real = real_cohorts()
    trial = simulate_trial(*real, Scenario(dropout=True), np.random.default_rng(5))
    visits = trial.treated.visits
    seen = visits[OUTCOME].notna()
    assert seen[visits["time"] == 0].all()
    assert (seen.astype(int).groupby(visits["subject"], sort=False).diff().fillna(0) <= 0).all()
    last = visits[seen].groupby("subject", sort=False)[OUTCOME].last()
    left = seen.groupby(visits["subject"], sort=False).all().eq(False)
    assert left.mean() > 0.3
    assert last[left].mean() > last[~left].mean() + 0.3


def test_coverage_and_accuracy_of_four_known_intervals() -> None:
    rows = pd.DataFrame(
        {
            "scenario": "no_effect",
            "estimand": "slope",
            "estimate": [-0.3, -0.1, 0.1, 0.5],
            "se": 0.2,
            "truth": 0.0,
            "truth_drawn": 0.45,
        }
    )
    for level, half in zip(summary.LEVELS, (0.05, 0.2, 0.4), strict=True):
        rows[f"low{level * 100:.0f}"], rows[f"high{level * 100:.0f}"] = rows["estimate"] - half, rows["estimate"] + half
    covered = summary.coverage(rows).set_index(["truth", "nominal"])["covered"]
    assert covered.loc["the effect"].tolist() == [0, 2, 3]
    assert covered.loc["drawn untreated courses"].tolist() == [1, 1, 2]
    accurate = summary.accuracy(rows).iloc[0]
    assert accurate["bias"] == pytest.approx(0.05)
    assert accurate["sd"] == pytest.approx(np.std([-0.3, -0.1, 0.1, 0.5], ddof=1))
    assert accurate["excludes_zero"] == 0.25


@pytest.mark.slow
def test_intervals_cover_as_often_as_they_say(tmp_path: Path, stored: pd.DataFrame) -> None:
    rows = run(tmp_path / "replicates.csv", {"no_effect": 40})
    for row in summary.coverage(rows).itertuples():
        low, high = binomial_range(40, row.nominal, level=0.999)
        assert low <= row.covered <= high, row
    # The stored results are of this code: the same trials, the same answers but for rounding on another machine.
    same = rows.merge(stored, on=["scenario", "replicate", "estimand"], suffixes=("", "_stored"))
    assert len(same) == len(rows)
    assert (same["estimate"] - same["estimate_stored"]).abs().max() < 0.5 * same["se"].min()
    assert same["truth_drawn"].to_numpy() == pytest.approx(same["truth_drawn_stored"].to_numpy(), rel=1e-3, abs=1e-5)
