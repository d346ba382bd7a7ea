"""The command line: help at once, refusals on one screen with their exit status, and the answer at the end."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dpm import __version__
from dpm.cli import app
from dpm.cohort.shipped import data_path
from dpm.study.shipped import demo_study
from tests.study.example import Stages, contents, fail_gate, write_study

FLOW = ["demo", "run", "validate", "fit", "check", "arm", "compare", "report", "verify", "models", "data"]
HEAVY = ["jax", "numpyro", "numpy", "pandas", "matplotlib", "pydantic", "xarray"]

Dpm = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dpm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Dpm:
    """Run a command in an empty folder: exit status, what it printed, and what it complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app([str(each) for each in arguments])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Fake stages in place of the real ones; the last is called as the commands call it."""
    fakes = Stages(names=("validate", "gate", "report"))
    monkeypatch.setattr("dpm.study.stages.STAGES", fakes.all)
    return fakes


def test_help_comes_at_once_and_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom dpm.cli import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    before = os.times()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    after = os.times()
    assert done.stdout.splitlines()[-1] == "[]"
    # Time of the processor, so that a busy machine does not fail the test.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1.0


def test_help_tells_the_commands_in_the_order_of_the_flow(dpm: Dpm) -> None:
    code, out, _ = dpm("--help")
    places = [out.index(f"│ {name} ") for name in FLOW]
    assert code == 0
    assert places == sorted(places)
    assert "dpm demo" in out
    assert "Exit status" in out


def test_version(dpm: Dpm) -> None:
    assert dpm("--version")[:2] == (0, f"dpm {__version__}\n")


def test_what_is_shipped_is_listed(dpm: Dpm) -> None:
    assert "models/pbc_bilirubin.py:build\n    Serum bilirubin" in dpm("models")[1]
    assert "data:pbc/pbc_longitudinal.csv\n" in dpm("data")[1]


def test_a_gallery_needs_a_folder_that_can_be_written(dpm: Dpm, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, _, said = dpm("models", "--gallery", tmp_path / "file" / "gallery")
    assert status == 2
    assert "a folder that can be written" in said
    assert "Traceback" not in said


def test_an_unknown_command_or_option_is_refused(dpm: Dpm) -> None:
    assert dpm("rum")[0] == 2
    assert dpm("run", "study.toml", "--forse", "fit")[0] == 2
    assert dpm("run")[0] == 2


def test_a_run_ends_with_the_answer_and_the_report(dpm: Dpm, stages: Stages, tmp_path: Path) -> None:
    study = write_study(tmp_path)
    code, out, err = dpm("run", study)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "Report: runs/small/report.html"
    for words in ("synthetic control", "-0.031  (-0.130 to +0.070)", "randomised truth", "Does it work?", "log mg/dL"):
        assert words in out
    code, out, _ = dpm("run", study)
    assert out.count("unchanged, skipped") == 3
    assert "synthetic control" in out
    code, out, _ = dpm("run", study, "--force", "gate")
    assert out.count("unchanged, skipped") == 2
    assert "asked for with --force" in out


def test_a_single_stage(dpm: Dpm, stages: Stages, tmp_path: Path) -> None:
    code, out, _ = dpm("fit", write_study(tmp_path), "--run-folder", "elsewhere")
    assert code == 0
    assert stages.done == ["first", "second"]
    assert out.splitlines()[-1] == "Run folder: elsewhere"


def test_a_gate_not_passed_has_an_exit_status_of_its_own(dpm: Dpm, stages: Stages, tmp_path: Path) -> None:
    stages.hook = fail_gate
    code, out, err = dpm("run", write_study(tmp_path))
    assert code == 3
    assert "stopped" in out
    assert "CheckError fit: R-hat: expected at most 1.01, got 1.2 for slope." in err
    assert "Run more warm-up steps." in err
    assert dpm("run", tmp_path)[0] == 3
    assert "Report:" not in out


def test_an_interrupted_run_says_how_to_go_on(dpm: Dpm, stages: Stages, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stages.hook = interrupt
    code, _, err = dpm("run", write_study(tmp_path))
    assert code == 130
    assert "the same command goes on from there" in err
    stages.hook = lambda: None
    assert "validate  unchanged, skipped" in dpm("run", tmp_path)[1]


def test_a_fault_of_our_own_keeps_its_traceback(
    stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stages.hook = lambda: [][0]
    with pytest.raises(IndexError):
        app(["run", str(write_study(tmp_path))])


def test_verify(dpm: Dpm, stages: Stages, tmp_path: Path) -> None:
    dpm("run", write_study(tmp_path))
    code, out, _ = dpm("verify", "runs/small")
    assert code == 0
    assert "none differs" in out
    (tmp_path / "runs/small/report.html").write_text("other", encoding="utf-8")
    code, out, _ = dpm("verify", "runs/small")
    assert code == 1
    assert "differs  report.html: its content is not what the stage wrote" in out
    assert dpm("verify", "runs/none")[0] == 2


def demo_text() -> str:
    return demo_study().read_text(encoding="utf-8")


def test_the_shipped_study_validates(dpm: Dpm, tmp_path: Path) -> None:
    code, out, err = dpm("validate", demo_study(), "-o", "run")
    assert (code, err) == (0, "")
    assert "154 patients with 967 visits for the natural history, 158 with 978 treated" in out
    flow = (tmp_path / "run/cohort/flow.csv").read_text(encoding="utf-8").splitlines()
    assert flow[-2:] == ["2 natural history,,placebo,154,967", "3 untreated twins,,dpenicillamine,158,978"]
    assert list(json.loads((tmp_path / "run/manifest.json").read_text(encoding="utf-8"))["stages"]) == ["validate"]


MISTAKES = {
    "a renamed column": ('column = "bilirubin"', 'column = "bilirubine"', ["bilirubine", "Did you mean 'bilirubin'"]),
    "a column used twice": ('column = "bilirubin"', 'column = "day"', ["day", "study.toml"]),
    "a wrong unit": ('unit = "mg/dL"', 'unit = "µmol/L"', ["bilirubin", "mg/dL", "µmol/L"]),
    "a bound": ("upper = 80.0", "upper = 40.0", ["bilirubin", "41", "row"]),
    "an unknown arm": ('history = { arm = "placebo" }', 'history = { arm = "plazebo" }', ["plazebo", "placebo (154)"]),
    "an unknown outcome of the model": ("outcomes.log_bilirubin", "outcomes.bili", ["estimand[0].outcome", "bili"]),
    "an unknown covariate of the model": ("\nage = {", "\nage_at_entry = {", ['"age"', "age_at_entry"]),
    "a misspelt key": ("window = 0.5", "windw = 0.5", ["estimand[0].windw", 'Did you mean "window"?']),
    "a model that is not there": ("pbc_bilirubin.py", "pbc_bilirubn.py", ["model.build", "models/pbc_bilirubin.py"]),
    "a time beyond the follow-up": (
        "at = 2.0\nwindow",
        "at = 20.0\nwindow",
        ["estimand[0].at", "14.11 years", "20 years"],
    ),
    "a slope beyond the follow-up": ("over = [0.0, 2.0]", "over = [0.0, 30.0]", ["estimand[1].over", "30 years"]),
    "a window beyond its time": ("window = 0.5", "window = 3.0", ["estimand[0]", "0 < window < at"]),
    "nobody in the window": (
        "at = 2.0\nwindow = 0.5",
        "at = 1.5\nwindow = 1e-6",
        ["estimand[0].window", "cohorts.trial"],
    ),
    "more folds than patients": ("folds = 5", "folds = 1000", ["check.folds", "1,000 folds, 144 such patients"]),
    "bins without a visit": ("bins = [0.0,", "bins = [50.0, 90.0]\n# [", ["check.bins", "none from 50 to 90"]),
    "a check beyond the follow-up": ("at = 2.0\nlevels", "at = 200.0\nlevels", ["check.at", "200 years"]),
    "a function that is not there": (".py:build", ".py:biuld", ["model.build", 'Did you mean "build"?']),
    "data that are not there": ("pbc/pbc_long", "pbc/pbc_lonk", ["data.file", "Did you mean"]),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_screen_and_leaves_nothing(case: str, dpm: Dpm, tmp_path: Path) -> None:
    old, new, words = MISTAKES[case]
    text = demo_text()
    assert old in text
    study = tmp_path / "study.toml"
    study.write_text(text.replace(old, new, 1), encoding="utf-8")
    code, _, err = dpm("validate", study)
    assert code == 2
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 24
    for word in words:
        assert word in err
    assert list(contents(tmp_path)) == ["study.toml"]
    assert not (tmp_path / "runs").exists()


def test_text_in_a_number_of_ones_own_data(dpm: Dpm, tmp_path: Path) -> None:
    rows = data_path("pbc/pbc_longitudinal.csv").read_text(encoding="utf-8")
    (tmp_path / "own.csv").write_text(rows.replace(",14.5,", ",<14.5,"), encoding="utf-8")
    text = demo_text().replace('"data:pbc/pbc_longitudinal.csv"', '"own.csv"')
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    code, _, err = dpm("validate", "study.toml")
    assert code == 2
    for word in ("own.csv", "bilirubin", "<14.5", "row 2", "of 1,945"):
        assert word in err
    assert sorted(contents(tmp_path)) == ["own.csv", "study.toml"]


def test_a_run_folder_that_cannot_be_written(dpm: Dpm, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, _, err = dpm("validate", demo_study(), "-o", "file/run")
    assert code == 2
    assert "--run-folder" in err
    assert list(contents(tmp_path)) == ["file"]


def test_one_treated_patient_is_refused_before_the_fit(dpm: Dpm, tmp_path: Path) -> None:
    """The treated are fitted as well, so that their covariates have to vary."""
    head, *rows = data_path("pbc/pbc_longitudinal.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [row for row in rows if ",placebo," in f",{row.split(',')[1]}," or row.startswith("1,")]
    assert any(row.startswith("1,dpenicillamine") for row in kept)
    (tmp_path / "own.csv").write_text(head + "".join(kept), encoding="utf-8")
    text = demo_text().replace('"data:pbc/pbc_longitudinal.csv"', '"own.csv"')
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    code, _, err = dpm("validate", "study.toml")
    assert code == 2
    assert "study.toml: cohorts.trial: covariates.age" in err
    assert sorted(contents(tmp_path)) == ["own.csv", "study.toml"]


def test_a_model_that_fails_on_the_patients(dpm: Dpm, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("def build():\n    return lambda records: records.nothing\n", encoding="utf-8")
    text = demo_text().replace("models/pbc_bilirubin.py:build", "own.py:build")
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    code, _, err = dpm("validate", "study.toml")
    assert code == 2
    for words in ("study.toml: model.build", "own.py", "AttributeError", "line 2"):
        assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()
