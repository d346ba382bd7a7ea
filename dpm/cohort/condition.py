"""`Condition`: what a declared rule asks of a row, in words a study file can hold."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from dpm.cohort.column import NUMBER
from dpm.cohort.table import Table
from dpm.errors import CohortError
from dpm.types import Bool

Operator = Literal["<=", ">=", "==", "!=", "<", ">", "in", "not in", "is missing", "is present"]

CLAUSE = re.compile(
    r"""\s*(?:"(?P<quoted>[^"]+)"|(?P<plain>[\w.%/-]+))\s*
        (?:(?P<state>is\s+(?:missing|present))|(?P<operator><=|>=|==|!=|<|>|not\s+in\b|in\b)\s*(?P<value>.+?))\s*""",
    re.VERBOSE,
)
QUOTED = re.compile(r"""("[^"]*"|'[^']*'|\[(?:"[^"]*"|'[^']*'|[^\]"'])*\])""")
"""A text in quotes, or a list, whose inside separates nothing."""

AND, COMMA = re.compile(r"\s+and\s+"), re.compile(",")
PLAIN = re.compile(r"(?!.*\b(?:and|or)\b)[^<>=!\[\]\"]+")
"""A value that needs no quotes."""

FORM = 'clauses joined by "and", such as: bilirubin >= 2 and stage in [3, 4] and albumin is present'


@dataclass(frozen=True, kw_only=True)
class Clause:
    """One comparison: column, operator, and the texts it is compared with."""

    column: str
    operator: Operator
    values: tuple[str, ...] = ()

    def holds(self, table: Table) -> Bool[np.ndarray, " row"]:
        """Where it is true; an empty cell satisfies nothing but `is missing`."""
        if self.operator in ("is missing", "is present"):
            return np.asarray(table.empty(self.column) == (self.operator == "is missing"))
        if self.operator in ("<=", ">=", "<", ">"):
            return self._ordered(table)
        codes, levels = table.codes(self.column)
        numbers = {float(value) for value in self.values if NUMBER.fullmatch(value)}
        same = [
            bool(text) and (text in self.values or bool(NUMBER.fullmatch(text) and float(text) in numbers))
            for text in levels
        ]
        negated = self.operator in ("!=", "not in")
        found = np.array([bool(text) and is_same != negated for text, is_same in zip(levels, same, strict=True)], bool)
        return found[codes]

    def _ordered(self, table: Table) -> Bool[np.ndarray, " row"]:
        values, limit = table.number(self.column), float(self.values[0])
        compare = {"<=": np.less_equal, ">=": np.greater_equal, "<": np.less, ">": np.greater}[self.operator]
        with np.errstate(invalid="ignore"):
            return np.asarray(compare(values, limit))


@dataclass(frozen=True, kw_only=True)
class Condition:
    """All of some clauses.

    Attributes:
        text: as it was written.
        clauses: each has to hold.
    """

    text: str
    clauses: tuple[Clause, ...]

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """A condition from its text: `<column> <operator> <value>`, joined by `and`.

        Operators: `<  <=  >  >=  ==  !=  in [a, b]  not in [a, b]  is missing  is present`. A name of a column that
        holds a space is put in double quotes. Nothing is evaluated.

        Raises:
            CohortError: it cannot be read.
        """
        parts = _parts(text.strip(), AND)
        return cls(text=text.strip(), clauses=tuple(_clause(part, text) for part in parts))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads, once."""
        return tuple(dict.fromkeys(clause.column for clause in self.clauses))

    def holds(self, table: Table) -> Bool[np.ndarray, " row"]:
        """Where every clause is true.

        Raises:
            CohortError: a column is missing, or holds text where numbers are compared.
        """
        table.require(self.columns)
        return np.logical_and.reduce([clause.holds(table) for clause in self.clauses])


def _clause(part: str, text: str) -> Clause:
    found = CLAUSE.fullmatch(part)
    if not found:
        raise CohortError(f"rule: {text}", FORM, repr(part), "Write each clause as: column operator value.")
    column = found["quoted"] or found["plain"]
    if found["state"]:
        return Clause(column=column, operator="is missing" if "missing" in found["state"] else "is present")
    operator = re.sub(r"\s+", " ", found["operator"])
    values = _values(found["value"], operator, part, text)
    if operator in ("<", "<=", ">", ">=") and not NUMBER.fullmatch(values[0]):
        raise CohortError(f"rule: {text}", f"a number after {operator}", repr(values[0]))
    return Clause(column=column, operator=operator, values=values)  # type: ignore[arg-type]


def _values(written: str, operator: str, part: str, text: str) -> tuple[str, ...]:
    if operator not in ("in", "not in"):
        return (_bare(written, text),)
    if not (written.startswith("[") and written.endswith("]")):
        raise CohortError(f"rule: {text}", f"a list after {operator}, such as [3, 4]", repr(part))
    inside = written[1:-1].strip()
    values = tuple(_bare(value, text) for value in _parts(inside, COMMA)) if inside else ()
    if not values:
        raise CohortError(f"rule: {text}", f"at least one value after {operator}", "none")
    return values


def _bare(value: str, text: str) -> str:
    """A value without its quotes."""
    value = value.strip()
    if len(value) > 2 and value[0] == value[-1] and value[0] in "\"'" and value[0] not in value[1:-1]:
        return value[1:-1].strip()
    if not PLAIN.fullmatch(value) or value.startswith("'"):
        do = 'Put a text that holds such signs, "and" or "or" in quotes; for nothing write "is missing".'
        raise CohortError(f"rule: {text}", "a number or a text after each operator", repr(value), do)
    return value


def _parts(text: str, separator: re.Pattern[str]) -> list[str]:
    """The text cut at a separator, except within quotes and lists."""
    parts, start = [], 0
    inside = [found.span() for found in QUOTED.finditer(text)]
    for cut in separator.finditer(text):
        if not any(low <= cut.start() < high for low, high in inside):
            parts.append(text[start : cut.start()])
            start = cut.end()
    return [*parts, text[start:]]


def _readable(text: str) -> str:
    try:
        Condition.parse(text)
    except CohortError as error:
        raise ValueError(f"{error.expected} (got {error.got})") from None
    return text


ConditionText = Annotated[str, AfterValidator(_readable)]
"""The text of a `Condition`, in a record that pydantic checks."""
