"""How a hazard or an intensity follows a subject's course."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import numpy as np
from jax import numpy as jnp

from dpm.components.course import Course, Courses
from dpm.components.scalar import Scalar
from dpm.errors import ModelError
from dpm.types import PerVisit


class Link(ABC):
    r"""A term $\alpha\,g_i(t)$ of a log hazard."""

    effect: Scalar
    """$\\alpha$, per unit of what is linked."""

    symbol: str
    """$g_i(t)$ in LaTeX, with `X` for what is linked."""

    @abstractmethod
    def follow(self, name: str, courses: Courses, time: PerVisit) -> PerVisit:
        r"""$g_i(t)$ at study times `time` [years].

        Args:
            name: the key of the link: an outcome, or what `of` does not name otherwise.
            courses: of the subjects.
            time: positive.

        Raises:
            ModelError: the model has no such course or effect.
        """


@dataclass(frozen=True)
class CurrentValue(Link):
    """The value of an outcome's course, or of a latent one: its key is the outcome, unless `of` names it."""

    effect: Scalar
    of: str | None = None

    symbol = r"X_i(t)"

    def follow(self, name: str, courses: Courses, time: PerVisit) -> PerVisit:
        return _outcome(self.of or name, courses)(time)


@dataclass(frozen=True)
class Slope(Link):
    """The yearly rate of change of an outcome's course."""

    effect: Scalar
    of: str | None = None

    symbol = r"X_i'(t)"

    def follow(self, name: str, courses: Courses, time: PerVisit) -> PerVisit:
        return jax.jvp(_outcome(self.of or name, courses), (time,), (jnp.ones_like(time),))[1]


@dataclass(frozen=True)
class Area(Link):
    r"""The area under an outcome's course since time zero, $\int_0^t \mu_i(s)\,\mathrm{d}s$ (ten Gauss nodes)."""

    effect: Scalar
    of: str | None = None

    symbol = r"\int_0^t X_i(s)\,\mathrm{d}s"

    def follow(self, name: str, courses: Courses, time: PerVisit) -> PerVisit:
        nodes = zip(*np.polynomial.legendre.leggauss(10), strict=True)
        course = _outcome(self.of or name, courses)
        return sum((0.5 * w * time * course(0.5 * (1.0 + x) * time) for x, w in nodes), jnp.zeros(()))


@dataclass(frozen=True)
class RandomEffect(Link):
    """A subject-level effect, by the name of its parameter, such as `log_bilirubin_slope`."""

    effect: Scalar
    of: str | None = None

    symbol = r"b^X_i"

    def follow(self, name: str, courses: Courses, time: PerVisit) -> PerVisit:
        wanted = self.of or name
        if wanted not in courses.deviations:
            have = ", ".join(sorted(courses.deviations)) or "none"
            raise ModelError(f"links.{name}", f'"{wanted}" among the subject-level effects', have)
        return courses.deviations[wanted] + 0.0 * time


@dataclass(frozen=True)
class DiseaseTime(Link):
    """The model's clock, such as latent disease time; its key is free."""

    effect: Scalar

    symbol = r"\tau_i(t)"

    def follow(self, name: str, courses: Courses, time: PerVisit) -> PerVisit:
        return courses.clock(time)


def _outcome(name: str, courses: Courses) -> Course:
    if name not in courses.outcomes:
        have = ", ".join(sorted(courses.outcomes)) or "none"
        do = "Name the outcome as the key of the link, or in its field `of`."
        raise ModelError(f"links.{name}", f'"{name}" among the model\'s outcomes and latent courses', have, do)
    return courses.outcomes[name]
