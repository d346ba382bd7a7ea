"""What was changed after a run is found."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpm.errors import StudyError
from dpm.study.ledger import Ledger
from dpm.study.verify import verify

from .example import Stages, write_study


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Stages().run(write_study(tmp_path / "study"), tmp_path / "run")
    return tmp_path / "run"


def differing(folder: Path) -> list[str]:
    return [finding.what for finding in verify(folder) if finding.verdict == "differs"]


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "manifest.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def test_an_untouched_run_verifies(folder: Path) -> None:
    assert {finding.verdict for finding in verify(folder)} == {"same"}


def test_a_changed_table_is_found(folder: Path) -> None:
    (folder / "two" / "half.csv").write_text("draw\n2\n", encoding="utf-8")
    (folder / "report.html").unlink()
    assert differing(folder) == ["two/half.csv", "report.html"]


def test_a_manifest_made_to_fit_a_changed_table_is_found_by_the_ledger(folder: Path) -> None:
    (folder / "report.html").write_text("better", encoding="utf-8")
    better = hashlib.sha256(b"better").hexdigest()
    change_manifest(folder, lambda m: m["stages"]["third"]["outputs"].update({"report.html": better}))
    assert differing(folder) == ["ledger on third"]


def test_a_stage_on_other_results_than_are_here_is_found(folder: Path) -> None:
    change_manifest(folder, lambda m: m["stages"]["second"]["outputs"].pop("two/rest.json"))
    assert differing(folder) == ["inputs of third", "ledger on second"]


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_ledger_line_taken_out_is_found(folder: Path, line: int) -> None:
    file = folder / "ledger.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:line] + lines[line + 1 :]), encoding="utf-8")
    assert "chain of the ledger" in differing(folder)


@pytest.mark.parametrize("stage", ["second", "third"])
def test_a_stage_taken_out_of_the_manifest_is_found(stage: str, folder: Path) -> None:
    change_manifest(folder, lambda m: m["stages"].pop(stage))
    assert f"ledger on {stage}" in differing(folder)


def test_results_that_an_earlier_stage_made_stale_are_not_missed(folder: Path, tmp_path: Path) -> None:
    study = tmp_path / "study" / "study.toml"
    study.write_text(study.read_text(encoding="utf-8").replace("draws = 10", "draws = 11"), encoding="utf-8")
    Stages().run(study, folder, last="second")
    assert differing(folder) == []


@pytest.mark.parametrize("part", ["study", "data", "code", "environment", "created"])
def test_a_manifest_with_a_part_taken_out_is_refused(part: str, folder: Path) -> None:
    change_manifest(folder, lambda m: m.pop(part))
    with pytest.raises(StudyError, match=f"the manifest as dpm wrote it, got none of {part}"):
        verify(folder)


@pytest.mark.parametrize("part", ["status", "inputs", "outputs", "inputs_hash"])
def test_a_manifest_with_a_broken_stage_is_refused(part: str, folder: Path) -> None:
    change_manifest(folder, lambda m: m["stages"]["second"].pop(part))
    with pytest.raises(StudyError, match="a broken entry of stage second"):
        verify(folder)


@pytest.mark.parametrize(("part", "key"), [("study", "sha256"), ("data", "sha256"), ("data", "files")])
def test_a_manifest_with_a_line_taken_out_is_told(part: str, key: str, folder: Path) -> None:
    change_manifest(folder, lambda m: m[part].pop(key))
    assert {finding.verdict for finding in verify(folder)} & {"differs", "note"}


def test_a_ledger_cut_short_is_found(folder: Path) -> None:
    file = folder / "ledger.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]), encoding="utf-8")
    assert Ledger(file).broken_at() == 0
    assert differing(folder) == ["ledger on third"]


def test_changed_data_and_study_are_found(folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "study" / "patients.csv").open("a", encoding="utf-8") as file:
        file.write("C3,placebo,0,1,1,censored,10\n")
    with (folder / "study.toml").open("a", encoding="utf-8") as file:
        file.write("# a remark\n")
    assert differing(folder) == ["study.toml", "data patients.csv"]


def test_what_cannot_be_recomputed_is_noted(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "study" / "patients.csv").unlink()
    (folder / "remark.txt").touch()
    change_manifest(folder, lambda m: m["code"].update(sha256="0") or m["environment"]["packages"].update(jax="0.1"))
    notes = [finding.what for finding in verify(folder) if finding.verdict == "note"]
    assert notes == ["remark.txt", "data patients.csv", "dpm's code", "package jax"]
    assert differing(folder) == []


def test_no_run_in_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no manifest\.json"):
        verify(tmp_path)


def test_the_chain_of_a_ledger_by_hand(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("one", {"a": 1})
    ledger.append("two", "ü")
    first, second = ledger.path.read_text(encoding="utf-8").splitlines()
    assert json.loads(first)["previous"] == ""
    assert json.loads(second)["previous"] == hashlib.sha256(first.encode()).hexdigest()
    assert list(json.loads(second)) == ["time", "event", "detail", "previous"]


def test_a_line_that_a_killed_process_left_unfinished_is_dropped(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append("one", "ü")
    with ledger.path.open("ab") as file:
        file.write('{"time": "ü'.encode()[:-1])
    assert ledger.broken_at() == 0
    ledger.append("two", "b")
    assert [entry["event"] for entry in ledger.entries()] == ["one", "two"]
    assert ledger.broken_at() == 0
    assert ledger.path.read_bytes().count(b"\n") == 2
