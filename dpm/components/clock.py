"""What time is, for a trajectory."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

from dpm.cohort.records import Records
from dpm.components.parameter import Parameter
from dpm.errors import ModelError
from dpm.types import PerSubject, PerVisit


class Clock(ABC):
    """Turns study time into the time a trajectory runs on; sampled once and shared by all outcomes."""

    @property
    @abstractmethod
    def equation(self) -> str:
        """The clock in LaTeX."""

    def parameters(self) -> dict[str, Parameter]:
        """Its fields that vary by subject, in order."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if isinstance(value, Parameter)}

    @abstractmethod
    def at(self, time: PerVisit, records: Records, **values: Any) -> PerVisit:
        """Disease time [years] at study time `time` [years], given each parameter's per-subject values."""


@dataclass(frozen=True)
class StudyTime(Clock):
    """Time since the subject's baseline visit [years]."""

    equation = r"t = \text{years since baseline}"

    def at(self, time: PerVisit, records: Records) -> PerVisit:
        return time


@dataclass(frozen=True)
class Since(Clock):
    r"""A clock that the cohort declares: age, time since onset or diagnosis, the calendar.

    $$\tau_i(t) = t + o_i - r$$

    Attributes:
        origin: its name among the roles' `clocks`; $o_i$ is its value at time zero [years].
        reference: the value that is called 0, $r$ [years].
    """

    origin: str
    reference: float = 0.0

    @property
    def equation(self) -> str:
        name = self.origin.replace("_", r"\_")
        shift = f" - {self.reference:g}" if self.reference else ""
        return rf"\tau_i(t) = t + \mathrm{{{name}}}_i{shift}"

    def at(self, time: PerVisit, records: Records) -> PerVisit:
        return time + _origin(self.origin, records) - self.reference


@dataclass(frozen=True, kw_only=True)
class LatentTime(Clock):
    r"""Disease time that no calendar shows: every subject has an onset and a pace.

    $$\tau_i(t) = \alpha_i\,(t + o_i - r - \delta_i),\qquad \alpha_i > 0$$

    Shared by all outcomes, and correlated with their subject-level effects. Where the trajectories have locations and
    rates of their own, a typical onset or pace that is learned too is not identified: give `onset` and `pace`
    typical values of 0 (`dpm.onset(...)` and `dpm.pace(...)` do), so that $\tau$ is the time of a typical subject.
    In the terms of Schiratti et al. 2017 (J Mach Learn Res 18:1-33), $\xi_i = \log\alpha_i$ and
    $\tau_i^{\mathrm{ref}} = r + \delta_i$.

    Attributes:
        onset: how much later the subject's disease runs than the typical one's, $\delta_i$ [years].
        pace: $\alpha_i$, 1 for the typical subject; its link has to be positive, such as `jax.numpy.exp`.
        origin: the roles' clock that it runs on, such as `age`; None for study time.
        reference: the value of that clock that is called 0, $r$ [years].
    """

    onset: Parameter
    pace: Parameter
    origin: str | None = None
    reference: float = 0.0

    @property
    def equation(self) -> str:
        name = "" if self.origin is None else rf" + \mathrm{{{self.origin.replace('_', r'\_')}}}_i"
        shift = f" - {self.reference:g}" if self.reference else ""
        return rf"\tau_i(t) = \mathrm{{pace}}_i\,(t{name}{shift} - \mathrm{{onset}}_i)"

    def at(self, time: PerVisit, records: Records, *, onset: PerSubject, pace: PerSubject) -> PerVisit:
        origin = 0.0 if self.origin is None else _origin(self.origin, records)
        return pace * (time + origin - self.reference - onset)


def _origin(name: str, records: Records) -> PerSubject:
    if name not in records.origins:
        have = ", ".join(sorted(records.origins)) or "none"
        do = "Declare it under clocks in the roles when the cohort is read."
        raise ModelError("clock", f'"{name}" among the cohort\'s clocks', have, do)
    return records.origins[name]
