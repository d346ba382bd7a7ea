"""Shrinkage in closed form, contraction beside the parameters, and patients whose inner mode is not there."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np
import numpyro
import pandas as pd
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.checks.convergence import parameter_table
from dpm.checks.subjects import inner_failures, shrinkage_summary, shrinkage_table
from dpm.cohort import Cohort, Records, read_cohort
from dpm.cohort.encodings import Encodings
from dpm.errors import CheckError
from dpm.inference.draws import Draws
from dpm.posterior.posterior import Posterior
from dpm.posterior.prior import information
from dpm.types import Model

ROLES: dict[str, Any] = {
    "subject": "patient",
    "time": {"column": "month", "unit": "months"},
    "outcomes": {"score": {"column": "score", "unit": "points", "higher_is": "worse"}},
}
SPREAD, NOISE = 2.0, 1.0
COUNTS = (1, 1, 2, 4, 8) * 40


@cache
def cohort() -> Cohort:
    """Two hundred patients with a level each, measured one to eight times."""
    rng = np.random.default_rng(2)
    rows = [
        {"patient": f"p{k:03d}", "month": 6.0 * visit, "score": level + NOISE * rng.normal()}
        for k, (count, level) in enumerate(zip(COUNTS, 10.0 + SPREAD * rng.normal(size=len(COUNTS)), strict=True))
        for visit in range(count)
    ]
    return read_cohort(pd.DataFrame(rows), ROLES)


def levels(data: Records) -> None:
    level = numpyro.sample("level", dist.Normal(10.0, 5.0))
    spread = numpyro.sample("spread", dist.HalfNormal(5.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        own = numpyro.sample("own", dist.Normal(0.0, spread))
        with numpyro.plate("visit", data.time.shape[0], dim=-2):
            noise = dist.Normal((level + own) * jnp.ones(data.time.shape), NOISE)
            numpyro.sample("score", noise.mask(data.observed["score"]), obs=data.values["score"])


def posterior(model: Model, **values: float) -> Posterior:
    """Twenty draws, all at these values."""
    sites = {name: np.full((1, 20), value) for name, value in values.items()}
    return Posterior.of(model, cohort(), Encodings.learn(cohort()), Draws(sites=sites), method="fixed")


def test_a_subject_is_shrunk_by_its_noise() -> None:
    """By (noise^2 / n) / (spread^2 + noise^2 / n), towards the mean of the population."""
    table = shrinkage_table(posterior(levels, level=10.0, spread=SPREAD), cohort(), draws=5)
    share = NOISE**2 / np.array(COUNTS) / (SPREAD**2 + NOISE**2 / np.array(COUNTS))
    np.testing.assert_allclose(table["shrinkage"], share, rtol=1e-10)
    assert table["subject"].tolist() == cohort().subjects.index.tolist()
    assert set(table["effect"]) == {"own"}
    np.testing.assert_allclose(table["prior_sd"], SPREAD, rtol=1e-10)
    means = cohort().visits.groupby("subject")["score"].mean().loc[table["subject"]].to_numpy()
    np.testing.assert_allclose(table["mode"], (1.0 - share) * (means - 10.0), atol=1e-8)

    summary = shrinkage_summary(table).iloc[0]
    known = 1.0 - table["mode"].var(ddof=1) / SPREAD**2
    assert summary["eb_variance"] == pytest.approx(known)
    assert summary["eb_sd"] == pytest.approx(1.0 - np.sqrt(1.0 - known))
    # Of many subjects, what the estimates lack in variance is what their own distributions keep.
    assert summary["eb_variance"] == pytest.approx(summary["mean"], abs=3 * np.sqrt(2 / len(COUNTS)))
    assert summary["most"] == pytest.approx(share.max())
    assert summary["subject"] == "p000"


def test_a_correlated_prior_is_taken_whole() -> None:
    """The prior variance of an effect that leans on another is its marginal one."""

    def paired(data: Records) -> None:
        level = numpyro.sample("level", dist.Normal(10.0, 5.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            first = numpyro.sample("first", dist.Normal(0.0, 1.0))
            second = numpyro.sample("second", dist.Normal(2.0 * first, 1.0))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                noise = dist.Normal((level + second) * jnp.ones(data.time.shape), NOISE)
                numpyro.sample("score", noise.mask(data.observed["score"]), obs=data.values["score"])

    table = shrinkage_table(posterior(paired, level=10.0), cohort(), draws=2).set_index("effect")
    np.testing.assert_allclose(table.loc["second", "prior_sd"], np.sqrt(5.0), rtol=1e-8)
    n = np.array(COUNTS)
    np.testing.assert_allclose(table.loc["second", "shrinkage"], 1.0 / (1.0 + 5.0 * n), rtol=1e-8)
    np.testing.assert_allclose(table.loc["first", "shrinkage"], 1.0 - 4.0 / (5.0 + 1.0 / n), rtol=1e-8)


def test_without_effects_there_is_nothing_to_shrink() -> None:
    def alone(data: Records) -> None:
        level = numpyro.sample("level", dist.Normal(10.0, 5.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1), numpyro.plate("visit", data.time.shape[0], dim=-2):
            noise = dist.Normal(level * jnp.ones(data.time.shape), NOISE)
            numpyro.sample("score", noise.mask(data.observed["score"]), obs=data.values["score"])

    with pytest.raises(CheckError, match="expected a model with subject effects, got one without"):
        shrinkage_table(posterior(alone, level=10.0), cohort())


def test_contraction_stands_beside_the_parameters() -> None:
    told = posterior(levels, level=10.0, spread=SPREAD)
    rng = np.random.default_rng(0)
    told.draws["level"].values[:] = 10.0 + 0.5 * rng.normal(size=(1, 20))
    table = information(told, cohort().records(told.encodings), key=jax.random.key(1))
    shown = parameter_table(told, table).set_index("site")
    sd = told.draws["level"].to_numpy().std()
    assert shown.loc["level", "learned"] == pytest.approx(1.0 - sd**2 / 25.0, abs=0.003)
    assert shown.loc["spread", "learned"] == 1.0
    assert "learned" not in parameter_table(told)


# Patients without an inner mode ---------------------------------------------------------------------------------------


def test_nobody_fails_where_every_mode_is_found() -> None:
    assert inner_failures(posterior(levels, level=10.0, spread=SPREAD), cohort(), draws=4).empty


def test_patients_that_fail_are_named_with_the_reason() -> None:
    """Patients measured once have a density that bends the wrong way; those eight times one that overflows."""

    def broken(data: Records) -> None:
        level = numpyro.sample("level", dist.Normal(10.0, 5.0))
        counts = data.observed["score"].sum(axis=0)
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            own = numpyro.sample("own", dist.Normal(0.0, 1.0))
            numpyro.factor("saddle", jnp.where(counts == 1, own**2 - 0.01 * own**4, 0.0))
            numpyro.factor("overflow", jnp.where((counts == 8) & (level > 10.0), jnp.log(-1.0 - own**2), 0.0))
            with numpyro.plate("visit", data.time.shape[0], dim=-2):
                noise = dist.Normal(level * jnp.ones(data.time.shape), NOISE)
                numpyro.sample("score", noise.mask(data.observed["score"]), obs=data.values["score"])

    fitted = posterior(broken, level=9.0)
    fitted.draws["level"].values[0, :5] = 11.0  # a quarter of the draws
    table = inner_failures(fitted, cohort(), draws=20).set_index("subject")
    counts = pd.Series(COUNTS, index=cohort().subjects.index)
    assert set(table.index) == set(counts.index[(counts == 1) | (counts == 8)])
    saddle, overflow = table.loc[counts.index[counts == 1]], table.loc[counts.index[counts == 8]]
    assert (saddle["indefinite"] == 1.0).all() and (saddle["share"] == 1.0).all()
    assert saddle["why"].str.contains("curvature is not definite").all()
    assert (overflow["non_finite"] == 0.25).all() and (overflow["indefinite"] == 0.0).all()
    assert overflow["why"].str.contains("density is not finite").all()
    assert table["share"].is_monotonic_decreasing
    # Their shrinkage is not made up: none where no mode was found, else from the draws that have one.
    shrunk = shrinkage_table(fitted, cohort(), draws=20).set_index("subject")["shrinkage"]
    assert shrunk[counts.index[counts == 1]].isna().all()
    np.testing.assert_allclose(shrunk[counts.index[counts == 8]], 1.0, rtol=1e-8)


def test_a_search_that_does_not_end_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from dpm.inference import conditional, marginal

    def stopped(density: Any, start: Any) -> conditional.Modes:
        return conditional.find_modes(density, start, max_steps=1)

    monkeypatch.setattr(marginal, "find_modes", stopped)

    def own_copy(data: Records) -> None:
        levels(data)

    table = inner_failures(replace(posterior(levels, level=10.0, spread=SPREAD), model=own_copy), cohort(), draws=2)
    assert len(table) == len(COUNTS)
    assert (table["unfinished"] == 1.0).all()
    assert table["why"].str.startswith("the search did not converge").all()
