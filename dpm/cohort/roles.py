"""Roles: which column of a table is what, in which unit, on which scale."""

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from dpm.cohort import conflicts
from dpm.cohort.event_role import EventRole
from dpm.cohort.outcome_role import Limits, OutcomeRole, StructuralZero
from dpm.cohort.role import ColumnName, Name, Role, TimeUnit
from dpm.cohort.transforms import TransformName
from dpm.errors import CohortError


class TimeRole(Role):
    """The time of a visit.

    Attributes:
        column: name in the table.
        unit: of the column; inside dpm time is in years (365.25 days, 12 months).
        origin: the value of the column that is called baseline, in its own unit.
    """

    column: ColumnName
    unit: TimeUnit
    origin: float = 0.0


class CovariateRole(Role):
    """A baseline value of a subject: a number, or, with `level`, the indicator of one level.

    Attributes:
        column: name in the table.
        unit: of a number, as the data dictionary writes it; an indicator has none.
        transform: of a number, from the column to the scale of the model.
        standardise: centre and scale a number by the cohort that is learned from.
        level: the text that counts as 1; every other level counts as 0.
        levels: all levels the column may hold. Without it `level` has to occur in the table,
            so that a misspelt level is not read as a column of zeros.
        missing: of a subject without a value: refuse the table, or keep the subject. A model that uses the covariate
            refuses a kept one unless it models it; tables of the cohort count it.
        knots: of a number, how many knots a spline of it has (0, 3, 4 or 5), at quantiles of the cohort learned from.
        label: for tables and figures.
    """

    column: ColumnName
    unit: str = ""
    transform: TransformName = "identity"
    standardise: bool = False
    level: str | None = None
    levels: tuple[str, ...] = ()
    missing: Literal["refuse", "keep"] = "refuse"
    knots: Literal[0, 3, 4, 5] = 0
    label: str = ""

    @model_validator(mode="after")
    def _number_or_indicator(self) -> "CovariateRole":
        if self.level is None and not self.unit:
            raise ValueError('a unit for a number ("1" where it has none) or a level for an indicator')
        if self.level is None and self.levels:
            raise ValueError("levels only beside a level, the one that counts as 1")
        if self.level is not None and (self.unit or self.standardise or self.transform != "identity" or self.knots):
            raise ValueError("an indicator without unit, transform and knots, and not standardised")
        if self.levels and self.level not in self.levels:
            raise ValueError("a level that is among levels")
        return self


class ClockRole(Role):
    """A time that runs beside study time: age, time since onset or diagnosis, the calendar.

    Attributes:
        column: name in the table.
        unit: of the column; a calendar year is in years.
        of: whose value it is: of the subject, at the origin of the time role and the same in all rows, so that it moves
            with a time zero that was moved; or of each visit, in which case that at time zero is taken.
    """

    column: ColumnName
    unit: TimeUnit = "years"
    of: Literal["subject", "visit"] = "subject"


class Roles(Role):
    """Which column plays which role.

    A column plays one role, with three exceptions: covariates, subgroups, groups, the arm and the other labels of a
    subject may read the same column. An outcome's column is never a covariate too: its first value is
    in the records at time 0, and a model that also conditions on it uses it twice.

    Attributes:
        subject: column of the subject's identifier, read as text.
        time: the time of a visit; without it each subject has one row, at baseline.
        outcomes: by the name dpm uses for them.
        arm: column of the randomised arm, where there is one.
        study, site, era: columns of the source, the place and the calendar era of a subject.
        mode, occasion, part: columns of a visit: how it was captured (clinic, home, tele, device), its name in the
            protocol, and the part of the body it is about (eye, limb), of which one time may have several.
        clocks: times beside study time, by name, such as `age`, `onset`, `calendar`.
        covariates: by the name dpm uses for them.
        subgroups: columns by whose levels results are also shown.
        groups: columns whose levels a parameter may be partially pooled over.
        events: by the name dpm uses for each process.

    Raises:
        CohortError: a column or a name is used twice.
    """

    subject: ColumnName
    time: TimeRole | None = None
    outcomes: dict[Name, OutcomeRole] = Field(default_factory=dict)
    arm: ColumnName | None = None
    study: ColumnName | None = None
    site: ColumnName | None = None
    era: ColumnName | None = None
    mode: ColumnName | None = None
    occasion: ColumnName | None = None
    part: ColumnName | None = None
    clocks: dict[Name, ClockRole] = Field(default_factory=dict)
    covariates: dict[Name, CovariateRole] = Field(default_factory=dict)
    subgroups: tuple[ColumnName, ...] = ()
    groups: tuple[ColumnName, ...] = ()
    events: dict[Name, EventRole] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _nothing_twice(self) -> "Roles":
        conflicts.refuse_columns_twice(tuple(self.uses()))
        conflicts.refuse_covariates_twice(
            {name: (role.column, role.transform, role.level) for name, role in self.covariates.items()}
        )
        conflicts.refuse_names_twice(tuple(self.outcomes), tuple(self.covariates), self.groupings)
        for name, event in self.events.items():
            if event.origin is None and self.time is not None:
                conflicts.refuse_half_an_origin(self.time.origin, name, event.time)
        return self

    @model_validator(mode="after")
    def _something_observed(self) -> "Roles":
        if not self.outcomes and not self.events:
            raise ValueError("at least one outcome or event")
        if self.outcomes and self.time is None:
            raise ValueError("a time, because there are outcomes")
        if sum(event.terminal for event in self.events.values()) > 1:
            raise ValueError("one terminal process; events that end follow-up are types of the same process")
        return self

    @property
    def terminal(self) -> str | None:
        """The name of the process that ends follow-up, where there is one."""
        return next((name for name, event in self.events.items() if event.terminal), None)

    @property
    def labels(self) -> dict[str, str]:
        """ColumnName by name, of what is kept of a subject as levels: study, site, era, groups, subgroups."""
        fixed = {key: column for key in ("study", "site", "era") if (column := getattr(self, key)) is not None}
        return fixed | {column: column for column in (*self.groups, *self.subgroups)}

    @property
    def groupings(self) -> tuple[str, ...]:
        """The names of what is kept of a subject as levels."""
        return tuple(self.labels)

    @property
    def factors(self) -> tuple[str, ...]:
        """The names of what is kept of a visit as levels."""
        return tuple(name for name in ("mode", "occasion", "part") if getattr(self, name) is not None)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column some role reads, once."""
        return tuple(dict.fromkeys(column for _, column, _ in self.uses()))

    @property
    def units(self) -> Iterator[tuple[str, str, str]]:
        """Role, column and declared unit of each role that has a unit."""
        if self.time is not None:
            yield "time", self.time.column, self.time.unit
        for name, outcome in self.outcomes.items():
            yield f"outcomes.{name}", outcome.column, outcome.unit
            for key, column in (outcome.limits.bounds if outcome.limits else {}).items():
                yield f"outcomes.{name}.limits.{key}", column, outcome.unit
        for name, covariate in self.covariates.items():
            if covariate.unit:
                yield f"covariates.{name}", covariate.column, covariate.unit
        for name, clock in self.clocks.items():
            yield f"clocks.{name}", clock.column, clock.unit
        for name, event in self.events.items():
            for column in event.times.values():
                yield f"events.{name}", column, event.unit

    def own_units(self, units: Mapping[str, str]) -> dict[str, str]:
        """Units of columns, the limits of an outcome being in the unit of its values where nothing else is said."""
        limited = [outcome for outcome in self.outcomes.values() if outcome.limits]
        like = {column: role.column for role in limited if role.limits for column in role.limits.bounds.values()}
        return {**{column: units[value] for column, value in like.items() if value in units}, **units}

    def uses(self) -> Iterator[tuple[str, str, bool]]:
        """Role, column, and whether that role wants the column for itself."""
        yield "subject", self.subject, True
        if self.time is not None:
            yield "time", self.time.column, True
        yield from self.event_uses()
        for name, outcome in self.outcomes.items():
            yield f"outcomes.{name}", outcome.column, True
            if outcome.limits is not None:
                yield from (
                    (f"outcomes.{name}.limits.{key}", column, False) for key, column in outcome.limits.columns.items()
                )
            if outcome.reason is not None:
                yield f"outcomes.{name}.reason", outcome.reason, False
        for key in ("arm", "study", "site", "era", *self.factors):
            if getattr(self, key) is not None:
                yield key, getattr(self, key), False
        for name, clock in self.clocks.items():
            yield f"clocks.{name}", clock.column, False
        for name, covariate in self.covariates.items():
            yield f"covariates.{name}", covariate.column, False
        yield from (("subgroups", column, False) for column in self.subgroups)
        yield from (("groups", column, False) for column in self.groups)

    def event_uses(self) -> Iterator[tuple[str, str, bool]]:
        """The same of the events alone. Processes may share a column, as in a table with a row per event."""
        columns: dict[str, str] = {}
        for name, event in self.events.items():
            for key, column in ({"column": event.column} | event.times).items():
                if column is not None:
                    columns.setdefault(column, f"events.{name}.{key}")
        yield from ((use, column, True) for column, use in columns.items())

    def label(self, name: str) -> str:
        """The label of an outcome or covariate; its name in words where it has none."""
        role = self.outcomes.get(name) or self.covariates.get(name)
        return role.label if role and role.label else name.replace("_", " ")


PARTS: dict[str, type[Role]] = {
    "time": TimeRole,
    "outcomes": OutcomeRole,
    "limits": Limits,
    "structural": StructuralZero,
    "clocks": ClockRole,
    "covariates": CovariateRole,
    "events": EventRole,
}


def parse_roles(roles: Roles | dict[str, object]) -> Roles:
    """Roles from the table a study file holds.

    Raises:
        CohortError: a key is missing, unknown or has a value that is not allowed.
    """
    if isinstance(roles, Roles):
        return roles
    try:
        return Roles.model_validate(roles)
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> CohortError:
    """The first problem of a pydantic error in dpm's own words."""
    first = error.errors(include_url=False)[0]
    where = ": ".join(["roles", *([path] if (path := ".".join(str(p) for p in first["loc"] if p != "[key]")) else [])])
    owner: type[Role] = next((PARTS[str(part)] for part in reversed(first["loc"][:-1]) if str(part) in PARTS), Roles)
    keys = f"Keys: {', '.join(owner.model_fields)}."
    if first["type"] == "extra_forbidden":
        return CohortError(where, "a key dpm knows", "another", keys)
    if first["type"] == "missing":
        return CohortError(where, "a value", "none", keys)
    if "[key]" in first["loc"]:
        return CohortError(where, "a name of lower-case letters, digits and _", repr(first["input"]))
    if first["type"] == "too_short":
        return CohortError(where, "at least one", "none")
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    got = "neither" if "at least one outcome or event" in message else repr(first["input"])
    return CohortError(where, message, got)
