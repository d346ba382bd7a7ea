"""Index dates: who is eligible at which visit, which of those visits is time zero, and what that costs."""

from dataclasses import dataclass, replace
from typing import Literal

import jax
import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from dpm.cohort.condition import Condition, ConditionText
from dpm.cohort.flow import FlowStep, arm_of_rows, count_rows, count_step
from dpm.cohort.role import PER_YEAR
from dpm.cohort.roles import Roles
from dpm.cohort.table import Table
from dpm.errors import CohortError
from dpm.types import Bool, Float, Int, Key

Rows = Bool[np.ndarray, " row"]


class IndexRule(BaseModel):
    """Which visit is time zero.

    A rule asks a question of each visit; a visit is eligible if it passes all of them. Follow-up starts at time zero,
    and what was observed before it is history, kept apart (`Cohort.history`).

    Attributes:
        eligible: rules in order, by the words the attrition table prints: a `Condition` each.
        time_zero: `origin`: the visit at the origin of the time role, if it is eligible; `first`, `last`, `random`:
            one of the eligible visits, `random` drawn with a key; `all`: each of them, the subject entering once
            per eligible visit as clones `<subject>#1`, `<subject>#2`, which share `person`.
        start: column of the time from which a subject is what its arm says, such as the first dose, in the unit
            of the time role. Time zero before it would give the arm time in which nobody could have died.
        carry: how far back the last value of an empty baseline variable may be [years].
        future: why rules may read what is known only after the visit; without a reason they may not. It stands in
            the attrition table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    eligible: dict[str, ConditionText] = {}
    time_zero: Literal["origin", "first", "last", "random", "all"] = "first"
    start: str | None = None
    carry: float = Field(default=0.0, ge=0.0)
    future: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Aligned:
    """A table whose times count from time zero.

    Attributes:
        table: the rows of the subjects that have a time zero, once per clone.
        code: per row, the position in `ids`.
        ids: of the subjects or clones.
        person: per subject, whose clone it is.
        time: since time zero, negative before it [years].
        baseline: per subject, the row at time zero.
        shift: per subject, the time that became zero [years since the origin].
        flow: attrition: patients and eligible visits left by each rule; in the last step the subjects or clones
            and their visits from time zero on.
    """

    table: Table
    code: Int[np.ndarray, " row"]
    ids: pd.Index
    person: pd.Index
    time: Float[np.ndarray, " row"]
    baseline: Int[np.ndarray, " subject"]
    shift: Float[np.ndarray, " subject"]
    flow: tuple[FlowStep, ...] = ()


def align(
    table: Table,
    roles: Roles,
    code: Int[np.ndarray, " row"],
    ids: pd.Index,
    time: Float[np.ndarray, " row"],
    rule: IndexRule,
    key: Key | None,
    *,
    number: int = 2,
) -> Aligned:
    """Give each subject its time zero.

    Args:
        table: rows in time order within a subject.
        roles: whose arm the attrition is counted by.
        code, ids: position of each row's subject, and the subjects.
        time: of each row [years since the origin].
        rule: which visit it is.
        key: for `time_zero = "random"`; a subject's draw does not depend on where it stands in the file.
        number: of the first step in the attrition table.

    Raises:
        CohortError: a rule looks into the future, gives an arm immortal time, or leaves nobody.
    """
    _refuse_foresight(table, roles, rule)
    arm = arm_of_rows(table, roles.arm)
    passed, flow = _eligible(table, code, rule, arm, number)
    if rule.time_zero == "origin" and not (passed & (np.abs(time) < 1e-9)).any():
        do = "Choose another time zero."
        raise CohortError(f"{table.name}: index date", "an eligible visit at the origin", "none", do)
    subject, row = _time_zero(table, code, ids, time, passed, rule, key)
    aligned = _realigned(table, code, ids, time, subject, row, clones=rule.time_zero == "all")
    if rule.start is not None:
        _refuse_immortal_time(table, roles, rule.start, time, row, aligned)
    step = f"{number + len(rule.eligible)} time zero: {TIME_ZERO[rule.time_zero]}"
    return replace(aligned, flow=(*flow, *_last_step(step, code, arm, passed, subject, aligned)))


TIME_ZERO = {
    "origin": "the visit at the origin",
    "first": "first eligible visit",
    "last": "last eligible visit",
    "random": "a random eligible visit",
    "all": "every eligible visit, as clones",
}
"""In words, for the attrition table."""


def _refuse_foresight(table: Table, roles: Roles, rule: IndexRule) -> None:
    """A rule that reads the event or its time selects patients by what happened to them after time zero."""
    later = {column: use for use, column, _ in roles.event_uses()}
    for words, text in rule.eligible.items():
        for column in Condition.parse(text).columns:
            if column in later and not rule.future:
                got = f"{column!r}, which is {later[column]}, in the rule {words!r}"
                do = "Drop the rule: it selects patients by what happened later. If that is meant, say why in future."
                raise CohortError(f"{table.name}: index date", "rules that read what is known at the visit", got, do)


def _eligible(
    table: Table, code: np.ndarray, rule: IndexRule, arm: np.ndarray, number: int
) -> tuple[Rows, tuple[FlowStep, ...]]:
    passed = np.ones(len(table), dtype=bool)
    later = f" (known only later: {rule.future})" if rule.future else ""
    flow: list[FlowStep] = []
    before = count_rows(code, arm)
    for place, (words, text) in enumerate(rule.eligible.items(), number):
        passed = passed & Condition.parse(text).holds(table)
        after = count_rows(code[passed], arm[passed])
        flow.extend(count_step(f"{place} eligible: {words}", f"no visit with {text}{later}", before, after))
        before = after
        if not passed.any():
            do = "Loosen the rule, or correct it."
            raise CohortError(f"{table.name}: index date", f"visits with {text}", "none after the rules before it", do)
    return passed, tuple(flow)


def _last_step(
    step: str, code: np.ndarray, arm: np.ndarray, passed: Rows, subject: np.ndarray, aligned: Aligned
) -> list[FlowStep]:
    """Those without such a visit, and of the others, or of their clones, the visits from time zero on."""
    lines: list[FlowStep] = []
    lost = passed & ~np.isin(code, subject)
    out, visits_out = count_rows(code[lost], arm[lost])
    started = aligned.time >= 0
    # One row may stand in several clones, so the arm is taken from the row each clone starts at.
    first = np.zeros(int(code.max()) + 1, dtype=np.int64)
    first[code[::-1]] = np.arange(len(code))[::-1]
    kept, visits = count_rows(aligned.code[started], arm[first[subject]][aligned.code[started]])
    for name in sorted({*out.index, *kept.index}):
        if name in out.index:
            patients, n = int(out[name]), int(visits_out[name])
            lines.append(FlowStep(step=step, reason="no such visit", arm=str(name), patients=patients, visits=n))
        if name in kept.index:
            lines.append(
                FlowStep(step=step, reason="", arm=str(name), patients=int(kept[name]), visits=int(visits[name]))
            )
    return lines


def _time_zero(
    table: Table, code: np.ndarray, ids: pd.Index, time: np.ndarray, passed: Rows, rule: IndexRule, key: Key | None
) -> tuple[np.ndarray, np.ndarray]:
    """Subject and row of each time zero; rows are in time order within a subject."""
    rows = np.flatnonzero(passed & (np.abs(time) < 1e-9) if rule.time_zero == "origin" else passed)
    rows = rows[np.lexsort((time[rows], code[rows]))]
    subject, first, count = np.unique(code[rows], return_index=True, return_counts=True)
    if rule.time_zero == "all":
        return code[rows], rows
    if rule.time_zero == "last":
        return subject, rows[first + count - 1]
    if rule.time_zero == "random":
        if key is None:
            do = "Pass key=jax.random.key(...); a study file has its seed."
            raise CohortError(f"{table.name}: index date", 'a key for time_zero = "random"', "none", do)
        share = np.zeros(len(subject))
        share[np.argsort(ids.take(subject).astype(str))] = np.asarray(jax.random.uniform(key, (len(subject),)))
        return subject, rows[first + np.minimum((share * count).astype(np.int64), count - 1)]
    return subject, rows[first]


def _realigned(
    table: Table,
    code: np.ndarray,
    ids: pd.Index,
    time: np.ndarray,
    subject: np.ndarray,
    row: np.ndarray,
    *,
    clones: bool,
) -> Aligned:
    order = np.argsort(code, kind="stable")
    starts = np.searchsorted(code[order], np.arange(len(ids) + 1))
    lengths = np.diff(starts)[subject]
    new = np.repeat(np.arange(len(subject)), lengths)
    before = np.concatenate([[0], np.cumsum(lengths)])[:-1]
    taken = order[(starts[subject] - before)[new] + np.arange(len(new))]
    person = ids.take(subject)
    number = pd.Series(subject).groupby(subject).cumcount().to_numpy() + 1
    named = [f"{p}#{n}" for p, n in zip(person, number, strict=True)] if clones else person
    return Aligned(
        table=table.take(taken),
        code=new,
        ids=pd.Index(named, dtype="str", name="subject"),
        person=pd.Index(person, dtype="str", name="person"),
        time=time[taken] - time[row][new],
        baseline=np.flatnonzero(taken == row[new]),
        shift=time[row],
    )


def _refuse_immortal_time(
    table: Table, roles: Roles, column: str, time: np.ndarray, row: np.ndarray, aligned: Aligned
) -> None:
    if roles.time is None:
        raise CohortError("index date: start", "a time role, in whose unit the start counts", "none")
    table.require((column,))
    start = (table.number(column) - roles.time.origin) / PER_YEAR[roles.time.unit]
    gap = start[row] - time[row]
    early = gap > 1e-9
    if early.any():
        first = int(np.argmax(early))
        got = (
            f"time zero before it in {int(early.sum()):,} of {len(gap):,} subjects, together {gap[early].sum():.1f} "
            f"person-years in which none of them could have had an event (first: subject {aligned.ids[first]}, "
            f"{gap[first]:.2f} years)"
        )
        do = (
            "Choose a time zero from the start onwards: add a rule that asks for it, or start follow-up there. "
            "Counting this immortal time makes the arm look better than it is."
        )
        raise CohortError(f"{table.name}: index date", f"time zero at or after {column}", got, do)
