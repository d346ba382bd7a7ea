"""Events: what may happen to a subject, and when it was under observation."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dpm.cohort.condition import ConditionText
from dpm.cohort.role import ColumnName, Name, Role, TimeUnit

CENSORED = "censored"
"""What stands for "no event until then" inside dpm, whatever the table writes."""


class EventRole(Role):
    """One process that runs until something happens to the subject.

    The types of one process compete: the first one ends it. Processes that run side by side, such as relapse and
    death counted each on its own, are declared as several.

    Attributes:
        column: holds the type of event, or `censored`. Without it an event is a cell of `time` that is not empty.
        time: holds the time of the event or of the end of follow-up.
        end: where `column` is not given, the time at which follow-up ended without the event.
        until: of an event known to lie between two times, the later one; it then lies in (time, until].
        entry: time from which the subject was observed (delayed entry, left truncation).
        where: in a table of events, the rows of this process, as a `Condition`.
        unit: of all these times.
        origin: their value at baseline, in that unit; to be given where the time role has one.
        censored: the text for "no event until `time`".
        types: the events that may occur: their names, or the texts of the table with the name of each.
        recurrent: it may occur again and again; each subject then has a row per event and one censored row, its last.
        terminal: it ends follow-up, as death does, so that a visit after it is an error. One process may be terminal.
        visits_after: what is done about a visit after a terminal event or after the end of its follow-up: refuse
            the table, or drop the visit, which the ledger counts.
    """

    column: ColumnName | None = None
    time: ColumnName
    end: ColumnName | None = None
    until: ColumnName | None = None
    entry: ColumnName | None = None
    where: ConditionText | None = None
    unit: TimeUnit
    origin: float | None = None
    censored: str = CENSORED
    types: Annotated[dict[str, Name], Field(min_length=1)]
    recurrent: bool = False
    terminal: bool = False
    visits_after: Literal["refuse", "drop"] = "refuse"

    @model_validator(mode="before")
    @classmethod
    def _types_by_name(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(given.get("types"), list | tuple):
            names = [str(name) for name in given["types"]]
            if len(set(names)) < len(names):
                raise ValueError("types that all differ")
            given = {**given, "types": dict(zip(names, names, strict=True))}
        return given

    @model_validator(mode="after")
    def _types_differ(self) -> "EventRole":
        if len({self.censored, *self.types}) <= len(self.types) or CENSORED in self.types.values():
            raise ValueError("censored and types that all differ")
        if self.column is None and (self.end is None or len(self.types) != 1 or self.recurrent):
            raise ValueError("without a column: an end, and one type of event that occurs once")
        if self.column is not None and self.end is not None:
            raise ValueError("either a column or an end")
        if self.recurrent and self.terminal:
            raise ValueError("an event that recurs or one that ends follow-up, not both")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The events that may occur, each once."""
        return tuple(dict.fromkeys(self.types.values()))

    @property
    def times(self) -> dict[str, str]:
        """The columns that hold times, by key."""
        keys = ("time", "end", "until", "entry")
        return {key: str(getattr(self, key)) for key in keys if getattr(self, key) is not None}
