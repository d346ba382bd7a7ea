"""`read_cohort`: raw tables in, checked cohort out, or a refusal."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from dpm.cohort import checks
from dpm.cohort.cleaning import CleaningRule, LedgerLine, clean, ledger_line
from dpm.cohort.cohort import Cohort, counts_by_arm
from dpm.cohort.condition import Condition
from dpm.cohort.declared import declared
from dpm.cohort.flow import FlowStep, arm_of_rows, count_rows, count_step, count_table
from dpm.cohort.follow_up import Who, follow, nothing_followed
from dpm.cohort.index_date import Aligned, IndexRule, align
from dpm.cohort.levels import in_order
from dpm.cohort.measurement import measure
from dpm.cohort.role import PER_YEAR
from dpm.cohort.roles import ClockRole, CovariateRole, Roles, parse_roles
from dpm.cohort.sources import Readable, SourceFile, Tables, assemble
from dpm.cohort.table import Table
from dpm.cohort.transforms import TRANSFORMS
from dpm.cohort.units import convert
from dpm.errors import CohortError
from dpm.types import Float, Int, Key


def read_cohort(
    source: Readable | Mapping[str, Readable | SourceFile] | Tables,
    roles: Roles | dict[str, object],
    *,
    subjects: Readable | None = None,
    events: Readable | None = None,
    units: Mapping[str, str] | None = None,
    rules: Sequence[CleaningRule | Mapping[str, object]] = (),
    index: IndexRule | None = None,
    key: Key | None = None,
) -> Cohort:
    """Read a table with one row per subject and visit, check it once, and align it.

    Rows are counted as lines of the file: the header is row 1. The baseline value of a covariate, group or subgroup
    is the one at the subject's visit at time 0.

    Args:
        source: a file (.csv, .parquet, .xpt), `"data:<set>/<file>"` for a table shipped with dpm, or a data frame;
            several by name, to be stacked with the name as the study; or the tables that `read_adam` and
            `read_nonmem` give.
        roles: which column is what.
        subjects: a table with one row per subject, whose columns are joined to the visits.
        events: a table with one row per event, where events do not stand beside each visit.
        units: unit by column of the data, where it is not the declared one; by default what `columns.csv`
            beside a file says (columns `column`, `unit`). A column in another unit is converted.
        rules: changes to the raw table, in order; each is written into the ledger.
        index: which visit is time zero; by default the one at the origin, which every subject has to have.
        key: for an index visit drawn at random.

    Raises:
        CohortError: the tables cannot be used as they are; nothing is read by half.
    """
    roles = parse_roles(roles)
    tables = source if isinstance(source, Tables) else assemble(source, roles, subjects=subjects, events=events)
    tables, ledger, flow = _prepared(
        tables, roles, declared(CleaningRule, rules, "rules"), units, strict=tables is not source
    )
    aligned = _aligned(tables.visits, roles, index, key, len({step.step for step in flow}) + 1)
    return _cohort(tables, roles, aligned, ledger, flow, index)


def _prepared(
    tables: Tables, roles: Roles, rules: tuple[CleaningRule, ...], units: Mapping[str, str] | None, *, strict: bool
) -> tuple[Tables, tuple[LedgerLine, ...], tuple[FlowStep, ...]]:
    """Cleaned, complete, and in the declared units; `strict`: no events of a subject without visits."""
    visits, lines, flow = _cleaned(tables.visits, [rule for rule in rules if rule.table != "events"], roles)
    ledger = tables.ledger + lines
    events = tables.events
    about_events = [rule for rule in rules if rule.table == "events"]
    if events is not None:
        events, lines = clean(events, about_events, roles.subject)
        ledger += lines
        if strict:
            checks.check_known(events, (tables.visits, visits), roles)
    elif about_events:
        raise CohortError("rules", "a table of events", "none", 'Leave table = "events" out.')
    elsewhere = {column for _, column, _ in roles.event_uses()} if events is not None else set()
    visits.require(tuple(column for column in roles.columns if column not in elsewhere))
    checks.check_present(visits, roles.subject, "a subject in every row", "Fill it in or drop the row.")
    uses = tuple(use for use in roles.units if use[1] not in elsewhere)
    own = roles.own_units(visits.units if units is None else units)
    visits, lines = convert(visits, uses, own, roles.subject)
    ledger += lines
    if events is not None:
        events.require((roles.subject, *elsewhere))
        uses = tuple(use for use in roles.units if use[1] in elsewhere)
        events, lines = convert(events, uses, events.units if units is None else units, roles.subject)
        ledger += lines
    return replace(tables, visits=visits, events=events), ledger, flow


def _cleaned(
    table: Table, rules: Sequence[CleaningRule], roles: Roles
) -> tuple[Table, tuple[LedgerLine, ...], tuple[FlowStep, ...]]:
    """The visits after each rule; in the attrition table every rule that leaves rows out is a step of its own."""
    table.require((roles.subject,))
    checks.check_identifiers(table, roles.subject)
    counts = count_table(table, roles.subject, roles.arm)
    flow, number = [*count_step("1 read", "", counts, counts)], 1
    ledger: tuple[LedgerLine, ...] = ()
    for rule in rules:
        before = count_table(table, roles.subject, roles.arm)
        table, lines = clean(table, [rule], roles.subject)
        ledger += lines
        if rule.do != "set":
            number += 1
            after = count_table(table, roles.subject, roles.arm)
            flow += count_step(f"{number} without: {rule.when}", rule.reason, before, after)
    return table, ledger, tuple(flow)


def _aligned(table: Table, roles: Roles, index: IndexRule | None, key: Key | None, number: int) -> Aligned:
    code, ids = table.codes(roles.subject)
    named = pd.Index(ids, dtype="str", name="subject")
    if roles.time is None:
        raw = np.zeros(len(table))
        checks.check_one_row(table, roles.subject, code)
    else:
        raw = table.number(roles.time.column) - roles.time.origin
        part = table.codes(roles.part)[0] if roles.part else np.zeros(len(table), dtype=np.int64)
        checks.check_times(table, roles.subject, roles.time, code, raw, part, from_zero=index is None)
    time = raw / (PER_YEAR[roles.time.unit] if roles.time else 1.0)
    if index is not None:
        return align(table, roles, code, named, time, index, key, number=number)
    # In time order a subject's first row is its visit at time 0, so these rows are in the order of the codes.
    at_zero, zero = np.flatnonzero(time == 0), np.zeros(len(named))
    at_zero = at_zero[np.unique(code[at_zero], return_index=True)[1]]  # of several parts measured there, the first
    return Aligned(table=table, code=code, ids=named, person=named, time=time, baseline=at_zero, shift=zero)


def _cohort(
    tables: Tables,
    roles: Roles,
    aligned: Aligned,
    ledger: tuple[LedgerLine, ...],
    flow: tuple[FlowStep, ...],
    index: IndexRule | None,
) -> Cohort:
    table, code = aligned.table, aligned.code
    visits, lines = _visits(table, roles, aligned)
    ledger += lines
    subjects, lines = _subjects(table, roles, aligned, index.carry if index else 0.0)
    ledger += lines
    if index is not None and index.time_zero == "all":
        subjects.insert(0, "person", pd.Series(aligned.person.to_numpy(), dtype="str"))
    events, lines = _events(tables, roles, aligned)
    visits, dropped = checks.visits_after_the_end(table, roles, visits, events, code)
    ledger += (*lines, *dropped)
    started = visits["time"] >= 0
    cohort = Cohort(
        subjects=subjects.set_index(aligned.ids),
        visits=visits[started].reset_index(drop=True),
        history=visits[~started].reset_index(drop=True),
        events=events,
        roles=roles,
        sources=(*tables.visits.sources, *(tables.events.sources if tables.events else ())),
        ledger=ledger,
    )
    return replace(cohort, flow=_flow(cohort, roles, aligned, (*flow, *aligned.flow)))


def _flow(cohort: Cohort, roles: Roles, aligned: Aligned, flow: tuple[FlowStep, ...]) -> tuple[FlowStep, ...]:
    """The attrition with the visits dropped after the end of follow-up, where there are any."""
    started = aligned.time >= 0
    before = count_rows(aligned.code[started], arm_of_rows(aligned.table, roles.arm)[started])
    after = counts_by_arm(cohort)
    if int(before[1].sum()) == int(after[1].sum()):
        return flow
    step = f"{len({line.step for line in flow}) + 1} visits up to the end of follow-up"
    return (*flow, *count_step(step, "after the end of follow-up", before, after))


def _visits(table: Table, roles: Roles, aligned: Aligned) -> tuple[pd.DataFrame, tuple[LedgerLine, ...]]:
    columns: dict[str, object] = {"subject": aligned.ids.take(aligned.code), "time": aligned.time}
    measured, started = np.zeros(len(table), dtype=bool), aligned.time >= 0
    ledger: tuple[LedgerLine, ...] = ()
    for name, role in roles.outcomes.items():
        outcome = measure(table, name, role, aligned.code)
        columns |= outcome.columns
        measured |= outcome.measured
        ledger += outcome.ledger
    if roles.outcomes:
        checks.check_measured(table, roles, aligned.code, measured & started)
    for key in roles.factors:
        column = getattr(roles, key)
        if key == "part":
            checks.check_present(table, column, "a part in every row", "Fill it in, or drop part from the roles.")
        columns[key] = pd.Categorical(table.text(column))
    columns["file"] = pd.Categorical(np.array(table.origin.names, dtype=object)[table.origin.file])
    columns["row"] = table.origin.line
    return pd.DataFrame(columns), ledger


def _subjects(
    table: Table, roles: Roles, aligned: Aligned, carry: float
) -> tuple[pd.DataFrame, tuple[LedgerLine, ...]]:
    subjects = pd.DataFrame(index=range(len(aligned.ids)))
    ledger: list[LedgerLine] = []
    if roles.arm:
        checks.check_present(table, roles.arm, "an arm in every row", "Fill it in, or drop the arm from the roles.")
        checks.check_constant(table, roles.subject, roles.arm, aligned.code, "the arm")
        subjects["arm"] = pd.Series(table.text(roles.arm)[aligned.baseline], dtype="str")
    for name, role in roles.covariates.items():
        rows = _carried(table, role.column, aligned, carry, ledger)
        subjects[name] = _covariate(table, name, role, rows)
    for name, clock in roles.clocks.items():
        subjects[f"clock.{name}"] = _clock_at_zero(table, roles, name, clock, aligned)
    for name, column in roles.labels.items():
        rows = _carried(table, column, aligned, carry, ledger)
        checks.check_baseline(table, column, f"the grouping {name}", rows)
        text = table.text(column)[rows]
        subjects[name] = pd.Categorical(text, categories=in_order(text), ordered=True)
    return subjects, tuple(ledger)


def _clock_at_zero(
    table: Table, roles: Roles, name: str, clock: ClockRole, aligned: Aligned
) -> Float[np.ndarray, " subject"]:
    checks.check_baseline(table, clock.column, f"the clock {name}", aligned.baseline)
    years = table.number(clock.column)[aligned.baseline] / PER_YEAR[clock.unit]
    if clock.of == "visit":
        return years
    checks.check_constant(table, roles.subject, clock.column, aligned.code, f"the clock {name} of a subject")
    return years + aligned.shift


def _carried(
    table: Table, column: str, aligned: Aligned, carry: float, ledger: list[LedgerLine]
) -> Int[np.ndarray, " subject"]:
    """Per subject, the row whose value is the baseline one: at time zero, or the last one up to `carry` before."""
    empty = table.empty(column)
    gone = empty[aligned.baseline]
    if not carry or not gone.any():
        return aligned.baseline
    near = ~empty & (aligned.time <= 0) & (aligned.time >= -carry - 1e-9)
    last = np.full(len(aligned.ids), -1, dtype=np.int64)
    order = np.flatnonzero(near)[np.argsort(aligned.time[near], kind="stable")]
    last[aligned.code[order]] = order
    used = gone & (last >= 0)
    rows = np.where(used, last, aligned.baseline)
    if used.any():
        at = np.zeros(len(table), dtype=bool)
        at[last[used]] = True
        rule = f"{column}: the last value up to {carry:g} years before time zero"
        ledger.append(ledger_line(table, at, aligned.code, "carry forward", rule, column=column))
    return rows


def _covariate(
    table: Table, name: str, role: CovariateRole, rows: Int[np.ndarray, " subject"]
) -> Float[np.ndarray, " subject"]:
    checks.check_baseline(table, role.column, f"covariates.{name}", rows, keep=role.missing == "keep")
    gone = table.empty(role.column)[rows]
    if role.level is not None:
        checks.check_level(table, name, role)
        found = np.asarray(table.text(role.column)[rows] == role.level, dtype=np.float64)
        return np.where(gone, np.nan, found)
    values = table.number(role.column)
    checks.check_domain(table, role.column, role.transform, values)
    return TRANSFORMS[role.transform].forward(values[rows])


def _events(tables: Tables, roles: Roles, aligned: Aligned) -> tuple[pd.DataFrame, tuple[LedgerLine, ...]]:
    ledger: tuple[LedgerLine, ...] = ()
    if not roles.events:
        return nothing_followed(), ledger
    if tables.events is None:
        table = aligned.table
        who = Who(ids=aligned.ids, code=aligned.code, first=aligned.baseline, shift=aligned.shift)
    else:
        table = tables.events
        row, place = _of_clones(table.text(roles.subject), aligned.person)
        gone = np.bincount(row, minlength=len(table)) == 0
        if gone.any():
            rule = "events of subjects that have no visits, or were left out"
            ledger = (ledger_line(table, gone, table.codes(roles.subject)[0], "exclude rows", rule),)
        table, who = table.take(row), Who(ids=aligned.ids, code=place, first=None, shift=aligned.shift)
    parts = [_process(table, name, roles, who) for name in roles.events]
    return pd.concat(parts, ignore_index=True), ledger


def _of_clones(subject: np.ndarray, person: pd.Index) -> tuple[Int[np.ndarray, " taken"], Int[np.ndarray, " taken"]]:
    """Rows of a table of events, once for each clone of the person they are about, and the position of that clone."""
    rows = pd.DataFrame({"person": pd.Series(subject, dtype="str"), "row": np.arange(len(subject))})
    clones = pd.DataFrame({"person": pd.Series(person, dtype="str"), "place": np.arange(len(person))})
    met = rows.merge(clones, on="person").sort_values(["row", "place"], kind="stable")
    return met["row"].to_numpy(), met["place"].to_numpy()


def _process(table: Table, name: str, roles: Roles, who: Who) -> pd.DataFrame:
    """One process; in a table of events it may be some of the rows."""
    where = roles.events[name].where
    if where is not None and who.first is not None:
        do = "Leave where out, or pass the table with a row per event as events."
        raise CohortError(f"roles: events.{name}.where", "a table of events", "events beside each visit", do)
    if where is not None:
        mine = Condition.parse(where).holds(table)
        if not mine.any():
            raise CohortError(f"{table.name}: events.{name}", f"rows with {where}", f"none of {len(table):,}")
        table, who = table.keep(mine), replace(who, code=who.code[mine])
    return follow(table, name, roles.events[name], roles.subject, who)
