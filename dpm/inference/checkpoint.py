"""`Checkpoint`: a folder from which a sampler that was stopped, killed or ran out of disk goes on."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax
import numpy as np

from dpm.cohort.buckets import Data
from dpm.errors import InferenceError
from dpm.inference.hierarchy import Hierarchy
from dpm.types import Key

START, STATE = "start.npz", "state.npz"
PARTIAL = ".partial"
NUMERIC = ("jax", "jaxlib", "numpyro")

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a sampler saves itself, and how often; `NUTS(checkpoint=Checkpoint(folder="..."))`.

    The same model, data, settings and key with the same folder go on from what is saved there, to the same draws bit
    for bit as without a stop. It is saved at the end of the warm-up, at the end, at Ctrl-C, and whenever `draws` or
    `minutes` have gone by; whatever stops the process costs at most what came since. Every file is written beside its
    place and then put there, so that it is whole or not there. What is done stays: the same call then takes its draws
    from the folder. A folder of another run is refused, and never overwritten.

    The folder holds subjects' effects, which are patient data: delete it when the posterior is saved.

    Attributes:
        folder: made if need be; for one run at a time.
        draws: transitions of each chain from one save to the next; None: the clock alone decides.
        minutes: from one save to the next; None: the count alone decides.
    """

    folder: str | Path
    draws: int | None = None
    minutes: float | None = 1.0

    def __post_init__(self) -> None:
        """Refuse an interval that is none.

        Raises:
            InferenceError: `draws` or `minutes` is not positive, or both are None.
        """
        if self.draws is None and self.minutes is None:
            raise InferenceError("Checkpoint", "draws or minutes between two saves", "neither")
        for name, value in (("draws", self.draws), ("minutes", self.minutes)):
            if value is not None and not value > 0:
                raise InferenceError(f"Checkpoint({name}=...)", "a positive number", repr(value))

    def due(self, steps: int, seconds: float) -> bool:
        """Whether to save after so many transitions and seconds."""
        by_count = self.draws is not None and steps >= self.draws
        return by_count or (self.minutes is not None and seconds >= 60.0 * self.minutes)

    @contextmanager
    def opened(self, run: Mapping[str, str]) -> Iterator["Saved"]:
        """The folder, held for this process, for a run of this `identity`.

        Raises:
            InferenceError: it cannot be written, another process holds it, or it holds another run or other files.
        """
        folder = Path(self.folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with _held(folder):
            saved = Saved(self, run)
            saved.require_own()
            with writing(folder):
                for left in folder.glob(f".*.npz{PARTIAL}"):
                    left.unlink()
            yield saved


@dataclass(frozen=True)
class Saved:
    """What is in the folder of a checkpoint.

    Attributes:
        checkpoint: whose folder it is.
        run: the `identity` of the run at work.
    """

    checkpoint: Checkpoint
    run: Mapping[str, str]

    @property
    def folder(self) -> Path:
        return Path(self.checkpoint.folder)

    def require_own(self) -> None:
        """Refuse a folder that is not this run's.

        Raises:
            InferenceError: see `Checkpoint.opened`.
        """
        found = [path for path in self.folder.iterdir() if not path.name.endswith(PARTIAL)]
        do = "Give another folder, or delete this one to begin anew."
        if not (self.folder / START).exists():
            if found:
                raise InferenceError(
                    str(self.folder), "an empty folder or a checkpoint", f"other files (first: {found[0].name})", do
                )
            return
        theirs = json.loads(str(self.read(START)["run"]))
        differs = [
            _difference(name, theirs.get(name), own) for name, own in self.run.items() if theirs.get(name) != own
        ]
        if differs:
            raise InferenceError(str(self.folder), "a checkpoint of this run", f"one with {', '.join(differs)}", do)

    def require_density(self, saved: np.ndarray, now: np.ndarray) -> None:
        """Refuse a checkpoint in whose places this model has another density.

        Raises:
            InferenceError: see above.
        """
        single = saved.dtype == np.float32
        if not np.allclose(saved, now, rtol=1e-4 if single else 1e-8, atol=1e-6, equal_nan=True):
            worst = float(np.max(np.abs(saved - now)))
            got = f"one of a model whose log density there differs by {worst:.3g}"
            do = "Give the model it was made with, or another folder, or delete this one to begin anew."
            raise InferenceError(str(self.folder), "a checkpoint of this model", got, do)

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def read(self, name: str) -> Arrays:
        """The arrays of a file.

        Raises:
            InferenceError: it is not there or not whole.
        """
        path = self.folder / name
        try:
            with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
                return {key: file[key] for key in file.files}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as problem:
            do = f"Delete {self.folder} to begin anew."
            raise InferenceError(str(path), "a file of a checkpoint", type(problem).__name__, do) from problem

    def discard(self, pattern: str, but: set[str]) -> None:
        """Remove files of this pattern that no state names, such as draws written just before a kill.

        Raises:
            InferenceError: the folder cannot be written.
        """
        with writing(self.folder):
            for path in self.folder.glob(pattern):
                if path.name not in but:
                    path.unlink()

    def begin(self, arrays: Arrays) -> None:
        """Write what the run starts from, and what run it is.

        Raises:
            InferenceError: the folder cannot be written.
        """
        self.write(START, {"run": np.array(json.dumps(dict(self.run))), **arrays})

    def write(self, name: str, arrays: Arrays) -> None:
        """Write a file in one step: after a kill at any moment there is the old content or the new.

        Raises:
            InferenceError: it cannot be written; what was saved before is as it was.
        """
        content = BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        path, partial = self.folder / name, self.folder / f".{name}{PARTIAL}"
        with writing(self.folder):
            try:
                with partial.open("wb") as file:
                    file.write(content.getbuffer())
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            except BaseException:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
            _settle(self.folder)


def identity(hierarchy: Hierarchy, records: Data, settings: Mapping[str, Any], *, key: Key) -> dict[str, str]:
    """What makes a run this one and no other, by name; what is long as its hash.

    Of the model these are its sites; its density is held against the saved one when a run goes on.
    """
    sites = [(site.name, site.shape) for site in (*hierarchy.population, *hierarchy.subject)]
    leaves, structure = jax.tree_util.tree_flatten(records)
    first = jax.devices()[0]
    return {
        "model": json.dumps(sites),
        "data": _hash(str(structure), *(np.asarray(leaf) for leaf in leaves)),
        "key": _hash(str(jax.random.key_impl(key)), np.asarray(jax.random.key_data(key))),
        **{name: str(value) for name, value in settings.items()},
        **{name: version(name) for name in NUMERIC},
        "device": f"{first.platform} {first.device_kind}",
    }


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a refusal of the file system into one of dpm's.

    Raises:
        InferenceError: the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        got = str(error.strerror or error).partition("\n")[0]
        do = "What was saved before is whole. Free some space, or mend the folder, and run the same again: it goes on."
        raise InferenceError(str(folder), "a folder for checkpoints that can be written", got, do) from error


def _difference(name: str, theirs: str | None, own: str) -> str:
    if name in ("model", "data", "key"):
        return f"another {name}" if name != "data" else "other data"
    return f"{name} = {theirs} instead of {own}"


def _hash(*parts: str | np.ndarray) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            digest.update(f"{part.dtype} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _settle(folder: Path) -> None:
    """Have the names in a folder on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """A lock on the folder itself, so that it leaves no file behind and ends with the process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            do = "Wait for it to end, or give another folder."
            raise InferenceError(str(folder), "a checkpoint for itself", "one another process is using", do) from None
        yield
    finally:
        os.close(handle)
