"""Where a result comes from: hashes, versions, seed, device, times, and the head of the ledger."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from dpm.report.estimands import UNSAID
from dpm.report.numbers import counted, number
from dpm.report.run_folder import Ledger
from dpm.report.tables import Line, Table

SHOWN_ENTRIES = 40

CODE = {
    "sha256": "dpm's source, SHA-256",
    "git": "dpm's source, git commit",
    "model": "Model's file, SHA-256",
    "model_file": "Model's file",
}


def facts(manifest: Mapping[str, Any], ledger: Ledger) -> tuple[tuple[str, str], ...]:
    """Pairs of name and value; what the manifest lacks says so. Folders of the machine are not shown."""
    study, data = part(manifest, "study"), part(manifest, "data")
    environment, code, files = part(manifest, "environment"), part(manifest, "code"), part(data, "files")
    chain = "holds" if not ledger.broken_at else f"broken at line {ledger.broken_at}"
    return (
        ("Study", str(study.get("name") or UNSAID)),
        ("Study file", named(study.get("path"))),
        ("Study file, SHA-256", str(study.get("sha256") or UNSAID)),
        ("Data", f"{', '.join(map(named, files)) or UNSAID}; {counted(int(data.get('rows') or 0), 'row')}"),
        *((f"{named(name)}, SHA-256", str(sha256)) for name, sha256 in files.items()),
        *((CODE.get(key, f"Code, {key}"), str(value)) for key, value in code.items()),
        ("dpm, version", str(manifest.get("dpm_version") or UNSAID)),
        ("Python", str(environment.get("python") or UNSAID)),
        ("Platform", str(environment.get("platform") or UNSAID)),
        ("Device", str(manifest.get("device") or UNSAID)),
        ("Seed", str(manifest.get("seed", UNSAID))),
        ("Run created", str(manifest.get("created") or UNSAID)),
        ("Ledger", f"{counted(len(ledger.entries), 'entry', 'entries')}, chain of hashes {chain}"),
        ("Ledger head, SHA-256", ledger.head or UNSAID),
    )


def part(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = manifest.get(key)
    return found if isinstance(found, dict) else {}


def named(path: Any) -> str:
    return PurePath(str(path)).name if path else UNSAID


def stages_table(manifest: Mapping[str, Any]) -> Table:
    """Stages, their time, and the hash of what went in. The report's own entry is left out: it would never settle."""
    lines = tuple(
        Line(cells=(name, number(float(stage.get("seconds", "nan")), 1), str(stage.get("inputs_hash") or UNSAID)))
        for name, stage in part(manifest, "stages").items()
        if name != "report"
    )
    return Table(caption="Stages", columns=("Stage", "Seconds", "Hash of inputs"), lines=lines, numeric=(1,))


def outputs_table(manifest: Mapping[str, Any]) -> Table:
    lines = tuple(
        Line(cells=(str(file), str(sha256)))
        for name, stage in part(manifest, "stages").items()
        if name != "report"
        for file, sha256 in part(stage, "outputs").items()
    )
    return Table(caption="Files of the run", columns=("File", "SHA-256"), lines=lines)


def packages_table(manifest: Mapping[str, Any]) -> Table:
    packages = part(part(manifest, "environment"), "packages")
    lines = tuple(Line(cells=(str(name), str(version))) for name, version in packages.items())
    return Table(caption="Packages", columns=("Package", "Version"), lines=lines)


def ledger_table(ledger: Ledger) -> Table:
    keys = ("time", "event", "detail")
    shown = ledger.entries[-SHOWN_ENTRIES:]
    lines = tuple(Line(cells=tuple(plain_text(entry.get(key)) for key in keys)) for entry in shown)
    earlier = len(ledger.entries) - len(shown)
    caption = f"Ledger, the last {len(shown)} of {len(ledger.entries)} entries" if earlier else "Ledger"
    return Table(caption=caption, columns=("Time", "Event", "Detail"), lines=lines)


def plain_text(value: Any) -> str:
    """A detail of the ledger, which may be text or a mapping."""
    if isinstance(value, dict):
        return "; ".join(f"{key}: {plain_text(each)}" for key, each in value.items())
    return "" if value is None else str(value)
