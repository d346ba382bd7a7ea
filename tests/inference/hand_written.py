"""Models written by hand: sites in other shapes and on other scales than `ProgressionModel` samples.

All read `counts()`: two outcomes that share nothing but their visits, `seizures` (whole numbers) and `score`.
"""

import numpy as np
import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records

VISITS, SUBJECTS = 4, 6


def counts() -> Records:
    """Six subjects, up to four visits, some values missing; the last subject has one value of each outcome."""
    rng = np.random.default_rng(7)
    time = np.sort(rng.uniform(0.0, 2.0, (VISITS, SUBJECTS)), axis=0)
    rate = np.exp(0.8 + 0.5 * rng.normal(size=SUBJECTS) - 0.3 * time)
    score = 5.0 + rng.normal(size=SUBJECTS) + (1.0 + 0.5 * rng.normal(size=SUBJECTS)) * time
    observed = rng.uniform(size=(2, VISITS, SUBJECTS)) < 0.9
    observed[:, 0] = True
    observed[:, 1:, -1] = False
    values = {"seizures": rng.poisson(rate).astype(float), "score": score + 0.5 * rng.normal(size=time.shape)}
    return Records(
        time=jnp.asarray(time),
        values={name: jnp.asarray(value * mask) for (name, value), mask in zip(values.items(), observed, strict=True)},
        observed={name: jnp.asarray(mask) for name, mask in zip(values, observed, strict=True)},
        covariates={"weight": jnp.asarray(rng.uniform(0.5, 1.5, SUBJECTS))},
        groups={},
    )


def poisson(data: Records) -> None:
    """Seizure counts with a normal effect on the log rate."""
    level = numpyro.sample("level", dist.Normal(0.8, 1.0))
    trend = numpyro.sample("trend", dist.Normal(0.0, 0.5))
    spread = numpyro.sample("spread", dist.HalfNormal(0.8))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        effect = numpyro.sample("effect", dist.Normal(0.0, spread))
        with numpyro.plate("visit", data.time.shape[0], dim=-2):
            rate = numpyro.deterministic("seizures_mean", jnp.exp(level + effect + trend * data.time))
            noise = dist.Poisson(rate).mask(data.observed["seizures"])
            numpyro.sample("seizures", noise, obs=data.values["seizures"])


POISSON = {"level": 0.9, "trend": -0.2, "spread": 0.6}


def _score(data: Records, mean: jnp.ndarray, sd: jnp.ndarray | float) -> None:
    with numpyro.plate("visit", data.time.shape[0], dim=-2):
        numpyro.deterministic("score_mean", mean)
        numpyro.sample("score", dist.Normal(mean, sd).mask(data.observed["score"]), obs=data.values["score"])


def _lines() -> tuple[jnp.ndarray, jnp.ndarray]:
    mean = numpyro.sample("mean", dist.Normal(jnp.array([5.0, 1.0]), 1.0).to_event(1))
    return mean, numpyro.sample("spread", dist.HalfNormal(jnp.ones(2)).to_event(1))


def joint_effects(data: Records) -> None:
    """A line per subject whose two effects are one site with an event axis after the plate: shape (subject, 2)."""
    mean, spread = _lines()
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        line = numpyro.sample("line", dist.Normal(mean, spread).to_event(1))
        _score(data, line[:, 0] + line[:, 1] * data.time, 0.5)


def separate_effects(data: Records) -> None:
    """The same two effects as two sites."""
    mean, spread = _lines()
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        level = numpyro.sample("level", dist.Normal(mean[0], spread[0]))
        slope = numpyro.sample("slope", dist.Normal(mean[1], spread[1]))
        _score(data, level + slope * data.time, 0.5)


LINES = {"mean": np.array([5.2, 0.8]), "spread": np.array([1.1, 0.4])}


def positive_effect(data: Records) -> None:
    """A log-normal level and a half-normal decline per subject, sampled on their natural scale."""
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        level = numpyro.sample("level", dist.LogNormal(1.6, spread))
        decline = numpyro.sample("decline", dist.HalfNormal(0.5))
        _score(data, level - decline * data.time, 0.5)


def unbounded_effect(data: Records) -> None:
    """The same through log scales: the density of the log of a half-normal, put in place of another by a factor."""
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        log_level = numpyro.sample("log_level", dist.Normal(1.6, spread))
        stand_in = dist.Normal(-1.0, 1.0)
        log_decline = numpyro.sample("log_decline", stand_in)
        decline = jnp.exp(log_decline)
        wanted = dist.HalfNormal(0.5).log_prob(decline) + log_decline
        numpyro.factor("half_normal", wanted - stand_in.log_prob(log_decline))
        _score(data, jnp.exp(log_level) - decline * data.time, 0.5)


POSITIVE = {"spread": 0.4}


def squared_effect(data: Records) -> None:
    """Only the square of the effect matters: zero, where a search starts, is a minimum between two modes."""
    sd = numpyro.sample("sd", dist.HalfNormal(1.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
        _score(data, effect**2 * jnp.ones(data.time.shape), sd)
