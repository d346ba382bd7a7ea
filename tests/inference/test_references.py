"""Marginal likelihoods at fixed parameters, and maxima, that other software or exact quadrature has published."""

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from numpyro import distributions as dist

from dpm.cohort import Records, load_data, read_cohort
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace, Optimum
from dpm.inference.marginal import Level, Marginal

from . import orthodont
from .examples import each, evaluate, marginal, records, vector


def deviance(name: str, level: Level, n_nodes: int = 9, seed: int = 0) -> float:
    """-2 log L at the example's parameters."""
    return -2.0 * float(each(marginal(name, level, n_nodes, seed), vector(name), records(name)).sum())


def maximum(prepared: Marginal, data: Records) -> Optimum:
    return Laplace(objective="ml").maximise(prepared, data, key=jax.random.key(0))


# Wang 2007, table of the paper: -2 log L without n log 2 pi of its 20 values ------------------------------------------


@pytest.mark.parametrize(
    ("level", "nodes", "proportional", "additive", "tolerance"),
    [
        ("focei", 1, 39.45755, -2.058795, 1e-4),
        ("laplace", 1, 39.226847, -1.9361234, 1e-6),
        ("quadrature", 3, 39.371482, -1.9683264, 1e-4),
        ("quadrature", 5, 39.353891, -1.9892265, 1e-4),
        ("quadrature", 9, 39.354797, -1.9896135, 1e-4),
        ("quadrature", 25, 39.354803, -1.9896143, 1e-5),
    ],
)
def test_wang(level: Level, nodes: int, proportional: float, additive: float, tolerance: float) -> None:
    constant = 20 * np.log(2 * np.pi)
    assert deviance("wang_proportional", level, nodes) - constant == pytest.approx(proportional, abs=tolerance)
    assert deviance("wang_additive", level, nodes) - constant == pytest.approx(additive, abs=tolerance)


@pytest.mark.parametrize("seed", range(5))
def test_wang_by_quasi_monte_carlo(seed: int) -> None:
    value = deviance("wang_proportional", "qmc", 1024, seed) - 20 * np.log(2 * np.pi)
    assert value == pytest.approx(39.354803, abs=1e-3)


# Theophylline ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "nodes", "published"),
    [
        pytest.param("focei", 1, 376.165672, marks=pytest.mark.slow),
        ("laplace", 1, 378.122437),
        pytest.param("quadrature", 15, 377.451727, marks=pytest.mark.slow),
    ],
)
def test_theophylline_at_fixed_parameters(level: Level, nodes: int, published: float) -> None:
    prepared = marginal("theophylline", level, nodes)
    value, _ = evaluate(prepared, vector("theophylline"), records("theophylline"))
    assert -2.0 * value == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize(
    ("level", "nodes", "published", "typical", "variances", "sigma"),
    [
        ("focei", 1, 359.403193, (0.463487, 1.012181, 3.459739), (0.40268, 0.069097, 0.019161), 0.694407),
        ("laplace", 1, 361.103349, (0.457656, 1.011966, 3.453710), (0.398421, 0.07011, 0.018234), 0.695634),
        ("quadrature", 15, 360.7008, (0.459226, 1.011669, 3.453851), (0.404731, 0.070316, 0.018484), 0.695925),
    ],
)
def test_theophylline_maximum(
    level: Level,
    nodes: int,
    published: float,
    typical: tuple[float, ...],
    variances: tuple[float, ...],
    sigma: float,
) -> None:
    found = maximum(marginal("theophylline", level, nodes), records("theophylline"))
    estimate = found.estimates["estimate"]
    se = found.estimates["se"]
    names = ["log_ka", "log_cl", "log_v"]
    assert -2.0 * found.log_likelihood == pytest.approx(published, abs=1e-3)
    if level == "focei":  # NONMEM's OFV leaves n log 2 pi out
        assert -2.0 * found.log_likelihood - 132 * np.log(2 * np.pi) == pytest.approx(116.80342, abs=1e-3)
    for name, wanted, variance in zip(names, typical, variances, strict=True):
        assert estimate[name] == pytest.approx(wanted, abs=0.01 * se[name])
        assert estimate[f"{name}_sd"] == pytest.approx(np.sqrt(variance), abs=0.01 * se[f"{name}_sd"])
    assert estimate["sigma"] == pytest.approx(sigma, abs=0.01 * se["sigma"])


# Mixed models ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nlme(root: Path) -> dict[str, Any]:
    """Fits by nlme 3.1 and lme4 1.1: `experiments/references/nlme_pbc.R`."""
    text = (root / "experiments" / "references" / "results" / "nlme_pbc.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def fit_mixed_model(
    prepared: Marginal, data: Records, reference: dict[str, Any], sites: dict[str, str], *, ses: float
) -> Optimum:
    """Maximum likelihood; fixed effects with their standard errors and variance components as in `reference`.

    Estimates within `ses` standard errors, log-likelihood to 1e-5.
    """
    found = maximum(prepared, data)
    assert found.log_likelihood == pytest.approx(reference["loglik"], abs=1e-5)
    estimate, se = found.estimates["estimate"], found.estimates["se"]
    positions = [prepared.hierarchy.population_names().index(site) for site in sites]
    # lme gives the standard errors of fixed effects for known variances.
    known = np.linalg.inv(np.linalg.inv(found.covariance)[np.ix_(positions, positions)])
    for site, name, se_known in zip(sites, sites.values(), np.sqrt(np.diag(known)), strict=True):
        assert estimate[site] == pytest.approx(reference["fixed"][name], abs=ses * reference["se"][name])
        assert se_known == pytest.approx(reference["se"][name], rel=1e-3)
        assert se[site] >= se_known * (1 - 1e-12)
    outcome = next(iter(sites)).removesuffix("_level")
    variance = reference["variance"]
    for site, name in {"level_sd": "level_sd", "slope_sd": "slope_sd", "sd": "noise_sd"}.items():
        assert estimate[f"{outcome}_{site}"] == pytest.approx(variance[name], abs=ses * se[f"{outcome}_{site}"])
    r = "subject_correlation[0,1]"
    assert estimate[r] == pytest.approx(variance["correlation"], abs=ses * se[r])
    return found


def test_orthodont(nlme: dict[str, Any]) -> None:
    sites = {"distance_level": "(Intercept)", "distance_slope": "age"}
    prepared = marginal("orthodont", "laplace")
    found = fit_mixed_model(prepared, records("orthodont"), nlme["c_orthodont"]["age"], sites, ses=1e-3)
    assert found.log_likelihood == pytest.approx(-219.605801, abs=1e-5)
    np.testing.assert_allclose(found.estimates["estimate"][list(sites)], [16.761111, 0.6601852], atol=1e-5)


@pytest.mark.slow
def test_orthodont_by_sex(nlme: dict[str, Any]) -> None:
    data = orthodont.records()
    names = ["(Intercept)", "age", "Female", "age:Female"]
    sites = ["distance_level", "distance_slope", "distance_level_girl", "distance_slope_girl"]
    prepared = Marginal(Hierarchy.of(orthodont.model(sex=True), data))
    reference = nlme["c_orthodont"]["age_sex"]
    # The maximum is flat in the variance of the slope: nlme and lme4 themselves differ in its fifth digit.
    found = fit_mixed_model(prepared, data, reference, dict(zip(sites, names, strict=True)), ses=2e-3)
    assert found.log_likelihood == pytest.approx(-213.902975, abs=1e-5)
    expected = [16.340625, 0.784375, 1.0321023, -0.3048295]
    np.testing.assert_allclose(found.estimates["estimate"][sites], expected, atol=2e-5)


def test_orange_trees() -> None:
    laplace = maximum(marginal("orange", "laplace"), records("orange"))
    exact = maximum(marginal("orange", "quadrature", 9), records("orange"))
    assert laplace.log_likelihood == pytest.approx(-131.571877, abs=1e-5)
    assert exact.log_likelihood == pytest.approx(-131.571885, abs=1e-5)
    estimate = exact.estimates["estimate"]
    for site, value in {"asymptote": 192.0531, "midpoint": 727.9065, "scale": 348.0732}.items():
        assert estimate[f"circumference_{site}"] == pytest.approx(value, abs=2e-3)
    assert estimate["circumference_asymptote_sd"] == pytest.approx(31.64632, abs=2e-3)
    assert estimate["circumference_sd"] == pytest.approx(7.843014, abs=2e-4)


def test_bilirubin_of_all_pbc_patients(nlme: dict[str, Any]) -> None:
    """Log bilirubin on years, level and slope per patient, 312 patients of both arms."""
    roles: dict[str, Any] = {
        "subject": "id",
        "time": {"column": "day", "unit": "days"},
        "outcomes": {
            "log_bilirubin": {"column": "bilirubin", "unit": "mg/dL", "transform": "log", "higher_is": "worse"}
        },
    }
    data = read_cohort("data:pbc", roles).records()
    assert int(data.observed["log_bilirubin"].sum()) == len(load_data("pbc")) == 1945
    line = Linear(
        level=Parameter(dist.Normal(0.5, 1.0), subject=dist.HalfNormal(1.0)),
        slope=Parameter(dist.Normal(0.2, 0.2), subject=dist.HalfNormal(0.2)),
    )
    model = ProgressionModel(outcomes={"log_bilirubin": Outcome(line, Gaussian(sd=dist.HalfNormal(0.5)))})
    sites = {"log_bilirubin_level": "(Intercept)", "log_bilirubin_slope": "years"}
    prepared = Marginal(Hierarchy.of(model, data))
    found = fit_mixed_model(prepared, data, nlme["a_all_patients"], sites, ses=0.02)
    estimate = found.estimates["estimate"]
    assert estimate["log_bilirubin_level"] == pytest.approx(0.496, abs=0.02 * 0.058)
    assert estimate["log_bilirubin_slope"] == pytest.approx(0.1775, abs=0.02 * 0.0124)
