"""A run folder that cannot be reported is refused with the table, the column and the row."""

import json
from pathlib import Path

import pandas as pd
import pytest

from dpm.errors import ReportError
from dpm.report.run_folder import read_run

EFFECTS = "compare/effects.csv"


def rewrite(run: Path, name: str, table: pd.DataFrame) -> None:
    table.to_csv(run / name, index=False)


def read(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / name, dtype=str, keep_default_na=False)


def test_missing_column_is_named(run: Path) -> None:
    rewrite(run, EFFECTS, read(run, EFFECTS).drop(columns=["se", "role"]))
    with pytest.raises(ReportError, match=r"compare/effects.csv: expected column\(s\) role, se"):
        read_run(run)


def test_word_among_numbers_is_named_with_its_row(run: Path) -> None:
    table = read(run, EFFECTS)
    table.loc[1, "estimate"] = "small"
    rewrite(run, EFFECTS, table)
    with pytest.raises(ReportError, match=r"compare/effects.csv: estimate: expected numbers, got 'small' in row 3"):
        read_run(run)


def test_empty_number_is_missing(run: Path) -> None:
    table = read(run, EFFECTS)
    table.loc[0, "n_control"] = ""
    rewrite(run, EFFECTS, table)
    assert read_run(run).effects["n_control"].isna().tolist()[:2] == [True, False]


def test_table_without_rows_is_refused(run: Path) -> None:
    rewrite(run, EFFECTS, read(run, EFFECTS).head(0))
    with pytest.raises(ReportError, match="expected at least one row"):
        read_run(run)


@pytest.mark.parametrize("name", [EFFECTS, "compare/layers.csv"])
def test_estimand_that_nothing_describes_is_refused(run: Path, name: str) -> None:
    table = read(run, name)
    table.loc[0, "estimand"] = "survival"
    rewrite(run, name, table)
    with pytest.raises(ReportError, match=f"{name}: estimand: .* got survival"):
        read_run(run)


def test_file_that_is_no_table_is_refused(run: Path) -> None:
    (run / EFFECTS).write_text("", encoding="utf-8")
    with pytest.raises(ReportError, match="expected a CSV table"):
        read_run(run)


def test_neither_true_nor_false_is_refused(run: Path) -> None:
    rewrite(run, "fit/convergence.csv", read(run, "fit/convergence.csv").assign(passed="maybe"))
    with pytest.raises(ReportError, match="expected True or False, got 'maybe'"):
        read_run(run)


@pytest.mark.parametrize("name", ["manifest.json", "fit/model.json", "compare/estimands.json"])
@pytest.mark.parametrize("content", ["{", "3"])
def test_broken_json_is_refused(run: Path, name: str, content: str) -> None:
    (run / name).write_text(content, encoding="utf-8")
    with pytest.raises(ReportError, match=name):
        read_run(run)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no such folder"):
        read_run(tmp_path / "nowhere")


def test_ledger_chain_holds_and_a_changed_line_is_found(run: Path) -> None:
    assert read_run(run).ledger.broken_at == 0
    lines = (run / "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    changed = json.loads(lines[0]) | {"detail": "protocol never locked"}
    (run / "ledger.jsonl").write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n", encoding="utf-8")
    assert read_run(run).ledger.broken_at == 2
