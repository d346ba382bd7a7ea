"""What time is, for a trajectory."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import jax
from jax import numpy as jnp

from dpm.cohort.records import Records
from dpm.components.covariate_effect import Effects
from dpm.components.grouping import Groups
from dpm.components.parameter import Parameter, parameters_of
from dpm.components.scalar import Scalar
from dpm.components.trajectory import Trajectory
from dpm.errors import ModelError
from dpm.types import Array, PerSubject, PerVisit


class Clock(ABC):
    """Turns study time into the time a trajectory runs on; sampled once and shared by all outcomes."""

    @property
    @abstractmethod
    def equation(self) -> str:
        """The clock in LaTeX."""

    def parameters(self) -> dict[str, Parameter]:
        """Its fields that vary by subject, in order."""
        return parameters_of(self)

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

    Shared by all outcomes, and correlated with their subject-level effects. A trajectory has a location and a rate of
    its own, so that a typical onset and pace cannot be learned beside them: `onset(...)` and `pace(...)` set them to 0
    and 1, and $\tau$ is the time of the typical subject. The same model in the terms of Schiratti et al. 2017 and of
    leaspy has a typical onset that is learned, and trajectories fixed in place at $\tau = 0$; `classical` and
    `classical_course` give their quantities.

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

    def classical(self, *, onset: PerSubject, pace: PerSubject) -> tuple[PerSubject, PerSubject]:
        r"""Time shift and log-acceleration of Schiratti et al. 2017 (J Mach Learn Res 18(133):1-33).

        Their time reparametrisation $e^{\xi_i}(t - t_0 - \tau_i) + t_0$ is leaspy's $e^{\xi_i}(t - \tau_i)$ with
        $\tau_i$ counted from the origin of the clock, not from $t_0$; that is what is returned here.

        Returns:
            $\tau_i = r + \delta_i$, on the clock of `origin` [years], and $\xi_i = \log \alpha_i$.
        """
        return self.reference + onset, jnp.log(pace)


def classical_course(trajectory: Trajectory, **values: Array | float) -> tuple[Array, Array]:
    r"""Reference value and velocity of a course: $p_0 = f(0)$ and $v_0 = f'(0)$ [per year] of latent time.

    Schiratti's $p_0$ and $v_0$, and leaspy's $g = 1 / p_0 - 1$ and $v_0$ of a logistic course from 0 to 1, which is
    $\{1 + g \exp(-v_0 \tau / \{p_0 (1 - p_0)\})\}^{-1}$.

    Args:
        trajectory: the course.
        values: one for each of its fields that is a parameter or a population value.
    """
    zero = jnp.zeros((1, 1))
    at, slope = jax.jvp(lambda time: trajectory.curve(time, **values), (zero,), (jnp.ones((1, 1)),))
    return at[0, 0], slope[0, 0]


def onset(
    subject: Scalar, *, effects: Effects | None = None, groups: Groups | None = None, typical: Scalar = 0.0
) -> Parameter:
    """Onset of a latent time: 0 for the typical subject.

    Args:
        subject: sd between subjects [years].
        effects: later onset per unit of a covariate [years].
        groups: later onset by group [years].
        typical: another typical onset; learn it only with trajectories that are fixed in time.
    """
    return Parameter(typical, subject=subject, effects=effects or {}, groups=groups or {})


def pace(subject: Scalar | None, *, effects: Effects | None = None, groups: Groups | None = None) -> Parameter:
    """Pace of a latent time: 1 for the typical subject, log-normal between subjects.

    Args:
        subject: sd of the log pace between subjects; None where all run at the pace of their covariates.
        effects: log pace per unit of a covariate.
        groups: log pace by group.
    """
    return Parameter(0.0, subject=subject, effects=effects or {}, groups=groups or {}, link=jnp.exp)


def _origin(name: str, records: Records) -> PerSubject:
    if name not in records.origins:
        have = ", ".join(sorted(records.origins)) or "none"
        do = "Declare it under clocks in the roles when the cohort is read."
        raise ModelError("clock", f'"{name}" among the cohort\'s clocks', have, do)
    return records.origins[name]
