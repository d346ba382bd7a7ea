"""Of many subjects the maximum of a sample comes first; that of all is the same, also where the sample fails."""

from collections.abc import Callable

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.cohort.buckets import bucketed
from dpm.errors import InferenceError
from dpm.inference import chunks, surface
from dpm.inference import climb as climbing
from dpm.inference.climb import Summit, climb
from dpm.inference.faults import Fault
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace, Objective, Optimum
from dpm.inference.marginal import Marginal
from dpm.inference.surface import Surface

KEY = jax.random.key(3)
SUBJECTS, VISITS = 300, 4
WITHIN, BETWEEN = 0.5, 0.8


def grouped(records: Records) -> None:
    r"""$y_{ij} \sim N(\mu_{g(i)} + 0.8\,b_i,\ 1/4)$: the maximum is each group's mean."""
    level = numpyro.sample("level", dist.Normal(0.0, 2.0).expand([3]).to_event(1))
    with numpyro.plate("subject", records.n_subjects, dim=-1):
        effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
        mean = level @ records.groups["group"] + BETWEEN * effect
        expected = jnp.broadcast_to(mean, records.time.shape)
        numpyro.sample("y", dist.Normal(expected, WITHIN).mask(records.observed["y"]), obs=records.values["y"])


def cohort(group: np.ndarray) -> Records:
    noise = np.random.default_rng(4).normal(size=(VISITS + 1, SUBJECTS))
    values = jnp.asarray(np.array([1.0, -1.0, 3.0])[group] + BETWEEN * noise[0] + WITHIN * noise[1:])
    observed = {"y": jnp.ones((VISITS, SUBJECTS), bool)}
    return Records(
        jnp.zeros((VISITS, SUBJECTS)), {"y": values}, observed, {}, {"group": jnp.asarray(np.eye(3)[group].T)}
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 32 subjects, of which two are a sample."""
    monkeypatch.setitem(chunks.CELLS, "cpu", 32 * VISITS)
    monkeypatch.setattr(surface, "SAMPLE", 40)
    monkeypatch.setattr(surface, "A_VALUE", 1)


def even() -> np.ndarray:
    return np.arange(SUBJECTS) % 3


def without_a_level() -> np.ndarray:
    """Three subjects who are in no sample are a group of their own."""
    (part,) = Surface(Marginal(Hierarchy.of(grouped, cohort(even()))), cohort(even()), prior=False).parts
    last = np.asarray(part.split(np.arange(SUBJECTS)))[-1, :3]
    return np.where(np.isin(np.arange(SUBJECTS), last), 2, np.arange(SUBJECTS) % 2)


def exact(data: Records, objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and standard errors of the levels in closed form."""
    group, means = np.asarray(data.groups["group"]), np.asarray(data.values["y"]).mean(axis=0)
    prior, variance = 0.25 if objective == "map" else 0.0, BETWEEN**2 + WITHIN**2 / VISITS
    precision, sums = group.sum(axis=1) / variance, group @ means / variance
    return sums / (precision + prior), (precision + prior) ** -0.5


def fitted(data: Records, objective: Objective) -> Optimum:
    return Laplace(objective=objective).maximise(Marginal(Hierarchy.of(grouped, data)), data, key=KEY)


@pytest.mark.parametrize("objective", ["map", "ml"])
@pytest.mark.parametrize("groups", [even, without_a_level])
def test_the_maximum_is_that_of_all(groups: Callable[[], np.ndarray], objective: Objective) -> None:
    data = cohort(groups())
    found, (estimates, errors) = fitted(data, objective), exact(cohort(groups()), objective)
    np.testing.assert_allclose(found.vector, estimates, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), errors, rtol=1e-6)
    assert found.effects.shape == (1, SUBJECTS)


def test_where_a_sample_lacks_a_level_the_old_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    data, ends = cohort(without_a_level()), []

    def seen(*given: object) -> Summit | Fault:
        ends.append(climb(*given))
        return ends[-1]

    monkeypatch.setattr(climbing, "climb", seen)
    fitted(data, "ml")
    assert [type(end) for end in ends] == [Fault, Summit]
    assert "nothing determines level[2]" in ends[0].why
    ends.clear()
    fitted(data, "map")
    assert [type(end) for end in ends] == [Summit, Summit]


def test_from_a_sample_fewer_evaluations_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same maximum as when none is taken."""
    data = cohort(even())
    found = fitted(data, "ml")
    monkeypatch.setattr(surface, "SAMPLE", SUBJECTS)
    alone = fitted(data, "ml")
    assert found.evaluations < alone.evaluations
    assert found.log_likelihood == pytest.approx(alone.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(found.vector, alone.vector, atol=1e-6)


def test_a_climb_that_fails_after_the_sample_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    data, given = cohort(even()), []

    def first_of_all_fails(*words: object) -> Summit | Fault:
        given.append(len(words))
        return Fault("lost") if len(words) == 5 else climb(*words)

    monkeypatch.setattr(climbing, "climb", first_of_all_fails)
    np.testing.assert_allclose(fitted(data, "ml").vector, exact(data, "ml")[0], atol=1e-6)
    assert given == [4, 5, 4]


def test_what_nothing_determines_is_refused_as_before() -> None:
    data = cohort(np.arange(SUBJECTS) % 2)
    with pytest.raises(InferenceError, match=r"nothing determines level\[2\] where the search ended"):
        fitted(data, "ml")


def test_a_sample_counts_as_all_and_is_of_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the sum over the subjects that it is said to have, in two buckets, the prior once."""
    monkeypatch.setattr(surface, "WORTH", 3)
    data = cohort(even())
    visits = np.where(np.arange(SUBJECTS) < 100, 2, VISITS)
    observed = {"y": jnp.arange(VISITS)[:, None] < visits}
    data = Records(data.time, data.values, observed, {}, data.groups)
    marginal = Marginal(Hierarchy.of(grouped, data))
    whole = Surface(marginal, bucketed(data, visits, 0.1), prior=True)
    sample, at = whole.sample(), np.array([0.5, -0.4, 2.0])
    assert sample is not None and sample.sample() is None and len(whole.parts) == 2
    found = sample.at(at)
    each = np.asarray(jax.jit(lambda v: marginal.log_marginal(v, data)[0])(at))
    taken = sample._join([own.log_marginal for own in found.subjects])
    inside = taken != 0.0
    np.testing.assert_allclose(taken[inside], each[inside], rtol=1e-10)
    assert 40 <= inside.sum() <= SUBJECTS / 3
    short = visits == 2
    expected = sum(each[inside & part].sum() * part.sum() / (inside & part).sum() for part in (short, ~short))
    assert float(found.log_likelihood) == pytest.approx(expected, rel=1e-10)
    prior = float(marginal.hierarchy.log_population(jnp.asarray(at), data, prior=True))
    assert -float(found.negative) == pytest.approx(expected + prior, rel=1e-10)
    moves = 1e-5 * np.eye(3)
    differences = [float(sample.at(at + m).negative) - float(sample.at(at - m).negative) for m in moves]
    np.testing.assert_allclose(found.slope, np.array(differences) / 2e-5, rtol=1e-6)
    assert float(whole.at(at).log_likelihood) == pytest.approx(each.sum(), rel=1e-10)


def test_few_subjects_have_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    data = cohort(even())
    monkeypatch.setattr(surface, "A_VALUE", SUBJECTS // 8)
    assert Surface(Marginal(Hierarchy.of(grouped, data)), data, prior=False).sample() is None


def test_whole_chunks_may_be_more_than_was_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 300 subjects 75 are wanted, a fourth, and three chunks of 30 have them; one chunk of all is no sample."""
    data = cohort(even())
    marginal = Marginal(Hierarchy.of(grouped, data))
    monkeypatch.setattr(surface, "SAMPLE", 75)
    sample = Surface(marginal, data, prior=False).sample()
    assert sample is not None
    taken = sample._join([own.log_marginal for own in sample.at(np.zeros(3)).subjects])
    assert np.sum(taken != 0.0) == 90
    monkeypatch.setitem(chunks.CELLS, "cpu", SUBJECTS * VISITS)
    assert Surface(marginal, data, prior=False).sample() is None
