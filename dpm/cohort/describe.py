"""Tables of a cohort: baseline characteristics and attrition."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.flow import FlowStep
from dpm.cohort.transforms import TRANSFORMS
from dpm.errors import CohortError
from dpm.types import Float

Values = Float[np.ndarray, " subject"]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """One variable at baseline.

    Attributes:
        variable, unit, statistic: as printed.
        values: per subject, on the scale of the model; NaN where not measured.
        show: the values of one arm as text.
    """

    variable: str
    unit: str
    statistic: str
    values: Values
    show: Callable[[Values], str]


def baseline_table(cohort: Cohort, by: str = "arm") -> pd.DataFrame:
    r"""Baseline characteristics, a column per arm.

    Numbers modelled as they are show mean and standard deviation; numbers modelled on another scale show the
    median and quartiles in their own unit; levels show counts. The standardised mean difference is

    $$d = (\bar x_1 - \bar x_2) / \sqrt{(s_1^2 + s_2^2) / 2}$$

    on the scale of the model, with $s^2 = p(1 - p)$ for a level (Austin, Stat Med 2009;28:3083-3107). Arm 1 is
    the first of the two columns; with one arm, or more than two, there is no such difference (NaN).

    Args:
        cohort: as read; outcomes are taken at time 0.
        by: `"arm"`, a group or a subgroup.

    Returns:
        Columns variable, unit, statistic, one per arm (text), smd.

    Raises:
        CohortError: the cohort has no such column.
    """
    arm = _columns(cohort, by)
    members = {name: (arm == name).to_numpy() for name in sorted(arm.unique())}
    rows = []
    for row in _rows(cohort, by):
        arms = [row.values[member] for member in members.values()]
        cells = dict(zip(members, map(row.show, arms), strict=True))
        head = {"variable": row.variable, "unit": row.unit, "statistic": row.statistic}
        smd = np.nan if row.statistic == "n" else standardised_difference(arms, share=row.statistic == "n (%)")
        rows.append({**head, **cells, "smd": smd})
    return pd.DataFrame(rows, columns=["variable", "unit", "statistic", *members, "smd"])


def standardised_difference(arms: list[np.ndarray], *, share: bool) -> float:
    """The standardised mean difference of two arms (see `baseline_table`), NaN for any other number of arms.

    Args:
        arms: values per arm; NaN is left out.
        share: the values are 0 and 1, so that the variance is p(1 - p).
    """
    measured = [values[~np.isnan(values)] for values in arms]
    if len(measured) != 2 or min(map(len, measured)) < 2:
        return float("nan")
    difference = float(measured[0].mean() - measured[1].mean())
    pooled = math.sqrt(np.mean([values.var(ddof=0 if share else 1) for values in measured]))
    if pooled == 0.0:
        return 0.0 if difference == 0.0 else float("nan")
    return difference / pooled


def flow_table(cohort: Cohort) -> pd.DataFrame:
    """The attrition so far: step, reason (empty for those kept), arm, patients, visits."""
    return pd.DataFrame([asdict(line) for line in cohort.flow], columns=[field.name for field in fields(FlowStep)])


def _columns(cohort: Cohort, by: str) -> pd.Series:
    if by == "arm" and not cohort.roles.arm:
        return pd.Series("all", index=cohort.subjects.index)
    allowed = ["arm", *cohort.roles.groupings]
    if by not in allowed:
        raise CohortError("baseline_table: by", f"one of: {', '.join(allowed)}", repr(by))
    return cohort.subjects[by].astype(str)


def _rows(cohort: Cohort, by: str) -> Iterator[_Row]:
    everyone = np.ones(cohort.n_subjects)
    yield _Row(variable="subjects", unit="", statistic="n", values=everyone, show=lambda x: f"{len(x):,}")
    yield from _outcome_rows(cohort)
    yield from _covariate_rows(cohort)
    for column in (name for name in cohort.roles.groupings if name != by):
        for level in cohort.subjects[column].cat.categories:
            member = (cohort.subjects[column] == level).to_numpy(dtype=float)
            yield _Row(variable=f"{column}: {level}", unit="", statistic="n (%)", values=member, show=_count)


def _outcome_rows(cohort: Cohort) -> Iterator[_Row]:
    first = cohort.visits[cohort.visits["time"] == 0].set_index("subject").reindex(cohort.subjects.index)
    for name, role in cohort.roles.outcomes.items():
        yield from _number_rows(
            role.label or role.column, role.unit, first[name].to_numpy(), TRANSFORMS[role.transform].inverse
        )


def _covariate_rows(cohort: Cohort) -> Iterator[_Row]:
    for name, role in cohort.roles.covariates.items():
        values = cohort.subjects[name].to_numpy()
        if role.level is None:
            yield from _number_rows(role.label or role.column, role.unit, values, TRANSFORMS[role.transform].inverse)
        else:
            variable = role.label or f"{role.column}: {role.level}"
            yield _Row(variable=variable, unit="", statistic="n (%)", values=values, show=_count)


def _number_rows(variable: str, unit: str, values: Values, inverse: Callable[[Values], Values]) -> Iterator[_Row]:
    if inverse is np.positive:
        yield _Row(variable=variable, unit=unit, statistic="mean (SD)", values=values, show=_mean_sd)
    else:
        statistic = "median (Q1, Q3)"
        yield _Row(variable=variable, unit=unit, statistic=statistic, values=values, show=lambda x: _median(x, inverse))
    gone = np.isnan(values)
    if gone.any():
        missing = gone.astype(float)
        yield _Row(variable=f"{variable}: missing", unit="", statistic="n (%)", values=missing, show=_count)


def _mean_sd(values: Values) -> str:
    x = values[~np.isnan(values)]
    return f"{_figures(x.mean())} ({_figures(x.std(ddof=1)) if len(x) > 1 else 'NA'})" if len(x) else "NA"


def _median(values: Values, inverse: Callable[[Values], Values]) -> str:
    x = inverse(values[~np.isnan(values)])
    if not len(x):
        return "NA"
    low, middle, high = (_figures(q) for q in np.quantile(x, [0.25, 0.5, 0.75]))
    return f"{middle} ({low}, {high})"


def _count(values: Values) -> str:
    share = f"{100 * values.mean():.1f} %" if len(values) else "NA"
    return f"{int(values.sum()):,} ({share})"


def _figures(value: float) -> str:
    """Three figures, and never fewer than the whole number."""
    if value == 0 or not np.isfinite(value):
        return f"{value:.0f}"
    return f"{value:,.{max(0, 2 - int(np.floor(np.log10(abs(value)))))}f}"
