"""The patients outside the PBC trial against its placebo arm: the attrition and the published-data hazard ratios."""

import pytest

from dpm.cohort import flow_table
from experiments.pbc_nonrandomised.run import NO_PROTIME, NOT_PLACEBO, ROLES, cohort, hazard_ratio


def test_the_groups_die_alike() -> None:
    """R's survival package gives 1.060 (0.70 to 1.61) crude and 0.825 (0.54 to 1.27) adjusted."""
    crude = hazard_ratio(cohort(NOT_PLACEBO))
    assert list(crude.values()) == pytest.approx([260, 1.060, 0.70, 1.61], abs=0.005)
    adjusted = hazard_ratio(cohort(NOT_PLACEBO, NO_PROTIME), tuple(ROLES["covariates"]))
    assert list(adjusted.values()) == pytest.approx([258, 0.825, 0.54, 1.27], abs=0.006)


def test_every_patient_of_the_file_is_accounted_for() -> None:
    flow = flow_table(cohort(NOT_PLACEBO, NO_PROTIME))
    kept = flow[flow["reason"] == ""].groupby("step", sort=False)["patients"].sum()
    lost = flow[flow["reason"] != ""]["patients"]
    assert kept.tolist() == [418, 260, 258]
    assert lost.tolist() == [158, 2]
