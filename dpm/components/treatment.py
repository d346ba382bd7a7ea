r"""Treatments, and what else bends a course: trial entry, mode of capture, standard of care.

A treatment effect says which parameter it bends. Each begins at its `start`, before which the course is the
untreated one. An effect on a trajectory's own parameter, such as an annual slope, needs nothing here: it is a covariate
effect of that `Parameter`, for example `effects={"treated": prior}`. Beware of what effects look like: a 40 % slower
rate near the midpoint of a sigmoid decline looks like nothing at all for years.
"""

from abc import abstractmethod
from dataclasses import dataclass

from jax import numpy as jnp

from dpm.cohort.records import Records
from dpm.components.change import Change
from dpm.components.course import Course
from dpm.components.covariate_effect import covariate_value
from dpm.components.parameter import Parameter
from dpm.components.scalar import Scalar, among
from dpm.components.waning import Waning
from dpm.errors import ModelError
from dpm.types import Array, PerVisit


@dataclass(frozen=True, kw_only=True)
class Treatment(Change):
    r"""What every effect of treatment has: whom it concerns, from when, and how long it lasts.

    Here $\mu$ is the untreated course, $u$ the time of the start, $s = \max(t - u, 0)$, $x_i$ the covariate and
    $w(s)$ the share of the effect that is left; $S = \int_0^s w(v)\,\mathrm{d}v$, which is $s$ without waning. An
    effect on a rate keeps what it has gained when it wanes: the course then runs beside the untreated one, not back
    to it.

    Attributes:
        effect: $\theta$; a `Parameter` where it differs between subjects.
        by: the covariate $x_i$ that is 1 in the treated and 0 in others.
        start: $u$, when it begins [years since time zero].
        waning: $w$; None for an effect that stays.
    """

    effect: Scalar | Parameter
    by: str = "treated"
    start: float = 0.0
    waning: Waning | None = None

    on_rate = False
    """Whether it bends how fast the course runs, so that it adds up over time."""

    def scalars(self) -> dict[str, Scalar]:
        own: dict[str, Scalar] = {} if isinstance(self.effect, Parameter) else {"effect": self.effect}
        return {**own, **(self.waning.scalars() if self.waning is not None else {})}

    def course(
        self, unchanged: Course, time: PerVisit, records: Records, *, effect: Array, **values: Array
    ) -> PerVisit:
        since = jnp.maximum(time - self.start, 0.0)
        treated = covariate_value(f"changes: {type(self).__name__}", self.by, records)
        share = effect * treated + jnp.zeros_like(time)
        if self.waning is None:
            return self.bent(unchanged, time, since, share)
        if self.on_rate:
            return self.bent(unchanged, time, self.waning.taken(since, **values), share)
        return self.bent(unchanged, time, since, share * self.waning.left(since, **values))

    @abstractmethod
    def bent(self, unchanged: Course, time: PerVisit, since: PerVisit, effect: PerVisit) -> PerVisit:
        """The treated course, `effect` being zero in the untreated; at zero it is the untreated course."""


@dataclass(frozen=True, kw_only=True)
class ProportionalDecline(Treatment):
    r"""A share of the change since the start is spared: $\mu(u) + (1 - \theta)\{\mu(t) - \mu(u)\}$ after it.

    $\theta = 0.3$: at every visit 30 % less decline. It bends the change, whatever drives it.

    Source: Raket 2022, doi 10.1002/sim.9581.
    """

    equation = r"\mu(u) + (1 - \mathrm{effect}\;x_i\,w)\{\mu(t) - \mu(u)\},\quad t > u"

    def bent(self, unchanged: Course, time: PerVisit, since: PerVisit, effect: PerVisit) -> PerVisit:
        return unchanged(time) - effect * (unchanged(time) - unchanged(time - since))


@dataclass(frozen=True, kw_only=True)
class Slowing(Treatment):
    r"""Disease time runs slower: $\mu(u + (1 - \theta)s)$, with waning $\mu(t - \theta S)$. It bends the pace.

    Source: Raket 2022, doi 10.1002/sim.9581.
    """

    equation = r"\mu(t - \mathrm{effect}\;x_i\,\textstyle\int_0^s w(v)\,\mathrm{d}v)"
    on_rate = True

    def bent(self, unchanged: Course, time: PerVisit, since: PerVisit, effect: PerVisit) -> PerVisit:
        return unchanged(time - effect * since)


@dataclass(frozen=True, kw_only=True)
class TimeSaved(Treatment):
    r"""The course lags by a time that is reached as fast as time passes: $\mu(t - \theta)$, by no more than $s$.

    $\theta$ is in years: from $\theta$ years after the start on, patients are where they would have been $\theta$ years
    before. It bends the onset.

    Source: Raket 2022, doi 10.1002/sim.9581.
    """

    equation = r"\mu(t - \max\{-s, \min(\mathrm{effect}\;x_i\,w,\ s)\})"

    def bent(self, unchanged: Course, time: PerVisit, since: PerVisit, effect: PerVisit) -> PerVisit:
        return unchanged(time - jnp.clip(effect, -since, since))


@dataclass(frozen=True, kw_only=True)
class Shift(Treatment):
    r"""A constant difference after the start, in the unit of the course: $\mu(t) + \theta$."""

    equation = r"\mu(t) + \mathrm{effect}\;x_i\,w,\quad t > u"

    def bent(self, unchanged: Course, time: PerVisit, since: PerVisit, effect: PerVisit) -> PerVisit:
        return unchanged(time) + jnp.where(since > 0.0, effect, 0.0)


@dataclass(frozen=True, kw_only=True)
class AddedSlope(Treatment):
    r"""A difference in yearly change after the start, in the unit of the course: $\mu(t) + \theta S$."""

    equation = r"\mu(t) + \mathrm{effect}\;x_i\,\textstyle\int_0^s w(v)\,\mathrm{d}v"
    on_rate = True

    def bent(self, unchanged: Course, time: PerVisit, since: PerVisit, effect: PerVisit) -> PerVisit:
        return unchanged(time) + effect * since


@dataclass(frozen=True, kw_only=True)
class ByVisit(Change):
    r"""A proportional decline or slowing that differs from one scheduled visit to the next.

    $\theta(t)$ is zero at time zero, $\theta_k$ at the $k$-th scheduled time, linear between them and constant after
    the last one: the non-proportional models of Raket 2022 (doi 10.1002/sim.9581).

    Attributes:
        effects: a prior of one value per scheduled time, $\theta_k$.
        at: the scheduled times after time zero [years].
        bends: `"decline"`, $\mu(0) + (1 - \theta(t))\{\mu(t) - \mu(0)\}$, or `"time"`, $\mu((1 - \theta(t))\,t)$.
        by: the covariate that is 1 in the treated and 0 in others.

    Raises:
        ModelError: the times are not positive and rising, the prior has another number of values, or `bends` is
            neither.
    """

    effects: Scalar
    at: tuple[float, ...]
    bends: str = "decline"
    by: str = "treated"

    @property
    def equation(self) -> str:
        time = (
            r"\mu((1 - \theta(t)\,x_i)\,t)"
            if self.bends == "time"
            else (r"\mu(0) + (1 - \theta(t)\,x_i)\{\mu(t) - \mu(0)\}")
        )
        return time + r",\quad \theta(\mathrm{at}_k) = \mathrm{effects}_k"

    def __post_init__(self) -> None:
        shape = getattr(self.effects, "shape", lambda: ())()
        rising = all(a < b for a, b in zip((0.0, *self.at), self.at, strict=False))
        if not self.at or not rising or shape != (len(self.at),):
            got = f"times {self.at} and a prior of shape {shape}"
            raise ModelError("ByVisit", "rising times above 0 and a prior with a value for each", got)
        if self.bends not in ("decline", "time"):
            raise ModelError("ByVisit: bends", '"decline" or "time"', repr(self.bends))

    def course(self, unchanged: Course, time: PerVisit, records: Records, *, effects: Array) -> PerVisit:
        known = jnp.concatenate([jnp.zeros(1), effects])
        share = jnp.interp(time, jnp.asarray((0.0, *self.at)), known) * covariate_value("ByVisit", self.by, records)
        after = jnp.maximum(time, 0.0)
        if self.bends == "time":
            return unchanged(time - share * after)
        return unchanged(time) - share * (unchanged(time) - unchanged(time - after))


@dataclass(frozen=True, kw_only=True)
class TrialEntry(Change):
    r"""What entering a trial does to a measurement: placebo, practice, attention.

    $$\mu(t) + \theta\,(1 - e^{-k s})\,2^{-s/h}$$

    $s$ is time since time zero. Natural history does not contain it: its prior should come from placebo arms of trials.

    Attributes:
        size: $\theta$ [outcome unit]; a `Parameter` where it differs between subjects.
        rate: $k$, how fast it sets in [1/years].
        half_life: $h$, how fast it fades [years]; None where it stays.
        by: a covariate that is 1 in those who entered a trial; None for everybody.

    Source: Delor et al. 2013, doi 10.1038/psp.2013.54.
    """

    size: Scalar | Parameter
    rate: Scalar = 12.0
    half_life: Scalar | None = None
    by: str | None = None

    equation = r"\mu(t) + \mathrm{size}\,(1 - e^{-\mathrm{rate}\;s})\,2^{-s / \mathrm{half\_life}}"

    def course(
        self,
        unchanged: Course,
        time: PerVisit,
        records: Records,
        *,
        size: Array,
        rate: Array,
        half_life: Array | None = None,
    ) -> PerVisit:
        since = jnp.maximum(time, 0.0)
        bump = size * -jnp.expm1(-rate * since)
        if half_life is not None:
            bump = bump * jnp.exp2(-since / half_life)
        return unchanged(time) + (bump if self.by is None else bump * covariate_value("TrialEntry", self.by, records))


@dataclass(frozen=True, kw_only=True)
class CaptureMode(Change):
    r"""What another way of measuring adds at a visit: home against clinic, one device against another.

    $$\mu(t) + \delta_{m(j)},\qquad \delta_0 = 0$$

    with level 0 the commonest mode at the fit, in which predictions are made. Events follow the course without it. It
    comes last among the changes of an outcome.

    Attributes:
        shifts: a prior of one value for each mode but the commonest, $\delta$ [outcome unit].
    """

    shifts: Scalar

    equation = r"\mu(t) + \mathrm{shifts}_{m(j)}"
    last = True

    def course(self, unchanged: Course, time: PerVisit, records: Records, *, shifts: Array) -> PerVisit:
        modes = among("changes: CaptureMode", "factors of visits", "mode", records.levels)
        if shifts.shape != (modes.shape[0] - 1,):
            got = f"a prior of shape {shifts.shape}"
            raise ModelError("CaptureMode: shifts", f"a value for each of {modes.shape[0] - 1} modes", got)
        if time is not records.time:
            return unchanged(time)
        return unchanged(time) + sum((shifts[k] * modes[k + 1] for k in range(len(shifts))), jnp.zeros(()))


@dataclass(frozen=True, kw_only=True)
class CareDrift(Change):
    r"""Standard of care that moves with the calendar: $\mu(t) + \theta\,(c_i + t - r)$.

    Attributes:
        yearly: $\theta$ [outcome unit/year].
        clock: the roles' clock of the calendar, $c_i$ at time zero [years].
        reference: the year of no difference, $r$.
    """

    yearly: Scalar
    clock: str = "calendar"
    reference: int = 2000

    equation = r"\mu(t) + \mathrm{yearly}\,(\mathrm{calendar}_i + t - \mathrm{reference})"

    def course(self, unchanged: Course, time: PerVisit, records: Records, *, yearly: Array) -> PerVisit:
        year = among("changes: CareDrift", "clocks", self.clock, records.origins) + time
        return unchanged(time) + yearly * (year - self.reference)
