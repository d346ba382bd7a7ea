"""Coverage of the twin comparison in trials simulated where the effect is known. See README.md; run from the root.

A trial is simulated in NumPy, not by dpm. What dpm does with it is what `dpm.fit`, `dpm.synthetic_arm`,
`TreatedCourse.of` and `dpm.compare` do, spelled out so that functions compiled for the first trial serve all others;
`tests/control/test_calibration.py` holds the two routes against each other.
"""

import argparse
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import dpm
import jax
import numpy as np
import pandas as pd
from dpm.cohort.roles import parse_roles
from dpm.control.estimand import Estimand
from dpm.inference.draws import Draws, host
from dpm.inference.effects import draw_effects
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import population_draws
from dpm.inference.marginal import Marginal
from dpm.types import Key
from jax import numpy as jnp

from models.pbc_bilirubin import build

HERE = Path(__file__).parent
STUDY = HERE.parent / "pbc_dpenicillamine" / "study.toml"
OUTCOME, AT, OVER = "log_bilirubin", 2.0, (0.0, 2.0)
HYPOTHETICAL = {"death": "hypothetical", "transplant": "hypothetical"}
ESTIMANDS: dict[str, Estimand] = {
    "change_2y": dpm.MeanChange(OUTCOME, at=AT, intercurrent=HYPOTHETICAL),
    "slope": dpm.SlopeDifference(OUTCOME, over=OVER, intercurrent=HYPOTHETICAL),
}
LEVELS = (0.5, 0.8, 0.95)
SEED = 1974


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is simulated: an effect on every treated patient's slope [log mg/dL/year], and whether patients drop out."""

    effect: float = 0.0
    dropout: bool = False
    replicates: int = 500


SCENARIOS = {
    "null": Scenario(replicates=1000),
    "effect": Scenario(effect=-0.05),
    "dropout": Scenario(dropout=True),
}

# Posterior means of the placebo arm, rounded; covariates standardised by that arm.
TYPICAL = {"level": 0.47, "slope": 0.166}
COEFFICIENTS = pd.DataFrame(
    {"level": [-0.07, 0.05, -0.27, 0.34, 0.33], "slope": [0.009, 0.026, -0.028, 0.042, -0.068]},
    index=["age", "female", "log_albumin", "log_protime", "edema_score"],
)
SD, CORRELATION, NOISE = {"level": 0.96, "slope": 0.169}, 0.37, 0.358
COVARIANCE = np.array(
    [
        [SD["level"] ** 2, CORRELATION * SD["level"] * SD["slope"]],
        [CORRELATION * SD["level"] * SD["slope"], SD["slope"] ** 2],
    ]
)

# Log odds of leaving after a visit: -2.5 where log bilirubin is 0.5, and one more for each log unit above it.
DROPOUT = (-2.5, 0.5)


class Trial(NamedTuple):
    """One simulated trial.

    Attributes:
        history, treated: as dpm sees them.
        other: per estimand, the mean difference between the treated patients and *other* untreated patients with the
            same covariates and baseline value, which is what the interval of a twin comparison is for if the two
            courses of one patient are independent given these.
    """

    history: dpm.Cohort
    treated: dpm.Cohort
    other: dict[str, float]


def real_cohorts() -> tuple[dpm.Cohort, dpm.Cohort]:
    """Placebo and D-penicillamine arm, for their covariates, visit times and events."""
    study = tomllib.loads(STUDY.read_text(encoding="utf-8"))
    cohort = dpm.read_cohort(dpm.data_path("pbc/pbc_longitudinal.csv"), parse_roles(study["data"]["roles"]))
    return cohort.where(arm="placebo"), cohort.where(arm="dpenicillamine")


def simulate_trial(history: dpm.Cohort, treated: dpm.Cohort, scenario: Scenario, rng: np.random.Generator) -> Trial:
    """Other bilirubin values at the same visits of the same patients."""
    encodings = dpm.Encodings.learn(history)
    effects = [
        rng.multivariate_normal(np.zeros(2), COVARIANCE, size=cohort.n_subjects) for cohort in (history, treated)
    ]
    lines = [fixed_lines(cohort, encodings) for cohort in (history, treated)]
    shift = np.array([0.0, scenario.effect])
    simulated = [
        with_values(cohort, line + b + extra, rng)
        for cohort, line, b, extra in zip((history, treated), lines, effects, (0.0, shift), strict=True)
    ]
    seen = [drop_out(cohort, rng) if scenario.dropout else cohort for cohort in simulated]
    others = other_lines(lines[1], simulated[1], rng)
    return Trial(seen[0], seen[1], other_differences(seen[1], simulated[1], lines[1] + effects[1] + shift, others, rng))


def fixed_lines(cohort: dpm.Cohort, encodings: dpm.Encodings) -> np.ndarray:
    """Expected level and slope given covariates, a row per patient."""
    columns = encodings.covariates(cohort)
    return np.column_stack(
        [
            TYPICAL[part] + sum(COEFFICIENTS.loc[name, part] * columns[name] for name in COEFFICIENTS.index)
            for part in ("level", "slope")
        ]
    )


def with_values(cohort: dpm.Cohort, lines: np.ndarray, rng: np.random.Generator) -> dpm.Cohort:
    """The cohort with values around each patient's line (level, slope)."""
    own, years = lines[cohort.position], cohort.visits["time"].to_numpy()
    values = own[:, 0] + own[:, 1] * years + NOISE * rng.standard_normal(len(years))
    return replace(cohort, visits=cohort.visits.assign(**{OUTCOME: values}))


def drop_out(cohort: dpm.Cohort, rng: np.random.Generator) -> dpm.Cohort:
    """Without the visits after a patient left; the higher the last value seen, the likelier to leave."""
    base, centre = DROPOUT
    chance = 1.0 / (1.0 + np.exp(-(base + cohort.visits[OUTCOME] - centre)))
    leaves = pd.Series(rng.random(len(chance)) < chance, index=chance.index)
    before = leaves.astype(int).groupby(cohort.visits["subject"], sort=False).cumsum() - leaves
    return cohort.drop_visits(before > 0, "dropped out")


def other_lines(lines: np.ndarray, simulated: dpm.Cohort, rng: np.random.Generator) -> np.ndarray:
    """Lines of other untreated patients with the same covariates and baseline value: normal given that value."""
    baseline = simulated.visits[simulated.visits["time"] == 0].set_index("subject")[OUTCOME]
    surprise = baseline.reindex(simulated.subjects.index).to_numpy() - lines[:, 0]
    gain = COVARIANCE[:, 0] / (COVARIANCE[0, 0] + NOISE**2)
    spread = COVARIANCE - np.outer(gain, COVARIANCE[0])
    return lines + np.outer(surprise, gain) + rng.multivariate_normal(np.zeros(2), spread, size=len(lines))


def other_differences(
    seen: dpm.Cohort, simulated: dpm.Cohort, lines: np.ndarray, others: np.ndarray, rng: np.random.Generator
) -> dict[str, float]:
    """See `Trial.other`: measurements at the visit that stands for two years, slopes of the lines."""
    estimand = ESTIMANDS["change_2y"]
    assert isinstance(estimand, dpm.MeanChange)
    chosen = estimand.chosen_visits(seen)
    years = chosen["time"].fillna(AT).to_numpy()
    noise = NOISE * rng.standard_normal((2, len(years)))
    unseen = lines[:, 0] + lines[:, 1] * years + noise[0]
    measured = np.where(chosen["value"].isna(), unseen, chosen["value"])
    untreated = others[:, 0] + others[:, 1] * years + noise[1]
    return {
        "change_2y": float(np.mean(measured - untreated)),
        "slope": float(np.mean(lines[:, 1] - others[:, 1])),
    }


class Compiled(NamedTuple):
    """What one arm's model is compiled for: its likelihood, and the number of visits arrays are padded to."""

    marginal: Marginal
    visits: int

    @classmethod
    def of(cls, model: dpm.ProgressionModel, cohort: dpm.Cohort) -> "Compiled":
        records = cohort.records()
        return cls(Marginal(Hierarchy.of(model, records)), records.time.shape[0])

    def records(self, cohort: dpm.Cohort, encodings: dpm.Encodings) -> dpm.Records:
        """Records of this shape, also where dropout left fewer visits."""
        records = cohort.records(encodings)
        seen = records.time.shape
        lack = ((0, self.visits - seen[0]), (0, 0))
        return jax.tree.map(lambda x: jnp.pad(x, lack) if x.shape == seen else x, records)


class Analysis:
    """What dpm does with a trial, compiled once for all trials with these patients."""

    def __init__(self, history: dpm.Cohort, treated: dpm.Cohort, *, draws: int = 300, replicates: int = 2) -> None:
        self.model, self.method, self.replicates = build(), dpm.Laplace(draws=draws), replicates
        self.history, self.treated = Compiled.of(self.model, history), Compiled.of(self.model, treated)

    def effects(self, trial: Trial, *, key: Key) -> dict[str, dpm.Effect]:
        """`fit`, `synthetic_arm`, `TreatedCourse.of`, then `compare` per estimand."""
        fit_key, arm_key, course_key, compare_key = jax.random.split(key, 4)
        posterior, vectors, _ = self.fit(self.history, trial.history, key=fit_key)
        arm = self.arm(posterior, vectors, trial.treated, key=arm_key)
        course = self.course(trial.treated, key=course_key)
        return {
            name: dpm.compare(trial.treated, arm, estimand=estimand, key=compare_key, course=course)
            for name, estimand in ESTIMANDS.items()
        }

    def fit(self, compiled: Compiled, cohort: dpm.Cohort, *, key: Key) -> tuple[dpm.Posterior, jax.Array, dpm.Records]:
        """`dpm.fit` by Laplace; also the draws as vectors, and the records."""
        optimum_key, draw_key = jax.random.split(key)
        encodings = dpm.Encodings.learn(cohort)
        records = compiled.records(cohort, encodings)
        optimum = self.method.maximise(compiled.marginal, records, key=jax.random.split(optimum_key)[1])
        vectors = optimum.sample(self.method.draws, key=draw_key)
        sites = host(population_draws(vectors, compiled.marginal.hierarchy, records))
        draws = Draws(sites={name: value[None] for name, value in sites.items()}, estimates=optimum.estimates)
        return dpm.Posterior.of(self.model, cohort, encodings, draws, method=repr(self.method)), vectors, records

    def arm(self, posterior: dpm.Posterior, vectors: jax.Array, treated: dpm.Cohort, *, key: Key) -> dpm.VirtualArm:
        """`dpm.synthetic_arm`."""
        baseline = treated.until(0.0)
        records = baseline.records(posterior.encodings)
        hierarchy = self.treated.marginal.hierarchy
        drawn = draw_effects(hierarchy, vectors, records, key=key, replicates=self.replicates)
        found = pd.DataFrame({"converged": np.asarray(drawn.converged)}, index=baseline.subjects.index)
        if (found["converged"] < 1).any():
            raise RuntimeError("a patient without twins")
        return dpm.VirtualArm(
            posterior=posterior,
            history=baseline,
            records=records,
            hierarchy=hierarchy,
            vectors=vectors,
            effects=drawn.effects,
            patients=found,
        )

    def course(self, treated: dpm.Cohort, *, key: Key) -> dpm.TreatedCourse:
        """`TreatedCourse.of`."""
        fit_key, effect_key = jax.random.split(key)
        _, vectors, records = self.fit(self.treated, treated, key=fit_key)
        hierarchy = self.treated.marginal.hierarchy
        drawn = draw_effects(hierarchy, vectors, records, key=effect_key)
        return dpm.TreatedCourse(hierarchy, records, vectors, drawn.effects)


def replicate(
    analysis: Analysis, real: tuple[dpm.Cohort, dpm.Cohort], name: str, number: int
) -> list[dict[str, object]]:
    """One simulated trial: a row per estimand."""
    began, scenario = time.perf_counter(), SCENARIOS[name]
    place = list(SCENARIOS).index(name)
    trial = simulate_trial(*real, scenario, np.random.default_rng([SEED, place, number]))
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(SEED), place), number)
    rows = []
    for estimand, effect in analysis.effects(trial, key=key).items():
        assert effect.draws is not None
        truth = scenario.effect * (AT if estimand == "change_2y" else 1.0)
        row: dict[str, object] = {"scenario": name, "replicate": number, "estimand": estimand, "truth": truth}
        row |= {"truth_other": trial.other[estimand], "estimate": effect.estimate, "se": effect.se}
        for level in LEVELS:
            low, high = np.quantile(effect.draws, [(1 - level) / 2, (1 + level) / 2])
            row |= {f"low{level * 100:.0f}": low, f"high{level * 100:.0f}": high}
        rows.append(row | {"imputed": effect.sizes.get("imputed", 0), "seconds": time.perf_counter() - began})
    return rows


def remaining(out: Path, wanted: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Scenario and number of every replicate that the file does not hold yet."""
    done = set()
    if out.exists():
        counts = pd.read_csv(out).groupby(["scenario", "replicate"]).size()
        done = set(counts.index[counts == len(ESTIMANDS)])
    yield from (
        (name, number) for name, count in wanted.items() for number in range(count) if (name, number) not in done
    )


def run(out: Path, wanted: dict[str, int]) -> pd.DataFrame:
    """Every replicate not in `out` yet, each written as soon as it is there."""
    real = real_cohorts()
    analysis = Analysis(*real)
    for name, number in remaining(out, wanted):
        rows = pd.DataFrame(replicate(analysis, real, name, number))
        rows.to_csv(out, mode="a", header=not out.exists(), index=False, float_format="%.5g")
        print(f"{name} {number}: {rows['seconds'].max():.1f} s", flush=True)
    return pd.read_csv(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "replicates.csv")
    for name, scenario in SCENARIOS.items():
        parser.add_argument(f"--{name}", type=int, default=scenario.replicates, help="replicates of this scenario")
    arguments = vars(parser.parse_args())
    run(arguments["out"], {name: arguments[name] for name in SCENARIOS})


if __name__ == "__main__":
    main()
