"""What every role shares: names, units of time, and a frozen record that knows its keys."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

TimeUnit = Literal["days", "weeks", "months", "years"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
ColumnName = Annotated[str, StringConstraints(min_length=1)]

PER_YEAR: dict[TimeUnit, float] = {"days": 365.25, "weeks": 365.25 / 7.0, "months": 12.0, "years": 1.0}
"""How many of a unit make a year."""


class Role(BaseModel):
    """Frozen, and no key that dpm does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True, ser_json_inf_nan="strings")
