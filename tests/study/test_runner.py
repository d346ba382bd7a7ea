"""A stage is done once, whole or not at all, and everything that happened is written down."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpm.errors import CheckError, CohortError, StudyError
from dpm.study.ledger import Ledger
from dpm.study.materials import Materials
from dpm.study.read import read_study
from dpm.study.run_folder import RunFolder, opened
from dpm.study.verify import verify

from .example import DATA, Stages, contents, fail_gate, manifest, write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "small"


@pytest.fixture
def stages() -> Stages:
    return Stages()


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def events(folder: Path) -> list[str]:
    return [entry["event"] for entry in Ledger(folder / "ledger.jsonl").entries()]


def refuse() -> None:
    raise CohortError("patients", "ten", "two")


def interrupt() -> None:
    raise KeyboardInterrupt


def break_down() -> None:
    raise ZeroDivisionError


def test_all_stages_run_and_are_recorded(study: Path, folder: Path, stages: Stages) -> None:
    assert stages.run(study, folder) == ["first", "second", "third"]
    found = manifest(folder)
    assert list(found["stages"]) == ["first", "second", "third"]
    assert set(found["stages"]["third"]["outputs"]) == {"report.html", "compare/effects.csv"}
    assert found["seed"] == 7
    assert found["data"]["rows"] == 4
    assert set(found) == {
        *("dpm_version", "created", "study", "data", "code", "environment", "device", "seed", "stages"),
    }
    assert events(folder) == ["run", "stage", "stage", "stage"]
    assert set(contents(folder)) == {
        *("manifest.json", "ledger.jsonl", "study.toml", "one/rows.csv", "two/half.csv", "two/rest.json"),
        *("compare/effects.csv", "report.html"),
    }


def test_a_second_run_changes_nothing(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    before = contents(folder)
    assert stages.run(study, folder) == []
    assert contents(folder) == before
    assert [news.kind for news in stages.news[-3:]] == ["unchanged"] * 3


def test_a_single_stage_runs_those_before_it(study: Path, folder: Path, stages: Stages) -> None:
    assert stages.run(study, folder, last="second") == ["first", "second"]
    assert stages.run(study, folder) == ["third"]


@pytest.mark.parametrize(
    ("old", "new", "again"),
    [
        ('title = "A small study"', 'title = "Another title"', []),
        ("draws = 10", "draws = 11", ["second", "third"]),
        ("seed = 7", "seed = 8", ["second"]),
        ("[model]", "# a remark\n[model]", []),
        ('name = "change"', 'name = "difference"', ["third"]),
        ("lower = 0.0", "lower = 0.1", ["first"]),
    ],
)
def test_what_a_change_of_the_study_touches(
    old: str, new: str, again: list[str], study: Path, folder: Path, stages: Stages
) -> None:
    """A stage that writes the same as before, as two of the fakes do here, ends what runs again."""
    stages.run(study, folder)
    edit(study, old, new)
    assert stages.run(study, folder) == again
    assert "study changed" in events(folder)
    assert not [finding for finding in verify(folder) if finding.verdict == "differs"]


def test_a_change_of_the_data_runs_everything_again(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    (study.parent / "patients.csv").write_text(DATA + "B2,placebo,300,2.5,2,censored,1200\n", encoding="utf-8")
    assert stages.run(study, folder) == ["first", "second", "third"]
    assert "data changed" in events(folder)


def test_a_change_of_the_model_runs_what_reads_it(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    edit(study.parent / "model.py", "return 1", "return 2")
    assert stages.run(study, folder) == ["second"]


def test_why_a_stage_runs_again_is_said(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    edit(study, "draws = 10", "draws = 11")
    stages.run(study, folder, last="second")
    assert "changed: [fit] of the study file" in stages.news[-2].text


def test_a_changed_output_is_made_again(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    before = contents(folder)
    (folder / "two" / "half.csv").write_text("draw\n9\n", encoding="utf-8")
    assert stages.run(study, folder) == ["second"]
    (folder / "compare" / "effects.csv").unlink()
    assert stages.run(study, folder) == ["third"]
    after = contents(folder)
    for name in ("two/half.csv", "compare/effects.csv"):
        assert after[name] == before[name]


def test_a_stage_can_be_forced(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    assert stages.run(study, folder, force="second") == ["second"]
    with pytest.raises(StudyError, match='--force: expected one of the stages first, second, third, got "secnd"'):
        stages.run(study, folder, force="secnd")


def test_results_of_an_earlier_form_of_a_stage_are_not_left(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    edit(study, "draws = 10", "draws = 11")
    assert stages.run(study, folder, last="second") == ["second"]
    assert "third" not in manifest(folder)["stages"]
    assert not (folder / "report.html").exists()
    assert not (folder / "compare").exists()


@pytest.mark.parametrize(
    ("hook", "raised"), [(refuse, CohortError), (interrupt, KeyboardInterrupt), (break_down, ZeroDivisionError)]
)
def test_a_failure_leaves_what_was_there(
    hook: Callable[[], None], raised: type[BaseException], study: Path, folder: Path, stages: Stages
) -> None:
    stages.run(study, folder)
    before = contents(folder)
    edit(study, "draws = 10", "draws = 11")
    stages.hook = hook
    with pytest.raises(raised):
        stages.run(study, folder)
    after = contents(folder)
    told = {"manifest.json", "ledger.jsonl", "study.toml"}
    assert {name: after[name] for name in set(after) - told} == {name: before[name] for name in set(before) - told}
    stages.hook = lambda: None
    assert stages.run(study, folder) == ["second", "third"]
    assert json.loads((folder / "two" / "rest.json").read_text()) == {"draws": 11}


@pytest.mark.parametrize("hook", [refuse, interrupt, break_down])
def test_a_failure_of_the_first_run_keeps_finished_stages_only(
    hook: Callable[[], None], study: Path, folder: Path, stages: Stages
) -> None:
    stages.hook = hook
    with pytest.raises((CohortError, KeyboardInterrupt, ZeroDivisionError)):
        stages.run(study, folder)
    assert set(contents(folder)) == {"manifest.json", "ledger.jsonl", "study.toml", "one/rows.csv"}
    stages.hook = lambda: None
    assert stages.run(study, folder) == ["second", "third"]


def test_bad_data_leave_no_folder(study: Path, folder: Path, stages: Stages) -> None:
    (study.parent / "patients.csv").write_text(DATA.replace("2.5", "high"), encoding="utf-8")
    with pytest.raises(CohortError, match="high"):
        stages.run(study, folder)
    assert not folder.parent.exists()


def test_a_gate_keeps_the_evidence_but_not_the_claim(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    edit(study, "draws = 10", "draws = 11")
    stages.hook = fail_gate
    with pytest.raises(CheckError, match="Run more warm-up steps"):
        stages.run(study, folder)
    assert (folder / "two" / "half.csv").is_file()
    assert not (folder / "report.html").exists()
    assert manifest(folder)["stages"]["second"]["status"] == "gate not passed"
    assert events(folder)[-1] == "gate not passed"
    with pytest.raises(CheckError):
        stages.run(study, folder)
    stages.hook = lambda: None
    assert stages.run(study, folder) == ["second", "third"]


def test_a_check_that_cannot_be_made_is_for_the_study_to_mend(
    study: Path, folder: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages.run(study, folder, last="second")
    monkeypatch.setattr(stages, "third", lambda context: fail_gate())
    with pytest.raises(StudyError, match="stage third: fit: R-hat"):
        stages.run(study, folder)


def test_what_a_killed_process_left_is_swept(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    (folder / ".partial-second" / "two").mkdir(parents=True)
    (folder / ".manifest.json.partial").touch()
    stages.run(study, folder)
    assert not [name for name in contents(folder) if "partial" in name]


def test_a_folder_that_cannot_be_written(study: Path, tmp_path: Path, stages: Stages) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(StudyError, match=r"a run folder that can be written, got (.|\n)*--run-folder"):
        stages.run(study, blocked / "run")
    with pytest.raises(StudyError, match="a run folder that can be written"):
        stages.run(study, Path("/proc/dpm"))
    assert blocked.is_file()


def test_a_folder_of_other_things_is_left_alone(study: Path, tmp_path: Path, stages: Stages) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    with pytest.raises(StudyError, match="a folder of other files"):
        stages.run(study, tmp_path / "thesis")
    assert list(contents(tmp_path / "thesis")) == ["chapter.txt"]


def test_a_run_folder_is_used_by_one_process_at_a_time(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    with opened(folder), pytest.raises(StudyError, match="another dpm process"):
        stages.run(study, folder)


def test_a_manifest_that_is_none(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    (folder / "manifest.json").write_text("[1", encoding="utf-8")
    with pytest.raises(StudyError, match="the manifest of a run"):
        stages.run(study, folder)


def test_a_ledger_somebody_changed_is_not_continued(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    edit(folder / "ledger.jsonl", '"stage": "first"', '"stage": "other"')
    before = contents(folder)
    with pytest.raises(StudyError, match="a break at line 3"):
        stages.run(study, folder, force="third")
    assert contents(folder) == before


def test_missing_data_file(study: Path, folder: Path, stages: Stages) -> None:
    edit(study, '"patients.csv"', '"patient.csv"')
    with pytest.raises(StudyError, match=r'study.toml: data.file: expected a file, got no file "patient.csv"'):
        stages.run(study, folder)
    edit(study, '"patient.csv"', '"data:pbc/pbc.csv"')
    with pytest.raises(StudyError, match=r"study.toml: data.file: expected a shipped table(.|\n)*Did you mean"):
        stages.run(study, folder)
    assert not folder.exists()


def test_a_full_disk_is_told_as_such(study: Path, folder: Path, stages: Stages) -> None:
    def fill() -> None:
        raise OSError("Unable to write (file write failed: errno = 28, error message = 'No space left on device')")

    stages.hook = fill
    with pytest.raises(StudyError, match=r"a run folder that can be written(.|\n)*with space left"):
        stages.run(study, folder)
    assert not (folder / "two").exists()
    stages.hook = lambda: None
    assert stages.run(study, folder) == ["second", "third"]


def test_an_error_of_the_system_that_is_no_trouble_of_the_disk_stays(study: Path, folder: Path, stages: Stages) -> None:
    def lose() -> None:
        raise FileNotFoundError("gone")

    stages.hook = lose
    with pytest.raises(FileNotFoundError):
        stages.run(study, folder)


def test_a_refusal_that_names_no_file_gets_the_study_and_the_stage(study: Path, folder: Path, stages: Stages) -> None:
    stages.hook = refuse
    with pytest.raises(CohortError, match=r"study.toml: stage second: patients: expected ten, got two"):
        stages.run(study, folder)


def test_a_kill_before_the_manifest_is_written_loses_nothing(
    study: Path, folder: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def write(folder: RunFolder, content: dict[str, Any]) -> None:
        if "second" in content["stages"]:
            raise Killed
        written(folder, content)

    written = RunFolder.write_manifest
    monkeypatch.setattr(RunFolder, "write_manifest", write)
    with pytest.raises(Killed):
        stages.run(study, folder)
    monkeypatch.setattr(RunFolder, "write_manifest", written)
    assert stages.run(study, folder) == ["second", "third"]
    assert not [finding for finding in verify(folder) if finding.verdict == "differs"]


def test_a_cohort_without_patients_names_the_key(study: Path, folder: Path, stages: Stages) -> None:
    edit(study, '{ arm = "active" }', '{ arm = "aktive" }')
    with pytest.raises(StudyError, match=r"study.toml: cohorts.trial, arm: expected one of: active"):
        _ = Materials(file=read_study(study), run=folder).trial


def test_results_that_the_ledger_does_not_know_are_not_used(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder, last="second")
    (folder / "ledger.jsonl").unlink()
    with pytest.raises(StudyError, match="every stage of the manifest, got none, or another, of first, second"):
        stages.run(study, folder)
    assert not (folder / "report.html").exists()


def test_what_a_stopped_stage_kept_is_there_for_the_same_inputs(study: Path, folder: Path, stages: Stages) -> None:
    def save() -> None:
        kept = stages.checkpoint
        assert kept is not None
        seen.append(sorted(path.name for path in kept.iterdir()) if kept.is_dir() else [])
        kept.mkdir(exist_ok=True)
        (kept / f"part-{len(seen)}").touch()
        if len(seen) < 4:
            raise KeyboardInterrupt

    seen: list[list[str]] = []
    stages.hook = save
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            stages.run(study, folder)
    edit(study, "draws = 10", "draws = 11")
    with pytest.raises(KeyboardInterrupt):
        stages.run(study, folder)
    assert stages.run(study, folder) == ["second", "third"]
    assert seen == [[], ["part-1"], [], ["part-3"]]
    assert not [name for name in contents(folder) if "checkpoint" in name]
    assert events(folder).count("resumed") == 2
    assert not [finding for finding in verify(folder) if finding.verdict == "differs"]


def test_what_a_stopped_stage_kept_goes_when_its_result_is_there(study: Path, folder: Path, stages: Stages) -> None:
    stages.run(study, folder)
    (folder / ".checkpoint-second-0123").mkdir()
    assert stages.run(study, folder) == []
    assert not (folder / ".checkpoint-second-0123").exists()
