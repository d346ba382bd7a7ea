"""What time is, for a trajectory."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from dpm.cohort.records import Records
from dpm.types import PerVisit


class Clock(ABC):
    """Turns the records' time into the time a trajectory runs on; sampled once and shared by all outcomes."""

    equation: str
    """The clock in LaTeX."""

    @abstractmethod
    def time(self, records: Records) -> PerVisit:
        """Disease time of every visit [years]."""


@dataclass(frozen=True)
class StudyTime(Clock):
    """Time since the subject's baseline visit [years]."""

    equation = r"t = \text{years since baseline}"

    def time(self, records: Records) -> PerVisit:
        return records.time
