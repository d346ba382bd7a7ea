"""The visit process: R's numbers, and simulated visits whose dependence on illness is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dpm.cohort import Cohort, VisitRule, load_data, read_cohort, visit_process, visit_table
from dpm.cohort.visit_table import median_follow_up
from dpm.errors import CohortError

from .tables import PBC_ROLES
from .test_quality import ROLES


@pytest.fixture(scope="module")
def reference(root: Path) -> dict[str, Any]:
    """R's survival 3.5: `experiments/references/visiting_pbc.R`."""
    path = root / "experiments" / "references" / "results" / "visiting_pbc.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def pbc() -> Cohort:
    return read_cohort("data:pbc/pbc_longitudinal.csv", PBC_ROLES)


@pytest.mark.parametrize("clock", ["study", "gap"])
def test_hazard_equals_survival(pbc: Cohort, reference: dict[str, Any], clock: Any) -> None:
    found = visit_process(pbc, "log_bilirubin", VisitRule(), clock=clock)
    expected = reference[f"{clock}_breslow"]
    assert (found.gaps, found.gaps_seen) == (expected["rows"], expected["events"])
    assert found.sd == pytest.approx(reference["sd"], rel=1e-10)
    ratio = found.hazard_ratio
    assert np.log(ratio.estimate) == pytest.approx(expected["coefficient"], abs=1e-8)
    se = np.log(ratio.high / ratio.low) / (2 * 1.959964)
    assert se == pytest.approx(expected["robust_se"], abs=1e-8)
    # Breslow's ties are close to Efron's on dated visits.
    assert expected["coefficient"] == pytest.approx(reference[f"{clock}_efron"]["coefficient"], abs=5e-4)


def test_median_follow_up_equals_survival(pbc: Cohort, reference: dict[str, Any]) -> None:
    expected = reference["median_follow_up"]
    assert visit_table(pbc)["follow_up_median"].item() == pytest.approx(expected["all"], rel=1e-6)
    by_arm = visit_table(pbc, by="arm").set_index("source")["follow_up_median"]
    assert by_arm["placebo"] == pytest.approx(expected["placebo"], rel=1e-6)
    assert np.isnan(median_follow_up(np.array([1.0, 2.0]), np.array([True, True])))


def test_pbc_is_seen_off_schedule_before_death(pbc: Cohort) -> None:
    found = visit_process(pbc, "log_bilirubin", VisitRule())
    raw = load_data("pbc/pbc_longitudinal.csv")
    planned = np.array([0, 0.5, *range(1, 31)]) * 365.25
    off = np.abs(raw["day"].to_numpy()[:, None] - planned).min(axis=1) > 60
    near = (raw["event"] != "censored") & (raw["futime_days"] - raw["day"] <= 90)
    assert (found.off_schedule, found.ends_with_visit) == (off.sum(), raw["id"][off & near].nunique())
    assert found.near_end.low > 3
    assert found.verdict.startswith("visits are driven by illness: off-schedule visits are more frequent")


def simulated(beta: float, *, seed: int, n: int = 400) -> Cohort:
    """Visits at a rate of 2 exp(beta y) a year, where y is the value at the visit before; followed for 4 years."""
    rng = np.random.default_rng(seed)
    rows = []
    for subject in range(n):
        time, level = 0.0, rng.normal()
        while time < 4:
            value = level + 0.5 * rng.normal()
            rows.append((subject, time * 365.25, np.exp(value), 4 * 365.25, "censored"))
            time += rng.exponential(1 / (2 * np.exp(beta * value)))
    return read_cohort(pd.DataFrame(rows, columns=["id", "day", "marker", "end", "event"]), ROLES)


@pytest.mark.parametrize("clock", ["study", "gap"])
def test_a_known_hazard_ratio_is_recovered(clock: Any) -> None:
    found = visit_process(simulated(0.4, seed=1), "marker", VisitRule(), clock=clock)
    se = np.log(found.hazard_ratio.high / found.hazard_ratio.low) / (2 * 1.959964)
    assert se < 0.06
    assert abs(np.log(found.hazard_ratio.estimate) - 0.4 * found.sd) < 3 * se
    assert found.verdict.startswith("visits are driven by illness: the next visit comes sooner after worse values")


def test_visits_that_ignore_illness_are_rarely_accused() -> None:
    found = [visit_process(simulated(0.0, seed=seed, n=60), "marker", VisitRule()) for seed in range(60)]
    covered = np.mean([f.hazard_ratio.low <= 1 <= f.hazard_ratio.high for f in found])
    assert covered >= 0.85
    assert np.mean([f.verdict == "no sign of it at this n" for f in found]) >= 0.85


def test_planned_times_are_not_judged_by_gaps() -> None:
    rows = [(i, day, float(1 + (i * day) % 7), 800, "censored") for i in range(30) for day in (0, 180, 365, 730)]
    frame = pd.DataFrame(rows, columns=["id", "day", "marker", "end", "event"])
    found = visit_process(read_cohort(frame, ROLES), "marker", VisitRule())
    assert found.tied == pytest.approx(1.0)
    assert np.isnan(found.hazard_ratio.estimate)
    assert "plans, not dates" in found.verdict
    with pytest.raises(CohortError, match="marker"):
        visit_process(read_cohort(frame, ROLES), "nothing", VisitRule())
