"""Attrition: who was kept at each step, who was left out, and why."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from dpm.cohort.table import Table
from dpm.types import Int


@dataclass(frozen=True, kw_only=True)
class FlowStep:
    """One line of the attrition table.

    Attributes:
        step: what was done, in order: "1 read", "2 keep arm placebo".
        reason: why these were left out; empty for those kept.
        arm: the arm counted, "all" in a cohort without arms.
        patients, visits: how many.
    """

    step: str
    reason: str
    arm: str
    patients: int
    visits: int


def arm_of_rows(table: Table, arm: str | None) -> np.ndarray:
    """The arm of each row of a raw table, "all" without arms."""
    return table.text(arm) if arm in table.columns else np.full(len(table), "all", dtype=object)


def count_rows(code: Int[np.ndarray, " row"], arm: np.ndarray) -> tuple[pd.Series, pd.Series]:
    """Patients and visits by arm, from the subject and the arm of each row."""
    frame = pd.DataFrame({"code": code, "arm": arm})
    return frame.groupby("arm")["code"].nunique(), frame["arm"].value_counts().sort_index()


def count_table(table: Table, subject: str, arm: str | None) -> tuple[pd.Series, pd.Series]:
    """The same of a raw table."""
    return count_rows(table.codes(subject)[0], arm_of_rows(table, arm))


def count_step(
    step: str, reason: str, before: tuple[pd.Series, pd.Series], after: tuple[pd.Series, pd.Series]
) -> tuple[FlowStep, ...]:
    """Lines for those left out (where there are any) and those kept, arm by arm.

    Args:
        step, reason: see `FlowStep`.
        before, after: patients and visits, each counted by arm.
    """
    lines = []
    for arm in before[0].index:
        patients, visits = int(after[0].get(arm, 0)), int(after[1].get(arm, 0))
        out, lost = int(before[0][arm]) - patients, int(before[1].get(arm, 0)) - visits
        if out or lost:
            lines.append(FlowStep(step=step, reason=reason, arm=str(arm), patients=out, visits=lost))
        if patients:
            lines.append(FlowStep(step=step, reason="", arm=str(arm), patients=patients, visits=visits))
    return tuple(lines)
