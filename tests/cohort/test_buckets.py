"""Buckets: little padding, nothing lost, and the cohort's own order given back."""

from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpm.cohort import load_data, read_cohort
from dpm.cohort.buckets import MOST_WASTE, Buckets
from dpm.cohort.cohort import Cohort

from .tables import PBC_ROLES
from .test_shipped_roles import ROLES, roles


def from_zero(name: str) -> Cohort:
    table = load_data(name)
    time = ROLES[name]["time"]["column"]
    return read_cohort(table[table.groupby("subject")[time].transform("min") == 0], roles(name))


@pytest.fixture(scope="module")
def pbc() -> Cohort:
    return read_cohort("data:pbc/pbc_longitudinal.csv", PBC_ROLES)


def waste(buckets: Buckets, visits: int) -> float:
    return 1.0 - visits / sum(part.time.size for part in buckets.parts)


def line(lengths: list[int]) -> Cohort:
    rows = [{"id": f"S{k}", "t": v, "y": 100.0 * k + v} for k, n in enumerate(lengths) for v in range(n)]
    outcome: dict[str, Any] = {"column": "y", "unit": "points", "higher_is": "worse"}
    return read_cohort(
        pd.DataFrame(rows), {"subject": "id", "time": {"column": "t", "unit": "years"}, "outcomes": {"y": outcome}}
    )


@pytest.mark.parametrize("name", ["actg175", "armd", "cav", "hiv_actg315", "schizophrenia_nimh"])
def test_little_padding_in_the_shipped_sets(name: str) -> None:
    cohort = from_zero(name)
    buckets = cohort.buckets()
    assert waste(buckets, cohort.n_visits) <= MOST_WASTE
    assert len(buckets.parts) <= 4


def test_little_padding_where_visits_are_very_uneven(pbc: Cohort) -> None:
    assert 1.0 - pbc.n_visits / pbc.records().time.size > 0.5
    assert waste(pbc.buckets(), pbc.n_visits) <= MOST_WASTE
    outlier = line([*[1 + k % 7 for k in range(200)], 135])
    assert waste(outlier.buckets(), outlier.n_visits) <= MOST_WASTE


def test_no_more_buckets_than_are_needed(pbc: Cohort) -> None:
    even = line([5] * 30)
    assert len(even.buckets().parts) == 1
    buckets = pbc.buckets()
    assert len(pbc.buckets(most_waste=0.6).parts) < len(buckets.parts) < len(pbc.buckets(most_waste=0.01).parts)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=30), st.floats(0.0, 0.9))
def test_every_subject_keeps_its_visits(lengths: list[int], most_waste: float) -> None:
    cohort = line(lengths)
    whole, buckets = cohort.records(), cohort.buckets(most_waste=most_waste)
    assert waste(buckets, cohort.n_visits) <= most_waste + 1e-12
    assert buckets.n_subjects == len(lengths)
    sums = [jax.numpy.sum(part.values["y"] * part.observed["y"], axis=0) for part in buckets.parts]
    np.testing.assert_array_equal(buckets.join(sums), whole.values["y"].sum(axis=0))
    counts = [part.observed["y"].sum(axis=0) for part in buckets.parts]
    np.testing.assert_array_equal(buckets.join(counts), lengths)
    numbers = np.arange(2.0 * len(lengths)).reshape(2, -1)
    np.testing.assert_array_equal(buckets.join(buckets.split(jax.numpy.asarray(numbers))), numbers)


def test_hidden_subjects_are_hidden_in_their_bucket(pbc: Cohort) -> None:
    hidden = np.arange(pbc.n_subjects) % 3 == 0
    buckets = pbc.buckets().hide(jax.numpy.asarray(hidden))
    seen = buckets.join([part.observed["log_bilirubin"].any(axis=0) for part in buckets.parts])
    np.testing.assert_array_equal(seen, ~hidden)
