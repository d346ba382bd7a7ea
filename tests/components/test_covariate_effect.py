"""Covariate effects against other routes: scipy's natural spline, contrasts by hand, the horseshoe's own formulae."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers
from scipy.interpolate import CubicSpline
from scipy.stats import ks_2samp

from dpm.cohort import read_cohort
from dpm.cohort.encodings import Encodings
from dpm.cohort.records import Records
from dpm.components.covariate_effect import Factor, Horseshoe, Spline
from dpm.components.parameter import Parameter
from dpm.components.trajectory import Linear
from dpm.errors import CohortError, ModelError
from dpm.inference.nuts import NUTS
from dpm.types import Array

from .test_contract import model_of, records

KEY = jax.random.key(3)
KNOTS = (-1.5, -0.2, 0.4, 2.0)
NORMAL = dist.Normal(0.0, 1.0)


def subjects(**covariates: Any) -> Records:
    """Records of nothing but covariates."""
    columns = {name: jnp.asarray(values, float) for name, values in covariates.items()}
    n = len(next(iter(columns.values())))
    return Records(time=jnp.zeros((1, n)), values={}, observed={}, covariates=columns, groups={})


def value(parameter: Parameter, data: Records, **given: Any) -> Array:
    """The parameter of every subject, with some of its sites given."""
    values = {name: jnp.asarray(each) for name, each in given.items()}
    with handlers.substitute(data=values), handlers.seed(rng_seed=KEY):
        return parameter.fixed_part("p", data)


# Splines --------------------------------------------------------------------------------------------------------------


def test_a_spline_is_the_natural_cubic_through_its_values_at_the_knots() -> None:
    """Inside the knots scipy's natural spline; outside its tangents; zero for the subject of mean covariate."""
    x = np.linspace(-1.5, 2.0, 41)
    coefficients = np.array([0.7, -1.2, 2.5])
    spline = Parameter(0.0, effects={"age": Spline(coefficient=NORMAL, knots=KNOTS)})
    other = CubicSpline(KNOTS, value(spline, subjects(age=KNOTS), p_age=coefficients), bc_type="natural")
    np.testing.assert_allclose(value(spline, subjects(age=x), p_age=coefficients), other(x), atol=1e-12)
    beyond = np.array([-4.0, 5.0])
    ends = np.array([KNOTS[0], KNOTS[-1]])
    tangent = other(ends) + other(ends, 1) * (beyond - ends)
    np.testing.assert_allclose(value(spline, subjects(age=beyond), p_age=coefficients), tangent, atol=1e-10)
    assert float(value(spline, subjects(age=[0.0]), p_age=coefficients)[0]) == pytest.approx(0.0, abs=1e-14)


def table(ages: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"id": np.arange(len(ages)), "month": 0.0, "score": 1.0, "age": ages})


def roles(knots: int) -> dict[str, Any]:
    return {
        "subject": "id",
        "time": {"column": "month", "unit": "months"},
        "outcomes": {"score": {"column": "score", "unit": "points", "higher_is": "worse"}},
        "covariates": {"age": {"column": "age", "unit": "years", "standardise": True, "knots": knots}},
    }


def test_knots_are_learned_once_and_replayed() -> None:
    ages = np.random.default_rng(1).gamma(4.0, 10.0, 80)
    learned = Encodings.from_dict(Encodings.learn(read_cohort(table(ages), roles(4))).to_dict())
    expected = (np.quantile(ages, (0.05, 0.35, 0.65, 0.95)) - ages.mean()) / ages.std(ddof=1)
    np.testing.assert_allclose(learned.knots["age"], expected, rtol=1e-12)
    others = read_cohort(table(ages[:7] + 30.0), roles(4)).records(learned)
    np.testing.assert_allclose(others.knots["age"], np.tile(expected[:, None], 7), rtol=1e-12)
    spline = Parameter(0.0, effects={"age": Spline(coefficient=NORMAL)})
    told = Parameter(0.0, effects={"age": Spline(coefficient=NORMAL, knots=tuple(expected))})
    given = np.array([0.3, 1.0, -2.0])
    np.testing.assert_allclose(value(spline, others, p_age=given), value(told, others, p_age=given), rtol=1e-12)


def test_knots_that_coincide_are_refused() -> None:
    with pytest.raises(CohortError, match="4 knots that differ"):
        Encodings.learn(read_cohort(table(np.repeat([40.0, 50.0, 60.0], 40)), roles(4)))
    with pytest.raises(ModelError, match="three knots in increasing order"):
        Spline(coefficient=NORMAL, knots=(0.0, 1.0, 1.0))


def test_a_spline_without_knots_is_refused() -> None:
    with pytest.raises(ModelError, match='p_age: expected "age" among the cohort\'s covariates with knots, got none'):
        value(Parameter(0.0, effects={"age": Spline(coefficient=NORMAL)}), subjects(age=[0.0, 1.0]))


# Products and levels --------------------------------------------------------------------------------------------------


def test_a_product_of_two_covariates() -> None:
    data = records()
    effects = {"age": 0.5, "age:female": dist.Normal(0.0, 1.0)}
    expected = 0.5 * data.covariates["age"] - 2.0 * data.covariates["age"] * data.covariates["female"]
    found = value(Parameter(0.0, effects=effects), data, p_age_by_female=-2.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(ModelError, match='"weight" among'):
        value(Parameter(0.0, effects={"age:weight": 1.0}), data)


def test_levels_against_the_first_or_against_their_mean() -> None:
    data, coefficients = records(), np.array([0.5, 2.0])
    stage = np.asarray(data.groups["stage"]).argmax(axis=0)
    treatment = Parameter(1.0, effects={"stage": Factor(coefficient=NORMAL)})
    found = value(treatment, data, p_stage=coefficients)
    np.testing.assert_allclose(found, 1.0 + np.array([0.0, 0.5, 2.0])[stage])
    centred = Parameter(1.0, effects={"stage": Factor(coefficient=NORMAL, contrast="sum")})
    found = value(centred, data, p_stage=coefficients)
    np.testing.assert_allclose(found, 1.0 + np.array([0.5, 2.0, -2.5])[stage])


def test_a_level_that_was_not_met_has_no_fixed_effect() -> None:
    data = records()
    elsewhere = replace(data, groups={"stage": data.groups["stage"] * (jnp.arange(5) != 2)})
    with pytest.raises(ModelError) as refusal:
        value(Parameter(0.0, effects={"stage": Factor(coefficient=NORMAL)}), elsewhere)
    assert str(refusal.value) == (
        'p_stage: expected a level of "stage" that was met at the fit, got another in 1 of 5 subjects (first at '
        'position 2).\nLeave these subjects out, or pool over it: groups={"stage": ...}.'
    )


# Horseshoe ------------------------------------------------------------------------------------------------------------

SHOE = Horseshoe(covariates=tuple(f"x{j}" for j in range(20)), scale=0.05, slab=2.0)


def test_the_horseshoe_is_its_formula() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20, 6))
    local, z = np.abs(rng.standard_cauchy(20)), rng.normal(size=20)
    data = subjects(**{f"x{j}": x[j] for j in range(20)})
    given = {"p_horseshoe_global": 0.1, "p_horseshoe_local": local, "p_horseshoe_slab": 3.0, "p_horseshoe_z": z}
    shrunk = np.sqrt(3.0 * local**2 / (3.0 + 0.01 * local**2))
    expected = (0.1 * shrunk * z) @ x
    np.testing.assert_allclose(value(Parameter(0.0, horseshoe=SHOE), data, **given), expected, rtol=1e-12)


def test_most_coefficients_are_shrunk_and_none_exceeds_the_slab() -> None:
    """Against draws of the same prior by numpy (Kolmogorov-Smirnov), at a given global scale and slab."""
    names = tuple(f"x{j}" for j in range(800))
    shoe = Horseshoe(covariates=names, scale=0.05, slab=2.0)
    data = subjects(**{name: [1.0] for name in names})
    fixed = {"p_horseshoe_global": jnp.asarray(0.05), "p_horseshoe_slab": jnp.asarray(4.0)}
    model = handlers.seed(handlers.substitute(lambda: shoe.add("p", data), data=fixed), KEY)
    found = np.asarray(handlers.trace(model).get_trace()["p_horseshoe"]["value"])
    rng = np.random.default_rng(4)
    local = np.abs(rng.standard_cauchy(20_000))
    other = 0.05 * local * np.sqrt(4.0 / (4.0 + (0.05 * local) ** 2)) * rng.normal(size=20_000)
    assert ks_2samp(found, other).pvalue > 0.01
    assert np.mean(np.abs(found) < 0.1) > 0.7
    assert 1.0 < np.abs(found).max() < 4.5 * 2.0


@pytest.mark.slow
def test_a_sampled_horseshoe_keeps_what_matters_and_shrinks_the_rest() -> None:
    """Two of twenty covariates matter, by 1 and -0.8; least squares knows each coefficient to about 0.06.

    Small steps, as a gate that is shut would ask for: with the usual ones a chain has none or one divergence.
    """
    rng, n = np.random.default_rng(3), 100
    x = rng.normal(size=(20, n))
    y = 2.0 + 1.0 * x[2] - 0.8 * x[7] + 0.5 * rng.normal(size=n) + 0.4 * rng.normal(size=(3, n))
    data = replace(
        subjects(**{f"x{j}": x[j] for j in range(20)}),
        time=jnp.zeros((3, n)),
        values={"y": jnp.asarray(y)},
        observed={"y": jnp.ones((3, n), bool)},
    )
    shoe = Horseshoe(covariates=tuple(data.covariates), scale=2 / 18 * 0.6 / np.sqrt(n), slab=1.0)
    level = Parameter(dist.Normal(0.0, 5.0), subject=dist.HalfNormal(1.0), horseshoe=shoe)
    drawn = NUTS(chains=2, warmup=400, draws=400, target_accept=0.99, progress=False).run(
        model_of(Linear(level=level, slope=Parameter(0.0))), data, key=KEY
    )
    coefficients = drawn.sites["y_level_horseshoe"].reshape(-1, 20)
    mean, sd = coefficients.mean(axis=0), coefficients.std(axis=0)
    matters = np.isin(np.arange(20), (2, 7))
    assert (np.abs(mean - np.where(matters, np.where(np.arange(20) == 2, 1.0, -0.8), 0.0)) < 3.0 * sd).all()
    assert np.median(sd[~matters]) < 0.035 < sd[matters].min()
    assert np.abs(mean[~matters]).max() < 0.06
    assert drawn.stats["diverging"].sum() == 0
