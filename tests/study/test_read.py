"""A study file is read, or refused by name: file, key, what is allowed, and what was probably meant."""

from pathlib import Path
from typing import get_args

import pytest

from dpm.control.estimand import STRATEGIES
from dpm.errors import StudyError
from dpm.study.model_file import build_model, model_path, traced
from dpm.study.read import read_study
from dpm.study.schema import MeanChange, Strategy
from dpm.study.shipped import demo_study, list_models, models_folder

from .example import write_study

WRONG = {
    "unknown table": ("[check]", "[chekc]", "chekc", ["one of the keys study, data,", 'Did you mean "check"?']),
    "unknown key": ("folds = 2", "fold = 2", "check.fold", ["one of the keys folds, at,", 'Did you mean "folds"?']),
    "key of another method": ("draws = 10", "n_nodes = 9", "fit.n_nodes", ["chains, warmup, draws"]),
    "unknown method": (
        'method = "NUTS"',
        'method = "NUTSS"',
        "fit.method",
        ["NUTS, MarginalNUTS, Laplace, Variational, auto", 'Did you mean "NUTS"?'],
    ),
    "a guide kept though it is refused": (
        'method = "NUTS"\ndraws = 10',
        'method = "Variational"\non_unreliable = "flag"',
        "fit.on_unreliable",
        ["one of the keys method, family, rank, start"],
    ),
    "setting of a method that dpm chooses": (
        'method = "NUTS"\ndraws = 10',
        'method = "auto"\ndraws = 10',
        "fit.draws",
        ["one of the keys method, gate"],
    ),
    "no method": (
        'method = "NUTS"\n',
        "",
        "fit.method",
        ["one of NUTS, MarginalNUTS, Laplace, Variational, auto", "got none"],
    ),
    "missing table": (
        '[cohorts]\nhistory = { arm = "placebo" }\ntrial = { arm = "active" }\n',
        "",
        "cohorts",
        ["expected a value, got none"],
    ),
    "missing key": ('name = "small"\n', "", "study.name", ["expected a value, got none"]),
    "text for a number": ("seed = 7", 'seed = "x"', "study.seed", ["a valid integer", "'x'"]),
    "true for a number": ("draws = 10", "draws = true", "fit.draws", ["a valid integer", "got true"]),
    "too small": ("folds = 2", "folds = 1", "check.folds", ["greater than or equal to 2, got 1"]),
    "unknown gate": ("draws = 10", "gate = { rhat = 1.1 }", "fit.gate.rhat", ["r_hat", 'Did you mean "r_hat"?']),
    "unknown unit of time": ('"day", unit = "days"', '"day", unit = "day"', "data.roles.time.unit", ["days, weeks"]),
    "unknown key of a role": ("higher_is =", "higher =", "data.roles.outcomes.marker.higher", ['mean "higher_is"?']),
    "column twice": ('column = "marker"', 'column = "id"', "data.roles", ["id"]),
    "unknown outcome": ('outcome = "marker"', 'outcome = "markr"', "estimand[0].outcome", ["marker", "Did you mean"]),
    "unknown kind of estimand": ('"mean_change"', '"mean_chage"', "estimand[0].type", ["mean_change", "Did you mean"]),
    "key of another estimand": (
        "at = 1.0\ninter",
        "over = [0, 1]\ninter",
        "estimand[0].over",
        ["one of the keys type, name,", "Also wrong: estimand[0].at"],
    ),
    "unknown strategy": ('death = "hypo', 'death = "hyper', "estimand[0].intercurrent.death", ["hypothetical"]),
    "event without strategy": ('{ death = "hypothetical" }', "{}", "estimand[0].intercurrent", ["also for death"]),
    "event nobody declared": (
        "{ death =",
        '{ relapse = "hypothetical", death =',
        "estimand[0].intercurrent",
        ["relapse"],
    ),
    "unknown subgroup": ('subgroups = ["stage"]\n\n[[', 'subgroups = ["stag"]\n\n[[', "check.subgroups", ["stage"]),
    "cohort by no column": ('{ arm = "placebo" }', '{ site = "1" }', "cohorts.history", ["arm, stage"]),
    "same cohorts": ('{ arm = "placebo" }', '{ arm = "active" }', "cohorts", ["different patients"]),
    "model without function": ('"model.py:build"', '"model.py"', "model.build", ["model.py"]),
    "infinite time": ("at = 1.0\ninter", "at = inf\ninter", "estimand[0].at", ["a finite number, got inf"]),
    "text for a time": ("at = 1.0\ninter", "at = '1'\ninter", "estimand[0].at", ["a valid number"]),
    "true for a time": ("at = 1.0\ninter", "at = true\ninter", "estimand[0].at", ["a valid number, got true"]),
    "no bins": ("bins = [0, 1]", "bins = []", "check.bins", ["at least 2 entries, got []"]),
    "endless bin": ("bins = [0, 1]", "bins = [0, inf]", "check.bins[1]", ["a finite number"]),
    "one draw": ("draws = 10", "draws = 1", "fit.draws", ["greater than or equal to 2"]),
    "too many draws": ("draws = 10", "draws = 10000000000", "fit.draws", ["less than or equal to 1000000"]),
    "endless gate": ("draws = 10", "gate = { r_hat = inf }", "fit.gate.r_hat", ["a finite number"]),
    "level twice": (
        "folds = 2",
        "folds = 2\nlevels = [0.5, 0.5]",
        "check.levels",
        ["each value once, got 0.5"],
    ),
    "method twice": ("[check]", '[compare]\nmethods = ["twin", "twin"]\n[check]', "compare.methods", ["a second"]),
    "name in other letters": ('name = "small"', 'name = "é"', "study.name", ["lower-case letters", "'é'"]),
    "text for a table": ('{ arm = "placebo" }', '"placebo"', "cohorts.history", ["a table, got 'placebo'"]),
    "list of tables": ("[study]", "[[study]]", "study.toml: study", ["a table, got [{ name = 'small'"]),
    "bounds in disorder": ("lower = 0.0", "lower = 9.0, upper = 8.0", "marker", ["lower = 9.0, upper = 8.0"]),
    "not TOML": ("[cohorts]", "[cohorts", "study.toml", ["TOML", "line"]),
}


def test_a_study_is_read(tmp_path: Path) -> None:
    file = read_study(write_study(tmp_path))
    assert file.study.study.name == "small"
    assert file.study.check.levels == (0.5, 0.8, 0.9, 0.95)
    assert isinstance(file.study.estimand[0], MeanChange)
    assert read_study(tmp_path).sha256 == file.sha256


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_key_is_refused_by_name(case: str, tmp_path: Path) -> None:
    old, new, where, words = WRONG[case]
    path = write_study(tmp_path, {old: new})
    with pytest.raises(StudyError) as caught:
        read_study(path)
    message = str(caught.value)
    assert where in message.split(": expected")[0]
    assert "study.toml" in message
    assert len(message.splitlines()) <= 5
    for word in words:
        assert word in message


def test_other_problems_are_named_too(tmp_path: Path) -> None:
    path = write_study(tmp_path, {"folds = 2": "fold = 2", "seed = 7": "seed = -1", "draws = 10": "draws = 0"})
    with pytest.raises(StudyError, match=r"check\.fold:(.|\n)*Also wrong: study\.seed, fit\.draws\."):
        read_study(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    write_study(tmp_path)
    with pytest.raises(StudyError, match=r'no such file(.|\n)*Did you mean "study.toml"'):
        read_study(tmp_path / "studdy.toml")


def test_strategies_are_those_that_can_be_carried_out() -> None:
    assert get_args(Strategy) == tuple(STRATEGIES)


def test_the_shipped_study_is_valid() -> None:
    file = read_study(demo_study())
    assert [each.name for each in file.study.estimand] == ["change_2y", "slope"]
    assert model_path(file) == (models_folder() / "pbc_bilirubin.py").resolve()


def test_shipped_models_are_listed_without_running_them() -> None:
    listed = {model.build: model for model in list_models()}
    assert "bilirubin" in listed["models/pbc_bilirubin.py:build"].title.lower()
    hamuro = listed["models/dmd_walk_hamuro.py:build"]
    assert (hamuro.disease, hamuro.endpoint) == ("Duchenne muscular dystrophy", "6MWT")
    assert all(model.disease and model.source and model.status for model in listed.values())


def test_a_model_is_built(tmp_path: Path) -> None:
    assert callable(build_model(read_study(write_study(tmp_path))))


def test_a_model_is_found_above_the_study_within_its_project(tmp_path: Path) -> None:
    study = write_study(tmp_path / "project" / "studies" / "one", {'"model.py:build"': '"models/own.py:build"'})
    own = tmp_path / "project" / "models" / "own.py"
    own.parent.mkdir()
    (study.parent / "model.py").rename(own)
    with pytest.raises(StudyError, match="own"):
        model_path(read_study(study))
    (tmp_path / "project" / "pyproject.toml").touch()
    assert model_path(read_study(study)) == own


@pytest.mark.parametrize(
    ("build", "words"),
    [
        ("modle.py:build", ['no "modle.py"', "models/pbc_bilirubin.py"]),
        ("model.py:biuld", ['no function "biuld"', "build, other", 'Did you mean "build"?']),
        ("model.py:other", ["a function that returns a model", "int"]),
    ],
)
def test_a_model_that_is_not_there(build: str, words: list[str], tmp_path: Path) -> None:
    file = read_study(write_study(tmp_path, {"model.py:build": build}))
    with pytest.raises(StudyError) as caught:
        build_model(file)
    assert "study.toml: model.build" in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def build(:\n", ["valid Python", "line 1"]),
        ("import nosuchpackage\n", ["ModuleNotFoundError", "line 1"]),
        ("def build():\n    return 1 / 0\n", ["ZeroDivisionError", "line 2"]),
        ("raise SystemExit(3)\n", ["SystemExit", "line 1"]),
        ("\0", ["valid Python", "null bytes."]),
        ("def build():\n    return lambda records, more: None\n", ["a model of one argument"]),
    ],
)
def test_a_model_that_fails_says_where(code: str, words: list[str], tmp_path: Path) -> None:
    file = read_study(write_study(tmp_path))
    (tmp_path / "model.py").write_text(code, encoding="utf-8")
    with pytest.raises(StudyError) as caught:
        build_model(file)
    for word in words:
        assert word in str(caught.value)


def test_a_model_that_fails_when_it_is_first_used_says_where(tmp_path: Path) -> None:
    file = read_study(write_study(tmp_path))
    (tmp_path / "model.py").write_text("def build():\n    return lambda records: records.visits\n", encoding="utf-8")
    model = build_model(file)
    with pytest.raises(StudyError, match=r"model.build: expected model.py to run, got AttributeError: .* in line 2"):
        traced(file, lambda: model(None))
