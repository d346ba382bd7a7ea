"""Run the stages of a study: what is there and unchanged stays, the rest is done, and all of it is written down."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from dpm import __version__
from dpm.errors import CheckError, DPMError, StudyError
from dpm.study import provenance
from dpm.study.fields import meant
from dpm.study.files import full, write_bytes
from dpm.study.hashing import outputs_digest, sha256_of_code, sha256_of_value
from dpm.study.materials import Materials
from dpm.study.model_file import model_hash, model_path
from dpm.study.run_folder import STUDY, RunFolder, opened
from dpm.study.schema import Study
from dpm.study.stage import Context, News, Stage, Tell

NEW = "not done yet"
COMPLETE, GATE = "complete", "gate not passed"


@dataclass(frozen=True, kw_only=True)
class Run:
    """A study at work in its folder.

    Attributes:
        folder: where results go.
        materials: what stages share.
        stages: all of them, in order.
        tell: who is told of progress.
    """

    folder: RunFolder
    materials: Materials
    stages: tuple[Stage, ...]
    tell: Tell

    def pursue(self, last: str, force: str | None) -> None:
        """Do every stage up to `last` that is not there or has changed.

        Raises:
            DPMError: a stage refused; `CheckError` if its gate was not passed.
        """
        self.folder.require_recorded()
        self._identify()
        begun = False
        for stage in self.stages[: 1 + [each.name for each in self.stages].index(last)]:
            inputs = self.inputs(stage)
            why = "asked for with --force" if stage.name == force else self.reason(stage, inputs)
            if not why:
                self.folder.forget(stage.name)
                self.tell(News(stage=stage.name, kind="unchanged", text=stage.purpose))
                continue
            if not begun:
                self._log("run", {"study": self.materials.file.sha256, "until": last, "dpm": __version__})
                begun = True
            self._do(stage, inputs, why)

    def inputs(self, stage: Stage) -> dict[str, str]:
        """Hashes of everything a stage rests on, by what it is."""
        study, stages = self.materials.study, self.folder.manifest()["stages"]
        own = {
            f"[{name}] of the study file": sha256_of_value(section(study, name, stage.ignores))
            for name in stage.sections
        }
        upstream = {f"stage {name}": outputs_digest(stages[name]["outputs"]) for name in stage.needs}
        model = {"the model's file": model_hash(self.materials.file)} if stage.reads_model else {}
        return {
            **own,
            "the data": sha256_of_value(self.materials.data_sha256),
            **model,
            **upstream,
            "dpm's code": sha256_of_code(stage.code),
            "installed packages": sha256_of_value(provenance.packages()),
        }

    def reason(self, stage: Stage, inputs: Mapping[str, str]) -> str:
        """Why a stage has to run; empty where its outputs are there and nothing has changed."""
        entry = self.folder.manifest()["stages"].get(stage.name)
        if entry is None:
            return NEW
        if entry.get("status") != COMPLETE:
            return str(entry.get("status", "not finished"))
        before = entry.get("inputs", {})
        changed = [name for name in inputs if before.get(name) != inputs[name]]
        if changed:
            return f"changed: {', '.join(changed)}"
        if self.folder.outputs(stage.places) != entry["outputs"]:
            return "its files are missing or were changed"
        return ""

    def _do(self, stage: Stage, inputs: Mapping[str, str], why: str) -> None:
        """Run a stage beside the run folder's results and put it in their place when it is complete."""
        began = perf_counter()
        again = f" ({why})" if why != NEW else ""
        self.tell(News(stage=stage.name, kind="start", text=f"{stage.purpose}{again}"))
        gate: CheckError | None = None
        checkpoint = self.folder.checkpoint(stage.name, sha256_of_value(dict(inputs)))
        if checkpoint.is_dir():
            self._log("resumed", {"stage": stage.name})
        with self.folder.partial(stage.name) as partial:
            try:
                with full(self.folder.path):
                    outcome = stage.run(self._context(stage, partial, checkpoint, began))
            except (DPMError, KeyboardInterrupt) as error:
                if not (isinstance(error, CheckError) and stage.gated):
                    what = "interrupted" if isinstance(error, KeyboardInterrupt) else "refused"
                    self._log(what, {"stage": stage.name, "message": str(error)})
                    raise self._placed(stage, error) from None
                gate, outcome = error, str(error)
            self._keep(stage, partial, inputs, perf_counter() - began, gate)
        self.folder.forget(stage.name)
        seconds = perf_counter() - began
        self.tell(News(stage=stage.name, kind="gate" if gate else "done", text=outcome, seconds=seconds))
        if gate is not None:
            raise gate

    def _placed(self, stage: Stage, error: BaseException) -> BaseException:
        """The same refusal, with the study and stage where it names no file.

        A check that cannot be made as asked is for the study file to mend; only a gate raises a `CheckError`.
        """
        if not isinstance(error, DPMError):
            return error
        data = [str(file) for file in self.materials.data.values()]
        files = (str(self.materials.file.path), *data, str(self.folder.path))
        kind = StudyError if isinstance(error, CheckError) else type(error)
        if kind is type(error) and error.where.startswith(files):
            return error
        where = f"{self.materials.file.path}: stage {stage.name}: {error.where}"
        return kind(where, error.expected, error.got, error.do, error.subjects)

    def _context(self, stage: Stage, partial: Path, checkpoint: Path, began: float) -> Context:
        def note(text: str) -> None:
            self.tell(News(stage=stage.name, kind="note", text=text, seconds=perf_counter() - began))

        return Context(
            materials=self.materials,
            run=self.folder.path,
            partial=partial,
            checkpoint=checkpoint,
            note=note,
            key_index=stage.key_index,
        )

    def _keep(
        self, stage: Stage, partial: Path, inputs: Mapping[str, str], seconds: float, gate: CheckError | None
    ) -> None:
        """Put a finished stage in its place. Results that rest on an earlier form of it go first."""
        manifest = self.folder.manifest()
        outputs = self.folder.outputs(stage.places, root=partial)
        same = manifest["stages"].get(stage.name, {}).get("outputs") == outputs
        stale = () if same and gate is None else tuple(self._after(stage.name, shut=gate is not None))
        for each in (stage, *stale):
            manifest["stages"].pop(each.name, None)
        self.folder.write_manifest(manifest)
        for each in stale:
            self.folder.remove(each.places)
        self.folder.put(partial, stage.places)
        entry = {
            "status": COMPLETE if gate is None else GATE,
            "inputs_hash": sha256_of_value(dict(inputs)),
            "inputs": dict(inputs),
            "seconds": round(seconds, 3),
            "outputs": outputs,
        }
        stages = {**manifest["stages"], stage.name: entry}
        ordered = {each.name: stages[each.name] for each in self.stages if each.name in stages}
        device = {"device": provenance.device()} if stage.reads_model and provenance.seen_jax() else {}
        # The ledger first: after a kill between the two the stage is done and recorded again, never kept unrecorded.
        self._log("gate not passed" if gate else "stage", self._detail(stage, entry, gate))
        self.folder.write_manifest({**manifest, **device, "stages": ordered})

    @staticmethod
    def _detail(stage: Stage, entry: Mapping[str, Any], gate: CheckError | None) -> dict[str, Any]:
        hashes = {"inputs": entry["inputs_hash"], "outputs": outputs_digest(entry["outputs"])}
        return {"stage": stage.name, **hashes, **({"message": str(gate)} if gate else {})}

    def _after(self, name: str, *, shut: bool) -> Iterable[Stage]:
        """The stages that rest on a stage, directly or not; where its gate is shut, also those it holds back."""
        touched = {name}
        for stage in self.stages:
            if touched & {*stage.needs, *(stage.gates if shut else ())}:
                touched.add(stage.name)
                yield stage

    def _log(self, event: str, detail: Mapping[str, Any]) -> None:
        self.folder.ledger.append(event, dict(detail))

    def _identify(self) -> None:
        """Write what this run is of; what has changed since the last time goes to the ledger."""
        file, before = self.materials.file, self.folder.manifest()
        study = file.study.study
        hashes = self.materials.data_sha256
        data = {"files": hashes, "sha256": sha256_of_value(hashes)}
        rows = before.get("data", {}).get("rows") if before.get("data", {}).get("sha256") == data["sha256"] else None
        now = {
            "dpm_version": __version__,
            "created": before["created"],
            "study": {
                **study.model_dump(include={"name", "title", "question", "context_of_use"}),
                "path": shown(file.path),
                "sha256": file.sha256,
            },
            "data": {**data, "rows": self.materials.rows if rows is None else rows},
            "code": {**provenance.code(), "model": model_hash(file), "model_file": model_path(file).name},
            "environment": provenance.environment(),
            "device": before.get("device", "not used yet"),
            "seed": study.seed,
            "stages": before["stages"],
        }
        if now != before:
            for part in ("study", "data", "code"):
                old, new = before.get(part, {}).get("sha256"), now[part]["sha256"]
                if old not in (None, new):
                    self._log(f"{part} changed", {"from": old, "to": new})
            write_bytes(self.folder.path / STUDY, file.content)
            self.folder.write_manifest(now)


def shown(path: Path) -> str:
    """A path as a manifest may carry it: from the working folder where it lies below, else its last two parts."""
    whole = path.resolve()
    if whole.is_relative_to(Path.cwd()):
        return whole.relative_to(Path.cwd()).as_posix()
    return "/".join(whole.parts[-2:])


def section(study: Study, name: str, ignores: tuple[str, ...] = ()) -> Any:
    """A part of a study by its dotted path, as plain values, without the parts that `ignores` names."""
    value: Any = study.model_dump(mode="json")
    for ignored in ignores:
        *path, last = ignored.split(".")
        _at(value, path).pop(last)
    return _at(value, name.split("."))


def _at(value: Any, path: list[str]) -> Any:
    for part in path:
        value = value[part]
    return value


def run_study(
    materials: Materials, stages: tuple[Stage, ...], *, last: str, tell: Tell, force: str | None = None
) -> None:
    """Run a study up to a stage, in its folder.

    Args:
        materials: of the study; its folder is made if need be.
        stages: all stages there are, in order.
        last: the stage to end with.
        tell: who is told of progress.
        force: a stage to run even if nothing has changed.

    Raises:
        DPMError: a stage refused, or the folder cannot be used. Nothing half-written is left.
    """
    names = [stage.name for stage in stages]
    if force is not None and force not in names:
        raise StudyError("--force", f"one of the stages {', '.join(names)}", f'"{force}"', meant(force, names))
    # What can be refused without a folder is refused before there is one.
    model_path(materials.file)
    _ = materials.data
    with opened(materials.run) as folder:
        Run(folder=folder, materials=materials, stages=stages, tell=tell).pursue(last, force)
