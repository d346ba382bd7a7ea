"""Subjects in chunks and over devices: the same sums, gradients and fits as all at once on one."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.cohort import Records
from dpm.cohort.buckets import bucketed
from dpm.inference import chunks
from dpm.inference.chunks import chunked
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.marginal import Marginal
from dpm.inference.surface import Surface, totals

from .examples import EXAMPLES, marginal, records, vector

ROOT = Path(__file__).parents[2]
NAME = "orange"


def many(count: int) -> Records:
    """The trees of the example again and again, each time a little larger."""
    data = records(NAME)
    whole = data.take(np.arange(count) % data.n_subjects)
    (name,) = whole.values
    grown = whole.values[name] * (1.0 + 0.001 * jnp.arange(count))
    return Records(
        time=whole.time,
        values={name: grown},
        observed=whole.observed,
        covariates=whole.covariates,
        groups=whole.groups,
    )


@pytest.mark.parametrize("subjects", [1, 31, 32, 33, 100, 203])
@pytest.mark.parametrize("devices", [1, 3])
def test_what_is_cut_can_be_joined(subjects: int, devices: int) -> None:
    (part,) = chunked(many(subjects), cells=256, devices=devices)
    assert part.counted.shape[0] % devices == 0
    assert int(part.counted.sum()) == subjects
    values = np.random.default_rng(0).normal(size=(2, subjects))
    np.testing.assert_array_equal(part.join(part.split(values)), values)
    np.testing.assert_array_equal(part.join(part.arrays[0]), many(subjects).time)


def test_chunks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Total, gradient, scores and modes of 103 subjects in chunks, the last not full, are those of all at once."""
    data = many(103)
    prepared = Marginal(Hierarchy.of(EXAMPLES[NAME].model, data))
    at = vector(NAME)

    def each(v: jax.Array) -> jax.Array:
        return prepared.log_marginal(v, data)[0]

    expected, slopes = jax.jit(each)(at), jax.jit(jax.jacfwd(each))(at)
    monkeypatch.setitem(chunks.CELLS, "cpu", 200)
    whole = Surface(prepared, data, prior=False)
    assert whole.parts[0].counted.shape == (4, 26)
    found = whole.at(at)
    assert float(found.log_likelihood) == pytest.approx(float(expected.sum()), rel=1e-11)
    np.testing.assert_allclose(-found.slope, slopes.sum(axis=0), rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(whole.scores(np.asarray(at)), slopes, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(whole.totals(jnp.stack([at, at])), float(expected.sum()), rtol=1e-11)
    prior = float(prepared.hierarchy.log_population(at, data, prior=True))
    with_prior = totals(prepared, data, at[None], np.asarray(whole.effects(found)), prior=True)
    assert float(with_prior[0]) == pytest.approx(float(expected.sum()) + prior, rel=1e-11)
    np.testing.assert_allclose(whole.effects(found), jax.jit(prepared.modes)(at, data).effects, atol=1e-7)


def test_buckets_are_cut_too() -> None:
    """Subjects come back in the cohort's order, whatever the bucket and chunk they were in."""
    data = many(90)
    visits = np.where(np.arange(90) % 3 == 0, 3, data.time.shape[0])
    shorter = {name: mask & (jnp.arange(mask.shape[0])[:, None] < visits) for name, mask in data.observed.items()}
    data = Records(time=data.time, values=data.values, observed=shorter, covariates=data.covariates, groups=data.groups)
    prepared, at = Marginal(Hierarchy.of(EXAMPLES[NAME].model, data)), vector(NAME)
    whole, parts = Surface(prepared, data, prior=True), Surface(prepared, bucketed(data, visits, 0.1), prior=True)
    assert len(parts.parts) == 2
    one, two = whole.at(at), parts.at(at)
    assert float(one.negative) == pytest.approx(float(two.negative), rel=1e-12)
    np.testing.assert_allclose(one.slope, two.slope, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(whole.effects(one), parts.effects(two), atol=1e-7)


def test_a_subject_that_cannot_be_computed_is_named() -> None:
    data = many(100)
    (name,) = data.values
    values = {name: data.values[name].at[0, 71].set(jnp.nan)}
    broken = Records(
        time=data.time, values=values, observed=data.observed, covariates=data.covariates, groups=data.groups
    )
    reason = Surface(marginal(NAME, "laplace", 1), broken, prior=True).explain(np.asarray(vector(NAME)))
    assert "in 1 of 100 subjects" in reason.why and reason.subjects == (71,)


def run(*arguments: str, devices: int) -> subprocess.Popen[str]:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.inference.spread", *arguments],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str]) -> dict[str, object]:
    out, error = process.communicate(timeout=900)
    assert process.returncode == 0, error
    found = json.loads(out.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def assert_same(one: dict[str, object], other: dict[str, object]) -> None:
    for name in ("vector", "covariance", "effects", "log_likelihood"):
        np.testing.assert_allclose(np.asarray(one[name]), np.asarray(other[name]), rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 8])
def test_devices_share_the_subjects(devices: int) -> None:
    alone, shared = answer(run(devices=1)), answer(run(devices=devices))
    assert shared["devices"] == devices
    assert_same(alone, shared)


@pytest.mark.slow
def test_processes_share_the_subjects() -> None:
    """Two processes on this machine, each with a device, meet at a port and reach the same fit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    two = [run("2", str(own), str(port), devices=1) for own in range(2)]
    found = [answer(process) for process in two]
    assert [one["devices"] for one in found] == [2, 2]
    assert_same(found[0], found[1])
    assert_same(answer(run(devices=1)), found[0])
