"""One unit for a quantity: what is converted, by how much, where that is written, and what is refused."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dpm.cohort import Cohort, SourceFile, read_cohort
from dpm.errors import CohortError


def read(declared: str, own: str, cells: list[Any], role: dict[str, Any] | None = None, **columns: Any) -> Cohort:
    frame = pd.DataFrame({"id": ["A"] * len(cells), "month": range(len(cells)), "y": cells, **columns})
    outcome = {"column": "y", "unit": declared, "higher_is": "worse", **(role or {})}
    roles = {"subject": "id", "time": {"column": "month", "unit": "months"}, "outcomes": {"y": outcome}}
    return read_cohort(frame, roles, units={"y": own})


@pytest.mark.parametrize(
    ("own", "declared", "value", "expected"),
    [
        ("mg/dL", "g/L", 250.0, 2.5),
        ("10³/µL", "1e9/L", 250.0, 250.0),
        ("10^3/uL", "10⁹/L", 250.0, 250.0),
        ("10⁶/L", "10⁹/L", 250.0, 0.25),
        ("cells/µL", "10⁹/L", 250.0, 0.25),
        ("copies/mL", "copies/L", 20.0, 20_000.0),
        ("10¹² cells/L", "10*9/mL", 250.0, 250.0),
        ("100 m", "km", 250.0, 25.0),
        ("degF", "degC", 212.0, 100.0),
        ("%", "1", 40.0, 0.4),
        ("kg/m²", "g/cm^2", 25.0, 2.5),
        ("lb", "kg", 10.0, 4.5359237),
        ("days", "months", 365.25, 12.0),
        ("μg/L", "µg/L", 3.0, 3.0),
    ],
)
def test_a_column_is_converted(own: str, declared: str, value: float, expected: float) -> None:
    cohort = read(declared, own, [value, None])
    assert cohort.visits["y"][0] == pytest.approx(expected, rel=1e-12)
    if value == expected:
        assert not cohort.ledger
        return
    (line,) = cohort.ledger
    assert (line.kind, line.column, line.reason) == ("convert", "y", "the unit declared in outcomes.y")
    assert line.rows == (("table", 2),) and line.subjects == 1
    assert line.rule.startswith(f"y: {own} to {declared}, multiplied by ")


def test_the_ledger_says_by_how_much() -> None:
    assert read("g/L", "mg/dL", [1.0]).ledger[0].rule == "y: mg/dL to g/L, multiplied by 0.01"
    assert read("K", "degC", [1.0]).ledger[0].rule == "y: degC to K, multiplied by 1, plus 273.15"
    assert not read("mg/dL", "mg/dL", [1.0]).ledger
    assert not read("furlong of hay", "", [1.0]).ledger


@pytest.mark.parametrize(("own", "declared"), [("mg/dL", "mmol/L"), ("points", "mg"), ("qqq", "mg"), ("mg", "qqq")])
def test_what_cannot_be_converted_is_refused(own: str, declared: str) -> None:
    with pytest.raises(CohortError, match=f"table: y: expected the unit '{own}'") as caught:
        read(declared, own, [1.0])
    assert f"{declared!r} declared in outcomes.y" in str(caught.value) and f"Declare {own!r}" in str(caught.value)


def test_limits_of_each_value_are_converted_with_it() -> None:
    role = {"limits": {"below": "lloq", "until": "to"}}
    cohort = read("g/L", "mg/dL", [100.0, 300.0, 500.0], role, lloq=[200.0, 200.0, None], to=[None, None, 700.0])
    assert cohort.visits["y"].tolist() == pytest.approx([2.0, 3.0, 5.0])
    assert cohort.visits["y_censored"].astype(str).tolist() == ["below", "", "interval"]
    assert cohort.visits["y_until"][2] == pytest.approx(7.0)
    converted = [line.column for line in cohort.ledger if line.kind == "convert"]
    assert sorted(converted) == ["lloq", "to", "y"]


def test_signs_keep_their_place_in_another_unit() -> None:
    cohort = read("g/L", "mg/dL", ["<30", "250", "> 900", None], {"limits": {"signs": True}})
    assert cohort.visits["y"].tolist()[:3] == pytest.approx([0.3, 2.5, 9.0])
    assert cohort.visits["y_censored"].astype(str).tolist()[:3] == ["below", "", "above"]
    with pytest.raises(CohortError, match="finite numbers, or finite numbers after < or >"):
        read("g/L", "mg/dL", ["<30", "much"], {"limits": {"signs": True}})


FRAME = pd.DataFrame(
    {"id": ["A", "B"], "bilirubin": [100.0, 200.0], "event": ["death", "censored"], "week": [52.0, 26.0]}
)
EVENT = {"column": "event", "time": "week", "unit": "days", "types": ["death"]}


def covariates(*units: str) -> dict[str, Any]:
    transforms = ("identity", "log", "sqrt")
    named = {f"x{n}": {"column": "bilirubin", "unit": unit, "transform": transforms[n]} for n, unit in enumerate(units)}
    return {"subject": "id", "covariates": named, "events": {"end": EVENT}}


def test_a_column_that_two_roles_read_is_converted_once() -> None:
    cohort = read_cohort(FRAME, covariates("g/L", "g/L"), units={"bilirubin": "mg/dL"})
    assert cohort.subjects["x0"].tolist() == pytest.approx([1.0, 2.0])
    assert len(cohort.ledger) == 1
    with pytest.raises(CohortError, match=r"bilirubin: expected one unit for a column, got 'g/L' in covariates\.x0"):
        read_cohort(FRAME, covariates("g/L", "mg/L"), units={"bilirubin": "mg/dL"})


def test_times_that_two_processes_share_are_converted_once() -> None:
    roles = covariates("mg/dL")
    table = pd.DataFrame({"who": ["a", "a", "b", "b"], "id": ["A", "B"] * 2, "event": ["death"] * 4, "week": 52.0})
    events = {name: {**EVENT, "where": f"who == {name}"} for name in ("a", "b")}
    visits = FRAME[["id", "bilirubin"]]
    cohort = read_cohort(visits, {**roles, "events": events}, events=table, units={"week": "weeks"})
    assert cohort.events["time"].tolist() == pytest.approx([364 / 365.25] * 4)
    assert [line.column for line in cohort.ledger] == ["week"]


def test_the_dictionary_beside_a_file(tmp_path: Path) -> None:
    (tmp_path / "columns.csv").write_text("column,unit\nbilirubin,mg/dL\nweek,weeks\nevent,\n", encoding="utf-8")
    FRAME.to_csv(tmp_path / "trial.csv", index=False)
    cohort = read_cohort(tmp_path / "trial.csv", covariates("g/L"))
    assert cohort.subjects["x0"].tolist() == pytest.approx([1.0, 2.0])
    assert cohort.events["time"].tolist() == pytest.approx([364 / 365.25, 182 / 365.25])
    plain = read_cohort(tmp_path / "trial.csv", covariates("g/L"), units={"week": "days"})
    assert plain.subjects["x0"].tolist() == [100, 200] and not plain.ledger


def test_each_source_has_its_own_unit() -> None:
    sources = {"one": SourceFile(file=FRAME, units={"bilirubin": "mg/dL"}), "two": FRAME}
    cohort = read_cohort(sources, {**covariates("g/L"), "study": "study"})
    assert cohort.subjects["x0"].tolist() == pytest.approx([1, 2, 100, 200])
    assert [(line.kind, line.subjects) for line in cohort.ledger] == [("convert", 2)]
