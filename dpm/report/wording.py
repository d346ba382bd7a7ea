"""Sentences made from the tables: what was found, and whether the checks behind it were passed.

An interval that includes zero is said to include zero: it is no evidence that there is no effect.
"""

import math
from dataclasses import dataclass

import pandas as pd

from dpm.report.criteria import criterion, limit
from dpm.report.estimands import UNSAID, EstimandText
from dpm.report.figures.calibration import UNJUDGED
from dpm.report.figures.scale import BASE
from dpm.report.numbers import confidence, counted, decimals, lowered, number, percent, plain, span, words
from dpm.report.run_folder import Ledger, Row, each_row


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One estimand's answer as a sentence, and as lines of text beside those of the randomised one."""

    estimand: str
    sentence: str
    found: tuple[str, ...]
    truth: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One line of the status banner. `kind` is "passed", "attention" or "failed"."""

    kind: str
    title: str
    details: tuple[str, ...] = ()


def limits(row: Row) -> str:
    """E.g. "95 % interval −0.0589 to 0.0347"."""
    if not bounded(row):
        return "no interval"
    return f"{confidence(row['level'])} interval {span(row['low'], row['high'], decimals(row['se']))}"


def bounded(row: Row) -> bool:
    return not (math.isnan(row["low"]) or math.isnan(row["high"]))


def interval(row: Row) -> str:
    """Estimate and interval, e.g. "−0.0121 (95 % interval −0.0589 to 0.0347)"."""
    return f"{number(row['estimate'], decimals(row['se']))} ({limits(row)})"


def ratio(row: Row, estimand: EstimandText) -> str:
    """The same on the scale of the measurement, where a difference of logarithms is a ratio; else empty."""
    base = BASE.get(estimand.scale.transform)
    if base is None:
        return ""
    middle, low, high = (base ** row[column] for column in ("estimate", "low", "high"))
    return f"{number(middle, 3)} ({span(low, high, 3)})"


def zero(row: Row) -> str:
    return "includes zero" if row["low"] <= 0 <= row["high"] else "excludes zero"


def first(effects: pd.DataFrame, estimand: str, role: str) -> Row | None:
    rows = each_row(effects[(effects["estimand"] == estimand) & (effects["role"] == role)])
    return rows[0] if rows else None


def answer(effects: pd.DataFrame, estimand: EstimandText) -> Answer | None:
    """The answer to one estimand, or nothing when no row of the table answers it."""
    found, truth = (first(effects, estimand.name, role) for role in ("answer", "truth"))
    if found is None:
        return None
    return Answer(
        estimand=estimand.label,
        sentence=sentence(found, truth, estimand),
        found=lines(found, estimand),
        truth=lines(truth, estimand) if truth else ("not recorded",),
    )


def lines(row: Row, estimand: EstimandText) -> tuple[str, ...]:
    """Estimate with unit, its interval, and both as a ratio where the outcome is a logarithm."""
    estimate = f"{number(row['estimate'], decimals(row['se']))} {row['unit']}".strip()
    found = (estimate, limits(row))
    as_ratio = ratio(row, estimand)
    yearly = " a year" if row["unit"].endswith("/year") else ""
    return (*found, f"as a ratio{yearly} {as_ratio}") if as_ratio else found


def sentence(found: Row, truth: Row | None, estimand: EstimandText) -> str:
    """One sentence: estimate, interval, whether it includes zero, and the randomised estimate beside it."""
    who = "For the treated patients"
    if not math.isnan(found["n_treated"]):
        who = f"For the {counted(int(found['n_treated']), 'treated patient')}"
    places = decimals(found["se"])
    contrast = "" if estimand.contrast == UNSAID else f" ({estimand.contrast})"
    text = (
        f"{who}, the estimated {lowered(estimand.label)}{contrast} is "
        f"{number(found['estimate'], places)} {found['unit']}"
    )
    if bounded(found):
        edges = span(found["low"], found["high"], places)
        text += f" with a {confidence(found['level'])} interval from {edges}, which {zero(found)}"
    else:
        text += ", without an interval"
    if truth is None:
        return f"{text}; no randomised answer to this question is recorded."
    text = f"{text}; the randomised comparison gives {interval(truth)}"
    if not bounded(found) or math.isnan(truth["estimate"]):
        return f"{text}."
    inside = "inside" if found["low"] <= truth["estimate"] <= found["high"] else "outside"
    return f"{text}, an estimate {inside} the study's interval."


def notices(convergence: pd.DataFrame, coverage: pd.DataFrame, ledger: Ledger) -> tuple[Notice, ...]:
    """The status banner: gates of the fit, gates the study relaxed, calibration, changes after the lock."""
    return (
        fit_notice(convergence),
        *relaxed_notice(convergence),
        coverage_notice(coverage),
        *ledger_notices(ledger),
    )


def fit_notice(convergence: pd.DataFrame) -> Notice:
    rows = each_row(convergence)
    failed = [row for row in rows if not row["passed"]]
    total = counted(len(convergence), "gate")
    relaxed = int((convergence["relaxed_from"] != "").sum())
    if not failed:
        loosened = f", {relaxed} of them relaxed by the study file" if relaxed else ""
        met = f"all of {total} met" if len(convergence) > 1 else f"its one gate ({criterion(rows[0])}) met"
        title = f"Convergence: passed, {met}{loosened}."
        return Notice(kind="attention" if relaxed else "passed", title=title)
    details = tuple(
        f"{criterion(row)}: {plain(row['value'])}, gate {limit(row)}"
        + (f", worst at {row['worst']}" if row["worst"] else "")
        + (f". {row['remedy']}" if row["remedy"] else "")
        for row in failed
    )
    return Notice(kind="failed", title=f"Convergence: failed, {len(failed)} of {total} not met.", details=details)


def relaxed_notice(convergence: pd.DataFrame) -> tuple[Notice, ...]:
    rows = each_row(convergence[convergence["relaxed_from"] != ""])
    details = tuple(
        f"{criterion(row)}: default gate {limit(row, 'relaxed_from')}, relaxed to {limit(row)}; "
        f"value {plain(row['value'])}"
        for row in rows
    )
    title = f"Relaxed: the study file replaces the default of {counted(len(rows), 'gate')}."
    return (Notice(kind="attention", title=title, details=details),) if rows else ()


def coverage_notice(coverage: pd.DataFrame) -> Notice:
    outside = each_row(coverage[coverage["verdict"] == "outside"])
    unjudged = int((coverage["verdict"] == UNJUDGED).sum())
    inside = int((coverage["verdict"] == "inside").sum())
    title = (
        f"Calibration by subgroup: of {counted(len(coverage), 'cell')} (subgroup × nominal level), {inside} inside the "
        f"exact 95\u00a0% range, {len(outside)} outside, {unjudged} cannot be judged at their n."
    )
    details = tuple(
        f"{words(row['subgroup'])}, {row['level']}: {percent(row['observed'], 1)} observed for "
        f"{confidence(row['nominal'])} nominal, calibrated range {percent(row['low'], 1)} to "
        f"{percent(row['high'], 1)}, n = {number(row['n'], 0)}"
        for row in outside
    )
    return Notice(kind="attention" if outside or not inside else "passed", title=title, details=details)


def ledger_notices(ledger: Ledger) -> tuple[Notice, ...]:
    changes = [entry for entry in ledger.entries if str(entry.get("event", "")).startswith("amend")]
    found = []
    if changes:
        details = tuple(f"{entry.get('time', '')}: {entry.get('detail', '')}" for entry in changes)
        title = f"Protocol: {counted(len(changes), 'amendment')} after the lock."
        found.append(Notice(kind="attention", title=title, details=details))
    if ledger.broken_at:
        title = f"Ledger: line {ledger.broken_at} does not carry the hash of the line before it."
        found.append(Notice(kind="failed", title=title))
    return tuple(found)
