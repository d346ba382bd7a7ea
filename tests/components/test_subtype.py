"""Subtypes: mixtures in closed form, classes that cannot change places, a diagnosis that may be wrong."""

from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers
from scipy import stats
from scipy.special import expit, log_expit, logsumexp

from dpm.cohort import Records
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import ByClass, Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.subtype import Misclassified, Subtypes
from dpm.components.trajectory import Linear
from dpm.errors import ModelError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal

KEY = jax.random.key(29)
N, VISITS = 240, 4
FLAT = dist.Normal(0.0, 5.0)
TRUTH = {
    "subtype_fast": -0.4,
    "subtype_fast_risk": 1.2,
    "subtype_sensitivity": 0.9,
    "subtype_specificity": 0.75,
    "y_level": 0.3,
    "y_slope_0": 0.5,
    "y_slope_1": 1.0,
    "y_slope_sd": 0.25,
    "y_sd": 0.4,
}


def model(diagnosis: Misclassified | None, *, increasing: bool = True) -> ProgressionModel:
    slopes = ByClass((FLAT, dist.HalfNormal(5.0) if increasing else FLAT), increasing=increasing)
    line = Linear(level=Parameter(FLAT), slope=Parameter(slopes, subject=dist.HalfNormal(1.0)))
    classes = Subtypes(names=("slow", "fast"), log_odds=FLAT, effects={"risk": FLAT}, diagnosis=diagnosis)
    return ProgressionModel(outcomes={"y": Outcome(line, Gaussian(sd=dist.HalfNormal(1.0)))}, subtypes=classes)


DIAGNOSED = model(Misclassified(covariate="slow", sensitivity=dist.Beta(2.0, 1.0), specificity=dist.Beta(2.0, 1.0)))


@cache
def records() -> Records:
    """Slopes of 0.5 or 1.5 a year; a record of the slow class with sensitivity .9 and specificity .75."""
    rng = np.random.default_rng(14)
    risk = rng.normal(size=N)
    fast = rng.uniform(size=N) < expit(-0.4 + 1.2 * risk)
    recorded = np.where(fast, rng.uniform(size=N) > 0.75, rng.uniform(size=N) < 0.9).astype(float)
    unknown = rng.uniform(size=N) < 0.1
    time = np.tile(np.linspace(0.0, 2.0, VISITS)[:, None], N)
    y = 0.3 + (0.5 + fast + 0.25 * rng.normal(size=N)) * time + 0.4 * rng.normal(size=time.shape)
    return Records(
        time=jnp.asarray(time),
        values={"y": jnp.asarray(y)},
        observed={"y": jnp.ones(time.shape, bool)},
        covariates={"risk": jnp.asarray(risk), "slow": jnp.asarray(np.where(unknown, np.nan, recorded))},
        groups={},
        missing={"slow": jnp.asarray(unknown)},
    )


def mixture(values: dict[str, float], data: Records, *, diagnosed: bool) -> np.ndarray:
    """Each subject's log density: two multivariate normals, weighted by membership and by the diagnosis."""
    time, y = np.asarray(data.time), np.asarray(data.values["y"])
    logit = values["subtype_fast"] + values["subtype_fast_risk"] * np.asarray(data.covariates["risk"])
    d = np.asarray(data.covariates["slow"])
    hit = {0: values["subtype_sensitivity"], 1: 1.0 - values["subtype_specificity"]}
    out = []
    for i in range(data.n_subjects):
        t = time[:, i]
        cov = values["y_slope_sd"] ** 2 * np.outer(t, t) + values["y_sd"] ** 2 * np.eye(VISITS)
        logs = []
        for k, slope in enumerate((values["y_slope_0"], values["y_slope_0"] + values["y_slope_1"])):
            log = float(log_expit(logit[i] if k else -logit[i]))
            log += stats.multivariate_normal(values["y_level"] + slope * t, cov).logpdf(y[:, i])
            if diagnosed and not np.isnan(d[i]):
                log += np.log(hit[k] if d[i] == 1.0 else 1.0 - hit[k])
            logs.append(log)
        out.append(logsumexp(logs))
    return np.asarray(out)


def log_marginal(built: ProgressionModel, values: dict[str, float], data: Records) -> np.ndarray:
    split = Hierarchy.of(built, data)
    vector = split.unconstrain({site.name: jnp.asarray(values[site.name]) for site in split.population})
    return np.asarray(jax.jit(Marginal(split).log_marginal)(vector, data)[0])


@pytest.mark.parametrize("diagnosed", [False, True])
def test_the_likelihood_is_that_of_the_mixture(diagnosed: bool) -> None:
    data = records().take(np.arange(30))
    assert int(data.missing["slow"].sum()) > 0
    built = DIAGNOSED if diagnosed else model(None)
    expected = mixture(TRUTH, data, diagnosed=diagnosed)
    np.testing.assert_allclose(log_marginal(built, TRUTH, data), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.slow
def test_membership_and_the_quality_of_the_diagnosis_are_recovered() -> None:
    """No record of the truth: courses tell the classes apart, and with them how often the diagnosis is wrong."""
    data = records()
    found = Laplace(objective="ml").maximise(Marginal(Hierarchy.of(DIAGNOSED, data)), data, key=KEY)
    best = found.estimates
    for name, truth in TRUTH.items():
        assert abs(best["estimate"][name] - truth) < 3.0 * best["se"][name], name
    assert best["se"]["subtype_specificity"] < 0.1
    estimates = {name: float(best["estimate"][name]) for name in TRUTH}
    assert found.log_likelihood == pytest.approx(mixture(estimates, data, diagnosed=True).sum(), abs=1e-6)


def test_classes_of_like_priors_may_change_places_unless_they_increase() -> None:
    """With the labels turned the likelihood is the same, and only an increasing order has no such second maximum."""
    data = records().take(np.arange(30))
    free = model(None, increasing=False)
    one = {**TRUTH, "y_slope_0": 0.5, "y_slope_1": 1.5}
    turned = {**one, "y_slope_0": 1.5, "y_slope_1": 0.5, "subtype_fast": 0.4, "subtype_fast_risk": -1.2}
    np.testing.assert_allclose(log_marginal(free, one, data), log_marginal(free, turned, data), rtol=1e-10)
    step = next(site for site in Hierarchy.of(model(None), data).population if site.name == "y_slope_1")
    assert float(step.transform(jnp.asarray(-30.0))) > 0.0


def test_values_of_classes_step_up() -> None:
    line = Linear(level=Parameter(0.0), slope=Parameter(ByClass((0.5, 1.0, 0.25), increasing=True)))
    classes = Subtypes(names=("slow", "middle", "fast"), log_odds=0.0)
    built = ProgressionModel(outcomes={"y": Outcome(line, Gaussian(sd=0.1))}, subtypes=classes)
    data = records().take(np.arange(3))
    given = {"subtype": jnp.array([0, 1, 2])}
    trace = handlers.trace(handlers.seed(handlers.condition(built, data=given), KEY)).get_trace(data)
    np.testing.assert_allclose(trace["y_mean"]["value"][-1], 2.0 * np.array([0.5, 1.5, 1.75]))


# Refusals -------------------------------------------------------------------------------------------------------------


def refused(message: str, **changed: Any) -> None:
    slope = Parameter(changed.pop("slopes", ByClass((0.0, 1.0))))
    with pytest.raises(ModelError, match=message):
        ProgressionModel(
            outcomes={"y": Outcome(Linear(level=Parameter(0.0), slope=slope), Gaussian(sd=0.1))},
            subtypes=changed.pop("subtypes", Subtypes(names=("slow", "fast"), log_odds=0.0)),
        )


def test_values_for_other_classes_than_the_models_are_refused() -> None:
    refused(
        "y_slope: expected a value for each class of the model, got values for 2 classes, of a model with 0",
        subtypes=None,
    )
    refused("got values for 3 classes, of a model with 2", slopes=ByClass((0.0, 1.0, 2.0)))


@pytest.mark.parametrize(("step", "got"), [(FLAT, "Normal"), (-1.0, "-1"), (dist.Uniform(-1.0, 1.0), "Uniform")])
def test_a_step_that_may_go_down_is_refused(step: Any, got: str) -> None:
    with pytest.raises(ModelError, match=f"value 1: expected a step upwards from the class before, got {got}"):
        ByClass((FLAT, step), increasing=True)
    ByClass((FLAT, dist.LogNormal(0.0, 1.0), dist.Uniform(0.0, 1.0), 0.5), increasing=True)


@pytest.mark.parametrize("names", [(), ("slow",), ("slow", "slow")])
def test_classes_have_names_of_their_own(names: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="at least two classes of different names"):
        Subtypes(names=names, log_odds=0.0)


def test_a_diagnosis_that_the_cohort_lacks_is_refused() -> None:
    other = Misclassified(covariate="biopsy", sensitivity=0.9, specificity=0.9)
    with pytest.raises(ModelError, match='subtype: expected "biopsy" among the cohort\'s covariates, got risk, slow'):
        Hierarchy.of(model(other), records())
