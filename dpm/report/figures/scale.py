"""The scale an outcome is read on: ticks in the unit of the clinic on an axis in the unit of the model."""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from dpm.cohort.cohort import Cohort
from dpm.errors import ReportError

BASE = {"log": np.e, "log2": 2.0, "log10": 10.0}
"""Base of each logarithm a measurement may have been transformed by."""


@dataclass(frozen=True, kw_only=True)
class OutcomeScale:
    """How an outcome is named and measured.

    Attributes:
        name: its name in the tables, e.g. `log_bilirubin`.
        label: its name for readers, e.g. "Serum bilirubin".
        unit: unit of what was measured, before the transform, e.g. "mg/dL".
        transform: "log" (natural), "log2", "log10" or "identity": what was done to the measurement before modelling.
    """

    name: str
    label: str
    unit: str = ""
    transform: str = "identity"

    @classmethod
    def of(cls, cohort: Cohort, outcome: str) -> "OutcomeScale":
        """The scale of an outcome as the roles of its cohort declare it.

        Raises:
            ReportError: the cohort has no such outcome.
        """
        role = cohort.roles.outcomes.get(outcome)
        if role is None:
            raise ReportError("outcome", f"one of: {', '.join(cohort.roles.outcomes)}", repr(outcome))
        return cls(name=outcome, label=role.label or role.column, unit=role.unit, transform=role.transform)

    @property
    def is_log(self) -> bool:
        return self.transform in BASE

    @property
    def measured(self) -> str:
        """Label of an axis in the unit of measurement."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.label}{unit}"

    @property
    def modelled(self) -> str:
        """Unit on the model's scale, e.g. "log mg/dL"."""
        return " ".join(part for part in (self.transform if self.is_log else "", self.unit) if part)


def natural_ticks(low: float, high: float, transform: str) -> tuple[list[float], list[str]]:
    """Round numbers in the unit of measurement between two limits on the model's scale.

    Returns:
        Their places on the model's scale, and their labels.
    """
    unit = float(np.log10(BASE[transform]))
    first, last = low * unit, high * unit
    steps: tuple[float, ...] = (1, 2, 5) if last - first < 2.7 else (1,)
    steps = steps if last - first > 0.7 else (1, 1.5, 2, 3, 4, 5, 7)
    values = [step * 10.0**power for power in range(int(np.floor(first)), int(np.ceil(last)) + 1) for step in steps]
    inside = [value for value in values if first <= np.log10(value) <= last]
    return [float(np.log10(value)) / unit for value in inside], [f"{value:g}" for value in inside]


def label_outcome(axes: Axes, scale: OutcomeScale, *, both: bool = False, named: bool = True) -> None:
    """Label the vertical axis; call it once the limits are final.

    Args:
        axes: axes whose vertical values are on the model's scale.
        scale: the outcome.
        both: also show the model's scale on the right.
        named: write the label, not only the ticks.
    """
    if scale.is_log:
        low, high = axes.get_ylim()
        places, labels = natural_ticks(low, high, scale.transform)
        axes.yaxis.set_major_locator(FixedLocator(places))
        axes.yaxis.set_major_formatter(FixedFormatter(labels))
        axes.yaxis.set_minor_locator(NullLocator())
    if named:
        axes.set_ylabel(f"{scale.measured}, log scale" if scale.is_log else scale.measured)
    if both and scale.is_log:
        right = axes.secondary_yaxis("right")
        right.set_ylabel(f"{scale.transform} {scale.label[:1].lower()}{scale.label[1:]}")
