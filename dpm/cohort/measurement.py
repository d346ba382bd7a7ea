"""One outcome, from the cells of a table to the scale of the model: numbers, censored values, structural values."""

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from dpm.cohort import checks
from dpm.cohort.cleaning import LedgerLine, ledger_line, replace_cells
from dpm.cohort.column import NUMBER
from dpm.cohort.condition import Condition
from dpm.cohort.outcome_role import Limits, OutcomeRole
from dpm.cohort.table import Table
from dpm.cohort.transforms import TRANSFORMS
from dpm.errors import CohortError
from dpm.types import Bool, Float, Int

CENSORINGS = ("", "below", "above", "interval")
"""What a value of a visit may say: measured; the truth is below it, above it, or between it and `_until`."""

Values = Float[np.ndarray, " row"]

SIGN = re.compile(r"^[<>]=?\s*")


@dataclass(frozen=True, kw_only=True, eq=False)
class Measurement:
    """One outcome at every row.

    Attributes:
        columns: of the table of visits.
        measured: where there is a value, censored or not.
        ledger: what rules did.
    """

    columns: dict[str, object]
    measured: Bool[np.ndarray, " row"]
    ledger: tuple[LedgerLine, ...] = field(default=())


def measure(table: Table, name: str, role: OutcomeRole, subject: Int[np.ndarray, " row"]) -> Measurement:
    """Read one outcome.

    Raises:
        CohortError: a cell does not hold what the role declares.
    """
    table, reasons, ledger = _structural(table, name, role, subject)
    if role.levels:
        values, censored, until = _levels(table, role), None, None
    else:
        values, censored, until = _numbers(table, role, np.asarray(reasons != "", dtype=bool))
        checks.check_kind(table, role, values)
    forward = TRANSFORMS[role.transform].forward
    columns: dict[str, object] = {name: forward(values)}
    if censored is not None:
        columns[f"{name}_censored"] = pd.Categorical(
            np.array(CENSORINGS, dtype=object)[censored], categories=CENSORINGS
        )
        ledger = (*ledger, *_censoring_lines(table, role, subject, censored))
    if until is not None:
        columns[f"{name}_until"] = forward(until)
    if role.reason is not None or role.structural:
        columns[f"{name}_reason"] = pd.Categorical(_reasons(table, role, values, reasons))
    return Measurement(columns=columns, measured=~np.isnan(values), ledger=ledger)


def _structural(
    table: Table, name: str, role: OutcomeRole, subject: Int[np.ndarray, " row"]
) -> tuple[Table, np.ndarray, tuple[LedgerLine, ...]]:
    """The table with structural values filled in, their reason per row, and what was done."""
    reasons = np.full(len(table), "", dtype=object)
    lines = []
    for rule in role.structural:
        where = Condition.parse(rule.when).holds(table)
        filled = where & ~table.empty(role.column)
        cells = table.columns[role.column]
        same = cells.text() == rule.text if role.levels else cells.numbers() == rule.value
        other = filled & ~np.asarray(same, dtype=bool)
        do = "Correct the value, or the rule: a structural value is one that cannot be anything else."
        table.refuse(role.column, other, f"{rule.text} or an empty cell where {rule.when}", do=do)
        table = replace_cells(table, role.column, where, rule.text)
        reasons[where] = rule.reason
        words = f"{rule.when}: {name} is {rule.text}"
        line = ledger_line(table, where, subject, "structural zero", words, column=role.column, reason=rule.reason)
        lines.append(line)
    return table, reasons, tuple(lines)


def _levels(table: Table, role: OutcomeRole) -> Values:
    codes, texts = table.codes(role.column)
    place = {level: float(i) for i, level in enumerate(role.levels)}
    known = np.array([not text or text in place for text in texts], dtype=bool)
    table.refuse(role.column, ~known[codes], f"one of the declared levels: {', '.join(role.levels)}")
    return np.array([place.get(text, np.nan) for text in texts], dtype=np.float64)[codes]


def _numbers(
    table: Table, role: OutcomeRole, exact: Bool[np.ndarray, " row"]
) -> tuple[Values, Int[np.ndarray, " row"] | None, Values | None]:
    """Values, the position in `CENSORINGS` of each row, and the upper ends of intervals; `exact` rows have no limit."""
    if role.limits is None:
        values = table.number(role.column)
        checks.check_bounds(table, role, values)
        return values, None, None
    values, censored = _signed(table, role) if role.limits.signs else (table.number(role.column).copy(), None)
    censored = np.zeros(len(table), dtype=np.int64) if censored is None else censored
    _apply_limits(table, role, role.limits, values, censored, exact)
    until = None
    if role.limits.until is not None:
        until = _intervals(table, role, role.limits.until, values, censored)
    checks.check_bounds(table, role, values)
    return values, censored, until


def _signed(table: Table, role: OutcomeRole) -> tuple[Values, Int[np.ndarray, " row"]]:
    """Numbers that may have a sign before them: `<0.3` is censored below 0.3."""
    codes, texts = table.codes(role.column)
    signs = np.array([1 if t.startswith("<") else 2 if t.startswith(">") else 0 for t in texts], dtype=np.int64)
    bare = [SIGN.sub("", t) for t in texts]
    numbers = np.array([float(b) if NUMBER.fullmatch(b) else np.nan for b in bare], dtype=np.float64)
    wrong = np.array([bool(t) for t in texts], dtype=bool) & ~np.isfinite(numbers)
    table.refuse(role.column, wrong[codes], "finite numbers, or finite numbers after < or >")
    return numbers[codes], signs[codes]


def _apply_limits(
    table: Table, role: OutcomeRole, limits: Limits, values: Values, censored: np.ndarray, exact: np.ndarray
) -> None:
    """Set censored values to their limit, in place; a value with a sign has its own."""
    flags = _flags(table, limits) if limits.flag is not None else None
    signed = censored.copy()
    if flags is not None and limits.flag is not None:
        table.refuse(
            limits.flag, (signed > 0) & (flags > 0) & (flags != signed), f"what {role.column} says by its sign"
        )
    for code, side, limit in ((1, "below", limits.below), (2, "above", limits.above)):
        at = table.number(limit) if isinstance(limit, str) else limit
        if flags is not None:
            here = flags == code
            if at is None:
                bare = here & np.isnan(values) & ~exact
                table.refuse(role.column, bare, f"the limit of each value flagged {side}", "an empty cell")
        elif at is not None:
            with np.errstate(invalid="ignore"):
                here = values < at if side == "below" else values > at
        else:
            continue
        here = here & ~exact & (signed == 0)
        if at is not None:
            bound = np.broadcast_to(np.asarray(at, dtype=np.float64), values.shape)
            column = limit if isinstance(limit, str) else role.column
            table.refuse(column, here & np.isnan(bound), f"a limit for each value flagged {side}", "an empty cell")
            _refuse_beyond(table, role, here, values, bound, side)
            values[here] = bound[here]
        censored[here] = code


def _refuse_beyond(
    table: Table, role: OutcomeRole, flagged: Bool[np.ndarray, " row"], values: Values, bound: Values, side: str
) -> None:
    """A value flagged below a limit cannot lie above it."""
    with np.errstate(invalid="ignore"):
        beyond = values > bound if side == "below" else values < bound
    do = "Correct the flag, the value or the limit."
    table.refuse(role.column, flagged & beyond, f"a value flagged {side} on that side of its limit", do=do)


def _flags(table: Table, limits: Limits) -> Int[np.ndarray, " row"]:
    assert limits.flag is not None
    codes, texts = table.codes(limits.flag)
    known = np.array([not text or text in limits.flags for text in texts], dtype=bool)
    do = "Say in flags what this text means: below, above or measured."
    table.refuse(limits.flag, ~known[codes], f"one of: {', '.join(limits.flags)}", do=do)
    meaning = {"below": 1, "above": 2, "measured": 0}
    return np.array([meaning[limits.flags[text]] if text else 0 for text in texts], dtype=np.int64)[codes]


def _intervals(table: Table, role: OutcomeRole, column: str, values: Values, censored: np.ndarray) -> Values:
    until = table.number(column)
    table.refuse(column, ~np.isnan(until) & np.isnan(values), f"no upper end where {role.column} is empty")
    table.refuse(column, until < values, f"an upper end from {role.column} upwards")
    table.refuse(
        column, until > role.upper, f"{role.unit} up to {role.upper:g}", do="Correct the value or widen upper."
    )
    checks.check_domain(table, column, role.transform, until)
    between = until > values
    table.refuse(column, between & (censored > 0), "an interval, or a limit, not both for one value")
    censored[between] = 3
    return np.asarray(np.where(between, until, np.nan))


def _censoring_lines(
    table: Table, role: OutcomeRole, subject: Int[np.ndarray, " row"], censored: np.ndarray
) -> list[LedgerLine]:
    lines = []
    for code, what in ((1, "below its limit"), (2, "above its limit"), (3, "within an interval")):
        where = censored == code
        if where.any():
            words = f"{role.column} {what}"
            lines.append(ledger_line(table, where, subject, "censor", words, column=role.column))
    return lines


def _reasons(table: Table, role: OutcomeRole, values: Values, structural: np.ndarray) -> np.ndarray:
    """Why a value is missing, or why it is what it has to be."""
    if role.reason is None:
        return structural
    given = table.text(role.reason)
    measured = ~np.isnan(values) & (structural == "")
    if (measured & (given != "")).any():
        row = int(np.argmax(measured & (given != "")))
        file, line = table.place(role.reason, row)
        got = f"{given[row]!r} beside a value in row {line}"
        do = "A reason belongs to a missing value: empty one of the two."
        raise CohortError(f"{file}: {role.reason}", "a reason only where the value is missing", got, do)
    return np.where(structural != "", structural, given)
