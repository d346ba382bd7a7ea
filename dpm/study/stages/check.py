"""`check`: does the fit reproduce the patients it saw, and predict those it did not."""

import jax
import pandas as pd

from dpm.checks.holdout import held_out_coverage
from dpm.checks.predictive import visual_check
from dpm.inference.laplace import Laplace
from dpm.study.stage import Context
from dpm.study.stages.fit import method_of
from dpm.types import Key


def run(context: Context) -> str:
    """Write the visual predictive check and the coverage for held-out patients."""
    visual_key, held_out_key = jax.random.split(context.key)
    context.note("simulating the cohort from its own fit")
    context.table("check/vpc.csv", visual_checks(context, key=visual_key))
    folds = context.materials.study.check.folds
    context.note(f"predicting the patients of each of {folds} parts from a fit to the others")
    coverage = coverage_of(context, key=held_out_key)
    context.table("check/coverage.csv", coverage)
    counts = coverage["verdict"].value_counts()
    return "coverage of held-out patients: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def visual_checks(context: Context, *, key: Key) -> pd.DataFrame:
    """The visual predictive check of every outcome an estimand is about."""
    materials, asked = context.materials, context.materials.study.check
    tables = [
        visual_check(
            materials.posterior,
            materials.history,
            outcome=outcome,
            bins=asked.bins,
            key=jax.random.fold_in(key, number),
            n_simulations=asked.simulations,
        )
        for number, outcome in enumerate(materials.study.outcomes)
    ]
    return pd.concat(tables, ignore_index=True)


def coverage_of(context: Context, *, key: Key) -> pd.DataFrame:
    """Coverage of the first estimand's outcome. Refits are by Laplace, with the study's settings if it has any."""
    materials, asked = context.materials, context.materials.study.check
    method, _ = method_of(materials)
    return held_out_coverage(
        materials.model,
        materials.history,
        outcome=materials.study.outcomes[0],
        at=asked.at,
        key=key,
        subgroups=asked.subgroups,
        folds=asked.folds,
        levels=asked.levels,
        method=method if isinstance(method, Laplace) else None,
    )
