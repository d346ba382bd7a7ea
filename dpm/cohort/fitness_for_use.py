"""Fitness for use: is what the question needs there (relevance), and can it be relied upon (reliability)?"""

import math
from collections.abc import Iterable, Iterator
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, model_validator

from dpm.cohort.cohort import Cohort
from dpm.cohort.declared import declared
from dpm.cohort.quality import quality_table
from dpm.cohort.visit_table import visit_table
from dpm.cohort.visits import VisitRule
from dpm.errors import CohortError

PER_VARIABLE = (
    *("n", "available", "subjects", "subjects_available", "planned", "on_time", "deviation_days", "digit_share"),
    *("digit_p", "repeated", "repeated_excess", "censored", "structural"),
)
PER_SOURCE = (
    *("source_subjects", "source_visits", "visits_median", "gap_median", "gap_spread", "follow_up_median"),
    *("follow_up_max", "ended", "dropped_out", "single_visit", "padding"),
)
MEASURES = (*PER_VARIABLE, *PER_SOURCE)
"""What a rule may judge: columns of `quality_table` and `visit_table`; `repeated_excess` is `repeated` minus
`repeated_expected`, and `source_subjects` and `source_visits` are the counts of `visit_table`."""

Light = Literal["green", "amber", "red", "grey"]
WORDS: dict[Light, str] = {"green": "fit", "amber": "use with care", "red": "not fit", "grey": "cannot be judged"}


class FitnessRule(BaseModel):
    """One question asked of each source, with the user's own limits for the answer.

    Attributes:
        name: as printed.
        kind: relevance (are the variables, times and patients there?) or reliability (can they be trusted?).
        measure: of `MEASURES`.
        variable: an outcome, covariate, label or process; empty means every outcome, where the measure is of variables.
        source: empty means each.
        green, amber: limits, both included: green or better is fit, amber or better is to be used with care, anything
            else is not fit.
        direction: whether larger values are better, or smaller ones.
        reason: why this limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    kind: Literal["relevance", "reliability"]
    measure: str
    variable: str = ""
    source: str = ""
    green: float = Field(allow_inf_nan=False)
    amber: float = Field(allow_inf_nan=False)
    direction: Literal["higher", "lower"]
    reason: str = ""

    @model_validator(mode="after")
    def _sensible(self) -> "FitnessRule":
        if self.measure not in MEASURES:
            raise ValueError(f"a measure among: {', '.join(MEASURES)}")
        if self.variable and self.measure in PER_SOURCE:
            raise ValueError(f"no variable beside {self.measure}, which is a measure of a source")
        if self.green != self.amber and (self.green > self.amber) != (self.direction == "higher"):
            raise ValueError("green at or beyond amber in the direction that is better")
        return self

    def light(self, value: float) -> Light:
        """The verdict on a value; grey where there is none."""
        if math.isnan(value):
            return "grey"
        sign = 1.0 if self.direction == "higher" else -1.0
        if sign * value >= sign * self.green:
            return "green"
        return "amber" if sign * value >= sign * self.amber else "red"


DEFAULT_RULES = (
    FitnessRule(
        name="values are there",
        kind="relevance",
        measure="available",
        green=0.9,
        amber=0.7,
        direction="higher",
        reason="A tenth missing changes an interval by about 5 % if at random; beyond three tenths the answer rests on "
        "the assumption about what is missing.",
    ),
    FitnessRule(
        name="subjects have a value",
        kind="relevance",
        measure="subjects_available",
        green=0.95,
        amber=0.8,
        direction="higher",
        reason="A subject without any value is selected out of the analysis.",
    ),
    FitnessRule(
        name="planned visits took place",
        kind="relevance",
        measure="on_time",
        green=0.8,
        amber=0.6,
        direction="higher",
        reason="A change between two planned times is read off the model, not the data, where visits are elsewhere.",
    ),
    FitnessRule(
        name="follow-up is long enough",
        kind="relevance",
        measure="follow_up_median",
        green=2.0,
        amber=1.0,
        direction="higher",
        reason="Years, for a trial of one to two years: half of the subjects are followed for as long as it lasts. "
        "Set it to the length of the trial.",
    ),
    FitnessRule(
        name="visits show a course",
        kind="relevance",
        measure="visits_median",
        green=4.0,
        amber=3.0,
        direction="higher",
        reason="A line takes two visits; a third tells noise from change, a fourth a curve from a line.",
    ),
    FitnessRule(
        name="last digits are read off",
        kind="reliability",
        measure="digit_share",
        green=0.15,
        amber=0.25,
        direction="lower",
        reason="One last digit in ten is expected; one in four means that values were rounded. A p value would turn "
        "red in any large source.",
    ),
    FitnessRule(
        name="values are not carried over",
        kind="reliability",
        measure="repeated_excess",
        green=0.05,
        amber=0.15,
        direction="lower",
        reason="A value copied from the visit before is no measurement and makes noise look smaller than it is.",
    ),
    FitnessRule(
        name="values within limits",
        kind="reliability",
        measure="censored",
        green=0.1,
        amber=0.4,
        direction="lower",
        reason="Censored values are scored as such; when they are many the model, not the assay, says how low they "
        "are.",
    ),
    FitnessRule(
        name="subjects keep coming",
        kind="reliability",
        measure="dropped_out",
        green=0.1,
        amber=0.3,
        direction="lower",
        reason="Those who stay away may be worse or better than those who come.",
    ),
)
"""Conventions, not law: rounded limits of the kind used in feasibility reviews, each with its reason. A study states
its own; whichever are used are printed with the result."""


def fitness(
    cohort: Cohort,
    rules: Iterable[FitnessRule | dict[str, object]] = DEFAULT_RULES,
    *,
    schedule: VisitRule | None = None,
    by: str | None = "study",
) -> pd.DataFrame:
    """A light for every rule, variable and source.

    Args:
        cohort: as read.
        rules: with their limits.
        schedule: the planned visits, for rules on timing.
        by: what is a source, as in `quality_table`.

    Returns:
        `rule`, `kind`, `measure`, `variable`, `source`, `value`, `green`, `amber`, `direction`, `light` (green, amber,
        red; grey where the measure does not apply), `words` and `reason`.

    Raises:
        CohortError: a rule cannot be read, or names a variable or source that is not there.
    """
    quality = quality_table(cohort, schedule=schedule, by=by)
    quality = quality.assign(repeated_excess=quality["repeated"] - quality["repeated_expected"])
    visits = visit_table(cohort, by=by).assign(variable="")
    visits = visits.rename(columns={"subjects": "source_subjects", "visits": "source_visits"})
    rows = [row for rule in declared(FitnessRule, rules, "fitness rules") for row in _judged(rule, quality, visits)]
    keys = ("rule", "kind", "measure", "variable", "source", "value", "green", "amber", "direction", "light", "words")
    return pd.DataFrame(rows, columns=[*keys, "reason"])


def _judged(rule: FitnessRule, quality: pd.DataFrame, visits: pd.DataFrame) -> Iterator[dict[str, object]]:
    table = visits if rule.measure in PER_SOURCE else quality
    if table is quality:
        known = tuple(dict.fromkeys(quality["variable"]))
        _refuse_unknown(rule, "variable", rule.variable, known)
        table = table[table["variable"] == rule.variable] if rule.variable else table[table["role"] == "outcome"]
    _refuse_unknown(rule, "source", rule.source, tuple(dict.fromkeys(visits["source"])))
    table = table[table["source"] == rule.source] if rule.source else table
    limits = {"green": rule.green, "amber": rule.amber, "direction": rule.direction}
    for row in table.to_dict("records"):
        value = float(row[rule.measure])
        light = rule.light(value)
        head = {"rule": rule.name, "kind": rule.kind, "measure": rule.measure}
        about = {"variable": row["variable"], "source": row["source"], "value": value}
        yield {**head, **about, **limits, "light": light, "words": _words(rule, light, value), "reason": rule.reason}


def _refuse_unknown(rule: FitnessRule, key: str, given: str, known: tuple[str, ...]) -> None:
    if given and given not in known:
        raise CohortError(f"fitness rule {rule.name!r}: {key}", f"one of: {', '.join(known)}", repr(given))


def _words(rule: FitnessRule, light: Light, value: float) -> str:
    asked = "at least" if rule.direction == "higher" else "at most"
    limits = f"{asked} {rule.green:g} is fit, {asked} {rule.amber:g} to be used with care"
    return f"{WORDS[light]}: {rule.measure} is {'not known' if light == 'grey' else f'{value:.4g}'} ({limits})"
