"""What changes a course: treatment, trial entry, mode of capture."""

from abc import ABC, abstractmethod
from typing import Any

from dpm.cohort.records import Records
from dpm.components.course import Course
from dpm.components.parameter import Parameter, parameters_of
from dpm.components.scalar import Scalar, scalars_of
from dpm.types import PerVisit


class Change(ABC):
    """Something that bends an outcome's course; its fields are `Parameter`, `Scalar` or configuration."""

    equation: str
    """The changed course in LaTeX, with the field names as symbols."""

    last: bool = False
    """Whether it belongs to visits and not to the course, so that no other change may follow it."""

    def parameters(self) -> dict[str, Parameter]:
        """Its fields that vary by subject, in order."""
        return parameters_of(self)

    def scalars(self) -> dict[str, Scalar]:
        """Its population values, in order."""
        return scalars_of(self)

    @abstractmethod
    def course(self, unchanged: Course, time: PerVisit, records: Records, **values: Any) -> PerVisit:
        """The changed course at study time `time` [years]; `unchanged` gives the other one at any study time."""
