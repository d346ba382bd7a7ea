"""Subjects' marginal likelihoods at the draws of a posterior are those of closed forms, and are refused with names."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import numpyro
import pandas as pd
import pytest
from jax import lax
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Cohort, Records, read_cohort
from dpm.cohort.fingerprint import fingerprints
from dpm.errors import PosteriorError
from dpm.inference.chunks import Chunks, chunked
from dpm.inference.marginal import Level, Marginal
from dpm.posterior import likelihood as module
from dpm.posterior.likelihood import SubjectLikelihood, subject_log_likelihood
from dpm.types import Array
from tests.checks.lines import KEY, ROLES, certain, closed_form, line, straight, table
from tests.inference import test_classes as classes

DRAWS = {
    "level": np.array([9.0, 10.0, 11.0]),
    "slope": np.array([1.0, 2.0, 3.0]),
    "spread": np.array([0.5, 1.5, 2.5]),
    "noise": np.array([0.7, 1.0, 2.0]),
}


@pytest.mark.parametrize("level", ["laplace", "quadrature", None])
def test_a_linear_models_marginal_is_normal(level: Level | None) -> None:
    posterior = certain(line, straight(), DRAWS)
    found = subject_log_likelihood(posterior, straight(), key=KEY, level=level)
    assert found.dims == ("chain", "draw", "subject") and found.shape == (1, 3, 30)
    assert list(found["subject"].to_numpy()) == list(straight().subjects.index)
    np.testing.assert_allclose(found[0], closed_form(posterior, straight()), rtol=0, atol=1e-8)


def test_other_patients_are_scored_with_the_encodings_of_the_fit() -> None:
    posterior, others = certain(line, straight(), DRAWS), read_cohort(table(seed=5), ROLES)
    found = subject_log_likelihood(posterior, others, key=KEY, level="laplace")
    np.testing.assert_allclose(found[0], closed_form(posterior, others), rtol=0, atol=1e-8)


@cache
def two_classes() -> Cohort:
    data = classes.simulated(8)
    seen, values = np.asarray(data.observed["y"]), np.asarray(data.values["y"])
    rows = [
        {"id": f"s{i}", "year": classes.TIME[v].item(), "y": values[v, i]}
        for i in range(8)
        for v in range(5)
        if seen[v, i]
    ]
    roles = {**ROLES, "subject": "id", "outcomes": {"y": {"column": "y", "unit": "points", "higher_is": "worse"}}}
    return read_cohort(pd.DataFrame(rows), roles)


def test_discrete_sites_are_summed_out() -> None:
    truth = {name: np.array([value]) for name, value in classes.TRUTH.items()}
    found = subject_log_likelihood(certain(classes.growth, two_classes(), truth), two_classes(), key=KEY)
    exact = classes.closed_form(classes.TRUTH, two_classes().records())
    np.testing.assert_allclose(found[0, 0], exact, rtol=0, atol=1e-8)


def steep(records: Records) -> None:
    """A subject's own rate, which enters by its exponential; and a value that one subject has no likelihood for."""
    rate = numpyro.sample("rate", dist.Normal(0.5, 1.0))
    bound = numpyro.sample("bound", dist.Normal(1.0, 1.0))
    impossible = jnp.where(jnp.arange(records.n_subjects) == 3, jnp.sqrt(bound), 1.0)
    with numpyro.plate("subject", records.n_subjects, dim=-1):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0))
        mean = 10.0 * impossible + records.time * jnp.exp(rate + 0.8 * z)
        with numpyro.plate("visit", records.time.shape[0], dim=-2):
            numpyro.sample("score", dist.Normal(mean, 3.0), obs=records.values["score"])


def test_a_coarse_integral_says_how_coarse() -> None:
    posterior = certain(steep, straight(), {"rate": np.array([0.4, 0.6]), "bound": np.array([1.0, 1.0])})
    coarse, fine = (
        SubjectLikelihood.of(posterior, straight(), key=KEY, level="quadrature", n_nodes=n) for n in (1, 25)
    )
    told = coarse.level_error(key=KEY)
    true = fine.each().mean(axis=0) - coarse.each().mean(axis=0)  # two draws about the centre, near each other
    assert abs(true.sum()) > 0.05
    assert told.sum() == pytest.approx(true.sum(), rel=0.2)
    assert abs(fine.level_error(key=KEY)).max() < 1e-4


def test_a_subject_without_a_likelihood_is_named() -> None:
    posterior = certain(steep, straight(), {"rate": np.array([0.4, 0.6]), "bound": np.array([-1.0, 1.0])})
    with pytest.raises(PosteriorError, match=r"none for p03 \(1 of 2 draws\)\.\nAsk for a higher level"):
        subject_log_likelihood(posterior, straight(), key=KEY, level="laplace")


def test_a_fingerprint_knows_values_subjects_and_scale() -> None:
    def of(frame: pd.DataFrame, transform: str = "identity") -> str:
        outcome = {"column": "score", "unit": "points", "higher_is": "worse", "transform": transform}
        return fingerprints(read_cohort(frame, {**ROLES, "outcomes": {"score": outcome}}))["score"]

    frame = table()
    assert of(frame) == of(frame.sample(frac=1.0, random_state=1).sort_values(["patient", "year"]))
    others = {
        of(frame),
        of(frame, "log"),
        of(frame.assign(score=frame["score"] + 1e-9)),
        of(frame.assign(year=frame["year"] * 2)),
        of(frame[frame["patient"] != "p07"]),
        of(frame.assign(patient=frame["patient"].str.replace("p07", "p77"))),
    }
    assert len(others) == 6


# Large cohorts --------------------------------------------------------------------------------------------------------


VISITS = 4


def many(subjects: int) -> SubjectLikelihood:
    """The integral by seven nodes, though it needs none, of that many subjects at two draws."""
    small = SubjectLikelihood.of(certain(line, straight(), DRAWS), straight(), key=KEY, level="laplace")
    places = np.arange(subjects) % small.records.n_subjects
    marginal = small.marginal.with_nodes("quadrature", 7)
    return replace(
        small, marginal=marginal, records=small.records.take(places), ids=pd.Index([f"s{k}" for k in range(subjects)])
    )


def test_in_chunks_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each subject's values do not depend on who is worked on beside it, and come back in order."""
    likelihood = many(90)
    start = jnp.zeros((likelihood.marginal.hierarchy.n_effects, 90))
    records, marginal = likelihood.records, likelihood.marginal
    whole = jax.jit(lambda vectors: lax.map(lambda at: marginal.log_marginal(at, records, start)[0], vectors))
    monkeypatch.setattr(module, "CELLS", 7 * VISITS * 40)
    np.testing.assert_allclose(likelihood.each(), whole(likelihood.vectors), rtol=1e-12, atol=1e-12)
    finer = likelihood.level_error(key=KEY)
    np.testing.assert_allclose(finer, finer[np.arange(90) % straight().n_subjects], rtol=0, atol=1e-12)


def test_memory_is_that_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside what goes in and comes out, eight times the subjects need no more memory."""
    monkeypatch.setattr(module, "CELLS", 7 * VISITS * 100)
    needed = []
    for subjects in (400, 3_200):
        likelihood = many(subjects)
        marginal = likelihood.marginal
        (chunks,) = chunked(likelihood.records, cells=module._cells(marginal))
        assert chunks.counted.shape == (subjects // 100, 100)
        start = chunks.split(np.zeros((marginal.hierarchy.n_effects, subjects)))

        @jax.jit
        def run(
            vectors: Array,
            start: Array,
            arrays: tuple[Array, ...],
            chunks: Chunks = chunks,
            marginal: Marginal = marginal,
        ) -> Array:
            return module._at_draws(vectors, start, replace(chunks, arrays=arrays), marginal, 1)

        compiled = run.lower(likelihood.vectors, start, chunks.arrays).compile()
        needed.append(compiled.memory_analysis().temp_size_in_bytes)
    values = 8 * len(likelihood.vectors) * (3_200 - 400)  # one per draw and subject
    assert needed[1] < 1.1 * needed[0] + 4 * values, needed
