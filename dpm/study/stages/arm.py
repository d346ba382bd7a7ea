"""`arm`: an untreated twin for every treated patient."""

import jax
import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.study.materials import Materials
from dpm.study.stage import Context
from dpm.study.stages import ARM_KEY
from dpm.types import Key
from dpm.virtual.arm import VirtualArm, synthetic_arm

BAND = (0.05, 0.95)
STEP = 0.25
"""Of the grid of times of the courses shown [years]."""


def arm_of(materials: Materials) -> VirtualArm:
    """The twins: drawn anew with the same key where they are needed, since they are large to store."""
    settings = materials.study.arm.model_dump(include={"draws", "replicates"}, exclude_none=True)
    return synthetic_arm(materials.posterior, like=materials.trial, key=materials.key(ARM_KEY), **settings)


def run(context: Context) -> str:
    """Draw the twins and write the courses of those shown beside what was measured."""
    materials, asked = context.materials, context.materials.study.arm
    outcome = materials.study.outcomes[0]
    arm = arm_of(materials)
    shown = chosen(materials.trial, outcome, asked.show)
    seen = materials.trial.subset(shown).until(asked.years)
    measured = seen.visits[seen.visits[outcome].notna() & ~seen.beyond_limits(outcome)]
    table = measured[["subject", "time"]].assign(value=measured[outcome], baseline=measured["time"] == 0)
    context.table("arm/twin_visits.csv", table)
    last = min(asked.years, float(materials.posterior.provenance["longest_follow_up"]))
    bands = twin_bands(arm.take(shown), outcome, last, key=jax.random.fold_in(context.key, 1))
    context.table("arm/twin_bands.csv", bands)
    draws, replicates = arm.effects.shape[:2]
    return f"{draws:,} x {replicates} untreated twins for each of {materials.trial.n_subjects:,} patients"


def chosen(trial: Cohort, outcome: str, count: int) -> list[str]:
    """Patients to show: evenly spaced by baseline value, so that nobody picks them."""
    baseline = trial.visits[trial.visits["time"] == 0].dropna(subset=[outcome]).sort_values([outcome, "subject"])
    places = np.linspace(0, len(baseline) - 1, min(count, len(baseline))).round().astype(int)
    return [str(subject) for subject in baseline["subject"].iloc[places]]


def twin_bands(arm: VirtualArm, outcome: str, last: float, *, key: Key) -> pd.DataFrame:
    """90 % bands of the untreated course and of a measurement of it, on a grid of times."""
    grid = np.arange(0.0, last + STEP / 2, STEP).clip(max=last)
    subjects = arm.history.subjects.index
    predicted = arm.predict(np.tile(grid[:, None], (1, len(subjects))), key=key)
    low, middle, high = np.quantile(np.asarray(predicted.course[outcome]), (BAND[0], 0.5, BAND[1]), axis=(0, 1))
    below, above = np.quantile(np.asarray(predicted.measurement[outcome]), BAND, axis=(0, 1))
    columns = {"mean_median": middle, "mean_low": low, "mean_high": high, "pred_low": below, "pred_high": above}
    index = pd.DataFrame({"subject": np.repeat(subjects.to_numpy(), len(grid)), "time": np.tile(grid, len(subjects))})
    return index.assign(**{name: values.T.ravel() for name, values in columns.items()})
