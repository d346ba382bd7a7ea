"""Sentences claim what the numbers bear, and gates that failed or were relaxed are in plain sight."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dpm.report import wording
from dpm.report.estimands import described
from dpm.report.numbers import confidence, decimals, number, plain, span
from dpm.report.run_folder import Ledger, RunFolder, read_run

from .example_study import ESTIMANDS, SLOPE

LEDGER = Ledger(entries=(), head="", broken_at=0)
FORBIDDEN = r"\b(?:prove[sdn]?|no effect|significant(?:ly)?|demonstrates?d?|confirms)\b"


@pytest.fixture
def tables(reported: Path) -> RunFolder:
    return read_run(reported)


def sentence(effects: pd.DataFrame, **changed: Any) -> str:
    answer = wording.answer(effects, described(ESTIMANDS[1] | changed))
    assert answer is not None
    return answer.sentence


def moved(effects: pd.DataFrame, by: float) -> pd.DataFrame:
    answers = effects["role"] == "answer"
    shifted = {column: effects[column].where(~answers, effects[column] + by) for column in ("estimate", "low", "high")}
    return effects.assign(**shifted)


def test_interval_with_zero_is_said_to_include_it(tables: RunFolder) -> None:
    assert "which includes zero" in sentence(tables.effects)


def test_interval_without_zero_is_said_to_exclude_it_and_truth_to_lie_outside(tables: RunFolder) -> None:
    text = sentence(moved(tables.effects, 1.0))
    assert "which excludes zero" in text
    assert text.endswith("an estimate outside the study's interval.")


def test_limit_at_zero_counts_as_included(tables: RunFolder) -> None:
    effects = tables.effects.assign(low=0.0, high=0.1)
    assert "which includes zero" in sentence(effects)


def test_without_randomised_row_the_sentence_says_so(tables: RunFolder) -> None:
    text = sentence(tables.effects[tables.effects["role"] != "truth"])
    assert text.endswith("no randomised answer to this question is recorded.")


def test_without_answer_there_is_none(tables: RunFolder) -> None:
    assert wording.answer(tables.effects[tables.effects["role"] != "answer"], described(ESTIMANDS[0])) is None


def test_without_interval_nothing_is_said_about_zero(tables: RunFolder) -> None:
    text = sentence(tables.effects.assign(low=float("nan"), high=float("nan")))
    assert "zero" not in text
    assert "per year, without an interval; the randomised comparison gives −0.0043 (no interval)." in text


def test_ratio_is_the_exponential_for_a_logarithm_only(tables: RunFolder) -> None:
    row = wording.first(tables.effects, SLOPE, "truth")
    assert row is not None
    assert wording.ratio(row, described(ESTIMANDS[1])) == "0.996 (0.948 to 1.045)"
    assert wording.ratio(row, described(ESTIMANDS[1] | {"outcome_transform": "identity"})) == ""


def test_no_word_claims_more_than_a_trial_statistician_would(page: str) -> None:
    text = re.sub(r'src="[^"]*"', "", page.split("</style>")[1]).lower()
    assert re.findall(FORBIDDEN, text) == []


def test_failed_gate_is_shown_with_value_gate_place_and_remedy(tables: RunFolder) -> None:
    failed = tables.convergence.assign(
        passed=tables.convergence["criterion"] != "R-hat, largest", remedy="Draw longer."
    )
    notice = wording.fit_notice(failed)
    assert notice.kind == "failed"
    assert "failed, 1 of 6 gates not met" in notice.title
    assert notice.details == ("R-hat, largest: 1.0056, gate < 1.01, worst at slope_sd. Draw longer.",)


def test_all_passed_and_none_relaxed_is_passed(tables: RunFolder) -> None:
    strict = tables.convergence.assign(relaxed_from="")
    assert wording.fit_notice(strict).kind == "passed"
    assert wording.relaxed_notice(strict) == ()


def test_verdicts_are_counted(tables: RunFolder) -> None:
    counts = tables.coverage["verdict"].value_counts()
    notice = wording.coverage_notice(tables.coverage)
    assert f"{counts['inside']} inside" in notice.title
    assert f"{counts['outside']} outside" in notice.title
    assert f"{counts['cannot be judged at this n']} cannot be judged" in notice.title
    assert len(notice.details) == counts["outside"]


def test_nothing_judged_is_not_passed(tables: RunFolder) -> None:
    assert wording.coverage_notice(tables.coverage.assign(verdict="cannot be judged at this n")).kind == "attention"


def test_amendment_and_broken_ledger_stay_visible(tables: RunFolder) -> None:
    entry = {"time": "2026-01-02", "event": "amend", "detail": "age added"}
    found = wording.notices(tables.convergence, tables.coverage, Ledger(entries=(entry,), head="", broken_at=3))
    assert any("1 amendment after the lock" in each.title and "age added" in each.details[0] for each in found)
    assert any(each.kind == "failed" and "line 3" in each.title for each in found)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (-0.00001, 3, "0.000"),
        (-1.25, 1, "−1.2"),
        (1234.5, 0, "1,234"),
        (float("nan"), 2, "–"),
        (float("-inf"), 2, "−∞"),
    ],
)
def test_numbers_are_printed_plainly(value: float, places: int, text: str) -> None:
    assert number(value, places) == text


def test_digits_follow_the_uncertainty() -> None:
    assert decimals(0.0248) == 4
    assert decimals(12.3) == 1
    assert decimals(0.0) == 3
    assert plain(1.0056) == "1.0056"
    assert plain(1234.5) == "1,234"
    assert span(-1.0, 2.0, 1) == "−1.0 to 2.0"
    assert confidence(0.95) == confidence(95.0) == "95\u00a0%"
    assert confidence(0.975) == "97.5\u00a0%"


def test_a_criterion_is_named_and_its_gate_has_a_sign(tables: RunFolder) -> None:
    row = tables.convergence.iloc[[0]].assign(criterion="newton_decrement", gate="1e-06", value=1e-16)
    assert wording.fit_notice(row).title == "Convergence: passed, its one gate (Newton decrement at the maximum) met."
    shut = row.assign(criterion="ess_bulk", gate="400", value=12.0, passed=False)
    assert wording.fit_notice(shut).details[0].startswith("ESS bulk, smallest: 12, gate ≥ 400")


def test_a_period_and_shared_strategies_are_said_once() -> None:
    text = described({"name": "slope", "time": [0.0, 2.0], "intercurrent": {"death": "same", "transplant": "same"}})
    assert text.time == "from 0 to 2 years after baseline"
    assert text.intercurrent == (("death, transplant", "same"),)
