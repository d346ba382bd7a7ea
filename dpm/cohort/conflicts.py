"""Columns and names that two roles cannot share."""

from collections import defaultdict
from collections.abc import Sequence

from dpm.errors import CohortError

VISIT_COLUMNS = frozenset({"subject", "time", "file", "row", "mode", "occasion", "part"})
SUBJECT_COLUMNS = frozenset({"subject", "arm", "person"})
SUFFIXES = ("_censored", "_until", "_reason")
"""Of the columns beside an outcome in the table of visits."""


def refuse_columns_twice(uses: Sequence[tuple[str, str, bool]]) -> None:
    """Refuse a column in two roles of which one wants it for itself.

    Args:
        uses: role, column, and whether the role wants the column for itself.

    Raises:
        CohortError: there is such a column, or a column is listed twice under subgroups or groups.
    """
    by_column: defaultdict[str, list[tuple[str, bool]]] = defaultdict(list)
    for role, column, alone in uses:
        by_column[column].append((role, alone))
    for column, roles in by_column.items():
        names = [name for name, _ in roles]
        listed_twice = names.count("subgroups") > 1 or names.count("groups") > 1
        if listed_twice or (len(roles) > 1 and any(alone for _, alone in roles)):
            twice = "a column used twice" if len(roles) == 2 else f"a column used {len(roles)} times"
            do = "Keep one of them."
            if any(name.startswith("covariates.") for name in names):
                do += " The baseline value of an outcome is in the records at time 0 and needs no covariate."
            got = f"{twice}: {column!r} as {' and '.join(names)}"
            raise CohortError("roles", "each column in one role", got, do)


def refuse_covariates_twice(covariates: dict[str, tuple[str, str, str | None]]) -> None:
    """Refuse two covariates that are the same number.

    Args:
        covariates: column, transform and level by name.

    Raises:
        CohortError: two are the same.
    """
    seen: dict[tuple[str, str, str | None], str] = {}
    for name, read_as in covariates.items():
        if read_as in seen:
            got = f"a column used twice: {read_as[0]!r} as covariates.{seen[read_as]} and covariates.{name}"
            do = "Keep one of them, or give them different levels or transforms."
            raise CohortError("roles", "covariates that differ", got, do)
        seen[read_as] = name


def refuse_names_twice(outcomes: Sequence[str], covariates: Sequence[str], groupings: Sequence[str]) -> None:
    """Refuse a name that stands for two columns of the table of visits or of subjects.

    Raises:
        CohortError: there is such a name.
    """
    for name in VISIT_COLUMNS.intersection(outcomes):
        do = "Choose another name."
        raise CohortError(f"roles: outcomes.{name}", "a name dpm does not use itself", repr(name), do)
    for name in outcomes:
        ending = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)
        if ending:
            do = "Choose another name; dpm keeps columns of these endings beside an outcome."
            raise CohortError(f"roles: outcomes.{name}", f"a name that does not end in {ending}", repr(name), do)
    for name in SUBJECT_COLUMNS.intersection(groupings):
        do = "Rename the column; tables by arm are made without it."
        raise CohortError("roles: subgroups", "columns other than the arm or the subject", repr(name), do)
    for name in (SUBJECT_COLUMNS | set(groupings)).intersection(covariates):
        got = f"{name!r}, which is also the arm, the subject, a subgroup or a group"
        do = f"Choose another name, such as {name}_value."
        raise CohortError(f"roles: covariates.{name}", "a name of its own", got, do)


def refuse_half_an_origin(origin: float, event: str, time: str) -> None:
    """Refuse an origin of visit times without one of event times, which may or may not count from baseline.

    Raises:
        CohortError: the origin of visit times is not zero.
    """
    if origin:
        expected = f"an origin, because the time role has one ({origin:g})"
        do = f"Set origin to the value of {time} at baseline; 0 if it counts from baseline."
        raise CohortError(f"roles: events.{event}", expected, "none", do)
