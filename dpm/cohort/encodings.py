"""`Encodings`: what is learned from one cohort so that it replays on another."""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from dpm.cohort.levels import in_order
from dpm.cohort.roles import CovariateRole, Roles
from dpm.errors import CohortError
from dpm.types import Float

KNOTS = {3: (0.1, 0.5, 0.9), 4: (0.05, 0.35, 0.65, 0.95), 5: (0.05, 0.275, 0.5, 0.725, 0.95)}
"""Quantiles at which so many knots lie (Harrell 2015, *Regression Modeling Strategies*, table 2.3)."""


@runtime_checkable
class Baseline(Protocol):
    """What encodings read of a cohort: its tables and its roles."""

    @property
    def subjects(self) -> pd.DataFrame: ...

    @property
    def visits(self) -> pd.DataFrame: ...

    @property
    def roles(self) -> Roles: ...


@dataclass(frozen=True, kw_only=True)
class Encodings:
    r"""Centre, scale and knots of each covariate, levels of each grouping.

    $$x_i = (z_i - c) / s,$$ with $c$ and $s$ the mean and standard deviation (divisor $n - 1$) of the
    cohort learned from for a standardised covariate, 0 and 1 for any other.

    Attributes:
        centre, scale: $c$ and $s$, on the covariate's transformed scale.
        levels: of each group and subgroup, those met in the cohort learned from, in order.
        meaning: of each covariate, its transform and unit, so that a cohort in another unit is refused.
        factors: of each factor of visits (`mode`, `occasion`, `part`), the levels met, the commonest first.
        knots: of each covariate whose role asks for them, on the scale of $x$.
    """

    centre: dict[str, float]
    scale: dict[str, float]
    levels: dict[str, tuple[str, ...]]
    meaning: dict[str, str] = field(default_factory=dict)
    factors: dict[str, tuple[str, ...]] = field(default_factory=dict)
    knots: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def learn(cls, cohort: Baseline) -> "Encodings":
        """The encodings of this cohort.

        Raises:
            CohortError: a covariate to standardise has the same value in every subject, or one too few for its knots.
        """
        roles, subjects = cohort.roles, cohort.subjects
        spread = {name: _centre_scale(subjects[name], role.standardise) for name, role in roles.covariates.items()}
        return cls(
            centre={name: centre for name, (centre, _) in spread.items()},
            scale={name: scale for name, (_, scale) in spread.items()},
            levels={name: in_order(subjects[name].unique()) for name in roles.groupings},
            meaning={name: _meaning(role) for name, role in roles.covariates.items()},
            factors={name: _commonest_first(cohort.visits[name]) for name in roles.factors},
            knots={
                name: _knots((subjects[name] - spread[name][0]) / spread[name][1], role.knots)
                for name, role in roles.covariates.items()
                if role.knots
            },
        )

    def covariates(self, cohort: Baseline) -> dict[str, Float[np.ndarray, " subject"]]:
        """The encoded covariates of a cohort, in the order of its subjects, NaN where not measured.

        Raises:
            CohortError: the cohort lacks a covariate that the encodings were learned with, or has it on another scale.
        """
        _require(cohort, tuple(self.centre), "covariates")
        _require_meaning(cohort, self.meaning)
        return {
            name: (cohort.subjects[name].to_numpy(dtype=np.float64) - centre) / self.scale[name]
            for name, centre in self.centre.items()
        }

    def groups(self, cohort: Baseline) -> dict[str, Float[np.ndarray, "group subject"]]:
        """One-hot membership per grouping; a level not met before gives a column of zeros.

        Raises:
            CohortError: the cohort lacks a grouping that the encodings were learned with.
        """
        _require(cohort, tuple(self.levels), "groups or subgroups")
        return {
            name: (np.asarray(levels)[:, None] == cohort.subjects[name].astype(str).to_numpy()[None, :]).astype(float)
            for name, levels in self.levels.items()
        }

    def unseen(self, cohort: Baseline) -> dict[str, Float[np.ndarray, "level subject"]]:
        """One-hot membership of the levels not met before, per grouping that has any, in order."""
        found = {}
        for name, levels in self.levels.items():
            text = cohort.subjects[name].astype(str).to_numpy()
            new = np.asarray(in_order(text[~np.isin(text, levels)]))
            if len(new):
                found[name] = (new[:, None] == text[None, :]).astype(float)
        return found

    def levels_of_visits(self, cohort: Baseline) -> dict[str, Float[np.ndarray, "level visit_row"]]:
        """One-hot level of every row of `visits` per factor.

        Raises:
            CohortError: the cohort lacks a factor, or has a level of one that was not met: how it is measured there
                is not known.
        """
        found = {}
        for name, levels in self.factors.items():
            if name not in cohort.visits.columns:
                raise CohortError(f"roles: {name}", "the factors of visits learned with", f"a cohort without {name}")
            text = cohort.visits[name].astype(str).to_numpy()
            unseen = ~np.isin(text, levels)
            if unseen.any():
                got = f"{text[unseen][0]!r} ({int(unseen.sum()):,} of {len(text):,} visits)"
                do = "Leave these visits out, or fit with visits of that level."
                raise CohortError(f"visits: {name}", f"one of the levels met at the fit: {', '.join(levels)}", got, do)
            found[name] = (np.asarray(levels)[:, None] == text[None, :]).astype(float)
        return found

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain numbers, texts and lists, as JSON takes them."""
        levels = {name: list(values) for name, values in self.levels.items()}
        factors = {name: list(values) for name, values in self.factors.items()}
        knots = {name: list(values) for name, values in self.knots.items()}
        learned: dict[str, dict[str, Any]] = {"levels": levels, "factors": factors, "knots": knots}
        return learned | {"centre": dict(self.centre), "scale": dict(self.scale), "meaning": dict(self.meaning)}

    @classmethod
    def from_dict(cls, saved: dict[str, dict[str, Any]]) -> "Encodings":
        """The encodings that `to_dict` wrote."""
        return cls(
            centre={name: float(value) for name, value in saved["centre"].items()},
            scale={name: float(value) for name, value in saved["scale"].items()},
            levels={name: tuple(values) for name, values in saved["levels"].items()},
            meaning=dict(saved.get("meaning", {})),
            factors={name: tuple(values) for name, values in saved.get("factors", {}).items()},
            knots={name: tuple(map(float, values)) for name, values in saved.get("knots", {}).items()},
        )


def _centre_scale(values: pd.Series, standardise: bool) -> tuple[float, float]:
    if not standardise:
        return 0.0, 1.0
    x = values.dropna().to_numpy(dtype=np.float64)
    if np.ptp(x) == 0:
        raise CohortError(
            f"covariates.{values.name}",
            "values that differ between subjects, to standardise by",
            f"{x[0]:g} in all {len(x):,} subjects",
            "Set standardise = false, or drop the covariate.",
        )
    return float(x.mean()), float(x.std(ddof=1))


def _knots(values: pd.Series, count: int) -> tuple[float, ...]:
    x = values.dropna().to_numpy(dtype=np.float64)
    knots = np.quantile(x, KNOTS[count]) if len(x) else np.zeros(count)
    if np.any(np.diff(knots) <= 0):
        raise CohortError(
            f"covariates.{values.name}",
            f"{count} knots that differ, at quantiles of its values",
            f"{', '.join(f'{knot:.3g}' for knot in knots)} from {len(np.unique(x)):,} distinct values",
            "Ask for fewer knots, or drop them.",
        )
    return tuple(knots.tolist())


def _meaning(role: CovariateRole) -> str:
    return f"{role.transform} [{role.unit}]" if role.level is None else "indicator"


def _commonest_first(values: pd.Series) -> tuple[str, ...]:
    counts = values.astype(str).value_counts()
    return tuple(sorted((str(level) for level in counts.index), key=lambda level: (-counts[level], level)))


def _require_meaning(cohort: Baseline, meaning: dict[str, str]) -> None:
    here = {name: _meaning(role) for name, role in cohort.roles.covariates.items()}
    for name in meaning:
        if here.get(name, meaning[name]) != meaning[name]:
            do = "Read the cohort with the transform and unit of the cohort the encodings were learned from."
            raise CohortError(f"covariates.{name}", f"{meaning[name]}, as learned", here[name], do)


def _require(cohort: Baseline, names: tuple[str, ...], kind: str) -> None:
    missing = [name for name in names if name not in cohort.subjects.columns]
    if missing:
        there = ", ".join(cohort.subjects.columns) or "none"
        raise CohortError(
            f"{kind}: {missing[0]}",
            "the variables the encodings were learned with",
            f"a cohort without {', '.join(missing)} (it has: {there})",
            "Read the cohort with these roles too.",
        )
