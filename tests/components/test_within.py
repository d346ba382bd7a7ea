"""Effects within a subject, two eyes of one person or one occasion and the next, against lme4 and a closed form."""

from functools import cache

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from scipy import stats

from dpm.cohort import Records
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.errors import ModelError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal

N, VISITS = 30, 4
FLAT, WIDE = dist.Normal(50.0, 50.0), dist.HalfNormal(10.0)
LME4 = {
    "acuity_level": 60.422950072,
    "acuity_slope": -2.057715879,
    "acuity_level_sd": 4.480387330,
    "acuity_level_part_sd": 2.394883619,
    "acuity_sd": 2.027080737,
}
"""`lmer(y ~ t + (1 | id / eye), REML = FALSE)` of lme4 1.1-31 on `eyes()`; log-likelihood -539.15523937."""


@cache
def eyes() -> Records:
    """Thirty people, both eyes at four visits, a tenth of the readings missing."""
    rng = np.random.default_rng(16)
    person, eye = 5.0 * rng.normal(size=N), 3.0 * rng.normal(size=(2, N))
    time = np.repeat(np.arange(VISITS, dtype=float), 2)[:, None] * np.ones(N)
    part = np.tile([0, 1], VISITS)[:, None] * np.ones(N, int)
    y = 60.0 - 2.0 * time + person + np.where(part == 0, eye[0], eye[1]) + 2.0 * rng.normal(size=time.shape)
    seen = rng.uniform(size=time.shape) < 0.9
    return Records(
        time=jnp.asarray(time),
        values={"acuity": jnp.asarray(np.where(seen, y, 0.0))},
        observed={"acuity": jnp.asarray(seen)},
        covariates={},
        groups={},
        levels={"part": jnp.asarray(np.stack([part == 0, part == 1]).astype(float))},
    )


def model(factor: str) -> ProgressionModel:
    line = Linear(level=Parameter(FLAT, subject=WIDE, within={factor: WIDE}), slope=Parameter(dist.Normal(0.0, 10.0)))
    return ProgressionModel(outcomes={"acuity": Outcome(line, Gaussian(sd=WIDE))})


EYES = model("part")


def closed_form(values: dict[str, float], data: Records) -> float:
    """Readings of one eye share the eye's variance, of one person the person's."""
    total = 0.0
    part = np.asarray(data.levels["part"][1])
    for i in range(data.n_subjects):
        seen = np.asarray(data.observed["acuity"][:, i])
        same = part[seen, i][:, None] == part[seen, i][None, :]
        cov = values["acuity_level_sd"] ** 2 + values["acuity_level_part_sd"] ** 2 * same
        cov = cov + values["acuity_sd"] ** 2 * np.eye(seen.sum())
        mean = values["acuity_level"] + values["acuity_slope"] * np.asarray(data.time)[seen, i]
        total += stats.multivariate_normal(mean, cov).logpdf(np.asarray(data.values["acuity"])[seen, i])
    return total


@pytest.mark.slow
def test_two_eyes_of_a_person_are_the_nested_effects_of_lme4() -> None:
    data = eyes()
    assert int(data.observed["acuity"].sum()) == 215
    assert float(data.values["acuity"].sum()) == pytest.approx(12332.86, abs=0.005)
    found = Laplace(objective="ml").maximise(Marginal(Hierarchy.of(EYES, data)), data, key=jax.random.key(0))
    assert found.log_likelihood == pytest.approx(-539.15523937, abs=1e-6)
    assert found.log_likelihood == pytest.approx(closed_form(LME4, data), abs=1e-6)
    for name, value in LME4.items():
        assert found.estimates["estimate"][name] == pytest.approx(value, rel=2e-5), name
    assert found.estimates["se"]["acuity_slope"] == pytest.approx(0.12530618, rel=1e-3)


def test_eyes_taken_as_independent_people_would_be_wrong() -> None:
    """Without the person's part of the variance the likelihood of the same data falls by far."""
    apart = {**LME4, "acuity_level_sd": 1e-9, "acuity_level_part_sd": np.hypot(4.48, 2.39)}
    assert closed_form(apart, eyes()) < -539.2 - 5.0


def test_each_eye_has_an_effect_of_its_own() -> None:
    split = Hierarchy.of(EYES, eyes())
    assert {site.name: site.size for site in split.subject} == {"acuity_level_z": 1, "acuity_level_part_z": 2}
    values = split.effect_values(jnp.arange(3.0 * N).reshape(3, N))
    assert values["acuity_level_part_z"].shape == (2, N)


def test_a_factor_of_visits_that_the_cohort_lacks_is_refused() -> None:
    with pytest.raises(ModelError) as refusal:
        Hierarchy.of(model("occasion"), eyes())
    assert str(refusal.value) == (
        'acuity_level: expected "occasion" among the cohort\'s factors of visits, got part.\n'
        "Give it a role when the cohort is read, or take it out of the model."
    )
