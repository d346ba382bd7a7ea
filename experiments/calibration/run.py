"""Coverage of the twin comparison in trials simulated where the effect is known. See README.md; run from the root.

What is done with a trial is what `dpm.fit`, `dpm.synthetic_arm`, `TreatedCourse.of` and `dpm.compare` do, spelled out
so that functions compiled for the first trial serve all others: through the public functions every trial compiles anew.
`tests/control/test_calibration.py` holds the two routes against each other.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pandas as pd
from jax import numpy as jnp

import dpm
from dpm.inference.draws import Draws, host
from dpm.inference.effects import draw_effects
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import population_draws
from dpm.inference.marginal import Marginal
from dpm.types import Key
from experiments.calibration import summary
from experiments.calibration.trials import ESTIMANDS, SCENARIOS, Trial, real_cohorts, simulate_trial, truth
from models.pbc_bilirubin import build

RESULTS = Path(__file__).parent / "results"
SEED = 1974


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


def replicate(analysis: Analysis, real: tuple[dpm.Cohort, dpm.Cohort], name: str, number: int) -> pd.DataFrame:
    """One simulated trial: a row per estimand."""
    began, place = time.perf_counter(), list(SCENARIOS).index(name)
    trial = simulate_trial(*real, SCENARIOS[name], np.random.default_rng([SEED, place, number]))
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(SEED), place), number)
    rows = []
    for estimand, effect in analysis.effects(trial, key=key).items():
        row: dict[str, object] = {"scenario": name, "replicate": number, "estimand": estimand}
        row |= {"truth": truth(SCENARIOS[name], estimand), "truth_drawn": trial.drawn[estimand]}
        row |= {"estimate": effect.estimate, "se": effect.se}
        for level in summary.LEVELS:
            low, high = np.quantile(np.asarray(effect.draws), [(1 - level) / 2, (1 + level) / 2])
            row |= {f"low{level * 100:.0f}": low, f"high{level * 100:.0f}": high}
        rows.append(row | {"imputed": effect.sizes.get("imputed", 0), "seconds": time.perf_counter() - began})
    return pd.DataFrame(rows)


def remaining(out: Path, wanted: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Scenario and number of every replicate that the file does not hold yet."""
    done = set()
    if out.exists():
        counts = pd.read_csv(out).groupby(["scenario", "replicate"]).size()
        done = set(counts.index[counts == len(ESTIMANDS)])
    for name, count in wanted.items():
        yield from ((name, number) for number in range(count) if (name, number) not in done)


def run(out: Path, wanted: dict[str, int]) -> pd.DataFrame:
    """Every replicate not in `out` yet, each written as soon as it is there; all of `out`."""
    todo = list(remaining(out, wanted))
    if todo:
        real = real_cohorts()
        analysis = Analysis(*real)
    for name, number in todo:
        rows = replicate(analysis, real, name, number)
        rows.to_csv(out, mode="a", header=not out.exists(), index=False, float_format="%.5g")
        print(f"{name} {number}: {rows['seconds'].max():.1f} s", flush=True)
    return pd.read_csv(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "replicates.csv")
    for name, scenario in SCENARIOS.items():
        parser.add_argument(f"--{name}", type=int, default=scenario.replicates, help="replicates of this scenario")
    arguments = vars(parser.parse_args())
    rows = run(arguments["out"], {name: arguments[name] for name in SCENARIOS})
    covered, accurate = summary.coverage(rows), summary.accuracy(rows)
    for name, table in {"coverage": covered, "accuracy": accurate}.items():
        table.to_csv(arguments["out"].with_name(f"{name}.csv"), index=False, float_format="%.6g")
    print(summary.coverage_text(covered), summary.accuracy_text(accurate), sep="\n\n")


if __name__ == "__main__":
    main()
