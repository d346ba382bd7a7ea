"""What a model says of its subjects once everything is sampled: courses at any time, for events and treatments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dpm.types import PerSubject, PerVisit

type Course = Callable[[PerVisit], PerVisit]
"""An expected course as a function of study time [years], of shape `(time, subject)`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Courses:
    """The sampled subjects of one run of a model.

    A course here is that of the subject, without what belongs to single visits (effects within an occasion or a part).

    Attributes:
        outcomes: per outcome, its course on the scale of its trajectory, as changed by treatment and trial entry; per
            latent course, that course itself.
        clock: disease time as a function of study time.
        deviations: every subject-level effect, by site name, before the link: $b_i$ with its spread.
    """

    outcomes: Mapping[str, Course]
    clock: Course
    deviations: Mapping[str, PerSubject]
