"""`dpm validate` on a cohort file: the tables are printed, a broken one is refused, nothing is written."""

from pathlib import Path

import jax
import pytest
from typer.testing import CliRunner

from dpm.cli import commands
from dpm.cohort.shipped import list_data
from dpm.errors import StudyError
from dpm.study.cohort_file import NAME, is_cohort_file, read_cohort_file, shipped_cohort
from dpm.study.fitness import fitness_tables
from dpm.study.materials import find_data, read_data

SETS = tuple(name for name in list_data()["name"] if name not in ("theophylline", "orthodont"))


@pytest.mark.parametrize("name", SETS)
def test_every_shipped_set_can_be_judged(name: str) -> None:
    path = shipped_cohort(name)
    assert is_cohort_file(path)
    file = read_cohort_file(path)

    cohort = read_data(file.data, find_data(file.data, path, path.parent), jax.random.key(0))
    tables = fitness_tables(cohort, file.fitness)
    assert set(tables["cohort/quality.csv"]["variable"]) >= set(cohort.roles.outcomes) | set(cohort.roles.covariates)
    assert set(tables["cohort/fitness.csv"]["light"]) <= {"green", "amber", "red", "grey"}
    assert (tables["cohort/quality.csv"]["available"].between(0, 1)).all()


def test_illness_drives_visits_in_pbc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(commands, ["validate", "data:pbc"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "Visit process, log_bilirubin: visits are driven by illness" in shown.output
    assert "1,945 visits" in shown.output and "values are there" in shown.output
    assert not list(tmp_path.iterdir())


def test_a_broken_table_is_refused(tmp_path: Path) -> None:
    text = shipped_cohort("armd").read_text(encoding="utf-8").replace("data:armd/armd_vision.csv", "armd.csv")
    (tmp_path / NAME).write_text(text, encoding="utf-8")
    table = shipped_cohort("armd").with_name("armd_vision.csv").read_text(encoding="utf-8")
    (tmp_path / "armd.csv").write_text(table.replace("1,interferon_alpha,0,59,", "1,interferon_alpha,0,159,", 1))
    shown = CliRunner().invoke(commands, ["validate", str(tmp_path / NAME)])
    assert str(shown.exception).startswith(
        f"{tmp_path / 'armd.csv'}: visual_acuity: expected letters in [0, 100], got 159"
    )


def test_no_such_set() -> None:
    with pytest.raises(StudyError, match='Did you mean "armd"'):
        shipped_cohort("arm")
