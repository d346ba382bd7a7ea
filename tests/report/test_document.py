"""The page says what the tables say, in order, in itself, and the same every time."""

import re
from pathlib import Path

import pandas as pd
import pytest

from dpm.errors import ReportError
from dpm.report import write_report
from dpm.report.run_folder import TEXTS

from .example_run import write_example_run, write_json
from .example_study import ESTIMANDS
from .pages import half_unit, tables_of, value

SECTIONS = (
    *(
        "answer",
        "status",
        "question",
        "cohort",
        "model",
        "convergence",
        "predictive",
        "calibration",
        "twins",
        "effects",
    ),
    *("uncertainty", "provenance", "claims"),
)
FILES = (*TEXTS, "fit/model.json", "compare/estimands.json", "manifest.json", "ledger.jsonl")
SCRIPT = "<script>alert('x')</script>"


def compare(cells: list[str], expected: pd.Series) -> None:
    """Every cell is its number, but for rounding to the digits shown."""
    assert len(cells) == len(expected)
    for cell, number in zip(cells, expected, strict=True):
        assert value(cell) == pytest.approx(number, abs=half_unit(cell), nan_ok=True)


def test_sections_stand_in_order(page: str) -> None:
    assert tuple(re.findall(r'<(?:section|header) id="(\w+)"', page)) == SECTIONS


def test_answer_is_one_sentence_with_interval_and_randomised_truth(page: str) -> None:
    first = re.search(r'<p class="answer first">(.*?)</p>', page)
    assert first is not None
    sentence = first[1].replace("\u00a0", " ")
    assert sentence == (
        "For the 158 treated patients, the estimated difference in mean log-bilirubin change from baseline at 2 years "
        "(treated minus untreated twin) is −0.0312 log mg/dL with a 95 % interval from −0.1431 to 0.0807, which "
        "includes zero; the randomised comparison gives −0.0121 (95 % interval −0.1197 to 0.0955), an estimate inside "
        "the study&#39;s interval."
    )


def test_effects_are_those_of_the_table(reported: Path, page: str) -> None:
    effects = pd.read_csv(reported / "compare/effects.csv")
    shown = tables_of(page)
    for estimand in ESTIMANDS:
        expected = effects[effects["estimand"] == estimand["name"]].set_index("label")
        name = f"{estimand['label']} [{expected['unit'].iloc[0]}]"
        rows = {row[0]: row for row in shown[name][1:]}
        assert set(rows) == set(expected.index)
        labels = list(rows)
        for place, column in ((2, "estimate"), (3, "se"), (6, "n_treated"), (7, "n_control")):
            compare([rows[label][place] for label in labels], expected.loc[labels, column])
        for end, column in enumerate(("low", "high")):
            compare([rows[label][4].split(" to ")[end] for label in labels], expected.loc[labels, column])


def test_slope_keeps_the_published_digits(page: str) -> None:
    rows = tables_of(page)["Difference in mean slope of log bilirubin [log mg/dL per year]"]
    truth = next(row for row in rows if row[1] == "truth")
    assert truth[2:4] == ["−0.0043", "0.0248"]


@pytest.mark.parametrize(
    ("start", "name", "places"),
    [
        ("Coverage of", "check/coverage.csv", {2: "n", 7: "power"}),
        ("Population parameters", "fit/parameters.csv", {2: "mean", 3: "sd", 5: "rhat", 6: "ess_bulk", 8: "mcse_mean"}),
        ("Criteria of", "fit/convergence.csv", {1: "value"}),
        ("Patients and visits", "cohort/flow.csv", {3: "patients", 4: "visits"}),
        ("Layers of", "compare/layers.csv", {2: "sd"}),
    ],
)
def test_numbers_are_those_of_the_tables(
    reported: Path, page: str, start: str, name: str, places: dict[int, str]
) -> None:
    expected = pd.read_csv(reported / name)
    rows = next(rows for caption, rows in tables_of(page).items() if caption.startswith(start))[1:]
    for place, column in places.items():
        compare([row[place] for row in rows], expected[column])


def test_shares_are_percentages_of_the_table(reported: Path, page: str) -> None:
    coverage = pd.read_csv(reported / "check/coverage.csv")
    rows = next(rows for caption, rows in tables_of(page).items() if caption.startswith("Coverage of"))[1:]
    compare([row[5] for row in rows], coverage["observed"] * 100)
    assert [row[4] for row in rows] == [f"{c}/{n}" for c, n in zip(coverage["covered"], coverage["n"], strict=True)]
    assert [row[8] for row in rows] == list(coverage["verdict"])


def test_banner_shows_relaxed_gate_with_default_and_value(page: str) -> None:
    assert "ESS bulk, smallest: default gate &gt; 1,000, relaxed to &gt; 400; value 412" in page
    assert "1 of them relaxed by the study file" in page


def test_page_names_no_outside_resource(page: str) -> None:
    assert "http://" not in page
    assert "https://" not in page
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert sources
    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in sources)
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_every_image_says_what_is_seen(page: str) -> None:
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) == 8
    assert all(len(alt[1]) > 60 for image in images if (alt := re.search(r'alt="([^"]*)"', image)))
    assert page.count("<figcaption>") == 8


def test_equations_are_mathml(page: str) -> None:
    assert page.count("<math ") == 3
    assert 'class="latex"' not in page.split("</style>")[1]


def test_same_tables_give_same_bytes(tmp_path: Path) -> None:
    runs = [write_example_run(tmp_path / name) for name in ("one", "two")]
    pages = [write_report(run) for run in runs]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    figures = sorted(path.name for path in (runs[0] / "figures").iterdir())
    assert len(figures) == 16
    for name in figures:
        assert (runs[0] / "figures" / name).read_bytes() == (runs[1] / "figures" / name).read_bytes()


@pytest.mark.slow
def test_second_report_is_the_first_and_leaves_no_partial_file(run: Path) -> None:
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert not [path for path in run.rglob("*") if path.name.endswith(".partial")]


def test_earlier_report_survives_a_refusal(run: Path) -> None:
    (run / "report.html").write_text("earlier", encoding="utf-8")
    (run / "check/vpc.csv").unlink()
    with pytest.raises(ReportError):
        write_report(run)
    assert (run / "report.html").read_text(encoding="utf-8") == "earlier"


@pytest.mark.parametrize("name", FILES)
def test_missing_file_names_the_stage_to_run(run: Path, name: str) -> None:
    (run / name).unlink()
    with pytest.raises(ReportError) as caught:
        write_report(run)
    assert caught.value.where == name
    assert "no such file" in str(caught.value)
    stage = name.split("/")[0] if "/" in name else "study"
    assert {"cohort": "`validate`"}.get(stage, stage) in caught.value.do
    assert "dpm run STUDY" in caught.value.do


def test_text_from_tables_is_escaped(run: Path) -> None:
    def everywhere(name: str, **cells: str) -> None:
        table = pd.read_csv(run / name, dtype=str, keep_default_na=False)
        table.assign(**cells).to_csv(run / name, index=False)

    everywhere("arm/twin_bands.csv", subject=SCRIPT)
    everywhere("arm/twin_visits.csv", subject=SCRIPT)
    everywhere(
        "compare/effects.csv", note=SCRIPT, assumptions=f'["{SCRIPT}"]', unit=SCRIPT, label=f'{SCRIPT}" onload="'
    )
    everywhere("check/coverage.csv", level=SCRIPT)
    everywhere("cohort/baseline.csv", variable=SCRIPT)
    everywhere("fit/convergence.csv", worst=SCRIPT, passed="False")
    write_json(run / "compare/estimands.json", [{**each, "label": f'"{SCRIPT}'} for each in ESTIMANDS])
    write_json(
        run / "fit/model.json", {"title": SCRIPT, "equations": [{"latex": rf"\text{{{SCRIPT}}}", "text": SCRIPT}]}
    )
    page = write_report(run).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert 'onload="' not in page


def test_level_called_none_stays_a_level(page: str) -> None:
    rows = next(rows for caption, rows in tables_of(page).items() if caption.startswith("Coverage of"))
    assert [row[1] for row in rows if row[0] == "edema"][:3] == ["none"] * 3


def test_the_ledger_of_cleaning_is_shown_and_so_is_an_empty_one(tmp_path: Path) -> None:
    run = write_example_run(tmp_path)
    page = write_report(run).read_text(encoding="utf-8")
    assert "bilirubin is missing" in page and "pbc_longitudinal.csv: row 17" in page
    ledger = pd.read_csv(run / "cohort/ledger.csv")
    ledger.iloc[:0].to_csv(run / "cohort/ledger.csv", index=False)
    page = write_report(run).read_text(encoding="utf-8")
    assert "Nothing was left out, edited or converted" in page and "bilirubin is missing" not in page
