"""The design of a study: who enters it and when they are seen; a model fills it with a cohort."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort.cohort import Cohort
from dpm.cohort.event_role import CENSORED, EventRole
from dpm.cohort.outcome_role import OutcomeRole
from dpm.cohort.read import read_cohort
from dpm.cohort.records import EventRecords, Records
from dpm.cohort.roles import ClockRole, CovariateRole, Roles, TimeRole
from dpm.components.progression import CORRELATION_SITE, ProgressionModel
from dpm.errors import VirtualError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.tracing import PRIOR_DRAWS
from dpm.posterior.predict import Predicted, predict_population
from dpm.posterior.prior import prior_vectors
from dpm.types import Array, Bool, Float, Key
from dpm.virtual.simulate import given_population, planned_visits
from dpm.virtual.simulated_table import in_its_unit, subject_ids

WEEKS = 52
"""In a year: how finely the entry into a state is drawn whose time is known."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """Who enters a study and when they are seen, from nothing but distributions.

    Attributes:
        n: subjects.
        times: of the planned visits, from 0 upwards [years].
        outcomes: the roles that the outcomes of the model have.
        covariates: by name, the distribution of its baseline value.
        clocks: by name, the distribution of its value at time zero [years].
        groups: by name, its levels; each subject is at one of them, all alike.
        parts: of the body that a visit measures, such as two eyes.
        events: by process, its types; what happens first ends follow-up.
        follow_up: how long a process is followed [years]; until the last visit unless given.
    """

    n: int
    times: tuple[float, ...]
    outcomes: Mapping[str, OutcomeRole]
    covariates: Mapping[str, dist.Distribution] = field(default_factory=dict)
    clocks: Mapping[str, dist.Distribution] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    events: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    follow_up: float | None = None

    def __post_init__(self) -> None:
        planned_visits("Design", self.n, self.times)
        if len(self.events) > 1:
            do = "Follow several by one process with several types."
            raise VirtualError("Design: events", "one process at most, which ends follow-up", f"{len(self.events)}", do)

    @property
    def roles(self) -> Roles:
        """Of the table that a simulated cohort is read from."""
        return Roles(
            subject="subject",
            time=TimeRole(column="time", unit="years"),
            outcomes=dict(self.outcomes),
            covariates={name: CovariateRole(column=name, unit="1") for name in self.covariates},
            clocks={name: ClockRole(column=name) for name in self.clocks},
            groups=tuple(self.groups),
            part="part" if self.parts else None,
            events={
                name: EventRole(
                    column=name, time=f"{name}_time", unit="years", types={kind: kind for kind in types}, terminal=True
                )
                for name, types in self.events.items()
            },
        )

    def planned(self, *, key: Key, n: int | None = None, times: tuple[float, ...] | None = None) -> Records:
        """The subjects before anything is measured.

        Args:
            key: of covariates, clocks and groups.
            n: subjects, where other than the design's.
            times: of visits, where other than the design's [years].
        """
        n = self.n if n is None else n
        grid = np.repeat(planned_visits("Design.planned", n, times or self.times), max(len(self.parts), 1))
        time = jnp.broadcast_to(jnp.asarray(grid)[:, None], (len(grid), n))
        keys = iter(jax.random.split(key, len(self.covariates) + len(self.clocks) + len(self.groups) + 1))
        covariates = {name: prior.sample(next(keys), (n,)).astype(float) for name, prior in self.covariates.items()}
        origins = {name: prior.sample(next(keys), (n,)).astype(float) for name, prior in self.clocks.items()}
        groups = {
            name: jax.nn.one_hot(jax.random.randint(next(keys), (n,), 0, len(met)), len(met), axis=0, dtype=float)
            for name, met in self.groups.items()
        }
        levels = {}
        if self.parts:
            part = jnp.eye(len(self.parts))[:, np.arange(len(grid)) % len(self.parts)]
            levels["part"] = jnp.broadcast_to(part[..., None], (*part.shape, n))
        still = jnp.zeros((1, n))
        return Records(
            time,
            {name: jnp.zeros(time.shape) for name in self.outcomes},
            {name: jnp.zeros(time.shape, bool) for name in self.outcomes},
            covariates,
            groups,
            events={
                name: EventRecords(still, still, still, still.astype(int), jnp.zeros((1, n), bool), types)
                for name, types in self.events.items()
            },
            levels=levels,
            origins=origins,
        )

    def simulate(
        self, model: ProgressionModel, values: Mapping[str, object] | None, *, key: Key, n: int | None = None
    ) -> Cohort:
        r"""A cohort of the model in this design: $b_i \sim p(b \mid \varphi)$, $y_{ij} \sim p(y \mid b_i, \varphi)$.

        Visits end with the event that ends follow-up. A state whose time of entry is known is entered to within a week,
        and is then the last visit.

        Args:
            model: whose outcomes, covariates, clocks and events the design names.
            values: by site, $\varphi$ on its natural scale; a correlation matrix at `subject_correlation`. None: the
                medians of the priors.
            key: the same key gives the same cohort.
            n: subjects, where other than the design's.

        Raises:
            VirtualError: a value is missing, impossible, or of a site that is not there; outcomes or types of events
                are not those of the model.
            ModelError: the model names what the design lacks.
        """
        self._require_own(model)
        who, what = jax.random.split(key)
        records = self.planned(key=who, n=n, times=self._grid(model))
        hierarchy = Hierarchy.of(model, records)
        drawn = predict_population(hierarchy, population_vector(hierarchy, values, records), records, key=what)
        frame = self._table(model, records, drawn)
        kept = np.ones(len(frame), dtype=bool)
        for name, states in model.states.items():
            kept &= self._seen(frame, name, states.exact)
        return read_cohort(frame[kept].reset_index(drop=True), self.roles)

    def _require_own(self, model: ProgressionModel) -> None:
        """Refuse outcomes and events that the model does not draw.

        Raises:
            VirtualError: there are such.
        """
        for kind, mine, drawn in (
            ("outcomes", set(self.outcomes), {*model.outcomes, *model.states}),
            ("events", set(self.events), set(model.events)),
        ):
            if mine != drawn:
                expected = f"those of the model, {', '.join(sorted(drawn)) or 'none'}"
                raise VirtualError(f"Design: {kind}", expected, ", ".join(sorted(mine)) or "none")

    def _causes(self, model: ProgressionModel, process: str) -> list[str]:
        """The type of each cause that the model numbers from 1 on; the first one that counts, where several do."""
        types = self.events[process]
        kinds = model.events[process].kinds(types)
        return [types[kinds.index(number)] for number in range(1, max(kinds) + 1)]

    def _grid(self, model: ProgressionModel) -> tuple[float, ...]:
        if not any(states.exact for states in model.states.values()):
            return self.times
        weeks = np.arange(1, int(self.times[-1] * WEEKS)) / WEEKS
        return tuple(float(t) for t in np.union1d(np.round(weeks, 6), np.round(self.times, 6)))

    def _table(self, model: ProgressionModel, records: Records, drawn: Predicted) -> pd.DataFrame:
        """A row per subject and planned visit, in the columns of `roles`."""
        visits, n = records.time.shape
        fixed: dict[str, np.ndarray] = {"subject": subject_ids(n)}
        for values in (records.covariates, records.origins):
            fixed |= {name: np.asarray(each) for name, each in values.items()}
        for name, met in self.groups.items():
            fixed[name] = np.array(met, dtype=object)[np.asarray(records.groups[name]).argmax(axis=0)]
        end = np.full(n, np.inf)
        for name in self.events:
            time, kind = np.asarray(drawn.events[name]).T
            last = self.times[-1] if self.follow_up is None else self.follow_up
            kind = np.where(time < last, kind, 0).astype(int)
            end = np.where(kind > 0, time, last)
            fixed[name] = np.array([CENSORED, *self._causes(model, name)], dtype=object)[kind]
            fixed[f"{name}_time"] = end
        columns = {name: np.repeat(values, visits) for name, values in fixed.items()}
        columns["time"] = np.asarray(records.time).T.ravel()
        if self.parts:
            columns["part"] = np.tile(np.array(self.parts, dtype=object), n * visits // len(self.parts))
        after = columns["time"] > np.repeat(end, visits)
        for name, role in self.outcomes.items():
            measured = np.where(after, np.nan, np.asarray(drawn.measurement[name]).T.ravel())
            columns[role.column] = in_its_unit(name, role, measured)
        return pd.DataFrame(columns)[~after]

    def _seen(self, frame: pd.DataFrame, name: str, exact: tuple[str, ...]) -> Bool[np.ndarray, " row"]:
        """Rows of planned visits up to the first entry into a state of `exact`, and of that entry."""
        entered = frame[self.outcomes[name].column].isin(exact)
        already = entered.groupby(frame["subject"]).cumsum() - entered.astype(int)
        planned = np.isin(np.round(frame["time"], 6), np.round(self.times, 6))
        return ((already == 0) & (entered | planned)).to_numpy()


def population_vector(
    hierarchy: Hierarchy, values: Mapping[str, object] | None, records: Records
) -> Float[Array, " population"]:
    """Values by site as a model's card gives them, unconstrained; None: the medians of the priors.

    Raises:
        VirtualError: a value is missing, impossible, or of a site that is not there.
    """
    if values is None:
        return jnp.median(prior_vectors(hierarchy, records, PRIOR_DRAWS, key=jax.random.key(0)), axis=0)
    given = dict(values)
    if CORRELATION_SITE in given:
        matrix = jnp.asarray(np.asarray(given.pop(CORRELATION_SITE), dtype=np.float64))
        given[f"{CORRELATION_SITE}_cholesky"] = jnp.linalg.cholesky(matrix)
    missing = sorted({site.name for site in hierarchy.population} - set(given))
    if missing:
        raise VirtualError("Design: values", "a value for each population site", f"none for {', '.join(missing)}")
    return hierarchy.unconstrain(given_population("Design", hierarchy, records, given, key=jax.random.key(0)))
