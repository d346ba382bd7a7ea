"""The joint model of bilirubin and death or transplant: its exact likelihood, and the survival it simulates."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.cohort import Records
from dpm.components.describe import describe_model
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.posterior.predict import predict_population
from dpm.types import Array
from models.pbc_joint import CARD, TYPICAL, build
from tests.placebo import pbc

KEY = jax.random.key(7)


@cache
def records() -> Records:
    return pbc().records()


@cache
def split() -> Hierarchy:
    return Hierarchy.of(build(), records())


@cache
def typical() -> Array:
    values = {name: jnp.asarray(value) for name, value in TYPICAL.items()}
    lower = jnp.linalg.cholesky(values.pop("subject_correlation"))
    return split().unconstrain({**values, "subject_correlation_cholesky": lower})


def test_the_exact_log_likelihood() -> None:
    """Adaptive quadrature elsewhere gives -1965.3845 at these values, which maximise it."""
    each, modes = jax.jit(Marginal.at(split(), "quadrature", records(), n_nodes=7).log_marginal)(typical(), records())
    assert bool(modes.converged.all())
    assert float(each.sum()) == pytest.approx(-1965.3845, abs=0.05)


@pytest.mark.slow
def test_the_longitudinal_part_alone() -> None:
    model = replace(build(), events={})
    found = Laplace(objective="ml").maximise(Marginal(Hierarchy.of(model, records())), records(), key=KEY)
    assert found.log_likelihood == pytest.approx(-1523.62652, abs=1e-4)


@pytest.mark.slow
def test_the_exact_maximum() -> None:
    exact = Marginal.at(split(), "quadrature", records(), n_nodes=7)
    found = Laplace(objective="ml").maximise(exact, records(), key=KEY, start=typical())
    assert found.log_likelihood == pytest.approx(-1965.3845, abs=0.05)
    table = found.estimates
    assert table["estimate"]["end_log_bilirubin"] == pytest.approx(1.23122, abs=0.01)
    assert table["se"]["end_log_bilirubin"] == pytest.approx(0.0859, rel=0.05)
    for name, value in TYPICAL.items():
        if name != "subject_correlation":
            assert table["estimate"][name] == pytest.approx(value, abs=0.1 * table["se"][name]), name


def test_simulated_survival_is_like_the_trials() -> None:
    """New patients with the trial's covariates: the share free of the event at 5 and 10 years, by Kaplan-Meier."""
    drawn = predict_population(split(), typical(), records(), key=KEY).events["end"]
    assert drawn.shape == (312, 2)
    ends = pbc().ends
    time, event = ends["time"].to_numpy(), (ends["event"] != "censored").to_numpy()
    for year in (5.0, 10.0):
        at_risk = np.array([(time >= t).sum() for t in np.unique(time[event & (time <= year)])])
        deaths = np.array([((time == t) & event).sum() for t in np.unique(time[event & (time <= year)])])
        kaplan_meier = np.prod(1.0 - deaths / at_risk)
        assert float((drawn[:, 0] > year).mean()) == pytest.approx(kaplan_meier, abs=0.1)


def test_what_is_known_at_baseline_says_nothing_of_later_events() -> None:
    """Twins are conditioned on what was known at the index date: a later death must not reach them."""
    known = pbc().known_at(0.0).records()
    assert not bool((known.events["end"].kind > 0).any())
    effects = 0.1 * jnp.ones((2, known.n_subjects))
    values = split().constrain(typical())
    with_events = Hierarchy.of(split().model, known).log_subject(values, effects, known)
    none = known.events["end"]
    without = replace(known, events={"end": replace(none, present=jnp.zeros_like(none.present))})
    np.testing.assert_array_equal(with_events, split().log_subject(values, effects, without))


def test_every_site_has_a_unit_and_a_reason() -> None:
    rows = describe_model(build())["priors"]
    assert {row["site"] for row in rows} == {site.name.removesuffix("_cholesky") for site in split().population}
    assert all(row["reason"] for row in rows)
    assert all(row["unit"] for row in rows if row["site"] != "subject_correlation")
    assert set(CARD.reasons) == {row["site"] for row in rows}
