"""Figures of data quality show the numbers of their tables."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from dpm.cohort import (
    Cohort,
    VisitRule,
    compare_sources,
    fitness,
    quality_table,
    read_cohort,
    visit_distances,
    visit_process,
)
from dpm.report import figures
from tests.cohort.tables import PBC_ROLES


@pytest.fixture(scope="module")
def pbc() -> Cohort:
    return read_cohort("data:pbc/pbc_longitudinal.csv", PBC_ROLES)


def texts(drawn: Figure) -> list[str]:
    drawn.draw_without_rendering()
    return [text.get_text() for text in drawn.findobj(matplotlib.text.Text)]


def test_quality_overview_writes_every_share(pbc: Cohort) -> None:
    shown = texts(figures.quality_overview(quality_table(pbc, schedule=VisitRule())))
    assert {"58\u00a0%", "34\u00a0%"} <= set(shown)  # cholesterol: available, on time
    assert "0.1 to 41 (1.4) mg/dL" in shown


def test_lights_have_words(pbc: Cohort) -> None:
    shown = texts(figures.fitness_lights(fitness(pbc, schedule=VisitRule())))
    assert "0.5779\nnot fit" in shown
    assert "–\nunknown" in texts(figures.fitness_lights(fitness(pbc)))  # timing without a schedule
    assert any("≥ 0.9 fit, ≥ 0.7 with care" in text for text in shown)


def test_support_is_drawn_between_percentiles_of_a(pbc: Cohort) -> None:
    found = compare_sources(pbc.where(arm="placebo"), pbc.where(arm="dpenicillamine"))
    drawn = figures.covariate_support(found.covariates, name_a="placebo", name_b="active")
    row = found.covariates.iloc[0]
    position = (row["median_b"] - row["p1_a"]) / (row["p99_a"] - row["p1_a"])
    assert any(np.isclose(np.asarray(line.get_xdata())[0], position) for line in drawn.axes[0].get_lines())
    assert any(np.isclose(np.asarray(line.get_xdata())[0], row["smd"]) for line in drawn.axes[1].get_lines())


def test_visit_timing_says_the_verdict_and_draws_the_ratio(pbc: Cohort) -> None:
    rule = VisitRule()
    found = visit_process(pbc, "log_bilirubin", rule)
    drawn = figures.visit_timing(
        visit_distances(pbc, rule), found.table, verdict=found.verdict, off_days=60.0, within_days=90.0
    )
    assert any(text.replace("\n", " ") == "V" + found.verdict[1:] for text in texts(drawn))
    assert any(
        np.isclose(np.asarray(line.get_xdata())[0], found.near_end.estimate) for line in drawn.axes[1].get_lines()
    )
