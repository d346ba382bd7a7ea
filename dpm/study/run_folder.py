"""The run folder: a manifest, a ledger and the outputs of stages, each there whole or not at all."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpm.errors import StudyError
from dpm.study.files import write_json, writing
from dpm.study.hashing import outputs_digest, sha256_of_file
from dpm.study.ledger import Ledger, now

MANIFEST, LEDGER, STUDY = "manifest.json", "ledger.jsonl", "study.toml"
PARTIAL = ".partial-"
"""How the names of unfinished folders begin."""

CHECKPOINT = ".checkpoint-"
"""How the names begin of what stages keep to go on from after a stop."""

PARTS = {"study": dict, "data": dict, "code": dict, "environment": dict}
"""What a manifest with stages holds besides, by its kind."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
    """A folder that one process at a time may change.

    Attributes:
        path: of the folder.
    """

    path: Path

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.path / LEDGER)

    def manifest(self) -> Manifest:
        """What the manifest says; a new one where there is none.

        Raises:
            StudyError: it is not what dpm wrote.
        """
        file = self.path / MANIFEST
        if not file.is_file():
            return {"created": now(), "stages": {}}
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            found = str(error)
        do = "Delete the run folder, or give another one with --run-folder."
        if not (isinstance(found, dict) and isinstance(found.get("stages"), dict)):
            raise StudyError(str(file), "the manifest of a run", f"something else: {str(found)[:80]}", do)
        broken = [name for name, entry in found["stages"].items() if not _is_entry(entry)]
        lacking = [name for name in ("created", *PARTS) if not isinstance(found.get(name), PARTS.get(name, str))]
        if broken or (lacking and found["stages"]):
            got = f"a broken entry of stage {broken[0]}" if broken else f"none of {', '.join(lacking)}"
            raise StudyError(str(file), "the manifest as dpm wrote it", got, do)
        return found

    def write_manifest(self, manifest: Mapping[str, Any]) -> None:
        write_json(self.path / MANIFEST, manifest)

    def unrecorded(self, manifest: Mapping[str, Any]) -> list[str]:
        """Stages of the manifest whose last line in the ledger is of other inputs or outputs, or is not there."""
        written = {}
        for entry in self.ledger.entries():
            detail = entry.get("detail")
            if isinstance(detail, dict) and "outputs" in detail:
                written[str(detail.get("stage"))] = (detail.get("inputs"), detail["outputs"])
        return [
            name
            for name, stage in manifest["stages"].items()
            if written.get(name) != (stage["inputs_hash"], outputs_digest(stage["outputs"]))
        ]

    def require_recorded(self) -> None:
        """Refuse to go on from results that the ledger does not know.

        Raises:
            StudyError: the ledger was changed, or does not record a stage as the manifest has it.
        """
        self.ledger.require_unbroken()
        unrecorded = self.unrecorded(self.manifest())
        if unrecorded:
            got = f"none, or another, of {', '.join(unrecorded)}"
            do = "One of the two was changed. Keep the folder as it is and start a new one with --run-folder."
            raise StudyError(str(self.ledger.path), "an entry on every stage of the manifest", got, do)

    def outputs(self, places: tuple[str, ...], root: Path | None = None) -> dict[str, str]:
        """SHA-256 of every file of a stage, by its path in the run folder."""
        root = root or self.path
        found = [file for place in places for file in _files(root / place)]
        return {file.relative_to(root).as_posix(): sha256_of_file(file) for file in sorted(found)}

    def remove(self, places: tuple[str, ...]) -> None:
        """Remove the outputs of a stage."""
        with writing(self.path):
            for place in places:
                _remove(self.path / place)

    def put(self, partial: Path, places: tuple[str, ...]) -> None:
        """Move the finished outputs of a stage to where they belong, in place of earlier ones."""
        with writing(self.path):
            for place in places:
                _remove(self.path / place)
                if (partial / place).exists():
                    (self.path / place).parent.mkdir(exist_ok=True)
                    (partial / place).replace(self.path / place)

    @contextmanager
    def partial(self, stage: str) -> Iterator[Path]:
        """A folder for a stage to write in, on the same disk; gone afterwards, whatever happened."""
        folder = self.path / f"{PARTIAL}{stage}"
        with writing(folder):
            _remove(folder)
            folder.mkdir()
        try:
            yield folder
        finally:
            _remove(folder)

    def checkpoint(self, stage: str, inputs_hash: str) -> Path:
        """Where a stage keeps what it can go on from with the same inputs; what it kept with others is removed."""
        folder = self.path / f"{CHECKPOINT}{stage}-{inputs_hash[:16]}"
        self.forget(stage, but=folder)
        return folder

    def forget(self, stage: str, but: Path | None = None) -> None:
        """Remove what a stage kept to go on from, `but` one folder."""
        with writing(self.path):
            for left in self.path.glob(f"{CHECKPOINT}{stage}-*"):
                if left != but:
                    _remove(left)

    def sweep(self) -> None:
        """Remove what a killed process left unfinished."""
        with writing(self.path):
            for left in (*self.path.glob(f"{PARTIAL}*"), *self.path.glob(".*.partial")):
                _remove(left)


@contextmanager
def opened(path: Path) -> Iterator[RunFolder]:
    """A run folder, made if need be and held for this process; a new one in which nothing was finished is removed.

    Raises:
        StudyError: it cannot be written, holds something else, or another process is using it.
    """
    made = _first_missing(path)
    with writing(path):
        if path.is_dir() and any(path.iterdir()) and not _is_run(path):
            do = "Give an empty or a new folder with --run-folder."
            raise StudyError(str(path), "a run folder of dpm", "a folder of other files", do)
        path.mkdir(parents=True, exist_ok=True)
    run = RunFolder(path)
    try:
        with _held(path):
            _probe(path)
            run.sweep()
            yield run
    finally:
        if made is not None and not run.manifest()["stages"]:
            _remove(made)


def _is_entry(entry: Any) -> bool:
    kinds = {"status": str, "inputs_hash": str, "inputs": dict, "outputs": dict}
    return isinstance(entry, dict) and all(isinstance(entry.get(name), kind) for name, kind in kinds.items())


def _is_run(path: Path) -> bool:
    return (path / MANIFEST).is_file() or all(each.name.startswith((PARTIAL, ".manifest")) for each in path.iterdir())


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """A lock on the folder itself, so that it leaves no file behind and ends with the process."""
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            do = "Wait for it to end, or give another folder with --run-folder."
            raise StudyError(
                str(path), "a run folder for itself", "one that another dpm process is using", do
            ) from None
        yield
    finally:
        os.close(handle)


def _probe(path: Path) -> None:
    """Find out now, not after an hour of sampling, that nothing can be written."""
    with writing(path):
        probe = path / f"{PARTIAL}probe"
        probe.mkdir(exist_ok=True)
        probe.rmdir()


def _first_missing(path: Path) -> Path | None:
    """The outermost folder that has to be made."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    return missing[-1] if missing else None


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else [each for each in place.rglob("*") if each.is_file()]


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
