"""`ProgressionModel`: a NumPyro model built from components."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

import numpyro
from jax import numpy as jnp

from dpm.cohort.records import Records
from dpm.components.card import ModelCard
from dpm.components.censoring import Censored
from dpm.components.change import Change
from dpm.components.clock import Clock, StudyTime
from dpm.components.correlation import LKJ
from dpm.components.course import Course, Courses
from dpm.components.covariate_model import CovariateModel
from dpm.components.event import Process
from dpm.components.outcome import Outcome
from dpm.components.parameter import ByClass, Parameter
from dpm.components.scalar import ByLevel, Scalar, sample_scalar
from dpm.components.states import MultiState
from dpm.components.subtype import Subtypes
from dpm.components.trajectory import Trajectory
from dpm.errors import ModelError
from dpm.types import Array, PerSubject, PerVisit, Sites

CORRELATION_SITE = "subject_correlation"
"""Correlation matrix of the subject effects; its Cholesky factor is sampled at `subject_correlation_cholesky`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProgressionModel:
    r"""A nonlinear mixed-effects model of outcomes and events.

    For outcome $o$ with trajectory $f$ and noise $p$, parameters $\theta_i$ as in `Parameter` and clock $\tau$,

    $$y_{ij} \sim p\{f(\tau_i(t_{ij});\, \theta_i)\},\quad
    b_i \sim N(0,\ \mathrm{diag}(\omega)\, R\, \mathrm{diag}(\omega)).$$

    Calling it with `records` runs it as a NumPyro model. Sites are named `<outcome>_<parameter>` for a typical
    value, with `_<covariate>`, `_<grouping>`, `_<grouping>_sd` and `_sd` after it for the rest; inside the plate
    `<outcome>_<parameter>_z` is the standardised subject effect, `<outcome>_mean` the expected measurement and
    `<outcome>` the measurement. The same with the name of a latent course, `clock`, or `<outcome>_<change>` in place of
    `<outcome>`. Subject effects are sampled as independent standard normals and correlated by the
    Cholesky factor of $R$ (non-centred).

    Compared by identity: keep one object, and what was compiled for it is used again.

    Attributes:
        outcomes: by the name they have in the cohort.
        clock: what time is; sampled once.
        latent: courses that several outcomes share, by name; an outcome names one in place of a trajectory.
        events: by the name of the process in the cohort.
        states: outcomes of kind "state", by the name they have in the cohort.
        subtypes: classes of subjects that parameters may differ between.
        covariates: by name, a distribution of each baseline covariate that may be missing; one may depend on those
            before it.
        correlation: of all subject effects together; None for independent ones.
        card: what the model is for.

    Raises:
        ModelError: a part is of another kind, two sites would have the same name, an outcome names a latent course
            that is not there, a parameter has values for other classes than the model's, or a course that events may
            follow has a value by visit.
    """

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    clock: Clock = field(default_factory=StudyTime)
    latent: Mapping[str, Trajectory] = field(default_factory=dict)
    events: Mapping[str, Process] = field(default_factory=dict)
    states: Mapping[str, MultiState] = field(default_factory=dict)
    subtypes: Subtypes | None = None
    covariates: Mapping[str, CovariateModel] = field(default_factory=dict)
    correlation: LKJ | None = field(default_factory=lambda: LKJ(2.0))
    card: ModelCard | None = None

    def __post_init__(self) -> None:
        self._refuse_other_kinds()
        for name, outcome in self.outcomes.items():
            if isinstance(outcome.trajectory, str) and outcome.trajectory not in self.latent:
                have = ", ".join(self.latent) or "none"
                raise ModelError(f"outcomes.{name}", f'"{outcome.trajectory}" among the latent courses', have)
            early = [key for key, change in list(outcome.changes.items())[:-1] if change.last]
            if early:
                do = "Changes after it would bend what belongs to a single visit."
                raise ModelError(f"outcomes.{name}.changes", f"{early[0]} after all others", "others after it", do)
        self._refuse_by_visit()
        names = [*self.outcomes, *self.latent, *self.events, *self.states, "clock"]
        for name in names:
            if names.count(name) > 1:
                raise ModelError("model", "names that all differ", f"{name!r} twice", "Rename one of them.")
        classes = 0 if self.subtypes is None else len(self.subtypes.names)
        for name, parameter in self.parameters().items():
            if isinstance(parameter.typical, ByClass) and len(parameter.typical.values) != classes:
                do = "Give the model subtypes=Subtypes(...), and the parameter a value for each of its classes."
                got = f"values for {len(parameter.typical.values)} classes, of a model with {classes}"
                raise ModelError(name, "a value for each class of the model", got, do)

    def _refuse_by_visit(self) -> None:
        """An event follows a course at any time, where no visit says which level holds."""
        if not (self.events or self.states):
            return
        lasting = {name: change.scalars() for name, change in self.changes().items() if not change.last}
        courses = {name: course.scalars() for name, course in self.trajectories().items()}
        for name, scalars in {**courses, **lasting}.items():
            for key, scalar in scalars.items():
                if isinstance(scalar, ByLevel):
                    do = "Give it one value, or put what belongs to a visit among the changes (CaptureMode)."
                    expected = "one value at all times of a course that events or states stand beside"
                    raise ModelError(f"{name}_{key}", expected, f"a value by {scalar.by}", do)

    def _refuse_other_kinds(self) -> None:
        kinds: dict[str, tuple[Mapping[str, object], type, str]] = {
            "outcomes": (self.outcomes, Outcome, "an Outcome(trajectory, noise)"),
            "latent": (self.latent, Trajectory, "a trajectory, such as Linear(...)"),
            "events": (self.events, Process, "an Event(...) or Competing(...)"),
            "states": (self.states, MultiState, "a MultiState(...)"),
        }
        for where, (parts, kind, expected) in kinds.items():
            for name, part in parts.items():
                if not isinstance(part, kind):
                    raise ModelError(f"{where}.{name}", expected, type(part).__name__)

    def __str__(self) -> str:
        from dpm.components.describe import model_text  # describing imports what it describes

        return model_text(self)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What a notebook shows: equations typeset, priors with their reasons."""
        from dpm.components.describe import model_markdown, model_text

        return {"text/plain": model_text(self), "text/markdown": model_markdown(self)}

    def trajectories(self) -> dict[str, Trajectory]:
        """Every course, by the name its sites begin with: latent ones, then those of outcomes."""
        own = {name: outcome.trajectory for name, outcome in self.outcomes.items()}
        return {**self.latent, **{name: course for name, course in own.items() if not isinstance(course, str)}}

    def changes(self) -> dict[str, Change]:
        """Every change of a course, by the name its sites begin with."""
        named = ((name, key, change) for name, each in self.outcomes.items() for key, change in each.changes.items())
        return {f"{name}_{key}": change for name, key, change in named}

    def parameters(self) -> dict[str, Parameter]:
        """Every parameter, by site name."""
        parts: dict[str, Clock | Trajectory | Change] = {"clock": self.clock, **self.trajectories(), **self.changes()}
        return {f"{name}_{key}": value for name, part in parts.items() for key, value in part.parameters().items()}

    def scalars(self) -> dict[str, Scalar]:
        """The population values of trajectories and changes, by site name; noises and events have their own."""
        parts: dict[str, Trajectory | Change] = {**self.trajectories(), **self.changes()}
        return {f"{name}_{key}": value for name, part in parts.items() for key, value in part.scalars().items()}

    def __call__(self, records: Records) -> None:
        self.check_names(records)
        records = self._completed(records)
        subtype = self.subtypes.sample(records) if self.subtypes is not None else None
        deviations, base = self._sample_parameters(records, subtype)
        scalars = {name: sample_scalar(name, scalar, records) for name, scalar in self.scalars().items()}
        specs = self.parameters()
        whole = {name: spec.link(base[name]) for name, spec in specs.items()}
        at_visits = dict(whole)
        for name, spec in specs.items():
            if (part := spec.within_part(name, records)) is not None:
                at_visits[name] = spec.link(base[name] + part)
        courses = Courses(
            outcomes={
                name: self._course(name, records, {**whole, **scalars}) for name in (*self.latent, *self.outcomes)
            },
            clock=lambda time: self._disease_time(time, records, whole),
            deviations=deviations,
        )
        for name, outcome in self.outcomes.items():
            course = self._course(name, records, {**at_visits, **scalars})(records.time)
            self._observe(name, outcome, course, records)
        for name, process in self.events.items():
            process.observe(name, records, courses)
        for name, states in self.states.items():
            states.observe(name, records, courses)

    def check_names(self, records: Records) -> None:
        """Refuse outcomes, states and event processes that `records` do not have.

        Raises:
            ModelError: there are such.
        """
        for kind, wanted, have in (
            ("outcome", (*self.outcomes, *self.states), records.values),
            ("event process", self.events, records.events),
        ):
            for name in wanted:
                if name not in have:
                    there = ", ".join(sorted(have)) or "none"
                    do = f"Name the {kind} as in the cohort's roles."
                    raise ModelError("model", f'{kind} "{name}" in the cohort', there, do)

    def _completed(self, records: Records) -> Records:
        """The same records, missing covariates drawn where there is a model of them."""
        for name, model in self.covariates.items():
            covariates = {**records.covariates, name: model.complete(name, records)}
            missing = {key: gone for key, gone in records.missing.items() if key != name}
            records = replace(records, covariates=covariates, missing=missing)
        return records

    def _sample_parameters(
        self, records: Records, subtype: Array | None
    ) -> tuple[dict[str, PerSubject], dict[str, PerSubject]]:
        """Per parameter the subject's deviation, where it has one, and its value before the link."""
        specs = self.parameters()
        fixed = {name: spec.fixed_part(name, records, subtype) for name, spec in specs.items()}
        spreads = {
            name: sample_scalar(f"{name}_sd", spec.subject) for name, spec in specs.items() if spec.subject is not None
        }
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            z = [numpyro.sample(f"{name}_z", numpyro.distributions.Normal(0.0, 1.0)) for name in spreads]
        correlated = self._correlate(z)
        deviation = {name: sd * b for (name, sd), b in zip(spreads.items(), correlated, strict=True)}
        return deviation, {name: value + deviation.get(name, jnp.zeros(())) for name, value in fixed.items()}

    def _correlate(self, z: list[PerSubject]) -> list[PerSubject]:
        if self.correlation is None or len(z) < 2:
            return z
        lower = self.correlation.sample(f"{CORRELATION_SITE}_cholesky", len(z))
        numpyro.deterministic(CORRELATION_SITE, lower @ lower.T)
        # Unrolled: a batched triangular product per subject is many times slower than vector operations.
        return [reduce(add, [lower[j, k] * z[k] for k in range(j + 1)]) for j in range(len(z))]

    def _disease_time(self, time: PerVisit, records: Records, values: Sites) -> PerVisit:
        return self.clock.at(time, records, **{key: values[f"clock_{key}"] for key in self.clock.parameters()})

    def _course(self, name: str, records: Records, values: Sites) -> Course:
        """The course of one outcome, its trajectory on the clock and each change of it in order, or a latent one."""
        outcome = self.outcomes.get(name)
        owner = outcome.trajectory if outcome is not None and isinstance(outcome.trajectory, str) else name
        trajectory = self.trajectories()[owner]
        fields = {key: values[f"{owner}_{key}"] for key in (*trajectory.parameters(), *trajectory.scalars())}

        def untouched(time: PerVisit) -> PerVisit:
            return trajectory.curve(self._disease_time(time, records, values), **fields)

        course: Course = untouched
        for key, change in outcome.changes.items() if outcome is not None else ():
            own = {each: values[f"{name}_{key}_{each}"] for each in (*change.parameters(), *change.scalars())}
            course = _changed(change, course, records, own)
        return course

    @staticmethod
    def _observe(name: str, outcome: Outcome, course: PerVisit, records: Records) -> None:
        noise, observed = outcome.noise, records.observed[name]
        scalars = {key: sample_scalar(f"{name}_{key}", scalar, records) for key, scalar in noise.scalars().items()}
        with (
            numpyro.plate("subject", records.n_subjects, dim=-1),
            numpyro.plate("visit", records.time.shape[0], dim=-2),
        ):
            numpyro.deterministic(f"{name}_mean", noise.expected(course, **scalars))
            measured = noise.measure(course, records.time, observed, scalars)
            if name in records.censored:
                if noise.serial:
                    do = "Leave these visits out, or use a noise whose measurements are independent given the course."
                    raise ModelError(name, f"measured values for {type(noise).__name__}", "values beyond a limit", do)
                measured = Censored(noise, course, scalars, records.censored[name], records.until.get(name))
            values = jnp.where(observed, records.values[name], noise.safe)
            numpyro.sample(name, measured.mask(observed), obs=values)


def _changed(change: Change, unchanged: Course, records: Records, values: Sites) -> Course:
    return lambda time: change.course(unchanged, time, records, **values)
