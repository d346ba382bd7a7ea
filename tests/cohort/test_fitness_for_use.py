"""Lights follow the limits of their rules."""

import pytest

from dpm.cohort import DEFAULT_RULES, FitnessRule, read_cohort
from dpm.cohort.fitness_for_use import fitness
from dpm.errors import CohortError

from .test_quality import ROLES, small

RULE = {"name": "there", "kind": "relevance", "measure": "available", "green": 0.9, "amber": 0.7, "direction": "higher"}


@pytest.mark.parametrize(
    ("value", "light"), [(0.9, "green"), (0.89, "amber"), (0.7, "amber"), (0.69, "red"), (float("nan"), "grey")]
)
def test_limits_are_included(value: float, light: str) -> None:
    assert FitnessRule.model_validate(RULE).light(value) == light
    lower = FitnessRule.model_validate({**RULE, "green": -0.9, "amber": -0.7, "direction": "lower"})
    assert lower.light(-value) == light


def test_values_are_those_of_the_tables() -> None:
    rules = [RULE, {**RULE, "name": "seen", "measure": "source_visits", "green": 6, "amber": 5}]
    found = fitness(read_cohort(small(), ROLES), rules).set_index("rule")
    assert found.loc["there", "value"] == pytest.approx(0.8)
    assert found["light"].to_dict() == {"there": "amber", "seen": "amber"}
    assert found.loc["there", "words"] == (
        "use with care: available is 0.8 (at least 0.9 is fit, at least 0.7 to be used with care)"
    )


def test_default_rules_have_reasons_and_run() -> None:
    assert all(rule.reason for rule in DEFAULT_RULES)
    found = fitness(read_cohort(small(), ROLES))
    assert set(found["rule"]) == {rule.name for rule in DEFAULT_RULES}
    assert set(found.loc[found["measure"] == "on_time", "light"]) == {"grey"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"measure": "beauty"}, "a measure among"),
        ({"green": 0.5}, "green at or beyond amber"),
        ({"variable": "nothing"}, "marker"),
        ({"source": "elsewhere"}, "one of: all"),
        ({"colour": "blue"}, "Keys:"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(CohortError, match=says):
        fitness(read_cohort(small(), ROLES), [{**RULE, **change}])
