"""Are two sources comparable, and is a source like the patients it is to speak for?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.describe import standardised_difference
from dpm.cohort.transforms import TRANSFORMS
from dpm.errors import CohortError
from dpm.types import Bool, Float

Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class JointSupport:
    r"""How much of b lies where a has nobody, all numbers together.

    A subject of b is outside where its squared Mahalanobis distance $(x - \bar x_a)^\top S_a^{-1} (x - \bar x_a)$ is
    larger than a quantile (97.5 % by default) of the distances of a's own subjects, each to the mean and covariance
    of the others. It is a rule for elliptical clouds: a hole in the middle of a is not seen.

    Attributes:
        variables: used together; those without spread in a are left out.
        quantile: of a's own distances.
        limit: that quantile.
        n_a, n_b: subjects with all variables.
        incomplete_a, incomplete_b: subjects without, who are not judged.
        outside: share of b beyond the limit; NaN where it cannot be judged. About 1 - `quantile` for a b like a.
        outside_a: share of a beyond its own limit.
        outside_any: share of b outside a's 1st to 99th percentile in at least one variable.
        note: why it cannot be judged, or empty.
    """

    variables: tuple[str, ...]
    quantile: float
    limit: float
    n_a: int
    n_b: int
    incomplete_a: int
    incomplete_b: int
    outside: float
    outside_a: float
    outside_any: float
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparability:
    """Two sources side by side.

    Attributes:
        name_a, name_b: what they are called.
        covariates: a row per covariate and per outcome at time zero: `variable`, `unit`, `statistic` (number, share),
            `transform`; `n_a`, `n_b`, `missing_a`, `missing_b`; `minimum_a`, `p1_a`, `q1_a`, `median_a`, `q3_a`,
            `p99_a`, `maximum_a` and the same of b, in `unit` (a share has its mean in `median_a` and NaN elsewhere);
            `outside_percentiles`, `outside_range`: share of b outside a's 1st to 99th percentile and outside its
            range (of a share: at a level that a lacks); `smd` on the scale of the model, a minus b.
        levels: a row per level of labels (study, site, era, groups, subgroups), and of the mode and occasion of visits:
            `label`, `level`, `of` (subjects or visits), `n_a`, `n_b`, `share_a`, `share_b`, `smd`.
        joint: all numbers together.
    """

    name_a: str
    name_b: str
    covariates: pd.DataFrame
    levels: pd.DataFrame
    joint: JointSupport


def compare_sources(
    a: Cohort, b: Cohort, *, name_a: str = "a", name_b: str = "b", quantile: float = 0.975
) -> Comparability:
    """Does a support b? Each covariate and first value, all together, and where and when subjects come from.

    Two studies or arms of one cohort: `compare_sources(c.where(study="x"), c.where(study="y"))`.

    Args:
        a: the source that is to speak for b, such as a natural history.
        b: such as a trial.
        name_a, name_b: for tables and figures.
        quantile: of a's own distances, beyond which a subject is outside (`JointSupport`).

    Raises:
        CohortError: they share no covariate or outcome, or one is on another scale in b.
    """
    if not 0 < quantile < 1:
        raise CohortError("compare_sources: quantile", "a number between 0 and 1", repr(quantile))
    scales = _scales(a, b)
    values_a, values_b = baseline_values(a)[list(scales)], baseline_values(b)[list(scales)]
    rows = [_covariate(name, scales[name], values_a[name], values_b[name]) for name in scales]
    return Comparability(
        name_a=name_a,
        name_b=name_b,
        covariates=pd.DataFrame(rows),
        levels=pd.DataFrame(list(_levels(a, b)), columns=list(LEVEL_COLUMNS)),
        joint=joint_support(values_a, values_b, quantile=quantile),
    )


def baseline_values(cohort: Cohort) -> pd.DataFrame:
    """A row per subject: covariates, and outcomes that are numbers at time zero, on the scale of the model."""
    first = cohort.visits[cohort.visits["time"] == 0].set_index("subject").reindex(cohort.subjects.index)
    outcomes = [name for name, role in cohort.roles.outcomes.items() if role.kind != "state"]
    named = {name: cohort.subjects[name] for name in cohort.roles.covariates} | {name: first[name] for name in outcomes}
    return pd.DataFrame(named, index=cohort.subjects.index, dtype=np.float64)


def joint_support(a: pd.DataFrame, b: pd.DataFrame, *, quantile: float = 0.975) -> JointSupport:
    """The joint support of two tables with the same columns, a row per subject; incomplete subjects are counted."""
    whole_a, whole_b = a.notna().all(axis=1), b.notna().all(axis=1)
    x, y = a[whole_a].to_numpy(dtype=np.float64), b[whole_b].to_numpy(dtype=np.float64)
    varied = np.ptp(x, axis=0) > 0 if len(x) else np.zeros(a.shape[1], dtype=bool)
    variables = tuple(str(name) for name, keep in zip(a.columns, varied, strict=True) if keep)
    x, y = x[:, varied], y[:, varied]
    note = _obstacle(x, y)
    limit = share = own = np.nan
    if not note:
        squared = left_out_distances(x)
        limit = float(np.quantile(squared, quantile))
        share, own = float(np.mean(_distances(y, x) > limit)), float(np.mean(squared > limit))
    any_outside = float(np.any([_outside(a[n].dropna(), b[n])[0] for n in a], axis=0).mean()) if len(b) else np.nan
    return JointSupport(
        variables=variables,
        quantile=quantile,
        limit=limit,
        n_a=len(x),
        n_b=len(y),
        incomplete_a=int((~whole_a).sum()),
        incomplete_b=int((~whole_b).sum()),
        outside=share,
        outside_a=own,
        outside_any=any_outside,
        note=note,
    )


def left_out_distances(x: Float[np.ndarray, "subject column"]) -> Float[np.ndarray, " subject"]:
    r"""Squared Mahalanobis distance of each row to the mean and covariance of all other rows.

    With $e_i = x_i - \bar x$, $A = \sum_i e_i e_i^\top$, $q_i = e_i^\top A^{-1} e_i$ and $c = n / (n - 1)$ it is
    $c^2 (n - 2)\, q_i / (1 - c\, q_i)$, by the Sherman-Morrison formula.
    """
    n = len(x)
    centred = x - x.mean(axis=0)
    q = np.einsum("ij,ij->i", centred, np.linalg.solve(centred.T @ centred, centred.T).T)
    c = n / (n - 1)
    return np.asarray(c**2 * (n - 2) * q / np.maximum(1 - c * q, 1e-12))


def representativeness(cohort: Cohort, target: pd.DataFrame | pd.Series, *, quantile: float = 0.975) -> pd.DataFrame:
    """Is a cohort like a target population?

    Args:
        cohort: that is to speak for the target.
        target: a row per person of the target with columns named as covariates or outcomes of the cohort, on the scale
            of the model; or a series of their means alone, which says nothing about support.
        quantile: of the cohort's own distances, as in `JointSupport`.

    Returns:
        A row per variable and, for a table, one of `all together`: `variable`, `n` (of the cohort, with a value),
        `mean`, `sd`, `target_n`, `target_mean`, `smd` (cohort minus target; over the cohort's sd alone where the
        target has only means), `outside_percentiles` and `outside_range` (share of the target; for all together the
        first is the share outside in at least one variable) and `outside_joint`.

    Raises:
        CohortError: a variable is not in the cohort.
    """
    values = baseline_values(cohort)
    names = [str(name) for name in (target.columns if isinstance(target, pd.DataFrame) else target.index)]
    unknown = [name for name in names if name not in values]
    if unknown or not names:
        raise CohortError(
            "representativeness: target",
            f"variables among: {', '.join(map(str, values.columns))}",
            f"{unknown or 'none'}",
        )
    rows = []
    for name in names:
        own = values[name].dropna().to_numpy(dtype=np.float64)
        row: Row = {"variable": name, "n": len(own), "mean": own.mean(), "sd": own.std(ddof=1)}
        if isinstance(target, pd.DataFrame):
            other = target[name].to_numpy(dtype=np.float64)
            percentiles, limits = _outside(values[name].dropna(), target[name])
            there = ~np.isnan(other)
            row |= {"target_n": there.sum(), "target_mean": np.nanmean(other)}
            row |= {"smd": standardised_difference([own, other], share=_is_share(cohort, name))}
            row |= {"outside_percentiles": percentiles[there].mean(), "outside_range": limits[there].mean()}
        else:
            mean = float(target[name])
            row |= {"target_mean": mean, "smd": (own.mean() - mean) / own.std(ddof=1)}
        rows.append(row)
    if isinstance(target, pd.DataFrame):
        joint = joint_support(values[names], target[names].astype(np.float64), quantile=quantile)
        together: Row = {"variable": "all together", "n": joint.n_a, "target_n": joint.n_b}
        rows.append(together | {"outside_percentiles": joint.outside_any, "outside_joint": joint.outside})
    head = ["variable", "n", "mean", "sd", "target_n", "target_mean", "smd", "outside_percentiles", "outside_range"]
    return pd.DataFrame(rows, columns=[*head, "outside_joint"])


LEVEL_COLUMNS = ("label", "level", "of", "n_a", "n_b", "share_a", "share_b", "smd")
QUANTILES = {"minimum": 0.0, "p1": 0.01, "q1": 0.25, "median": 0.5, "q3": 0.75, "p99": 0.99, "maximum": 1.0}


def _is_share(cohort: Cohort, name: str) -> bool:
    role = cohort.roles.covariates.get(name)
    return role is not None and role.level is not None


def _scales(a: Cohort, b: Cohort) -> dict[str, tuple[str, str, bool]]:
    """Unit, transform and whether it is a share, of what both have."""
    of = [dict(_declared(cohort)) for cohort in (a, b)]
    both = {name: scale for name, scale in of[0].items() if name in of[1]}
    if not both:
        raise CohortError(
            "compare_sources", "covariates or outcomes that both have", f"{list(of[0])} and {list(of[1])}"
        )
    for name, scale in both.items():
        if scale != of[1][name]:
            do = "Read both with the same roles."
            raise CohortError(f"compare_sources: {name}", f"the same scale in b: {scale}", f"{of[1][name]}", do)
    return both


def _declared(cohort: Cohort) -> Iterator[tuple[str, tuple[str, str, bool]]]:
    for name, role in cohort.roles.covariates.items():
        level = role.level is not None
        yield name, (f"{role.column} {role.level}" if level else role.unit, role.transform, level)
    for name, outcome in cohort.roles.outcomes.items():
        if outcome.kind != "state":
            yield name, (outcome.unit, outcome.transform, False)


def _covariate(name: str, scale: tuple[str, str, bool], a: pd.Series, b: pd.Series) -> Row:
    unit, transform, share = scale
    row: Row = {"variable": name, "unit": unit, "statistic": "share" if share else "number", "transform": transform}
    row |= {"n_a": a.notna().sum(), "n_b": b.notna().sum(), "missing_a": a.isna().sum(), "missing_b": b.isna().sum()}
    inverse = TRANSFORMS[transform].inverse  # type: ignore[index]
    for side, values in (("a", a.dropna()), ("b", b.dropna())):
        x = inverse(values.to_numpy(dtype=np.float64))
        found = {key: float(np.quantile(x, at)) if len(x) and not share else np.nan for key, at in QUANTILES.items()}
        found |= {"median": float(x.mean()) if len(x) else np.nan} if share else {}
        row |= {f"{key}_{side}": value for key, value in found.items()}
    percentiles, limits = _outside(a.dropna(), b)
    if share:
        percentiles = limits = ~b.isin(a.dropna().unique()).to_numpy()
    there = b.notna().to_numpy()
    row |= {"outside_percentiles": percentiles[there].mean() if there.any() else np.nan}
    row |= {"outside_range": limits[there].mean() if there.any() else np.nan}
    return row | {"smd": standardised_difference([a.to_numpy(), b.to_numpy()], share=share)}


def _outside(a: pd.Series, b: pd.Series) -> tuple[Bool[np.ndarray, " subject"], Bool[np.ndarray, " subject"]]:
    """Where b is outside a's 1st to 99th percentile, and outside its range; nowhere where b is missing."""
    if a.empty:
        return np.asarray(b.notna()), np.asarray(b.notna())
    low, p1, p99, high = np.quantile(a.to_numpy(dtype=np.float64), [0, 0.01, 0.99, 1])
    x = b.to_numpy(dtype=np.float64)
    return (x < p1) | (x > p99), (x < low) | (x > high)


def _obstacle(x: Float[np.ndarray, "subject column"], y: Float[np.ndarray, "other column"]) -> str:
    n, columns = x.shape
    if columns == 0 or len(y) == 0:
        return "no variable with spread in a, or no complete subject in b"
    if n < 5 * columns + 2:
        return f"{n} complete subjects in a are too few for {columns} variables"
    if np.linalg.matrix_rank((x - x.mean(axis=0)) / x.std(axis=0)) < columns:
        return "some variables of a determine another"
    return ""


def _distances(y: Float[np.ndarray, "subject column"], x: Float[np.ndarray, "other column"]) -> np.ndarray:
    away = y - x.mean(axis=0)
    covariance = np.atleast_2d(np.cov(x, rowvar=False))
    return np.asarray(np.einsum("ij,ij->i", away, np.linalg.solve(covariance, away.T).T))


def _levels(a: Cohort, b: Cohort) -> Iterator[Row]:
    for label in dict.fromkeys((*a.roles.groupings, *b.roles.groupings)):
        yield from _level_rows(label, "subjects", a.subjects.get(label), b.subjects.get(label))
    for label in ("mode", "occasion", "part"):
        if label in a.visits or label in b.visits:
            yield from _level_rows(label, "visits", a.visits.get(label), b.visits.get(label))


def _level_rows(label: str, of: str, a: pd.Series | None, b: pd.Series | None) -> Iterator[Row]:
    """A label that one source does not declare counts as not declared there."""
    sides = [pd.Series(dtype="str") if side is None else side.astype("str") for side in (a, b)]
    for level in sorted({str(level) for side in sides for level in side.unique()}):
        at = [(side == level).to_numpy(dtype=np.float64) for side in sides]
        row: Row = {"label": label, "level": level, "of": of, "n_a": int(at[0].sum()), "n_b": int(at[1].sum())}
        row |= {f"share_{key}": x.mean() if len(x) else np.nan for key, x in zip("ab", at, strict=True)}
        yield row | {"smd": standardised_difference(at, share=True)}
