"""Roles: which column of a table is what, in which unit, on which scale."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from dpm.cohort import conflicts
from dpm.cohort.transforms import TransformName
from dpm.errors import CohortError

TimeUnit = Literal["days", "weeks", "months", "years"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Column = Annotated[str, StringConstraints(min_length=1)]

PER_YEAR: dict[TimeUnit, float] = {"days": 365.25, "weeks": 365.25 / 7.0, "months": 12.0, "years": 1.0}
"""How many of a unit make a year."""


class Role(BaseModel):
    """What all roles share: frozen, and no key that dpm does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, ser_json_inf_nan="strings")


class TimeRole(Role):
    """The time of a visit.

    Attributes:
        column: name in the table.
        unit: of the column; inside dpm time is in years (365.25 days, 12 months).
        origin: the value of the column that is called baseline, in its own unit.
    """

    column: Column
    unit: TimeUnit
    origin: float = 0.0


class OutcomeRole(Role):
    """A quantity measured at visits.

    Attributes:
        column: name in the table.
        unit: of the column, as the data dictionary writes it.
        transform: from the column to the scale of the model.
        lower, upper: plausible values, both included, in the unit of the column.
        higher_is: what a larger value means for the patient.
        label: for tables and figures.
    """

    column: Column
    unit: Column
    transform: TransformName = "identity"
    lower: float = float("-inf")
    upper: float = float("inf")
    higher_is: Literal["worse", "better"]
    label: str = ""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "OutcomeRole":
        if not self.lower < self.upper:
            raise ValueError("lower below upper")
        return self


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
        label: for tables and figures.
    """

    column: Column
    unit: str = ""
    transform: TransformName = "identity"
    standardise: bool = False
    level: str | None = None
    levels: tuple[str, ...] = ()
    label: str = ""

    @model_validator(mode="after")
    def _number_or_indicator(self) -> "CovariateRole":
        if self.level is None and not self.unit:
            raise ValueError('a unit for a number ("1" where it has none) or a level for an indicator')
        if self.level is None and self.levels:
            raise ValueError("levels only beside a level, the one that counts as 1")
        if self.level is not None and (self.unit or self.standardise or self.transform != "identity"):
            raise ValueError("an indicator without unit and transform, and not standardised")
        if self.levels and self.level not in self.levels:
            raise ValueError("a level that is among levels")
        return self


class EventRole(Role):
    """The first terminal event of a subject, the same in each of its rows.

    Attributes:
        column: holds the type of event, or `censored`.
        time: holds the time of the event or of the end of follow-up.
        unit: of `time`.
        origin: the value of `time` at baseline, in its own unit; to be given where the time role has one.
        censored: the text for "no event until `time`".
        types: the events that may occur.
    """

    column: Column
    time: Column
    unit: TimeUnit
    origin: float | None = None
    censored: str = "censored"
    types: Annotated[tuple[str, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _types_differ(self) -> "EventRole":
        if len({self.censored, *self.types}) <= len(self.types):
            raise ValueError("censored and types that all differ")
        return self


class Roles(Role):
    """Which column plays which role.

    A column plays one role, with three exceptions: covariates, subgroups, groups and the arm may
    read the same column. An outcome's column is never a covariate too: its first value is
    in the records at time 0, and a model that also conditions on it uses it twice.

    Attributes:
        subject: column of the subject's identifier, read as text.
        time: the time of a visit.
        outcomes: by the name dpm uses for them.
        arm: column of the randomised arm, where there is one.
        covariates: by the name dpm uses for them.
        subgroups: columns by whose levels results are also shown.
        groups: columns whose levels a parameter may be partially pooled over.
        events: the terminal event, where it is followed.

    Raises:
        CohortError: a column or a name is used twice.
    """

    subject: Column
    time: TimeRole
    outcomes: Annotated[dict[Name, OutcomeRole], Field(min_length=1)]
    arm: Column | None = None
    covariates: dict[Name, CovariateRole] = {}
    subgroups: tuple[Column, ...] = ()
    groups: tuple[Column, ...] = ()
    events: EventRole | None = None

    @model_validator(mode="after")
    def _nothing_twice(self) -> "Roles":
        conflicts.refuse_columns_twice(tuple(self.uses()))
        conflicts.refuse_covariates_twice(
            {name: (role.column, role.transform, role.level) for name, role in self.covariates.items()}
        )
        conflicts.refuse_names_twice(tuple(self.outcomes), tuple(self.covariates), self.groupings)
        if self.events and self.events.origin is None:
            conflicts.refuse_half_an_origin(self.time.origin, self.events.time)
        return self

    @property
    def groupings(self) -> tuple[str, ...]:
        """The columns kept as levels: groups, then the subgroups that are not groups."""
        return tuple(dict.fromkeys((*self.groups, *self.subgroups)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column some role reads, once."""
        return tuple(dict.fromkeys(column for _, column, _ in self.uses()))

    @property
    def units(self) -> Iterator[tuple[str, str, str]]:
        """Role, column and declared unit of each role that has a unit."""
        yield "time", self.time.column, self.time.unit
        for name, outcome in self.outcomes.items():
            yield f"outcomes.{name}", outcome.column, outcome.unit
        for name, covariate in self.covariates.items():
            if covariate.unit:
                yield f"covariates.{name}", covariate.column, covariate.unit
        if self.events:
            yield "events", self.events.time, self.events.unit

    def uses(self) -> Iterator[tuple[str, str, bool]]:
        """Role, column, and whether that role wants the column for itself."""
        yield "subject", self.subject, True
        yield "time", self.time.column, True
        if self.events:
            yield "events.column", self.events.column, True
            yield "events.time", self.events.time, True
        for name, outcome in self.outcomes.items():
            yield f"outcomes.{name}", outcome.column, True
        if self.arm:
            yield "arm", self.arm, False
        for name, covariate in self.covariates.items():
            yield f"covariates.{name}", covariate.column, False
        yield from (("subgroups", column, False) for column in self.subgroups)
        yield from (("groups", column, False) for column in self.groups)

    def label(self, name: str) -> str:
        """The label of an outcome or covariate; its name in words where it has none."""
        role = self.outcomes.get(name) or self.covariates.get(name)
        return role.label if role and role.label else name.replace("_", " ")


PARTS: dict[str, type[Role]] = {
    "time": TimeRole,
    "outcomes": OutcomeRole,
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
    where = "roles: " + ".".join(str(part) for part in first["loc"] if part != "[key]")
    owner: type[Role] = Roles if len(first["loc"]) == 1 else PARTS.get(str(first["loc"][0]), Roles)
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
    return CohortError(where, message, repr(first["input"]))
