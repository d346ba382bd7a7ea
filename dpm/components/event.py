"""Events: what may happen to a subject, at a rate that may follow its course."""

from abc import ABC, abstractmethod

from dpm.cohort.records import Records
from dpm.components.course import Courses


class Event(ABC):
    """A process of the cohort whose hazard a model describes."""

    @abstractmethod
    def observe(self, name: str, records: Records, courses: Courses) -> None:
        """Sample the population values outside the plate, and score or draw the events inside it, at site `name`."""
