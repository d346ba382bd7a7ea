"""Trials simulated from the placebo model of the PBC study, with the real patients and visit times, by NumPy alone."""

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import dpm
from dpm.cohort.roles import parse_roles
from dpm.control.estimand import Estimand

STUDY = Path(__file__).parents[1] / "pbc_dpenicillamine" / "study.toml"
OUTCOME, AT, OVER = "log_bilirubin", 2.0, (0.0, 2.0)
HYPOTHETICAL = {"death": "hypothetical", "transplant": "hypothetical"}
CHANGE = dpm.MeanChange(OUTCOME, at=AT, intercurrent=HYPOTHETICAL)
SLOPE = dpm.SlopeDifference(OUTCOME, over=OVER, intercurrent=HYPOTHETICAL)
ESTIMANDS: dict[str, Estimand] = {"change_2y": CHANGE, "slope": SLOPE}


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is simulated.

    Attributes:
        effect: on the slope of every treated patient [log mg/dL/year].
        dropout: whether patients of both arms leave, depending on the last value seen.
        replicates: trials in the stored results.
        importance: proposals that `Laplace` weights; 0 draws from its normal approximation.
        trials_of: the scenario whose trials are analysed again.
    """

    effect: float = 0.0
    dropout: bool = False
    replicates: int = 500
    importance: int = 0
    trials_of: str = ""


SCENARIOS = {
    "no_effect": Scenario(replicates=1000),
    "effect": Scenario(effect=-0.05, replicates=493),
    "dropout": Scenario(dropout=True, replicates=200),
    "no_effect_weighted": Scenario(importance=4096, trials_of="no_effect", replicates=200),
    "dropout_weighted": Scenario(dropout=True, importance=4096, trials_of="dropout", replicates=200),
}

# Posterior means of the placebo arm, rounded; covariates standardised by that arm.
TYPICAL = {"level": 0.47, "slope": 0.166}
COEFFICIENTS = pd.DataFrame(
    {"level": [-0.07, 0.05, -0.27, 0.34, 0.33], "slope": [0.009, 0.026, -0.028, 0.042, -0.068]},
    index=["age", "female", "log_albumin", "log_protime", "edema_score"],
)
LEVEL_SD, SLOPE_SD, CORRELATION, NOISE = 0.96, 0.169, 0.37, 0.358
COVARIANCE = np.array(
    [
        [LEVEL_SD**2, CORRELATION * LEVEL_SD * SLOPE_SD],
        [CORRELATION * LEVEL_SD * SLOPE_SD, SLOPE_SD**2],
    ]
)

# Log odds of leaving after a visit: -2.5 where log bilirubin is 0.5, and one more for each log unit above it.
DROPOUT = (-2.5, 0.5)


class Trial(NamedTuple):
    """One simulated trial.

    Attributes:
        history, treated: as dpm sees them.
        drawn: per estimand, the realised difference between the treated patients and an untreated course drawn for
            each of them given covariates and baseline value, independent of the treated one.
    """

    history: dpm.Cohort
    treated: dpm.Cohort
    drawn: dict[str, float]


def real_cohorts() -> tuple[dpm.Cohort, dpm.Cohort]:
    """Placebo and D-penicillamine arm, for their covariates, visit times and events."""
    study = tomllib.loads(STUDY.read_text(encoding="utf-8"))
    cohort = dpm.read_cohort(dpm.data_path("pbc/pbc_longitudinal.csv"), parse_roles(study["data"]["roles"]))
    return cohort.where(arm="placebo"), cohort.where(arm="dpenicillamine")


def truth(scenario: Scenario, estimand: str) -> float:
    """The effect: that of an endless trial, and that of these patients if treatment changes their slopes alone."""
    return scenario.effect * (AT if estimand == "change_2y" else 1.0)


def simulate_trial(history: dpm.Cohort, treated: dpm.Cohort, scenario: Scenario, rng: np.random.Generator) -> Trial:
    """Other bilirubin values at the same visits of the same patients."""
    encodings = dpm.Encodings.learn(history)
    effects = [
        rng.multivariate_normal(np.zeros(2), COVARIANCE, size=cohort.n_subjects) for cohort in (history, treated)
    ]
    lines = [fixed_lines(cohort, encodings) for cohort in (history, treated)]
    shifts = [np.zeros(2), np.array([0.0, scenario.effect])]
    simulated = [
        with_values(cohort, line + b + shift, rng)
        for cohort, line, b, shift in zip((history, treated), lines, effects, shifts, strict=True)
    ]
    seen = [drop_out(cohort, rng) if scenario.dropout else cohort for cohort in simulated]
    others = untreated_lines(lines[1], simulated[1], rng)
    own = lines[1] + effects[1] + shifts[1]
    return Trial(seen[0], seen[1], drawn_differences(seen[1], own, others, rng))


def fixed_lines(cohort: dpm.Cohort, encodings: dpm.Encodings) -> np.ndarray:
    """Expected level and slope given covariates, a row per patient."""
    columns = np.column_stack([encodings.covariates(cohort)[name] for name in COEFFICIENTS.index])
    return np.asarray(columns @ COEFFICIENTS.to_numpy() + np.array([TYPICAL["level"], TYPICAL["slope"]]))


def with_values(cohort: dpm.Cohort, lines: np.ndarray, rng: np.random.Generator) -> dpm.Cohort:
    """The cohort with values around each patient's line (level, slope)."""
    own, years = lines[cohort.position], cohort.visits["time"].to_numpy()
    values = own[:, 0] + own[:, 1] * years + NOISE * rng.standard_normal(len(years))
    return replace(cohort, visits=cohort.visits.assign(**{OUTCOME: values}))


def drop_out(cohort: dpm.Cohort, rng: np.random.Generator) -> dpm.Cohort:
    """Nothing is measured after a patient left; the higher the last value seen, the likelier to leave.

    The visits stay in the table, unmeasured: arrays keep their shape from trial to trial.
    """
    base, centre = DROPOUT
    chance = 1.0 / (1.0 + np.exp(-(base + cohort.visits[OUTCOME] - centre)))
    leaves = pd.Series(rng.random(len(chance)) < chance, index=chance.index)
    before = leaves.astype(int).groupby(cohort.visits["subject"], sort=False).cumsum() - leaves
    return replace(cohort, visits=cohort.visits.assign(**{OUTCOME: cohort.visits[OUTCOME].where(before == 0)}))


def untreated_lines(lines: np.ndarray, simulated: dpm.Cohort, rng: np.random.Generator) -> np.ndarray:
    """Untreated lines drawn given covariates and baseline value: normal given that value."""
    baseline = simulated.visits[simulated.visits["time"] == 0].set_index("subject")[OUTCOME]
    surprise = baseline.reindex(simulated.subjects.index).to_numpy() - lines[:, 0]
    gain = COVARIANCE[:, 0] / (COVARIANCE[0, 0] + NOISE**2)
    spread = COVARIANCE - np.outer(gain, COVARIANCE[0])
    return lines + np.outer(surprise, gain) + rng.multivariate_normal(np.zeros(2), spread, size=len(lines))


def drawn_differences(
    seen: dpm.Cohort, own: np.ndarray, untreated: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """See `Trial.drawn`: measurements at the visit that stands for two years, slopes of the lines."""
    chosen = CHANGE.chosen_visits(seen)
    years = chosen["time"].fillna(AT).to_numpy()
    noise = NOISE * rng.standard_normal((2, len(years)))
    missed = own[:, 0] + own[:, 1] * years + noise[0]
    measured = chosen["value"].where(chosen["value"].notna(), missed)
    twin = untreated[:, 0] + untreated[:, 1] * years + noise[1]
    return {"change_2y": float(np.mean(measured - twin)), "slope": float(np.mean(own[:, 1] - untreated[:, 1]))}
