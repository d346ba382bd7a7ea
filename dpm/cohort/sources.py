"""Several files, one table: sources stacked under a study, subjects joined to their visits."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from dpm.cohort.cleaning import LedgerLine
from dpm.cohort.column import TextColumn, empty_column
from dpm.cohort.files import read_table
from dpm.cohort.roles import Roles
from dpm.cohort.table import Table, stack
from dpm.cohort.units import convert
from dpm.errors import CohortError

Readable = str | Path | pd.DataFrame
"""What a table is read from: a file, `data:<set>/<file>`, or a data frame."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One of several sources, and how its columns differ from those the roles name.

    Attributes:
        file: of the source.
        rename: the name the roles use, by the name in the file.
        units: unit by column (under the name the roles use) where it is not the declared one.
        absent: columns that the roles name and this source does not have; every cell of them is missing.
    """

    file: Readable
    rename: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Tables:
    """Raw tables in the form that `read_cohort` reads.

    Attributes:
        visits: a row per subject and visit, what belongs to the subject repeated in each.
        events: a row per event; None where events stand beside each visit.
        ledger: what was done to get there.
    """

    visits: Table
    events: Table | None = None
    ledger: tuple[LedgerLine, ...] = ()


def assemble(
    source: Readable | Mapping[str, Readable | SourceFile],
    roles: Roles,
    *,
    subjects: Readable | None = None,
    events: Readable | None = None,
) -> Tables:
    """Read the files of a cohort.

    Raises:
        CohortError: a file cannot be read, or the files do not fit together.
    """
    ledger: tuple[LedgerLine, ...] = ()
    joined = with_dictionary(read_table(subjects)) if subjects is not None else None
    if isinstance(source, Mapping):
        elsewhere = set(joined.columns) if joined is not None else set()
        elsewhere |= {column for _, column, _ in roles.event_uses()} if events is not None else set()
        visits, ledger = _stacked(source, roles, elsewhere - {roles.subject})
    else:
        visits = with_dictionary(read_table(source))
    if joined is not None:
        visits = join_subjects(visits, joined, roles)
    followed = with_dictionary(read_table(events)) if events is not None else None
    if followed is not None and not roles.events:
        raise CohortError(f"{followed.name}: events", "roles for the events of this table", "none", "Declare [events].")
    return Tables(visits=visits, events=followed, ledger=ledger)


def with_dictionary(table: Table) -> Table:
    """The table with the units that `columns.csv` beside its file gives."""
    path = table.sources[0].path
    dictionary = path.with_name("columns.csv") if path else None
    if dictionary is None or not dictionary.is_file():
        return table
    with dictionary.open(encoding="utf-8-sig", newline="") as lines:
        units = {row.get("column") or "": (row.get("unit") or "").strip() for row in csv.DictReader(lines)}
    return replace(table, units={column: unit for column, unit in units.items() if unit})


def join_subjects(visits: Table, subjects: Table, roles: Roles) -> Table:
    """Each visit with the columns of its subject, whose cells keep the file and line they stand on.

    Raises:
        CohortError: a subject has no row, several rows, or no visit; or both tables hold the same column.
    """
    for table in (visits, subjects):
        table.require((roles.subject,))
    mine = {column for column in subjects.columns if column != roles.subject}
    both = [column for column in roles.columns if column in mine and column in visits.columns]
    if both:
        do = "Rename one of them, so that it is clear which one is meant."
        raise CohortError(
            f"{subjects.name}: {both[0]}", f"a column that {visits.name} does not have", "one in both", do
        )
    names, here = visits.text(roles.subject), pd.Index(subjects.text(roles.subject))
    subjects.refuse(roles.subject, np.asarray(here.duplicated()), "one row per subject", do="Keep one row of each.")
    place = here.get_indexer(pd.Index(names))
    visits.refuse(roles.subject, place < 0, f"subjects of {subjects.name}", do="Add their rows, or drop these visits.")
    bare = ~np.isin(np.arange(len(subjects)), place)
    subjects.refuse(roles.subject, bare, f"subjects with a visit in {visits.name}", do="Drop their rows.")
    joined = subjects.take(place)
    columns = {column: joined.columns[column] for column in sorted(mine - set(visits.columns))}
    together = visits.with_columns(columns, joined.origin)
    units = {**subjects.units, **visits.units}
    return replace(together, sources=(*visits.sources, *subjects.sources), units=units)


def _stacked(
    source: Mapping[str, Readable | SourceFile], roles: Roles, elsewhere: set[str]
) -> tuple[Table, tuple[LedgerLine, ...]]:
    if roles.study is None:
        do = 'Declare study = "study" in the roles; the column is made from the names of the sources.'
        raise CohortError("roles: study", "a column for the name of each source", "none", do)
    if not source:
        raise CohortError("sources", "at least one source", "none")
    parts: dict[str, Table] = {}
    ledger: tuple[LedgerLine, ...] = ()
    needed = [column for column in roles.columns if column != roles.study and column not in elsewhere]
    for name, spec in source.items():
        spec = spec if isinstance(spec, SourceFile) else SourceFile(file=spec)
        table = with_dictionary(read_table(spec.file)).rename(spec.rename)
        _refuse_present(table, spec, name)
        absent = {column: empty_column(len(table)) for column in spec.absent}
        table = table.with_columns(absent)
        table.require(tuple(needed))
        own = roles.own_units({**table.units, **spec.units})
        table, lines = convert(table, tuple(roles.units), own, roles.subject)
        ledger += lines
        parts[name] = _own_subjects(table, name, roles.subject)
    columns = list(
        dict.fromkeys(column for table in parts.values() for column in table.columns if column != roles.study)
    )
    whole = {
        name: replace(table, columns={c: table.columns.get(c, empty_column(len(table))) for c in columns})
        for name, table in parts.items()
    }
    return stack(whole, roles.study), ledger


def _refuse_present(table: Table, spec: SourceFile, name: str) -> None:
    there = [column for column in spec.absent if column in table.columns]
    if there:
        do = "Take it out of absent."
        raise CohortError(f"sources.{name}: absent", f"columns that {table.name} lacks", repr(there[0]), do)


def _own_subjects(table: Table, name: str, subject: str) -> Table:
    """The same subjects as `<source>/<id>`, so that two sources may both number theirs from 1."""
    codes, levels = table.columns[subject].factorize()
    named = np.empty(len(levels), dtype=object)
    named[:] = [f"{name}/{level}" if level else "" for level in levels]
    return table.with_columns({subject: TextColumn(codes, named)}, table.origins.get(subject))
