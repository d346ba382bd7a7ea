"""Fitness for use as a study asks for it: the tables that `validate` prints and the report holds."""

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from dpm.cohort.cleaning import ledger_rows, ledger_table
from dpm.cohort.cohort import Cohort
from dpm.cohort.comparability import compare_sources
from dpm.cohort.fitness_for_use import DEFAULT_RULES, fitness
from dpm.cohort.quality import quality_table
from dpm.cohort.visit_table import visit_table
from dpm.cohort.visiting import visit_process
from dpm.cohort.visits import VisitRule
from dpm.errors import CohortError
from dpm.study.schema import FitnessChoice

VISITING = ("outcome", "measure", "estimate", "low", "high", "p", "n", "of")


def fitness_tables(cohort: Cohort, choice: FitnessChoice) -> dict[str, pd.DataFrame]:
    """Every table on the data themselves, by its name in the run folder."""
    rule = visit_rule(choice)
    schedule = rule if choice.planned is not None else None
    rules = choice.rules or DEFAULT_RULES
    process, verdicts = _visiting(cohort, rule) if schedule is not None else (pd.DataFrame(columns=VISITING), ())
    return {
        "cohort/ledger.csv": ledger_table(cohort.ledger),
        "cohort/ledger_rows.csv": ledger_rows(cohort.ledger),
        "cohort/quality.csv": quality_table(cohort, schedule=schedule, by=choice.by),
        "cohort/visits.csv": visit_table(cohort, by=choice.by),
        "cohort/fitness.csv": fitness(cohort, rules, schedule=schedule, by=choice.by),
        "cohort/visiting.csv": process,
        "cohort/verdicts.csv": pd.DataFrame(verdicts, columns=["outcome", "verdict"]),
    }


def comparability_tables(history: Cohort, trial: Cohort) -> dict[str, pd.DataFrame]:
    """The two cohorts of a study side by side, by name in the run folder."""
    found = compare_sources(history, trial, name_a="natural history", name_b="treated")
    joint = pd.DataFrame([vars(found.joint)])
    return {
        "cohort/support.csv": found.covariates,
        "cohort/labels.csv": found.levels,
        "cohort/joint_support.csv": joint.map(lambda cell: ", ".join(cell) if isinstance(cell, tuple) else cell),
    }


def visit_rule(choice: FitnessChoice) -> VisitRule:
    """The planned visits, and from how many days on a visit is off schedule."""
    rule = VisitRule(off_schedule_days=choice.window_days)
    return rule if choice.planned is None else replace(rule, planned=choice.planned)


def _visiting(cohort: Cohort, rule: VisitRule) -> tuple[pd.DataFrame, Iterable[tuple[str, str]]]:
    """Per outcome that is a number; one whose visits cannot be judged says why."""
    parts, verdicts = [pd.DataFrame(columns=VISITING)], []
    for name, role in cohort.roles.outcomes.items():
        if role.levels:
            continue
        try:
            found = visit_process(cohort, name, rule)
        except CohortError as error:
            verdicts.append((name, f"cannot be judged: {error.expected}, got {error.got}"))
            continue
        parts.append(found.table.assign(outcome=name)[list(VISITING)])
        verdicts.append((name, found.verdict))
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True), verdicts
