"""What a process pays for before its first fit: imports, and functions that have to be traced, compiled or loaded."""

import gc
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.inference.collector import old_objects_left_alone
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.plate_rule import is_subject
from dpm.inference.tracing import drawing, first_run
from dpm.posterior.tree import Arrays

from ..inference.examples import EXAMPLES, records
from .small import MODEL, cohort, posterior

SCRIPT = """
import json, sys
import jax
compiled = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: compiled.append(1) if event == "/jax/core/compile/backend_compile_duration" else None
)
import dpm
from tests.posterior.small import MODEL, cohort
data = cohort()
before = len(compiled)
found = dpm.fit(MODEL, data, method=dpm.Laplace(draws=50), key=jax.random.key(1))
functions, modules = len(compiled) - before, sorted(sys.modules)
print(json.dumps({
    "functions": functions,
    "modules": modules,
    "estimates": found.estimates["estimate"].to_dict(),
    "dimensions": list(found.draws["score_level"].dims),
    "after": "xarray" in sys.modules,
}))
"""


@pytest.fixture(scope="module")
def process(root: Path) -> dict[str, Any]:
    """A process that reads a cohort, fits it by `Laplace` and then looks at draws."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=root)
    return dict(json.loads(done.stdout.splitlines()[-1]))


# Imports --------------------------------------------------------------------------------------------------------------

UNNEEDED = {
    *("arviz_base", "arviz_stats", "diffrax", "equinox", "h5netcdf", "matplotlib", "optax", "optimistix", "pint"),
    *("scipy.interpolate", "scipy.stats", "statsmodels", "xarray"),
    *("dpm.cohort.adam", "dpm.cohort.digits", "dpm.inference.nuts"),
}


def test_a_fit_imports_nothing_that_it_does_not_need(process: dict[str, Any]) -> None:
    assert UNNEEDED & set(process["modules"]) == set()
    assert {"jax", "numpyro", "pandas", "scipy.optimize"} <= set(process["modules"])


def test_draws_become_a_tree_when_they_are_looked_at(process: dict[str, Any]) -> None:
    assert process["after"] and process["dimensions"] == ["chain", "draw"]


# Compiling ------------------------------------------------------------------------------------------------------------


def test_a_fit_compiles_few_functions(process: dict[str, Any]) -> None:
    """An operation outside a compiled function is traced, compiled and kept as one of its own: 300 they were."""
    assert 10 < process["functions"] < 130


def test_a_first_fit_runs_the_model_eight_times() -> None:
    """Drawn from, run twice, checked once, then once in each compiled function, twice where it is differentiated."""
    called: Counter[str] = Counter()

    def model(data: Records) -> None:
        called["times"] += 1
        EXAMPLES["wang_additive"].model(data)

    Laplace(objective="ml", draws=20).run(model, records("wang_additive"), key=jax.random.key(1))
    assert called["times"] == 8


def test_the_first_run_is_at_a_draw_of_the_priors() -> None:
    example, data = EXAMPLES["joint_effects"], records("joint_effects")
    draw = drawing(example.model)
    sampled = first_run(example.model, data, draw)
    drawn = draw(data, jax.random.split(jax.random.key(0), 1000))
    names = [name for name, message in sampled.items() if not message["is_observed"] and not is_subject(message)]
    assert sorted(drawn) == sorted(names) == ["mean", "spread"]
    for name in names:
        np.testing.assert_allclose(sampled[name]["value"], drawn[name][0], rtol=1e-12)
    assert np.all(np.asarray(drawn["spread"]) > 0.0)
    np.testing.assert_allclose(np.asarray(drawn["mean"]).mean(axis=0), [5.0, 1.0], atol=0.15)


def test_what_is_observed_outside_the_plate_counts_without_the_prior() -> None:
    """Only where there is such a site is the model run for it."""
    example, data = EXAMPLES["joint_effects"], records("joint_effects")

    def with_study(data: Records) -> None:
        example.model(data)
        numpyro.sample("study", dist.Normal(0.0, 2.0), obs=1.0)

    plain, studied = Hierarchy.of(example.model, data), Hierarchy.of(with_study, data)
    assert (plain.observes, studied.observes) == (False, True)
    at = plain.prior_centre()
    assert float(plain.log_population(at, data, prior=False)) == 0.0
    expected = -0.125 - np.log(2.0 * np.sqrt(2.0 * np.pi))
    assert float(studied.log_population(at, data, prior=False)) == pytest.approx(expected, rel=1e-12)
    both = [float(one.log_population(at, data, prior=True)) for one in (plain, studied)]
    assert both[1] - both[0] == pytest.approx(expected, rel=1e-12)


# Garbage --------------------------------------------------------------------------------------------------------------


def test_old_objects_are_back_afterwards() -> None:
    """Objects that die while they are frozen are counted no more, so that counts are told apart by their size alone."""
    before = gc.get_freeze_count()
    with old_objects_left_alone():
        assert gc.get_freeze_count() > before + 10_000
        with old_objects_left_alone():  # somebody else's, here our own: left as they are
            pass
        assert gc.get_freeze_count() > before + 10_000
    assert gc.get_freeze_count() <= before


# A posterior's tree ---------------------------------------------------------------------------------------------------


def test_a_tree_is_made_once_and_of_the_same_numbers() -> None:
    fresh = posterior().noted(["a note"])
    assert fresh.provenance["notes"] == ["a note"] and fresh.model is MODEL
    subjects = cohort().subjects.index.to_numpy(dtype=str)
    made = Arrays({"posterior": {"a": np.arange(6.0).reshape(1, 3, 2)}}, subjects).tree()
    assert made["posterior"]["a"].dims == ("chain", "draw", "a_dim_0")
    assert made["posterior"]["draw"].to_numpy().tolist() == [0, 1, 2]
    np.testing.assert_array_equal(made["posterior"]["a"], np.arange(6.0).reshape(1, 3, 2))
    assert fresh.tree is fresh.tree
    assert fresh.tree.identical(posterior().tree)
