"""What a data card counts is what its tables hold: subjects, rows, events by arm."""

import re

import pandas as pd
import pytest

from dpm.cli import app
from dpm.cohort import load_data
from dpm.cohort.shipped import data_folder, read_card

SETS = sorted(card.parent.name for card in data_folder().glob("*/card.md"))
DEAD = 4  # the state of the set cav


def tables_in(name: str) -> list[pd.DataFrame]:
    """The tables of a data card, cells as text."""
    text = (data_folder() / name / "card.md").read_text(encoding="utf-8")
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE)
    cells = [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines() if "---" not in line]
        for block in blocks
    ]
    return [pd.DataFrame(rows, columns=header) for header, *rows in cells]


def number(cell: str) -> int:
    return int(cell.replace(",", ""))


def happened(table: pd.DataFrame, event: str) -> pd.Series:
    """Rows that say that the event was observed."""
    if event in table:
        return table[event] == 1
    if f"{event}_days" in table:
        return table[f"{event}_days"].notna()
    if "event" in table:
        return table["event"] == event
    assert event == "death"
    return table["state"] == DEAD


@pytest.mark.parametrize("name", SETS)
def test_subjects_and_rows(name: str) -> None:
    counted = tables_in(name)[0]
    assert list(counted.columns) == ["table", "subjects", "rows", "what it holds"]
    files = {path.name for path in (data_folder() / name).glob("*.csv")} - {"columns.csv"}
    assert counted["table"].str.strip("`").tolist()[0] == read_card(data_folder() / name)["main"]
    assert set(counted["table"].str.strip("`")) == files
    for _, row in counted.iterrows():
        table = load_data(f"{name}/{row['table'].strip('`')}")
        assert (table.iloc[:, 0].nunique(), len(table)) == (number(row["subjects"]), number(row["rows"]))


@pytest.mark.parametrize("name", [name for name in SETS if len(tables_in(name)) > 1])
def test_subjects_and_events_by_arm(name: str) -> None:
    (counted,) = tables_in(name)[1:]
    table = load_data(name)
    subject = table.columns[0]
    split = list(counted.columns).index("subjects")
    groups, events = list(counted.columns[:split]), list(counted.columns[split + 1 :])
    found = table[[subject, *groups]].astype(dict.fromkeys(groups, str))
    for event in events:
        found[f"n_{event}"] = happened(table, event)
    person = found.groupby([subject, *groups], as_index=False).any()
    assert not person[subject].duplicated().any()
    by_group = person.groupby(groups).agg(
        subjects=(subject, "size"), **{event: (f"n_{event}", "sum") for event in events}
    )
    said = counted.set_index(groups).map(number)
    pd.testing.assert_frame_equal(by_group, said, check_names=False, check_index_type=False, check_dtype=False)


@pytest.mark.parametrize("name", ["actg175", "armd", "melanoma", "pbc", "schizophrenia_nimh", "udca"])
def test_every_randomised_set_counts_its_arms(name: str) -> None:
    assert "arm" in tables_in(name)[1].columns


@pytest.mark.parametrize(
    ("name", "weeks"),
    [("actg175", {0, 20, 96}), ("armd", {0, 4, 12, 24, 52}), ("schizophrenia_nimh", set(range(7)))],
)
def test_weeks_of_the_visits(name: str, weeks: set[int]) -> None:
    assert set(load_data(name)["time_weeks"]) == weeks


@pytest.mark.parametrize("name", ["actg175", "armd", "cav", "hiv_actg315", "pbc", "schizophrenia_nimh"])
def test_visits_are_in_order_and_once(name: str) -> None:
    table = load_data(name)
    time = next(column for column in table.columns if column.startswith("time_") or column == "day")
    assert not table.duplicated([table.columns[0], time]).any()
    assert (table.groupby(table.columns[0])[time].diff().dropna() > 0).all()


def test_the_command_lists_all_sets(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        app(["data"])
    assert not ended.value.code
    listed = capsys.readouterr().out.splitlines()
    assert listed[::2] == [f"data:{name}/{read_card(data_folder() / name)['main']}" for name in SETS]
