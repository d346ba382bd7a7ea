"""A run that was stopped goes on to the draws it would have had; what it cannot go on from it refuses and keeps."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.errors import InferenceError
from dpm.inference import sampling
from dpm.inference.checkpoint import Checkpoint, _held
from dpm.inference.draws import Draws
from dpm.inference.nuts import NUTS
from dpm.inference.progress import Ticker

from .killed import DATA, KEY, MODEL, SETTINGS, sample

Contents = dict[str, bytes]


def contents(folder: Path) -> Contents:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def step(folder: Path) -> int:
    """Transitions saved."""
    with np.load(folder / "state.npz") as file:
        return int(file["step"])


def bits(draws: Draws) -> dict[str, bytes]:
    """Everything of a result but the time it took."""
    parts = {"site": draws.sites, "subject": draws.subject_sites, "stats": draws.stats}
    arrays = {f"{part} {name}": values for part, of in parts.items() for name, values in of.items()}
    facts = {name: np.asarray(fact) for name, fact in draws.facts.items() if not name.startswith("seconds")}
    table = {"estimates": draws.estimates.to_numpy(), "index": draws.estimates.index.to_numpy(dtype=str)}
    return {name: np.asarray(values).tobytes() for name, values in {**arrays, **facts, **table}.items()}


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """The run without a stop and without a checkpoint."""
    return bits(sample(None))


def stop(monkeypatch: pytest.MonkeyPatch, after: int, error: type[BaseException]) -> None:
    """Raise when so many transitions are done."""

    def tell(ticker: Ticker, step: int, divergences: int) -> None:
        if step >= after:
            raise error

    monkeypatch.setattr(Ticker, "tell", tell)


class Stopped(BaseException):
    """Something no code of dpm's expects."""


@pytest.mark.slow
def test_stopped_in_warm_up_and_in_sampling(
    whole: Mapping[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new" / "run"
    for after, saved, error in ((15, 10, Stopped), (45, 40, Stopped), (52, 54, KeyboardInterrupt)):  # which saves
        with monkeypatch.context() as patched:
            patched.setattr(sampling, "_length", lambda done, seconds: 4)
            stop(patched, after, error)
            with pytest.raises(error):
                sample(folder)
        assert step(folder) == saved
    assert bits(sample(folder)) == whole
    assert step(folder) == 60
    before = contents(folder)
    assert bits(sample(folder)) == whole  # nothing is left to do
    assert contents(folder) == before


@pytest.mark.slow
def test_killed_at_any_moment(whole: Mapping[str, bytes], tmp_path: Path, root: Path) -> None:
    """By the system, in a process of its own: at the first file, in warm-up, in sampling, between draws and state."""
    folder = tmp_path / "run"
    moments = (("write", 1, None), ("step", 15, 10), ("write", 1, 10), ("step", 45, 40), ("write", 2, 40))
    for what, count, saved in moments:
        command = [sys.executable, "-m", "tests.inference.killed", str(folder), what, str(count)]
        done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
        assert done.returncode == -9, done.stderr
        assert (step(folder) if (folder / "state.npz").exists() else None) == saved
    assert bits(sample(folder)) == whole
    assert not [name for name in contents(folder) if "partial" in name]


def other_prior(data: Records) -> None:
    """The sites of the model, and another density."""
    decay = numpyro.sample("decay", dist.LogNormal(jnp.log(0.5), 1.1))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        eta = numpyro.sample("eta", dist.Normal(0.0, 0.2))
        with numpyro.plate("visit", data.time.shape[0], dim=-2):
            mean = 10.0 * jnp.exp(-decay * jnp.exp(eta) * data.time)
            numpyro.sample("y", dist.Normal(mean, jnp.sqrt(0.1)), obs=data.values["y"])


def no_effects(data: Records) -> None:
    with numpyro.plate("subject", data.n_subjects, dim=-1), numpyro.plate("visit", data.time.shape[0], dim=-2):
        numpyro.sample("y", dist.Normal(data.time, 1.0), obs=data.values["y"])


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in the middle of the run."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patched:
        stop(patched, 35, KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            sample(folder)
    return folder


MOVED = replace(DATA, values={"y": DATA.values["y"] + 0.1})


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"records": MOVED}, "a checkpoint of this run, got one with other data"),
        ({"key": jax.random.key(12)}, "got one with another key"),
        ({"model": no_effects}, "got one with another model"),
        ({"model": other_prior}, "a checkpoint of this model, got one of a model whose log density there differs by"),
        ({"draws": 40, "target_accept": 0.9}, r"draws = 30 instead of 40, target_accept = 0.85 instead of 0.9"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(what: dict[str, Any], message: str, begun: Path) -> None:
    call = {"model": MODEL, "records": DATA, "key": KEY}
    settings = {**SETTINGS, **{name: value for name, value in what.items() if name not in call}}
    given = {name: what.get(name, value) for name, value in call.items()}
    before = contents(begun)
    method = NUTS(**settings, checkpoint=Checkpoint(folder=begun))
    with pytest.raises(InferenceError, match=f"(?s){message}.*or delete this one to begin anew"):
        method.run(given["model"], given["records"], key=given["key"])
    assert contents(begun) == before


def test_another_checkpoint_may_be_saved_at_other_times(whole: Mapping[str, bytes], begun: Path) -> None:
    method = NUTS(**SETTINGS, checkpoint=Checkpoint(folder=str(begun), minutes=3.0))
    assert bits(method.run(MODEL, DATA, key=KEY)) == whole


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(InferenceError, match=r"an empty folder or a checkpoint, got other files \(first: thesis.txt\)"):
        sample(tmp_path)
    assert list(contents(tmp_path)) == ["thesis.txt"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with _held(tmp_path), pytest.raises(InferenceError, match="another process is using"):
        sample(tmp_path)


def full_from(count: int, real: Callable[[int], None]) -> Callable[[int], None]:
    """A disk that is full when the given number of files and folders has been put on it."""
    calls = 0

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls >= count:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    return fsync


def test_a_full_disk_loses_nothing(whole: Mapping[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error, which says what to do; with space again the run goes on."""
    for count in (1, 12):
        before = contents(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full_from(count, os.fsync))
            with pytest.raises(
                InferenceError, match=r"(?s)got No space left on device.*run the same again: it goes on"
            ):
                sample(tmp_path)
        after = contents(tmp_path)
        assert not [name for name in after if "partial" in name]
        assert set(before) <= set(after)
    assert step(tmp_path) == 40
    (tmp_path / "draws-11-17.npz").touch()  # a kill between draws and state would leave such a file
    assert bits(sample(tmp_path)) == whole
    assert sorted(contents(tmp_path)) == [
        *("draws-1-10.npz", "draws-11-20.npz", "draws-21-30.npz", "start.npz", "state.npz"),
    ]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InferenceError, match="a folder for checkpoints that can be written, got Not a directory"):
        sample(tmp_path / "file" / "run")


def test_a_broken_file_is_not_gone_on_from(tmp_path: Path, begun: Path) -> None:
    for path in begun.iterdir():
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(content[: len(content) // 2] if path.name == "state.npz" else content)
    with pytest.raises(InferenceError, match=r"state.npz: expected a file of a checkpoint, got BadZipFile"):
        sample(tmp_path)


def test_a_state_of_another_version_is_not_gone_on_from(tmp_path: Path, begun: Path) -> None:
    """Chains of an earlier dpm had fewer parts."""
    folder = tmp_path / "kept"
    shutil.copytree(begun, folder)
    with np.load(folder / "state.npz") as file:
        arrays = {name: file[name] for name in file.files if name != "state_3"}
    np.savez(folder / "state.npz", **arrays)
    before = contents(folder)
    with pytest.raises(InferenceError, match="expected a checkpoint of this version of dpm, got one of another"):
        sample(folder)
    assert contents(folder) == before


@pytest.mark.parametrize("given", [{"draws": 0}, {"minutes": -1.0}, {"minutes": None}])
def test_an_interval_that_is_none(given: dict[str, Any]) -> None:
    with pytest.raises(InferenceError, match="Checkpoint"):
        Checkpoint(folder="anywhere", **given)


def test_when_a_save_is_due() -> None:
    both = Checkpoint(folder="anywhere", draws=10, minutes=2.0)
    assert [both.due(9, 119.0), both.due(10, 0.0), both.due(0, 120.0)] == [False, True, True]
    assert not Checkpoint(folder="anywhere", draws=10, minutes=None).due(9, 1e9)


def test_nothing_of_where_it_is_saved_is_in_the_name_of_the_method() -> None:
    plain = NUTS(chains=2)
    assert repr(plain) == repr(replace(plain, progress=False, checkpoint=Checkpoint(folder="/home/me")))
