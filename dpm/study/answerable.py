"""Can these patients answer what the study asks? Found out from the visits, before hours go into a fit."""

from collections.abc import Iterator

from dpm.cohort.cohort import Cohort
from dpm.control.estimand import Estimand, MeanChange
from dpm.errors import CohortError, ControlError, StudyError
from dpm.study.materials import Materials
from dpm.study.questions import estimand_of

FEWEST = 2
"""Measured patients of an arm below which it has no variance."""


def require_answerable(materials: Materials) -> None:
    """Refuse a study whose questions or checks ask for times, visits or patients that are not there.

    Raises:
        StudyError: naming the key of the study file.
    """
    _encoded(materials)
    for number, question in enumerate(materials.study.estimand):
        where = f"{materials.file.path}: estimand[{number}]"
        try:
            estimand = estimand_of(materials, question)
        except ControlError as error:
            raise StudyError(where, error.expected, error.got, error.do) from None
        _within_follow_up(materials, estimand, where)
        if isinstance(estimand, MeanChange):
            _measured(materials, estimand, where)
    _uncensored(materials)
    _checkable(materials)


def _encoded(materials: Materials) -> None:
    """Both cohorts have to give arrays: the treated patients are fitted too, for what was not measured in them."""
    for name, cohort in (("history", materials.history), ("trial", materials.trial)):
        try:
            cohort.records()
        except CohortError as error:
            where = f"{materials.file.path}: cohorts.{name}: {error.where}"
            raise StudyError(where, error.expected, error.got, error.do) from None


def _within_follow_up(materials: Materials, estimand: Estimand, where: str) -> None:
    """Beyond the follow-up of the natural history an untreated course is extrapolation."""
    longest = float(materials.history.visits["time"].max())
    if isinstance(estimand, MeanChange):
        key = "at"
        chosen = estimand.chosen_visits(materials.trial)["time"].fillna(estimand.at)
        latest = max(estimand.at, float(chosen.max()))
    else:
        key, latest = "over", estimand.over[1]
    if latest > longest:
        expected = f"a time within the follow-up of the natural history, {longest:.2f} years"
        do = "Ask for an earlier time, or a narrower window: beyond it the course is extrapolation."
        raise StudyError(f"{where}.{key}", expected, f"{latest:.5g} years", do)


def _measured(materials: Materials, estimand: MeanChange, where: str) -> None:
    """A mean of the treated that is imputed for all of them says nothing about treatment."""
    for name, cohort in _compared(materials):
        measured = int(estimand.chosen_visits(cohort)["value"].notna().sum())
        if measured < FEWEST:
            expected = (
                f"{FEWEST} or more patients of cohorts.{name} measured within {estimand.window:g} years "
                f"of {estimand.at:g} years"
            )
            got = f"{measured:,} of {cohort.n_subjects:,}"
            raise StudyError(f"{where}.window", expected, got, "Widen the window, or ask for another time.")


def _compared(materials: Materials) -> Iterator[tuple[str, Cohort]]:
    yield "trial", materials.trial
    asked = materials.study.compare
    if "unadjusted" in asked.methods or asked.truth is not None:
        yield "history", materials.history


def _uncensored(materials: Materials) -> None:
    """Held-out coverage and comparisons set measurements beside predictions: a limit is neither."""
    for outcome in materials.study.outcomes:
        for name, cohort in (("history", materials.history), ("trial", materials.trial)):
            beyond = int(cohort.beyond_limits(outcome).sum())
            if beyond:
                where = f"{materials.file.path}: cohorts.{name}: {outcome}"
                got = f"{beyond:,} of {int(cohort.visits[outcome].notna().sum()):,} values beyond a limit"
                do = "Fit and check it in Python, or ask about an outcome without values beyond a limit."
                raise StudyError(where, "measured values to check and compare", got, do)


def _checkable(materials: Materials) -> None:
    """Enough patients to hold out, and visits in the bins of the visual predictive check."""
    asked, path = materials.study.check, materials.file.path
    visits = materials.history.visits
    longest = float(visits["time"].max())
    if asked.at > longest:
        expected = f"a time within the follow-up of the natural history, {longest:.2f} years"
        raise StudyError(f"{path}: check.at", expected, f"{asked.at:.5g} years", "Ask for an earlier time.")
    for number, outcome in enumerate(materials.study.outcomes):
        measured = visits[visits[outcome].notna()]
        followed = measured.loc[measured["time"] > 0, "subject"].nunique()
        if number == 0 and followed < asked.folds:
            expected = f"no more folds than patients of cohorts.history with {outcome} after baseline"
            raise StudyError(f"{path}: check.folds", expected, f"{asked.folds:,} folds, {followed:,} such patients")
        if not measured["time"].between(asked.bins[0], asked.bins[-1]).any():
            expected = f"bins that hold measurements of {outcome}, taken at 0 to {longest:.2f} years"
            raise StudyError(f"{path}: check.bins", expected, f"none from {asked.bins[0]:g} to {asked.bins[-1]:g}")
