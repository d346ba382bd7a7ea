"""NONMEM and Monolix data sets read as their records say; what they cannot say is refused."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

import dpm
from dpm.cohort import Tables, read_cohort, read_nonmem
from dpm.errors import CohortError

PK = """#id,Time,DV,EVID,MDV,AMT,CENS,LIMIT,DVID,OCC,WT
1,0,.,1,1,100,.,.,.,1,70
1,0,0.5,0,0,.,1,0.1,1,1,70
1,0,12,0,0,.,0,.,2,1,70
1,1,7.5,0,0,.,0,.,1,1,70
1,2,0.5,0,0,.,1,.,1,2,70
2,0,.,1,1,100,.,.,.,1,55
2,1,99,0,0,.,-1,.,1,1,55
2,2,.,0,1,.,.,.,1,2,55
2,2,14,0,0,.,0,.,2,2,55
2,3,50,0,0,.,-1,80,1,2,55
"""

LIMITS = {
    "flag": "conc_CENS",
    "flags": {"below": "below", "above": "above", "measured": "measured"},
    "until": "conc_UNTIL",
}
ROLES: dict[str, Any] = {
    "subject": "ID",
    "time": {"column": "TIME", "unit": "days"},
    "occasion": "OCC",
    "outcomes": {
        "conc": {"column": "conc", "unit": "mg/L", "higher_is": "neither", "limits": LIMITS},
        "effect": {"column": "effect", "unit": "1", "higher_is": "better"},
    },
    "covariates": {"weight": {"column": "WT", "unit": "kg"}},
}


def pk(tmp_path: Path, text: str = PK, **options: Any) -> Tables:
    path = tmp_path / "pk.csv"
    path.write_text(text, encoding="utf-8")
    return read_nonmem(path, {1: "conc", 2: "effect"}, **options)


def test_records_become_visits(tmp_path: Path) -> None:
    cohort = read_cohort(pk(tmp_path), ROLES)
    visits = cohort.visits
    assert visits["subject"].tolist() == ["1", "1", "1", "2", "2", "2", "2"]
    assert (visits["time"] * 365.25).round(9).tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert visits["conc"].fillna(-1).tolist() == [0.1, 7.5, 0.5, -1, 99, -1, 50]
    assert visits["conc_censored"].tolist() == ["interval", "", "below", "", "above", "", "interval"]
    assert visits["conc_until"].fillna(-1).tolist() == [0.5, -1, -1, -1, -1, -1, 80]
    assert visits["effect"].fillna(-1).tolist() == [12, -1, -1, -1, -1, 14, -1]
    assert visits["occasion"].tolist() == ["1", "1", "2", "1", "1", "2", "2"]
    assert cohort.subjects["weight"].tolist() == [70, 55]
    assert cohort.ledger[0].rows == (("pk.csv", 2), ("pk.csv", 7))


def test_every_cell_keeps_its_record(tmp_path: Path) -> None:
    visits = pk(tmp_path).visits
    assert [visits.place("conc", row)[1] for row in range(3)] == [3, 5, 6]
    assert visits.place("effect", 0)[1] == 4
    assert visits.place("effect", 5)[1] == 10
    assert visits.place("conc", 3)[1] == 0


def test_the_roles_of_the_docstring_read_such_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (read_nonmem.__doc__ or "").splitlines()
    start = next(i for i, line in enumerate(lines) if "tables = dpm.read_nonmem" in line)
    end = next(i for i, line in enumerate(lines) if "cohort = dpm.read_cohort(tables, roles)" in line)
    text = "\n".join(line for line in PK.splitlines() if line.split(",")[8] != "2")
    (tmp_path / "pk.csv").write_text(text + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"dpm": dpm}
    exec(textwrap.dedent("\n".join(lines[start : end + 1])), found)  # noqa: S102  (our own docstring)
    assert found["cohort"].visits["conc_censored"].tolist()[:3] == ["interval", "", "below"]


def test_a_limit_of_zero_says_nothing_of_a_positive_quantity(tmp_path: Path) -> None:
    visits = pk(tmp_path, PK.replace(",1,0.1,1", ",1,0,1"), positive=True).visits
    assert visits.text("conc_CENS")[0] == "below"
    assert visits.number("conc")[0] == 0.5


def test_without_dvid_evid_or_cens(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("C,ID,TIME,AMT,DV\n.,1,0,5,.\nC,1,0.5,.,3\n.,1,1,.,4\n", encoding="utf-8")
    tables = read_nonmem(tmp_path / "t.csv")
    assert list(tables.visits.columns) == ["ID", "TIME", "DV"]
    assert tables.visits.number("TIME").tolist() == [0, 1]
    assert tables.visits.number("DV")[1] == 4
    assert [line.rule[:14] for line in tables.ledger] == ["records marked", "records that a"]


def test_drop_leaves_a_column_out(tmp_path: Path) -> None:
    with_lines = "\n".join(f"{line},{i if i else 'row'}" for i, line in enumerate(PK.splitlines()))
    with pytest.raises(CohortError, match="drop=\\('ROW',\\)"):
        pk(tmp_path, with_lines)
    assert "ROW" not in pk(tmp_path, with_lines, drop=["row"]).visits.columns
