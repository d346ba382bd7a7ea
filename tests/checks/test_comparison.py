"""Weights find the model that made the data; likelihoods of other things are not compared."""

from functools import partial

import numpy as np
import numpyro
import pandas as pd
import pytest
import xarray as xr
from arviz_stats.loo import compare as arviz_compare
from arviz_stats.utils import ELPDDataLOO
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers

from dpm.checks.comparison import compare_models, weigh
from dpm.checks.scored import Scored, require_same_values, scored
from dpm.cohort import Cohort, Records, read_cohort
from dpm.components.categorical import thresholds
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.score import BoundedScore, IntegerScore
from dpm.components.trajectory import Linear
from dpm.errors import CheckError
from dpm.inference.hierarchy import Hierarchy
from dpm.posterior.posterior import Posterior
from tests.checks.lines import KEY, ROLES, certain, curved, fitted, line, saturating, straight, table

DRAWS = {"level": np.full(3, 10.0), "slope": np.full(3, 2.0), "spread": np.full(3, 1.5), "noise": np.full(3, 1.0)}


def given() -> Posterior:
    return certain(line, straight(), DRAWS)


def test_weights_find_the_model_that_made_the_data() -> None:
    both = {"line": fitted(line, curved()), "saturating": fitted(saturating, curved())}
    found = compare_models(both, curved(), key=KEY)
    assert list(found.table.index) == ["saturating", "line"]
    for kind in ("stacking", "pseudo_bma"):
        assert found.weights(kind)["saturating"] > 0.95
    best, other = found.table.loc["saturating"], found.table.loc["line"]
    assert best["difference"] == 0.0 and other["difference"] < -5 * other["se_difference"]
    paired = found.loo["line"].subjects["elpd"] - found.loo["saturating"].subjects["elpd"]
    assert other["difference"] == pytest.approx(paired.sum())
    assert other["se_difference"] == pytest.approx(np.sqrt(30 * paired.var(ddof=1)))
    assert other["elpd"] == pytest.approx(found.loo["line"].elpd) and other["se"] == pytest.approx(found.loo["line"].se)
    assert other["flagged"] == 0 and other["caution"] == "N < 100"
    with pytest.raises(CheckError, match="stacking"):
        found.weights("aic")


def pointwise(seed: int = 0, n: int = 80) -> pd.DataFrame:
    """Two models, each better for some patients."""
    rng = np.random.default_rng(seed)
    ids = pd.Index([f"p{k}" for k in range(n)], name="subject")
    return pd.DataFrame({"one": -3.0 + rng.normal(size=n), "two": -3.2 + rng.normal(size=n)}, index=ids)


def test_stacking_weights_are_the_best_mixture() -> None:
    """Against a grid."""
    elpd = pointwise()
    density = np.exp(elpd.to_numpy())
    grid = np.linspace(0.0, 1.0, 20_001)
    score = np.log(grid[:, None] * density[:, 0] + (1 - grid[:, None]) * density[:, 1]).sum(axis=1)
    assert weigh(elpd).loc["one", "stacking"] == pytest.approx(grid[score.argmax()], abs=2e-3)


def test_the_table_is_arvizs() -> None:
    elpd = pointwise()
    each = {
        name: ELPDDataLOO(
            elpd=column.sum(),
            se=float(np.sqrt(len(column) * column.var(ddof=1))),
            p=1.0,
            n_samples=100,
            n_data_points=len(column),
            scale="log",
            warning=False,
            good_k=0.7,
            elpd_i=xr.DataArray(column.to_numpy(), dims="subject"),
        )
        for name, column in elpd.items()
    }
    found = weigh(elpd)
    for column, method in {"stacking": "stacking", "pseudo_bma": "BB-pseudo-BMA"}.items():
        theirs = arviz_compare(each, method=method, round_to="none")
        np.testing.assert_allclose(found[column], theirs.loc[found.index, "weight"].astype(float), atol=1e-4)
        np.testing.assert_allclose(found["difference"], theirs.loc[found.index, "elpd_diff"].astype(float))
        divisor = np.sqrt(80 / 79)  # ours is the sample variance, as in R's loo
        np.testing.assert_allclose(found["se_difference"], divisor * theirs.loc[found.index, "dse"].astype(float))


def test_patients_with_many_values_weigh_as_much() -> None:
    """A log density of -2,000 is zero as a number; weights depend on what models differ in."""
    elpd = pointwise()
    columns = ["stacking", "pseudo_bma", "difference", "se_difference"]
    pd.testing.assert_frame_equal(weigh(elpd - 2000.0)[columns], weigh(elpd)[columns], atol=1e-6)


def test_a_missing_density_is_refused() -> None:
    elpd = pointwise()
    elpd.loc["p3", "two"] = np.nan
    with pytest.raises(CheckError, match="first: p3"):
        weigh(elpd)


# What is not comparable -----------------------------------------------------------------------------------------------


def test_another_cohort_is_refused() -> None:
    with pytest.raises(CheckError, match="other: expected the cohort of the fit"):
        compare_models({"line": given(), "other": certain(line, curved(), DRAWS)}, straight(), key=KEY)
    with pytest.raises(CheckError, match="at least two"):
        compare_models({"line": given()}, straight(), key=KEY)


def test_an_outcome_on_another_scale_is_refused() -> None:
    outcome = {"column": "score", "unit": "points", "higher_is": "worse", "transform": "log"}
    logs = read_cohort(table(), {**ROLES, "outcomes": {"score": outcome}})
    with pytest.raises(
        CheckError, match=r"logs: score.*log \[points\], as fitted, got identity \[points\].*\n.*Jacobian"
    ):
        compare_models({"line": given(), "logs": certain(line, logs, DRAWS)}, straight(), key=KEY)


def scoring(records: Records, *, kind: str) -> None:
    """A line's score, transformed by hand, in part, or beside another site."""
    level = numpyro.sample("level", dist.Normal(10.0, 5.0))
    score, seen = records.values["score"], records.observed["score"]
    if kind == "transformed":
        score = jnp.log(jnp.maximum(score, 0.1))
    if kind == "in part":
        seen = seen & (records.time > 0)
    with numpyro.plate("subject", records.n_subjects, dim=-1):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        with numpyro.plate("visit", records.time.shape[0], dim=-2):
            name = "another" if kind == "named" else "score"
            numpyro.sample(name, dist.Normal(level + z, 1.0).mask(seen), obs=score)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("transformed", r"120 of 120 values that differ, as after a transform"),
        ("in part", r"120 and 90 values, not the same ones"),
        ("named", r"models that score the same observed sites, got score and another"),
    ],
)
def test_other_values_are_refused(kind: str, message: str) -> None:
    other = certain(partial(scoring, kind=kind), straight(), {"level": DRAWS["level"]})
    with pytest.raises(CheckError, match=message):
        compare_models({"line": given(), "other": other}, straight(), key=KEY)


def test_a_weighted_likelihood_is_refused() -> None:
    half = certain(handlers.scale(line, scale=0.5), straight(), DRAWS)
    with pytest.raises(CheckError, match="half: score: expected a likelihood of weight one"):
        compare_models({"line": given(), "half": half}, straight(), key=KEY)


SHARE = {"score": {"column": "score", "unit": "points", "kind": "bounded", "lower": 0, "upper": 20}}


def test_a_density_is_not_compared_with_a_probability() -> None:
    """Whole scores by their probabilities; bounded scores by a density between the ends and a probability at them."""
    frame = table()
    frame["score"] = (2.0 * (frame["score"] - 6.0)).clip(0.0, 20.0)
    ends = int(frame["score"].isin([0.0, 20.0]).sum())
    assert 5 < ends < 115
    outcome = {**SHARE["score"], "higher_is": "worse"}
    cohort = read_cohort(frame, {**ROLES, "outcomes": {"score": outcome}})
    whole = read_cohort(frame.round(), {**ROLES, "outcomes": {"score": {**outcome, "kind": "integer"}}})
    course = Linear(
        level=Parameter(dist.Normal(8.0, 1.0), subject=dist.HalfNormal(4.0)), slope=Parameter(dist.Normal(3.0, 1.0))
    )
    noises = {
        "normal": Gaussian(sd=4.0),
        "ends": BoundedScore(lower=0, upper=20, precision=10.0, cuts=thresholds(2)),
        "whole": IntegerScore(maximum=20, precision=10.0),
    }
    models = {name: ProgressionModel(outcomes={"score": Outcome(course, noise)}) for name, noise in noises.items()}

    def by(name: str, data: Cohort) -> dict[str, Scored]:
        split = Hierarchy.of(models[name], data.records())
        values = split.constrain(split.prior_centre())
        draws = {site: np.asarray(value)[None] for site, value in values.items()}
        return scored(certain(models[name], data, draws), data)

    require_same_values({"a": by("normal", cohort), "b": by("normal", cohort)})
    with pytest.raises(CheckError, match=f"a probability beside a density for {ends} of 120 values"):
        require_same_values({"a": by("normal", cohort), "b": by("ends", cohort)})
    with pytest.raises(CheckError, match="a probability beside a density for 120 of 120 values"):
        require_same_values({"a": by("normal", whole), "b": by("whole", whole)})
