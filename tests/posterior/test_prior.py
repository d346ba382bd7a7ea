"""What a model says before data, and how much data move it."""

import jax
import numpy as np
import pandas as pd
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.outcome_role import OutcomeRole
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.posterior.fit import fit
from dpm.posterior.prior import information, prior_predictive, prior_vectors, told_by_prior
from dpm.virtual.design import Design

KEY = jax.random.key(4)
DESIGN = Design(
    n=60,
    times=(0.0, 1.0, 2.0),
    outcomes={"y": OutcomeRole(column="y", unit="points", higher_is="worse")},
    covariates={"never": dist.Delta(0.0)},
)
MODEL = ProgressionModel(
    outcomes={
        "y": Outcome(
            Linear(
                level=Parameter(dist.Normal(10.0, 3.0), subject=dist.LogNormal(0.0, 0.5)),
                slope=Parameter(dist.Normal(-1.0, 2.0), effects={"never": dist.Normal(0.0, 1.0)}),
            ),
            Gaussian(sd=0.5),
        )
    }
)
TRUTH = {"y_level": 10.0, "y_level_sd": 1.0, "y_slope": -1.0, "y_slope_never": 0.0}


def test_draws_from_the_prior_have_its_moments() -> None:
    """Unconstrained: the log of a spread. A flat prior is drawn at zero."""
    records = DESIGN.planned(key=KEY)
    hierarchy = Hierarchy.of(MODEL, records)
    drawn = np.asarray(prior_vectors(hierarchy, records, 4000, key=KEY))
    names = hierarchy.population_names()
    means, sds = drawn.mean(axis=0), drawn.std(axis=0)
    known = {"y_level": (10.0, 3.0), "y_level_sd": (0.0, 0.5), "y_slope": (-1.0, 2.0), "y_slope_never": (0.0, 1.0)}
    assert set(names) == set(known)
    for k, name in enumerate(names):
        mean, sd = known[name]
        assert means[k] == pytest.approx(mean, abs=5 * sd / np.sqrt(4000))
        assert sds[k] == pytest.approx(sd, rel=0.06)
    flat = dist.ImproperUniform(dist.constraints.real, (), ())
    course = Linear(level=Parameter(dist.Normal(10.0, 3.0)), slope=Parameter(flat))
    model = ProgressionModel(outcomes={"y": Outcome(course, Gaussian(sd=0.5))})
    drawn = np.asarray(prior_vectors(Hierarchy.of(model, records), records, 5, key=KEY))
    assert drawn[:, Hierarchy.of(model, records).population_names().index("y_slope")].tolist() == [0.0] * 5


def test_a_value_that_the_data_cannot_tell_is_named() -> None:
    """The coefficient of a covariate that is zero in everybody keeps its prior; the note stays with the posterior."""
    cohort = DESIGN.simulate(MODEL, TRUTH, key=KEY)
    posterior = fit(MODEL, cohort, method=Laplace(), key=KEY)
    table = information(posterior, cohort.records(posterior.encodings), key=KEY).set_index("name")
    assert table.loc["y_slope_never", "posterior_sd"] == pytest.approx(1.0, rel=0.1)
    assert abs(table.loc["y_slope_never", "learned"]) < 0.1
    assert (table["learned"].drop("y_slope_never") > 0.9).all()
    # The typical level: its posterior sd is that of a mean of n levels, each told to within its noise.
    assert table.loc["y_level", "posterior_sd"] == pytest.approx(np.sqrt((1.0 + 0.5**2 / 3) / 60), rel=0.3)
    notes = posterior.provenance["notes"]
    assert len(notes) == 1
    assert notes[0].startswith("The data hardly tell y_slope_never:")
    assert told_by_prior(table.reset_index().query("name != 'y_slope_never'")) == ()


def test_the_prior_predictive_is_the_closed_form() -> None:
    """At fixed spread, a measurement at time t is normal with the sum of the variances."""
    level = Parameter(dist.Normal(10.0, 3.0), subject=1.0)
    course = Linear(level=level, slope=Parameter(dist.Normal(-1.0, 2.0)))
    model = ProgressionModel(outcomes={"y": Outcome(course, Gaussian(sd=0.5))})
    table = prior_predictive(model, DESIGN.planned(key=KEY), key=KEY, draws=2000)
    assert table["time"].unique().tolist() == [0.0, 1.0, 2.0]
    wide = table.pivot_table(index="time", columns="percentile", values="value")
    for time, row in wide.iterrows():
        t = float(str(time))
        sd = np.sqrt(9.0 + 4.0 * t**2 + 1.0 + 0.25)
        for percentile, at in {5: -1.645, 25: -0.674, 50: 0.0, 75: 0.674, 95: 1.645}.items():
            assert row[percentile] == pytest.approx(10.0 - t + at * sd, abs=0.12 * sd)
    assert isinstance(table, pd.DataFrame)
    assert jnp.isfinite(table["value"].to_numpy()).all()
