"""Outcomes: which column, what kind of quantity, on which scale, and what is known of a value that was not read off."""

from math import isfinite
from typing import Literal

from pydantic import Field, model_validator

from dpm.cohort.column import as_text
from dpm.cohort.condition import ConditionText
from dpm.cohort.role import ColumnName, Role
from dpm.cohort.transforms import TransformName


class Limits(Role):
    r"""What a measurement can be when it is not a number read off exactly.

    A value below a limit of quantification $L$ says $y < L$, one above says $y > L$, one in an interval
    says $a < y \le b$; each is a censored observation, never a value put in its place.

    Attributes:
        below: limit of quantification: a number, or the column that holds the limit of each value.
            Without `flag`, every value under it is censored at it.
        above: the same at the upper end.
        flag: column that says which values are censored.
        flags: what its texts mean: below, above or measured.
        signs: read `<0.3` and `>500` in the column as censored at that number.
        until: column of the upper end of an interval; the value itself is its lower end.
    """

    below: float | ColumnName | None = None
    above: float | ColumnName | None = None
    flag: ColumnName | None = None
    flags: dict[str, Literal["below", "above", "measured"]] = Field(default_factory=dict)
    signs: bool = False
    until: ColumnName | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Limits":
        if (self.flag is None) != (not self.flags):
            raise ValueError("flag and flags together")
        if self.below is None and self.above is None and self.flag is None and not self.signs and self.until is None:
            raise ValueError("at least one of below, above, flag, signs, until")
        return self

    @property
    def columns(self) -> dict[str, str]:
        """The columns it reads, by key."""
        return self.bounds | ({"flag": self.flag} if self.flag is not None else {})

    @property
    def bounds(self) -> dict[str, str]:
        """The columns that hold limits, in the unit of the outcome, by key."""
        keys = ("below", "above", "until")
        return {key: str(value) for key in keys if isinstance(value := getattr(self, key), str)}


class StructuralZero(Role):
    """A value that follows from the patient's state, such as 0 metres walked by a patient who cannot walk.

    Attributes:
        when: the rows it concerns, as a `Condition`; none of them may hold another value.
        value: in the unit of the outcome, or one of its levels. It is known exactly, so that no limit censors it.
        reason: its code, kept beside the value.
    """

    when: ConditionText
    value: float | str = 0.0
    reason: ColumnName

    @property
    def text(self) -> str:
        """The value as a cell."""
        return self.value if isinstance(self.value, str) else as_text(self.value)


OutcomeKind = Literal["continuous", "bounded", "integer", "ordinal", "binary", "count", "state"]


class OutcomeRole(Role):
    """A quantity measured at visits.

    Attributes:
        column: name in the table.
        unit: of the outcome; a column in another unit is converted.
        kind: a number (continuous), a score between bounds (bounded), a whole number between bounds (integer), one
            of `levels` in order (ordinal), 0 or 1 (binary), a number of things (count), one of `levels` (state).
        levels: of an ordinal outcome or a state, lowest first; inside dpm they are 0, 1, 2 and so on.
        transform: from the unit to the scale of the model.
        lower, upper: plausible values, both included, in `unit`.
        higher_is: what a larger value means for the patient.
        limits: of quantification, and other censoring.
        structural: values that follow from the patient's state.
        reason: column that says why a value is missing.
        label: for tables and figures.
    """

    column: ColumnName
    unit: ColumnName
    kind: OutcomeKind = "continuous"
    levels: tuple[str, ...] = ()
    transform: TransformName = "identity"
    lower: float = float("-inf")
    upper: float = float("inf")
    higher_is: Literal["worse", "better", "neither"]
    limits: Limits | None = None
    structural: tuple[StructuralZero, ...] = ()
    reason: ColumnName | None = None
    label: str = ""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> "OutcomeRole":
        if not self.lower < self.upper:
            raise ValueError("lower below upper")
        return self

    @model_validator(mode="after")
    def _kind_complete(self) -> "OutcomeRole":
        if (self.kind in ("ordinal", "state")) != bool(self.levels):
            raise ValueError('levels for kind = "ordinal" or "state", and for no other')
        if len(set(self.levels)) < len(self.levels) or len(self.levels) == 1:
            raise ValueError("at least two levels that all differ")
        if self.kind in ("bounded", "integer") and not (isfinite(self.lower) and isfinite(self.upper)):
            raise ValueError(f'lower and upper for kind = "{self.kind}"')
        if self.kind not in ("continuous", "bounded") and (self.transform != "identity" or self.limits):
            raise ValueError(f'no transform and no limits for kind = "{self.kind}"')
        for rule in self.structural:
            if self.levels and rule.text not in self.levels:
                raise ValueError(f"structural values among the levels, not {rule.text!r}")
            if not self.levels and (isinstance(rule.value, str) or not isfinite(rule.value)):
                raise ValueError(f"a finite number as structural value, not {rule.value!r}")
        return self

    def structural_value(self, rule: StructuralZero) -> float:
        """What a structural value is inside dpm, before the transform: a level by its place."""
        return float(self.levels.index(rule.text)) if self.levels else float(rule.value)
