"""A cohort of lines, models of it whose marginals are normal in closed form, and fits shared by the tests of checks."""

from functools import cache

import jax
import numpy as np
import numpyro
import pandas as pd
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy import stats

from dpm.cohort import Cohort, Records, read_cohort
from dpm.cohort.encodings import Encodings
from dpm.inference.draws import Draws
from dpm.inference.laplace import Laplace
from dpm.posterior.fit import fit
from dpm.posterior.posterior import Posterior
from dpm.types import Array, Float, Model

KEY = jax.random.key(17)
METHOD = Laplace(draws=1000, importance=4000)
SUBJECTS, VISITS = 30, 4
ROLES = {
    "subject": "patient",
    "time": {"column": "year", "unit": "years"},
    "outcomes": {"score": {"column": "score", "unit": "points", "higher_is": "worse"}},
}


def table(*, curved: bool = False, seed: int = 0) -> pd.DataFrame:
    """A level of 10 that differs between subjects by 1.5, and a rise to 20 that slows down where `curved`."""
    rng = np.random.default_rng(seed)
    time = np.arange(VISITS, dtype=float)
    rise = 10.0 * (1.0 - np.exp(-1.5 * time)) if curved else 2.0 * time
    score = 10.0 + 1.5 * rng.normal(size=(SUBJECTS, 1)) + rise + rng.normal(size=(SUBJECTS, VISITS))
    patients = np.repeat([f"p{k:02d}" for k in range(SUBJECTS)], VISITS)
    return pd.DataFrame({"patient": patients, "year": np.tile(time, SUBJECTS), "score": score.ravel()})


@cache
def straight() -> Cohort:
    return read_cohort(table(), ROLES)


@cache
def curved() -> Cohort:
    return read_cohort(table(curved=True), ROLES)


def _score(records: Records, rise: Array) -> None:
    level = numpyro.sample("level", dist.Normal(10.0, 5.0))
    spread = numpyro.sample("spread", dist.HalfNormal(3.0))
    noise = numpyro.sample("noise", dist.HalfNormal(3.0))
    with numpyro.plate("subject", records.n_subjects, dim=-1):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        mean = numpyro.deterministic("score_mean", level + spread * z + rise)
        normal = dist.Normal(mean, noise).mask(records.observed["score"])
        with numpyro.plate("visit", records.time.shape[0], dim=-2):
            numpyro.sample("score", normal, obs=records.values["score"])


def line(records: Records) -> None:
    """A subject's level, and one slope."""
    slope = numpyro.sample("slope", dist.Normal(0.0, 3.0))
    _score(records, slope * records.time)


def saturating(records: Records) -> None:
    """A subject's level, and one rise that slows down."""
    rise = numpyro.sample("rise", dist.Normal(8.0, 5.0))
    rate = numpyro.sample("rate", dist.LogNormal(0.0, 1.0))
    _score(records, rise * (1.0 - jnp.exp(-rate * records.time)))


@cache
def fitted(model: Model, cohort: Cohort) -> Posterior:
    return fit(model, cohort, method=METHOD, key=KEY)


def certain(model: Model, cohort: Cohort, values: dict[str, np.ndarray]) -> Posterior:
    """A posterior with these draws, leading axis `draw`."""
    sites = {name: np.asarray(value)[None] for name, value in values.items()}
    return Posterior.of(model, cohort, Encodings.learn(cohort), Draws(sites=sites), method="given")


def closed_form(posterior: Posterior, cohort: Cohort) -> Float[np.ndarray, "draw subject"]:
    """Log density of each subject's scores under `line`: normal, with covariance spread² 11' + noise² I."""
    draws = {name: posterior.draws[name].to_numpy().ravel() for name in ("level", "slope", "spread", "noise")}
    found = np.empty((posterior.n_draws, cohort.n_subjects))
    for k, name in enumerate(cohort.subjects.index):
        own = cohort.visits[cohort.visits["subject"] == name]
        t, y = own["time"].to_numpy(), own["score"].to_numpy()
        for s in range(posterior.n_draws):
            level, slope, spread, noise = (draws[one][s] for one in ("level", "slope", "spread", "noise"))
            covariance = spread**2 * np.ones((len(t), len(t))) + noise**2 * np.eye(len(t))
            found[s, k] = stats.multivariate_normal(level + slope * t, covariance).logpdf(y)
    return found
