"""Leaving a patient out by weights is leaving it out: exact refits, ArviZ's own answer, and what is marginal."""

from dataclasses import replace

import jax
import numpy as np
import pytest
import xarray as xr
from arviz_stats.loo import loo as psis_loo
from jax import numpy as jnp

from dpm.checks.loo import LOO, _refitted, _warn, log_mean, loo
from dpm.checks.normal_draws import log_densities
from dpm.errors import CheckError, CheckWarning
from dpm.inference.effects import draw_effects
from dpm.inference.laplace import Laplace
from dpm.posterior.fit import fit
from dpm.posterior.likelihood import SubjectLikelihood, subject_log_likelihood
from dpm.posterior.posterior import Posterior
from tests.checks.lines import KEY, METHOD, certain, closed_form, curved, fitted, line, straight


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return fitted(line, straight())


@pytest.fixture(scope="module")
def found(posterior: Posterior) -> LOO:
    return loo(posterior, straight(), key=KEY)


def test_it_is_arvizs_answer_for_the_closed_form(posterior: Posterior, found: LOO) -> None:
    values = closed_form(posterior, straight())[None]
    array = xr.DataArray(values, dims=("chain", "draw", "subject"), name="score")
    tree = xr.DataTree.from_dict({"log_likelihood": array.to_dataset()})
    theirs = psis_loo(tree, pointwise=True, reff=1.0)
    assert found.elpd == pytest.approx(theirs.elpd, abs=0.02)  # the efficiency of the draws moves the tail a little
    assert found.se == pytest.approx(theirs.se, rel=1e-3)
    assert found.p_loo == pytest.approx(theirs.p, abs=0.02)
    assert found.good_k == theirs.good_k == pytest.approx(1 - 1 / np.log10(METHOD.draws))
    np.testing.assert_allclose(found.subjects["elpd"], theirs.elpd_i, atol=5e-3)
    assert not found.corrected and not found.flagged


def test_weights_agree_with_exact_refits(posterior: Posterior, found: LOO) -> None:
    """The patients who matter most and some others, each left out and the model fitted again."""
    order = np.argsort(found.subjects["pareto_k"].to_numpy())
    chosen = order[[-1, -2, 0, 15]]
    likelihood = SubjectLikelihood.of(posterior, straight(), key=KEY)
    exact = _refitted(line, straight(), likelihood, posterior, chosen, METHOD, progress=False, key=KEY)
    # Both stand on a thousand draws: the sd of a log mean of them is some hundredths.
    np.testing.assert_allclose(exact, found.subjects["elpd"].iloc[chosen], atol=0.12)
    in_sample = log_mean(likelihood.each())[chosen]
    assert (np.abs(exact - found.subjects["elpd"].iloc[chosen]) < np.abs(exact - in_sample)).sum() >= 3


@pytest.mark.slow
def test_the_sum_over_patients_is_that_of_exact_refits(posterior: Posterior, found: LOO) -> None:
    """All thirty left out in turn."""
    likelihood = SubjectLikelihood.of(posterior, straight(), key=KEY)
    exact = _refitted(line, straight(), likelihood, posterior, np.arange(30), METHOD, progress=False, key=KEY)
    assert found.elpd == pytest.approx(exact.sum(), abs=0.4)
    assert np.corrcoef(exact, found.subjects["elpd"])[0, 1] > 0.999


def test_marginally_as_many_values_are_learned_as_the_population_has(posterior: Posterior, found: LOO) -> None:
    """The trap: given effects drawn with the patient's own values, each patient seems to cost a value of its own."""
    likelihood = SubjectLikelihood.of(posterior, straight(), key=KEY, level="laplace")
    hierarchy, records = likelihood.marginal.hierarchy, likelihood.records
    assert hierarchy.n_population == 4
    assert found.p_loo == pytest.approx(4.0, abs=1.0)
    effects = draw_effects(hierarchy, likelihood.vectors, records, key=KEY).effects[:, 0]

    def conditional(vector: jax.Array, own: jax.Array) -> jax.Array:
        population = hierarchy.constrain(vector)
        every, latent = (hierarchy.log_subject(population, own, records, part=part) for part in ("all", "latent"))
        return jnp.asarray(every - latent)

    values = np.asarray(jax.jit(jax.vmap(conditional))(likelihood.vectors, effects))
    array = xr.DataArray(values[None], dims=("chain", "draw", "subject"), name="score")
    with pytest.warns(UserWarning, match="Estimated shape parameter"):
        wrong = psis_loo(xr.DataTree.from_dict({"log_likelihood": array.to_dataset()}), reff=1.0)
    assert wrong.p > 15.0 and wrong.elpd > found.elpd + 10.0


def test_a_patient_the_weights_cannot_leave_out_is_flagged_then_refitted() -> None:
    """Draws of the normal approximation, weighted back: the correction counts too, and one patient is too much."""
    posterior = fit(line, straight(), method=Laplace(draws=500), key=KEY)
    with pytest.warns(CheckWarning, match=r"1 of 30 patients \(p15\).*refit=NUTS"):
        flagged = loo(posterior, straight(), key=KEY)
    assert flagged.flagged == ["p15"] and flagged.corrected
    assert "not to be relied on for 1" in repr(flagged)
    exact = loo(posterior, straight(), key=KEY, refit=METHOD, progress=False)
    assert exact.flagged == [] and list(exact.subjects.index[exact.subjects["refitted"]]) == ["p15"]
    others = exact.subjects.drop(index="p15")
    np.testing.assert_allclose(others["elpd"], flagged.subjects.drop(index="p15")["elpd"])
    weighted = loo(fitted(line, straight()), straight(), key=KEY).subjects
    assert exact.subjects.loc["p15", "elpd"] == pytest.approx(weighted.loc["p15", "elpd"], abs=0.12)
    np.testing.assert_allclose(exact.subjects["elpd"], weighted["elpd"], atol=0.2)
    assert exact.to_arviz().pareto_k.sel(subject="p15") == 0.0
    before = flagged.subjects.loc["p15"]
    assert exact.subjects.loc["p15", "p"] + exact.subjects.loc["p15", "elpd"] == pytest.approx(
        before["p"] + before["elpd"]
    )


def test_draws_that_are_not_of_the_fit_are_refused(posterior: Posterior) -> None:
    moved = replace(posterior, provenance={**posterior.provenance, "importance": 0})
    tree = xr.DataTree.from_dict({"posterior": posterior.draws.assign(slope=posterior.draws["slope"] + 1.0)})
    with pytest.raises(CheckError, match="standard errors away"):
        loo(replace(moved, tree=tree), straight(), key=KEY)


def test_the_density_of_draws_with_sandwich_errors_is_theirs() -> None:
    r"""Of four values, $-2 \log q$ is chi-squared with four degrees of freedom, and follows the draws' covariance."""
    posterior = fit(line, straight(), method=Laplace(draws=500, errors="sandwich"), key=KEY)
    likelihood = SubjectLikelihood.of(posterior, straight(), key=KEY)
    each = np.zeros((500, 30))
    found = log_densities(posterior, likelihood, each, key=KEY)
    twice = -2.0 * found.proposal
    assert twice.mean() == pytest.approx(4.0, abs=0.5)
    assert twice.var() == pytest.approx(8.0, rel=0.4)
    usual = replace(posterior, provenance={**posterior.provenance, "errors": "hessian"})
    other = -2.0 * log_densities(usual, likelihood, each, key=KEY).proposal
    cov = np.cov(np.asarray(likelihood.vectors).T)
    off = np.asarray(likelihood.vectors) - likelihood.vectors.mean(axis=0)
    known = np.einsum("si,ij,sj->s", off, np.linalg.inv(cov), off)
    assert np.std(twice - known) < 0.3 * np.std(other - known)


def test_a_guides_own_draws_are_refused(posterior: Posterior) -> None:
    facts = {**posterior.provenance, "method": "Variational(importance=False)", "importance": 0}
    with pytest.raises(CheckError, match="own draws of a variational guide"):
        loo(replace(posterior, provenance=facts), straight(), key=KEY)


def test_another_cohort_is_refused(posterior: Posterior) -> None:
    with pytest.raises(CheckError, match=r"the cohort of the fit, of 30 subjects.*other values of score"):
        loo(posterior, curved(), key=KEY)
    with pytest.raises(CheckError, match="29 subjects"):
        loo(posterior, straight().exclude(["p03"], "test"), key=KEY)
    unsaid = {name: value for name, value in posterior.provenance.items() if name != "observed"}
    with pytest.raises(CheckError, match="says what it was fitted to"):
        loo(replace(posterior, provenance=unsaid), straight(), key=KEY)


def test_a_coarse_integral_is_said(found: LOO) -> None:
    coarse = replace(found, subjects=found.subjects.assign(level_error=0.1))
    with pytest.warns(CheckWarning, match=r"changes the log likelihood by \+3.00"):
        _warn(coarse)
    _warn(found)


def test_chains_of_draws_give_the_same_answer(posterior: Posterior, found: LOO) -> None:
    """The order of draws says how efficient they are, and no more."""
    draws = {name: posterior.draws[name].to_numpy()[0] for name in ("level", "slope", "spread", "noise")}
    again, half = certain(line, straight(), draws), METHOD.draws // 2
    halves = xr.Dataset(
        {name: (("chain", "draw"), values.reshape(2, half)) for name, values in draws.items()},
        coords={"chain": [0, 1], "draw": np.arange(half)},
    )
    two = replace(again, tree=xr.DataTree.from_dict({"posterior": halves}))
    assert subject_log_likelihood(two, straight(), key=KEY).shape == (2, half, 30)
    assert loo(two, straight(), key=KEY).elpd == pytest.approx(found.elpd, abs=0.02)
