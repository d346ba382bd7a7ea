"""`verify`: recompute what a run recorded, and say what differs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dpm.cohort.shipped import data_path
from dpm.errors import CohortError, StudyError
from dpm.study import provenance
from dpm.study.hashing import outputs_digest, sha256_of_code, sha256_of_file, sha256_of_value
from dpm.study.run_folder import CHECKPOINT, MANIFEST, STUDY, Manifest, RunFolder


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing recorded, recomputed.

    Attributes:
        what: a file of the run, or what a hash is of.
        verdict: "same"; "differs", which nobody should accept; "note", which is no fault of the run.
        detail: in words, for what is not the same.
    """

    what: str
    verdict: Literal["same", "differs", "note"]
    detail: str = ""


def verify(path: Path) -> list[Finding]:
    """Recompute every hash of the manifest and of the ledger.

    Raises:
        StudyError: there is no run in this folder.
    """
    if not (path / MANIFEST).is_file():
        raise StudyError(str(path), "a run folder", f"no {MANIFEST} in it", "Give the folder that `dpm run` wrote.")
    run = RunFolder(path)
    manifest = run.manifest()
    if not manifest["stages"]:
        raise StudyError(str(path / MANIFEST), "a run with a finished stage", "none", "Run the study first.")
    return [
        *_outputs(run, manifest),
        *_inputs(manifest),
        *_ledger(run, manifest),
        *_study(run, manifest),
        *_data(manifest),
        *_surroundings(manifest),
    ]


def _same(what: str, equal: bool, detail: str) -> Finding:
    return Finding(what=what, verdict="same") if equal else Finding(what=what, verdict="differs", detail=detail)


def _outputs(run: RunFolder, manifest: Manifest) -> Iterator[Finding]:
    recorded = {name: sha256 for stage in manifest["stages"].values() for name, sha256 in stage["outputs"].items()}
    for name, sha256 in recorded.items():
        file = run.path / name
        if not file.is_file():
            yield Finding(what=name, verdict="differs", detail="the file is missing")
        else:
            yield _same(name, sha256_of_file(file) == sha256, "its content is not what the stage wrote")
    known = {*recorded, MANIFEST, run.ledger.path.name, STUDY}
    for file in sorted(each for each in run.path.rglob("*") if each.is_file()):
        if file.relative_to(run.path).as_posix() not in known:
            name = file.relative_to(run.path).as_posix()
            kept = "of a stage that was stopped; it goes on from there"
            detail = kept if name.startswith(CHECKPOINT) else "not a file that a stage recorded"
            yield Finding(what=name, verdict="note", detail=detail)


def _inputs(manifest: Manifest) -> Iterator[Finding]:
    for name, stage in manifest["stages"].items():
        detail = "the hash is not that of the inputs listed"
        yield _same(f"inputs of {name}", sha256_of_value(stage["inputs"]) == stage["inputs_hash"], detail)
        for needed, recorded in stage["inputs"].items():
            upstream = manifest["stages"].get(needed.removeprefix("stage "))
            if needed.startswith("stage ") and (upstream is None or outputs_digest(upstream["outputs"]) != recorded):
                detail = f"it rests on other outputs of {needed} than are here"
                yield Finding(what=f"inputs of {name}", verdict="differs", detail=detail)


def _ledger(run: RunFolder, manifest: Manifest) -> Iterator[Finding]:
    broken = run.ledger.broken_at()
    yield _same("chain of the ledger", not broken, f"line {broken} does not carry the hash of the line before it")
    unrecorded = run.unrecorded(manifest)
    for name in manifest["stages"]:
        detail = "the last entry on this stage is of other inputs or outputs"
        yield _same(f"ledger on {name}", name not in unrecorded, detail)
    for name in _unexplained(list(manifest["stages"]), run.ledger.entries()):
        yield Finding(what=f"ledger on {name}", verdict="differs", detail="it records a stage that the manifest lacks")


def _unexplained(kept: list[str], entries: list[dict[str, Any]]) -> Iterator[str]:
    """Stages done and not kept, though no earlier stage was done again since, which is what removes results."""
    done = [
        str(entry["detail"].get("stage"))
        for entry in entries
        if isinstance(entry.get("detail"), dict) and "outputs" in entry["detail"]
    ]
    order = list(dict.fromkeys(done))
    for name in order:
        since = done[len(done) - done[::-1].index(name) :]
        if name not in kept and not set(since) & set(order[: order.index(name)]):
            yield name


def _study(run: RunFolder, manifest: Manifest) -> Iterator[Finding]:
    copy = run.path / STUDY
    equal = copy.is_file() and sha256_of_file(copy) == manifest["study"].get("sha256")
    yield _same(STUDY, equal, "the copy of the study file is missing or was changed")


def _data(manifest: Manifest) -> Iterator[Finding]:
    folder, files = Path(manifest["study"].get("path", "")).parent, manifest["data"].get("files", {})
    detail = "the hash over all files is not that of the hashes listed"
    yield _same("data", sha256_of_value(files) == manifest["data"].get("sha256"), detail)
    for name, sha256 in files.items():
        try:
            file = data_path(name) if name.startswith("data:") else folder / name
        except CohortError:
            file = Path(name)
        if file.is_file():
            yield _same(f"data {name}", sha256_of_file(file) == sha256, "the data have changed since")
        else:
            detail = "not found from here, so its hash was not recomputed; run verify where the study was run"
            yield Finding(what=f"data {name}", verdict="note", detail=detail)


def _surroundings(manifest: Manifest) -> Iterator[Finding]:
    """Code and packages of this installation, which may rightly be others than those of the run."""
    here = sha256_of_code()
    if here != manifest["code"].get("sha256"):
        yield Finding(what="dpm's code", verdict="note", detail="this installation is not the code that made the run")
    else:
        yield Finding(what="dpm's code", verdict="same")
    recorded, installed = manifest["environment"].get("packages", {}), provenance.environment()["packages"]
    for name in (each for each in recorded if recorded[each] != installed.get(each)):
        detail = f"{recorded[name]} when the run was made, {installed.get(name, 'absent')} here"
        yield Finding(what=f"package {name}", verdict="note", detail=detail)
