"""Each data folder holds a table, a dictionary that fits it, a card and a licence."""

import csv
import re
from pathlib import Path

import pandas as pd
import pytest

from dpm.cohort import data_path, list_data, load_data, read_cohort, shipped
from dpm.cohort.shipped import data_folder, read_card
from dpm.errors import CohortError

SETS = sorted(card.parent.name for card in data_folder().glob("*/card.md"))

HELD = {
    "actg175",
    "armd",
    "cav",
    "hiv_actg315",
    "melanoma",
    "nafld",
    "orthodont",
    "pbc",
    "schizophrenia_nimh",
    "theophylline",
    "udca",
}

GPL = ("GNU GENERAL PUBLIC LICENSE", "Version 2, June 1991", "END OF TERMS AND CONDITIONS")
LICENCES = {
    "Apache-2.0": ("Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"),
    "GPL-2.0-only": GPL,
    "GPL-2.0-only OR GPL-3.0-only": GPL,
    "GPL-2.0-or-later": GPL,
    "LGPL-2.0-or-later": ("GNU LIBRARY GENERAL PUBLIC LICENSE", "Version 2, June 1991", "END OF TERMS AND CONDITIONS"),
    "MIT": ("MIT License", "Copyright (c) 20", 'THE SOFTWARE IS PROVIDED "AS IS"'),
}
"""What the text of a licence says, so that it is the right one and whole."""

UNITS = {
    *("", "points", "letters", "lines", "days", "weeks", "years", "hours", "s", "mm", "cm", "kg", "kg/m²", "mg/kg"),
    *("mg/L", "mg/dL", "g/dL", "µg/day", "U/L", "U/mL", "10³/µL", "cells/mm³", "log10 copies/mL"),
}
"""One spelling of each unit: a study declares it letter for letter."""


def tables_of(folder: Path) -> list[Path]:
    """The tables of a data set, without its dictionary."""
    return sorted(path for path in folder.glob("*.csv") if path.name != "columns.csv")


def test_every_folder_is_a_data_set() -> None:
    assert {folder.name for folder in data_folder().iterdir() if folder.is_dir()} == set(SETS)
    assert set(SETS) == HELD


@pytest.mark.parametrize("name", SETS)
def test_folder(name: str) -> None:
    folder = data_folder() / name
    card = read_card(folder)
    assert (folder / card["main"]).is_file()
    text = (folder / "LICENSE").read_text(encoding="utf-8")
    for words in LICENCES[card["licence"]]:
        assert words in text
    notice = " ".join((folder / "NOTICE").read_text(encoding="utf-8").split())
    source = re.fullmatch(r"(R package \w+), data sets? (.+)", card["source"])
    assert source
    for carrier in (source[1], *re.split(", | and ", source[2])):
        assert re.search(rf"\b{carrier}\b", notice)
    for table in tables_of(folder):
        assert table.name in notice
    assert "values were not" in notice
    prose = (folder / "card.md").read_text(encoding="utf-8")
    for heading in ("## Traps", "## References", "## Licence"):
        assert heading in prose


@pytest.mark.parametrize("name", SETS)
def test_dictionary(name: str) -> None:
    folder = data_folder() / name
    with (folder / "columns.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, strict=True))
    assert list(rows[0]) == ["column", "unit", "meaning"]
    assert all(row["meaning"] for row in rows)
    assert {row["unit"] for row in rows} <= UNITS
    named = [row["column"] for row in rows]
    headers = {column for path in tables_of(folder) for column in pd.read_csv(path, nrows=0).columns}
    assert len(set(named)) == len(named)
    assert set(named) == headers


@pytest.mark.parametrize("name", SETS)
def test_times_are_named_with_their_unit(name: str) -> None:
    with (data_folder() / name / "columns.csv").open(encoding="utf-8", newline="") as lines:
        units = {row["column"]: row["unit"] for row in csv.DictReader(lines)}
    for column, unit in units.items():
        ending = re.search(r"_(days|weeks|years|hours)$", column)
        assert not ending or ending[1] == unit


@pytest.mark.parametrize("name", SETS)
def test_tables_are_plain(name: str) -> None:
    for path in tables_of(data_folder() / name):
        raw = path.read_bytes()
        assert b"\r" not in raw and raw.endswith(b"\n") and not raw.startswith(b"\xef\xbb\xbf")
        table = pd.read_csv(path)
        assert table.columns[0] == ("id" if name == "pbc" else "subject")
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", column) for column in table.columns)
        assert table.iloc[:, 0].notna().all()


@pytest.mark.parametrize("name", SETS)
def test_number_of_subjects(name: str) -> None:
    subjects = load_data(name).iloc[:, 0]
    assert subjects.nunique() == int(read_card(data_folder() / name)["subjects"])


def test_list() -> None:
    table = list_data().set_index("name")
    assert table.loc["pbc", "subjects"] == 312
    assert table.loc["pbc", "licence"] == "LGPL-2.0-or-later"
    assert table["title"].str.len().min() > 10


def test_names() -> None:
    path = data_folder() / "pbc" / "pbc_longitudinal.csv"
    assert data_path("pbc") == data_path("data:pbc") == data_path("data:pbc/pbc_longitudinal.csv") == path
    assert len(load_data("pbc/pbc_baseline.csv")) == 418


def test_an_installed_package_looks_inside_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "dpm" / "_shipped" / "data" / "pbc"
    inside.mkdir(parents=True)
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "dpm")
    assert data_folder() == inside.parent
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "elsewhere")
    with pytest.raises(CohortError, match="no such folder"):
        data_folder()


def test_a_name_does_not_lead_out_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "pbc").mkdir(parents=True)
    (tmp_path / "private.csv").write_text("id,x\n1,2\n")
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "dpm")
    for name in ("data:../private.csv", "data:pbc/../../private.csv", f"data:{tmp_path}/private.csv"):
        with pytest.raises(CohortError, match="no such table"):
            data_path(name)


@pytest.mark.parametrize("card", ["no block", "---\ntitle: x\n", "---\ntitle: x\nmain: a.csv\n---\n"])
def test_a_card_without_its_block(card: str, tmp_path: Path) -> None:
    (tmp_path / "card.md").write_text(card)
    with pytest.raises(CohortError, match=r"card\.md"):
        read_card(tmp_path)


def test_orthodont_reads_as_a_cohort_of_ages() -> None:
    roles = {
        "subject": "subject",
        "time": {"column": "age_years", "unit": "years", "origin": 8},
        "outcomes": {"distance": {"column": "distance_mm", "unit": "mm", "lower": 0, "higher_is": "better"}},
        "covariates": {"female": {"column": "sex", "level": "female"}},
    }
    cohort = read_cohort("data:orthodont/orthodont.csv", roles)
    assert (cohort.n_subjects, cohort.n_visits) == (27, 108)
    assert cohort.visits["time"].unique().tolist() == [0, 2, 4, 6]
    assert cohort.subjects["female"].sum() == 11


def test_theophylline_is_complete() -> None:
    table = load_data("theophylline")
    assert isinstance(table, pd.DataFrame)
    assert table.groupby("subject").size().tolist() == [11] * 12
    assert table.notna().all().all()
