"""What is to be estimated, said before anything is estimated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.event_role import CENSORED
from dpm.cohort.visits import VisitRule
from dpm.errors import ControlError

STRATEGIES = {
    "hypothetical": (
        "hypothetical: the course had it not happened. What was not measured after it is imputed from the model of the "
        "patient's own arm, given everything measured in the patient before (missing at random)"
    )
}
"""Strategies for intercurrent events (ICH E9(R1)) that this version can carry out, in words."""

MEANS = ("continuous", "bounded", "integer")
"""Kinds of outcome whose mean change and yearly rate are contrasts in its own unit."""

TREATED = "patients of the treated arm"


@dataclass(frozen=True)
class MeanChange:
    r"""Difference in mean change from baseline at one time, among the treated.

    $$\Delta = \frac1{n_1} \sum_{i:\,\text{treated}} \{Y_i^{(1)}(t) - Y_i^{(0)}(t)\}$$

    A patient's value at $t$ is the measurement nearest to it within the window. Baseline is the same in both courses
    and cancels. Hypothetical strategy: had the event that ended follow-up not happened; a patient without a
    measurement in the window is imputed from a model of the treated arm given everything measured in that patient,
    and visits that exist only because the patient was dying do not stand for a visit at $t$.

    Attributes:
        outcome: as named in the cohort.
        at: $t$ [years since baseline].
        window: a visit in $t \pm$ `window` may stand for $t$ [years].
        intercurrent: strategy per intercurrent event.
        visit_rule: which visits exist only because the patient is dying; None takes every visit.
    """

    outcome: str
    at: float
    window: float = 0.5
    intercurrent: Mapping[str, str] = field(default_factory=dict)
    visit_rule: VisitRule | None = field(default_factory=VisitRule)

    name = "mean_change"

    def __post_init__(self) -> None:
        _check_strategies(self.intercurrent)
        if not 0 < self.window < self.at:
            raise ControlError("MeanChange", "0 < window < at", f"window {self.window:g}, at {self.at:g}")

    @property
    def label(self) -> str:
        return f"Difference in mean change of {_words(self.outcome)} from baseline at {self.at:g} years"

    def chosen_visits(self, cohort: Cohort) -> pd.DataFrame:
        """Per subject, `time` and `value` of the visit that stands for `at`; NaN where there is none.

        Raises:
            ControlError: the outcome has censored values.
        """
        _refuse_censored(cohort, self.outcome)
        visits = cohort.visits
        eligible = (visits["time"] - self.at).abs() <= self.window
        eligible &= visits["time"].gt(0) & visits[self.outcome].notna()
        if self.visit_rule is not None and cohort.roles.terminal is not None:
            eligible &= ~cohort.terminal_visits(self.visit_rule)
        near = visits[eligible].assign(gap=(visits["time"] - self.at).abs()).sort_values(["gap", "time"], kind="stable")
        first = near.drop_duplicates("subject").set_index("subject")
        return first.reindex(cohort.subjects.index)[["time", self.outcome]].rename(columns={self.outcome: "value"})

    def describe(self) -> dict[str, Any]:
        """For the report."""
        rule = f"the measurement nearest to {self.at:g} years, within {self.window:g} years of it"
        return _described(self, self.at, f"{rule}; {self._terminal_in_words()}")

    def _terminal_in_words(self) -> str:
        if self.visit_rule is None:
            return "visits made because the patient was dying count like any other"
        rule = self.visit_rule
        return (
            "not a visit that exists only because the patient was dying: one within "
            f"{rule.within_days:g} days before the event that ended follow-up and more than "
            f"{rule.off_schedule_days:g} days from every planned time"
        )

    def counts(self, cohort: Cohort) -> dict[str, int]:
        """How many patients were measured in the window, how many were not, and what happened to them."""
        measured = int(self.chosen_visits(cohort)["value"].notna().sum())
        found = {"measured in the window": measured, "imputed": cohort.n_subjects - measured}
        if cohort.roles.terminal is not None:
            early = cohort.ends[cohort.ends["time"] < self.at]
            for event in cohort.roles.events[cohort.roles.terminal].names:
                found[f"{event} before {self.at:g} years"] = int((early["event"].astype(str) == event).sum())
        if cohort.roles.terminal is not None and self.visit_rule is not None:
            near = (cohort.visits["time"] - self.at).abs() <= self.window
            found["visits in the window set aside"] = int((near & cohort.terminal_visits(self.visit_rule)).sum())
        return found


@dataclass(frozen=True)
class SlopeDifference:
    r"""Difference in mean yearly rate of change over a period, among the treated.

    $$\Delta = \frac1{n_1} \sum_{i:\,\text{treated}} (s_i^{(1)} - s_i^{(0)}),\qquad
    s_i = \frac{\mu_i(t_2) - \mu_i(t_1)}{t_2 - t_1}$$

    with $\mu_i$ the expected course; for a linear trajectory, the difference in slopes. Hypothetical strategy: the
    course of a patient whose follow-up an event ended is continued by the model, given what was measured before.

    Attributes:
        outcome: as named in the cohort.
        over: $t_1, t_2$ [years since baseline].
        intercurrent: strategy per intercurrent event.
    """

    outcome: str
    over: tuple[float, float] = (0.0, 2.0)
    intercurrent: Mapping[str, str] = field(default_factory=dict)

    name = "slope_difference"

    def __post_init__(self) -> None:
        _check_strategies(self.intercurrent)
        if not 0 <= self.over[0] < self.over[1]:
            raise ControlError("SlopeDifference", "0 <= start < end of `over`", str(self.over))

    @property
    def label(self) -> str:
        return f"Difference in mean yearly change of {_words(self.outcome)}, {self.over[0]:g} to {self.over[1]:g} years"

    def describe(self) -> dict[str, Any]:
        """For the report."""
        return _described(self, list(self.over), "all visits, through the model")


Estimand = MeanChange | SlopeDifference


def _words(outcome: str) -> str:
    return outcome.replace("_", " ")


def _described(estimand: "Estimand", time: float | list[float], visits_rule: str) -> dict[str, Any]:
    return {
        "label": estimand.label,
        "population": TREATED,
        "outcome": estimand.outcome,
        "time": time,
        "contrast": "treated minus untreated, mean over patients",
        "interval_for": "these patients",
        "intercurrent": {event: STRATEGIES[strategy] for event, strategy in estimand.intercurrent.items()},
        "visits_rule": visits_rule,
    }


def _check_strategies(intercurrent: Mapping[str, str]) -> None:
    for event, strategy in intercurrent.items():
        if strategy not in STRATEGIES:
            raise ControlError(
                f"intercurrent.{event}",
                f"one of {', '.join(STRATEGIES)}",
                repr(strategy),
                "Other strategies are not carried out by this version, so they are refused rather than ignored.",
            )


def require_outcome(cohort: Cohort, estimand: "Estimand") -> None:
    """Refuse a cohort without the estimand's outcome or with censored values of it, or an event without a strategy.

    Raises:
        ControlError: see above.
    """
    if estimand.outcome not in cohort.roles.outcomes:
        raise ControlError("estimand.outcome", f"one of {', '.join(cohort.roles.outcomes)}", repr(estimand.outcome))
    kind = cohort.roles.outcomes[estimand.outcome].kind
    if kind not in MEANS:
        do = "Choose another outcome; contrasts of probabilities and of counts are not carried out by this version."
        raise ControlError("estimand.outcome", f"an outcome of kind {', '.join(MEANS)}, which has a mean", kind, do)
    _refuse_censored(cohort, estimand.outcome)
    happened = set(cohort.ends["event"]) - {CENSORED}
    unnamed = sorted(happened - set(estimand.intercurrent))
    if unnamed:
        do = f'Say what the estimand does about it, for example intercurrent={{"{unnamed[0]}": "hypothetical"}}.'
        raise ControlError(
            "estimand.intercurrent", "a strategy for every event that happened", f"none for {', '.join(unnamed)}", do
        )


def _refuse_censored(cohort: Cohort, outcome: str) -> None:
    beyond = cohort.beyond_limits(outcome)
    if beyond.any():
        do = "Choose an outcome without values beyond a limit; a limit is not what was measured."
        got = f"{int(beyond.sum()):,} censored of {int(cohort.visits[outcome].notna().sum()):,} values"
        raise ControlError(f"estimand.outcome: {outcome}", "measured values to compare", got, do)


def unit_of(cohort: Cohort, estimand: Estimand) -> str:
    """Unit of an estimate: the outcome's on its transformed scale, per year for a slope."""
    role = cohort.roles.outcomes[estimand.outcome]
    unit = role.unit if role.transform == "identity" else f"{role.transform} {role.unit}"
    return f"{unit}/year" if isinstance(estimand, SlopeDifference) else unit
