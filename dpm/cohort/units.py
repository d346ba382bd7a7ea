"""Units: one unit for a quantity throughout a cohort, by conversion that is written down, or a refusal."""

import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from dpm.cohort.cleaning import LedgerLine, ledger_line
from dpm.cohort.column import NUMBER, Column, NumberColumn, TextColumn, as_text
from dpm.cohort.table import Table
from dpm.errors import CohortError
from dpm.types import Bool

if TYPE_CHECKING:
    import pint

Uses = tuple[tuple[str, str, str], ...]
"""Role, column and unit declared in the roles."""

RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
POWER = re.compile(r"(?<![\w.])10(?:([⁰¹²³⁴⁵⁶⁷⁸⁹]+)|(?:\^|\*\*?)(\d+))")
SIGNED = re.compile(rf"([<>]=?\s*)({NUMBER.pattern})")
LEADING = re.compile(r"(\d+\.?\d*(?:[eE][+-]?\d+)?)\s*[*·×]?\s*(|/.+|[^\d*/].*)")


def convert(table: Table, uses: Uses, units: Mapping[str, str], subject: str) -> tuple[Table, tuple[LedgerLine, ...]]:
    """Convert every column whose own unit is not the one its role declares.

    Args:
        table: as it was read.
        uses: what the roles declare.
        units: of the columns, as their data dictionary has them; a column it does not name has the declared unit.
        subject: the column of the subject.

    Raises:
        CohortError: the two units measure different things, or one of them is not known.
    """
    lines = []
    done: dict[str, tuple[str, str]] = {}
    for role, column, declared in uses:
        first, unit = done.setdefault(column, (role, declared))
        if unit != declared:
            got = f"{unit!r} in {first} and {declared!r} in {role}"
            raise CohortError(f"{table.name}: {column}", "one unit for a column", got, "Declare the same in both.")
        if first != role:
            continue
        own = units.get(column, "")
        if not own or own == declared or column not in table.columns:
            continue
        factor, offset = _change(table.name, role, column, own, declared)
        if factor == 1.0 and offset == 0.0:
            continue
        cells, measured = _converted(table, column, factor, offset)
        codes, _ = table.codes(subject)
        rule = f"{column}: {own} to {declared}, multiplied by {factor:.10g}" + (
            f", plus {offset:.10g}" if offset else ""
        )
        why = f"the unit declared in {role}"
        lines.append(ledger_line(table, measured, codes, "convert", rule, column=column, reason=why))
        table = table.with_columns({column: cells}, table.origins.get(column))
    return table, tuple(lines)


def _converted(table: Table, column: str, factor: float, offset: float) -> tuple[Column, Bool[np.ndarray, " row"]]:
    """The cells in the other unit, and where there are any; `<0.3` keeps its sign."""
    cells = table.columns[column]
    signed = [SIGNED.fullmatch(text) for text in cells.levels] if isinstance(cells, TextColumn) else []
    if not isinstance(cells, TextColumn) or not any(signed):
        values = table.number(column)
        return NumberColumn(factor * values + offset), ~np.isnan(values)
    levels = [
        f"{found[1]}{as_text(factor * float(found[2]) + offset)}"
        if found
        else as_text(factor * float(text) + offset)
        if NUMBER.fullmatch(text)
        else text  # refused where the outcome is measured, with its row
        for text, found in zip(cells.levels, signed, strict=True)
    ]
    return TextColumn.of(np.array(levels, dtype=object)[cells.codes]), ~cells.empty()


def _change(name: str, role: str, column: str, own: str, declared: str) -> tuple[float, float]:
    """Factor and offset from one unit to the other."""
    where = f"{name}: {column}"
    got = f"{declared!r} declared in {role}"
    try:
        registry = _registry()
        (each, unit), (whole, wanted) = _spelt(own), _spelt(declared)
        zero, one = (registry.Quantity(x * each, unit).to(wanted).magnitude / whole for x in (0.0, 1.0))
    except Exception as error:  # pint raises errors of a dozen unrelated kinds for a text it cannot read
        do = f"Declare {own!r}, or convert the column and its dictionary first ({_reason(error)})."
        expected = f"the unit {own!r} that its data dictionary gives, or one it can be converted to"
        raise CohortError(where, expected, got, do) from None
    return float(one - zero), float(zero)


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _spelt(unit: str) -> tuple[float, str]:
    """A unit as pint writes it, and the number before it, which pint does not take: `10³/µL` is 1000 times `1/uL`."""
    unit = POWER.sub(lambda found: f"1e{(found[1] or found[2]).translate(RAISED)}", unit.strip())
    unit = unit.replace("µ", "u").replace("μ", "u").replace("²", "**2").replace("³", "**3").replace("%", "percent")
    found = LEADING.fullmatch(unit)
    if not found:
        return 1.0, unit
    return float(found[1]), f"1{found[2]}" if found[2].startswith("/") else found[2]


@functools.cache
def _registry() -> "pint.UnitRegistry":
    import pint

    registry: pint.UnitRegistry = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    for unit in ("cells = count", "copies = count", "point = [points]", "letter = [letters]"):
        registry.define(unit)
    return registry
