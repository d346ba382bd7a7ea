"""Events: what may happen to a subject, at a rate that may follow its course."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpyro
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.records import Records
from dpm.components.course import Courses
from dpm.components.covariate_effect import covariate_value
from dpm.components.event_time import EventTime, LogHazard
from dpm.components.hazard import Hazard
from dpm.components.link import Link
from dpm.components.scalar import Scalar, sample_scalar
from dpm.errors import ModelError
from dpm.types import PerVisit


class Process(ABC):
    """What may happen in one event process of the cohort, and at which rate."""

    nodes: int
    """Gauss nodes of each integral of a hazard."""

    horizon: float
    """Until when events are drawn in simulation [years]."""

    @abstractmethod
    def causes(self) -> dict[str, "Event"]:
        """The hazard of each type of event, by the name its sites end with, "" for one that stands for several."""

    @abstractmethod
    def kinds(self, types: tuple[str, ...]) -> tuple[int, ...]:
        """Of each type of the process, the number of its cause from 1 on; 0 for one that censors."""

    def named(self, name: str) -> dict[str, "Event"]:
        """Each cause by the name its sites begin with."""
        return {f"{name}_{cause}" if cause else name: event for cause, event in self.causes().items()}

    def observe(self, name: str, records: Records, courses: Courses) -> None:
        """Sample the population values outside the plate, and score or draw the events inside it, at site `name`."""
        rows = records.events[name]
        log_hazards, breaks = [], set()
        for own, event in self.named(name).items():
            log_hazards.append(event.log_hazard(own, records, courses))
            breaks |= set(event.hazard.breaks)
        kind = jnp.asarray([0, *self.kinds(rows.types)])[rows.kind]
        process = EventTime(tuple(log_hazards), tuple(sorted(breaks)), rows, self.nodes, self.horizon)
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            numpyro.sample(name, process, obs=jnp.stack([rows.time.T, kind.T.astype(rows.time.dtype)], axis=-1))


@dataclass(frozen=True, kw_only=True)
class Event(Process):
    r"""One thing that may happen, in continuous time since time zero.

    $$\log h_i(t) = \log h_0(t) + \sum_k \beta_k x_{ik} + \sum_l \alpha_l\,g_{li}(t)$$

    An event at $T$ after entry at $a$ adds $\log h_i(T) - \int_a^T h_i$, follow-up without it $-\int_a^T h_i$, one
    known to lie in $(T, U]$ $\log(e^{-\int_a^T h_i} - e^{-\int_a^U h_i})$. Where it recurs, time is at risk from the
    last event on and the clock goes on (Andersen & Gill 1982, doi 10.1214/aos/1176345976). Integrals that follow a
    course are taken by Gauss's rule between the hazard's knots. Sites are `<process>_<field>` for the hazard,
    `<process>_<covariate>` and `<process>_<link>` for effects, with the type after `<process>` where types compete.

    Attributes:
        hazard: $h_0$ [1/years].
        links: $\alpha_l$ and $g_l$, by outcome or by a name of your own.
        effects: per covariate, its log hazard ratio $\beta_k$.
        types: those of the process that count as this event, others censor; None for all of them.
        nodes: of each integral.
        horizon: until when events are drawn in simulation [years]; who has none by then is censored there.
    """

    hazard: Hazard
    links: Mapping[str, Link] = field(default_factory=dict)
    effects: Mapping[str, Scalar] = field(default_factory=dict)
    types: tuple[str, ...] | None = None
    nodes: int = 20
    horizon: float = 50.0

    def causes(self) -> dict[str, "Event"]:
        return {"": self}

    def kinds(self, types: tuple[str, ...]) -> tuple[int, ...]:
        unknown = sorted(set(self.types or ()) - set(types))
        if unknown:
            raise ModelError("event: types", f"types among {', '.join(types)}", ", ".join(unknown))
        return tuple(int(self.types is None or each in self.types) for each in types)

    def scalars(self) -> dict[str, Scalar]:
        """Every population value, by what its site ends with."""
        links = {name: link.effect for name, link in self.links.items()}
        return {**self.hazard.scalars(), **self.effects, **links}

    def log_hazard(self, name: str, records: Records, courses: Courses) -> LogHazard:
        """The sampled log hazard of every subject, as a function of study time."""
        base = {key: sample_scalar(f"{name}_{key}", scalar) for key, scalar in self.hazard.scalars().items()}
        shift = jnp.zeros(records.n_subjects)
        for covariate, scalar in self.effects.items():
            shift = shift + sample_scalar(f"{name}_{covariate}", scalar) * covariate_value(name, covariate, records)
        effects = {key: sample_scalar(f"{name}_{key}", link.effect) for key, link in self.links.items()}

        def log_hazard(time: PerVisit) -> PerVisit:
            value = self.hazard.log_hazard(time, **base) + shift
            for key, link in self.links.items():
                value = value + effects[key] * link.follow(key, courses, time)
            return value

        return log_hazard


@dataclass(frozen=True, kw_only=True)
class Competing(Process):
    r"""Types of one process of which the first ends it, each with a hazard of its own.

    $$P(\text{type } k \text{ in } (a, T]) = \int_a^T h_{ik}(t)\,e^{-\sum_m \int_a^t h_{im}}\,\mathrm{d}t$$

    Of an event known only to lie in an interval, the share of each type is that of its part of the cumulative hazard
    there, which is exact where hazards are proportional within the interval.

    Attributes:
        by_type: the event of each type; a type without one censors.
        nodes, horizon: as in `Event`, for all of them.
    """

    by_type: Mapping[str, Event]
    nodes: int = 20
    horizon: float = 50.0

    def causes(self) -> dict[str, Event]:
        return dict(self.by_type)

    def kinds(self, types: tuple[str, ...]) -> tuple[int, ...]:
        unknown = sorted(set(self.by_type) - set(types))
        if unknown:
            raise ModelError("events: by_type", f"types among {', '.join(types)}", ", ".join(unknown))
        order = list(self.by_type)
        return tuple(order.index(each) + 1 if each in order else 0 for each in types)


def refuse_without_events(name: str, process: Process, records: Records) -> None:
    """Refuse a hazard to be learned that nothing informs: no event of its type in the cohort.

    Raises:
        ModelError: there is such a hazard.
    """
    rows = records.events[name]
    kinds = jnp.asarray([0, *process.kinds(rows.types)])[rows.kind]
    for number, (cause, event) in enumerate(process.causes().items(), 1):
        learned = any(isinstance(scalar, dist.Distribution) for scalar in event.scalars().values())
        if learned and not bool(jnp.any((kinds == number) & rows.present)):
            what = f"{name}: {cause}" if cause else name
            do = "Take the event out of the model, or fix its hazard at numbers."
            raise ModelError(f"fit: events.{what}", "at least one event", "none", do)
