"""Coverage of the twin comparison in trials simulated where the effect is known. See README.md; run from the root."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import dpm
from dpm.types import Key
from experiments.calibration import summary
from experiments.calibration.trials import ESTIMANDS, SCENARIOS, Scenario, Trial, real_cohorts, simulate_trial, truth
from models.pbc_bilirubin import build

RESULTS = Path(__file__).parent / "results"
SEED = 1974
DRAWS, REPLICATES = 300, 2


def analyse(trial: Trial, model: dpm.ProgressionModel, scenario: Scenario, *, key: Key) -> dict[str, dpm.Effect]:
    """What a trial team does: fit the history, draw twins, compare. One model serves all trials: it compiles once."""
    fit_key, arm_key, course_key, compare_key = jax.random.split(key, 4)
    method = dpm.Laplace(draws=DRAWS, importance=scenario.importance)
    posterior = dpm.fit(model, trial.history, method=method, key=fit_key)
    arm = dpm.synthetic_arm(posterior, like=trial.treated, key=arm_key, draws=DRAWS, replicates=REPLICATES)
    course = dpm.TreatedCourse.of(arm, trial.treated, key=course_key, method=method)
    return {
        name: dpm.compare(trial.treated, arm, estimand=estimand, key=compare_key, course=course)
        for name, estimand in ESTIMANDS.items()
    }


def replicate(real: tuple[dpm.Cohort, dpm.Cohort], model: dpm.ProgressionModel, name: str, number: int) -> pd.DataFrame:
    """One simulated trial: a row per estimand."""
    began, scenario = time.perf_counter(), SCENARIOS[name]
    place = list(SCENARIOS).index(scenario.trials_of or name)
    trial = simulate_trial(*real, scenario, np.random.default_rng([SEED, place, number]))
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(SEED), place), number)
    rows = []
    for estimand, effect in analyse(trial, model, scenario, key=key).items():
        row: dict[str, object] = {"scenario": name, "replicate": number, "estimand": estimand}
        row |= {"truth": truth(scenario, estimand), "truth_drawn": trial.drawn[estimand]}
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
    real, model = real_cohorts(), build()
    for name, number in list(remaining(out, wanted)):
        rows = replicate(real, model, name, number)
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
