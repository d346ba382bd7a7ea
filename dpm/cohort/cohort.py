"""`Cohort`: checked tables of what was observed, and the arrays a model sees."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.cohort.buckets import MOST_WASTE, Buckets, bucketed
from dpm.cohort.cleaning import LedgerLine
from dpm.cohort.encodings import Encodings
from dpm.cohort.episodes import event_records, known_at
from dpm.cohort.event_role import CENSORED
from dpm.cohort.flow import FlowStep, count_step
from dpm.cohort.records import Records
from dpm.cohort.roles import Roles
from dpm.cohort.table import Source
from dpm.cohort.visits import VisitRule
from dpm.errors import CohortError
from dpm.types import Array, Bool, Int


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """Checked tables of subjects, visits and events. Made by `read_cohort`.

    The tables are read-only by agreement: every method returns a new cohort and leaves this one as it is.

    Attributes:
        subjects: index `subject` (text); `arm` where there is one, covariates under the names dpm uses
            (transformed, not standardised), groups and subgroups as ordered categories of text, `clock.<name>` the
            value of a clock at time zero [years].
        visits: `subject`, `time` [years since time zero], one column per outcome on its transformed scale
            (NaN where not measured), `file` and `row`, the line in it; in time order within a subject. Beside an
            outcome, where its role declares them: `<outcome>_censored` (below, above or interval; the value is then
            the limit), `<outcome>_until` (upper end of an interval), `<outcome>_reason` (why it is missing, or why it
            has to be what it is). `mode`, `occasion` and `part` where there are such roles.
        history: the same of visits before time zero, where an index rule moved it; never seen by a model.
        events: `subject`, `process`, `event` (a declared type, or `censored`), `entry` (from when the subject was
            observed), `time`, `until` (later than `time` where the event is only known to lie between) [years],
            `file`, `row`; a row per subject and process, more where events recur.
        roles: how the columns were read.
        sources: the files.
        flow: the attrition so far.
        ledger: every change made on the way from the files.
    """

    subjects: pd.DataFrame
    visits: pd.DataFrame
    history: pd.DataFrame
    events: pd.DataFrame
    roles: Roles
    sources: tuple[Source, ...]
    flow: tuple[FlowStep, ...] = ()
    ledger: tuple[LedgerLine, ...] = ()

    def __repr__(self) -> str:
        arms = ", ".join(f"{arm} {n}" for arm, n in self.arms.items())
        outcomes = ", ".join((*self.roles.outcomes, *self.roles.events))
        files = ", ".join(source.file for source in self.sources)
        return f"Cohort({files}: {self.n_subjects:,} subjects ({arms}), {self.n_visits:,} visits; {outcomes})"

    @property
    def n_subjects(self) -> int:
        return len(self.subjects)

    @property
    def n_visits(self) -> int:
        return len(self.visits)

    @property
    def arms(self) -> pd.Series:
        """Subjects per arm; one entry "all" without arms."""
        return _arm_of(self).value_counts(sort=False).sort_index()

    @property
    def ends(self) -> pd.DataFrame:
        """How follow-up ended: the rows of the terminal process; none where there is no such process."""
        return self.events[self.events["process"] == self.roles.terminal].reset_index(drop=True)

    @property
    def position(self) -> Int[np.ndarray, " row"]:
        """For each row of `visits`, the position of its subject in `subjects`."""
        return self.subjects.index.get_indexer(pd.Index(self.visits["subject"]))

    @property
    def visit_counts(self) -> Int[np.ndarray, " subject"]:
        """How many visits each subject has."""
        return np.bincount(self.position, minlength=self.n_subjects)

    def subset(self, ids: Iterable[object]) -> "Cohort":
        """Only these subjects, in the order they have here.

        Raises:
            CohortError: an id is not in the cohort, or there is none.
        """
        return _keep(self, self._member(ids, "subset"), "keep listed subjects", "not listed")

    def exclude(self, ids: Iterable[object], reason: str) -> "Cohort":
        """All but these subjects; `reason` goes into the attrition table.

        Raises:
            CohortError: an id is not in the cohort, or nobody is left.
        """
        return _keep(self, ~self._member(ids, "exclude"), "exclude subjects", reason)

    def where(self, **levels: str) -> "Cohort":
        """Only the subjects at these levels of `arm`, a group or a subgroup: `where(arm="placebo")`.

        Raises:
            CohortError: there is no such column, or nobody at this level.
        """
        cohort = self
        for column, level in levels.items():
            cohort = _keep(cohort, _at_level(cohort, column, level), f"keep {column} {level}", f"other {column}")
        return cohort

    def until(self, time: float) -> "Cohort":
        """The visits up to and including `time` [years]; subjects and their events stay."""
        return self._keep_visits(self.visits["time"] <= time, f"visits until {time:g} years", f"after {time:g} years")

    def known_at(self, time: float) -> "Cohort":
        """What is known at `time` [years]: the visits up to it, and events with what comes later censored there."""
        return replace(self.until(time), events=known_at(self.events, time))

    def after(self, time: float) -> "Cohort":
        """The visits later than `time` [years]; subjects stay, with or without visits left."""
        return self._keep_visits(self.visits["time"] > time, f"visits after {time:g} years", f"until {time:g} years")

    def terminal_visits(self, rule: VisitRule) -> pd.Series:
        """Which rows of `visits` exist only because the patient is dying, on the index of `visits`.

        Raises:
            CohortError: events are not followed in this cohort.
        """
        if self.roles.terminal is None:
            do = "Declare one with terminal = true in the roles' events."
            raise CohortError("terminal_visits", "a cohort with a terminal process", "none", do)
        return rule.terminal(self.visits, self.ends, CENSORED)

    def beyond_limits(self, outcome: str) -> pd.Series:
        """Which rows of `visits` hold a limit in place of a measured value, on the index of `visits`."""
        column = f"{outcome}_censored"
        if column not in self.visits:
            return pd.Series(False, index=self.visits.index)
        return self.visits[column].isin(("below", "above", "interval"))

    def drop_visits(self, mask: pd.Series, reason: str) -> "Cohort":
        """All visits but those where `mask` is true; `reason` goes into the attrition table.

        Raises:
            CohortError: the mask does not belong to this table of visits.
        """
        if not mask.index.equals(self.visits.index) or mask.dtype != bool:
            got = f"{len(mask):,} values of {mask.dtype} on another index or of another kind"
            raise CohortError("drop_visits", f"one true or false for each of {self.n_visits:,} visits", got)
        return self._keep_visits(~mask, "drop visits", reason)

    def records(self, encodings: Encodings | None = None) -> Records:
        """Arrays of shape (visit, subject), padded to the largest number of visits.

        Args:
            encodings: learned from the cohort of the fit; by default from this one.

        Raises:
            CohortError: the cohort lacks a variable that the encodings were learned with.
        """
        encodings = Encodings.learn(self) if encodings is None else encodings
        subject = self.position
        visit = self.visits.groupby(subject).cumcount().to_numpy()
        shape = (int(visit.max(initial=0)) + 1, self.n_subjects)
        measured = {name: self.visits[name].to_numpy(dtype=np.float64) for name in self.roles.outcomes}
        covariates = encodings.covariates(self)

        def pad(values: np.ndarray) -> Array:
            out = np.zeros(shape, dtype=values.dtype)
            out[visit, subject] = values
            return jnp.asarray(out)

        return Records(
            time=pad(self.visits["time"].to_numpy(dtype=np.float64)),
            values={name: pad(np.nan_to_num(values)) for name, values in measured.items()},
            observed={name: pad(~np.isnan(values)) for name, values in measured.items()},
            covariates={name: jnp.asarray(values) for name, values in covariates.items()},
            groups={name: jnp.asarray(values) for name, values in encodings.groups(self).items()},
            censored={name: pad(codes) for name in measured if (codes := self._censoring(name)) is not None},
            until={
                name: pad(np.nan_to_num(self.visits[f"{name}_until"].to_numpy(dtype=np.float64)))
                for name in measured
                if f"{name}_until" in self.visits
            },
            missing={
                name: jnp.asarray(gone) for name, values in covariates.items() if (gone := np.isnan(values)).any()
            },
            events={
                name: event_records(self.events[self.events["process"] == name], self.subjects.index, role.names)
                for name, role in self.roles.events.items()
            },
            levels={
                name: jnp.stack([pad(row) for row in one_hot])
                for name, one_hot in encodings.levels_of_visits(self).items()
            },
            origins={
                name: jnp.asarray(self.subjects[f"clock.{name}"].to_numpy(dtype=np.float64))
                for name in self.roles.clocks
            },
            unseen={name: jnp.asarray(values) for name, values in encodings.unseen(self).items()},
            knots={
                name: jnp.tile(jnp.asarray(knots)[:, None], self.n_subjects) for name, knots in encodings.knots.items()
            },
        )

    def buckets(self, encodings: Encodings | None = None, *, most_waste: float = MOST_WASTE) -> Buckets:
        """The same arrays in a few buckets of subjects with like numbers of visits, so that little of them is padding.

        Args:
            encodings: as for `records`.
            most_waste: share of the arrays that may be padding.

        Raises:
            CohortError: as for `records`.
        """
        return bucketed(self.records(encodings), self.visit_counts, most_waste)

    def _censoring(self, name: str) -> np.ndarray | None:
        """The position in `CENSORINGS` of each value; None where no value of this cohort is censored."""
        column = f"{name}_censored"
        if column not in self.visits:
            return None
        codes = self.visits[column].cat.codes.to_numpy().astype(np.int8)
        return codes if codes.any() else None

    def _member(self, ids: Iterable[object], verb: str) -> Bool[np.ndarray, " subject"]:
        wanted = pd.Index([str(i) for i in ([ids] if isinstance(ids, str) else ids)], dtype="str")
        unknown = wanted[~wanted.isin(self.subjects.index)]
        if len(unknown):
            got = f"{unknown[0]!r} ({len(unknown):,} of {len(wanted):,} ids unknown)"
            raise CohortError(f"{verb}: subject", f"ids among the {self.n_subjects:,} subjects", got)
        return self.subjects.index.isin(wanted)

    def _keep_visits(self, keep: pd.Series, step: str, reason: str) -> "Cohort":
        visits = self.visits[keep].reset_index(drop=True)
        return _with_step(self, replace(self, visits=visits), step, reason)


def counts_by_arm(cohort: Cohort) -> tuple[pd.Series, pd.Series]:
    """Patients and visits by arm."""
    of_visits = _arm_of(cohort).reindex(cohort.visits["subject"])
    return cohort.arms, of_visits.value_counts(sort=False)


def _arm_of(cohort: Cohort) -> pd.Series:
    if cohort.roles.arm:
        return cohort.subjects["arm"]
    return pd.Series("all", index=cohort.subjects.index, name="arm")


def _at_level(cohort: Cohort, column: str, level: str) -> Bool[np.ndarray, " subject"]:
    allowed = (["arm"] if cohort.roles.arm else []) + list(cohort.roles.groupings)
    if column not in allowed:
        got = f"{column!r}"
        raise CohortError("where", f"one of: {', '.join(allowed) or '(no arm, group or subgroup declared)'}", got)
    values = cohort.subjects[column].astype(str)
    if not (values == level).any():
        counts = values.value_counts()
        there = ", ".join(f"{name} ({counts[name]:,})" for name in sorted(counts.index))
        raise CohortError(f"where: {column}", f"one of: {there}", f"{level!r}, which no subject has")
    return (values == level).to_numpy()


def _keep(cohort: Cohort, keep: Bool[np.ndarray, " subject"], step: str, reason: str) -> Cohort:
    if not keep.any():
        raise CohortError(step, "at least one subject left", f"none of {cohort.n_subjects:,}")
    subjects = cohort.subjects[keep]
    smaller = replace(
        cohort,
        subjects=subjects,
        visits=cohort.visits[cohort.visits["subject"].isin(subjects.index)].reset_index(drop=True),
        history=cohort.history[cohort.history["subject"].isin(subjects.index)].reset_index(drop=True),
        events=cohort.events[cohort.events["subject"].isin(subjects.index)].reset_index(drop=True),
    )
    return _with_step(cohort, smaller, step, reason)


def _with_step(before: Cohort, after: Cohort, step: str, reason: str) -> Cohort:
    number = 1 + len({line.step for line in before.flow})
    lines = count_step(f"{number} {step}", reason, counts_by_arm(before), counts_by_arm(after))
    return replace(after, flow=(*before.flow, *lines))
