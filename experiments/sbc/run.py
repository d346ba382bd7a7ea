"""Simulation-based calibration of every engine, and its distance from a long run. See README.md; run from the root."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from experiments.sbc import accuracy, figure, summary, uniform
from experiments.sbc.simulations import ENGINES, SEED, quantities, record, simulation
from experiments.sbc.worlds import WORLDS

RESULTS = Path(__file__).parent / "results"
SIMULATIONS = 200


def remaining(out: Path, wanted: int, engines: Sequence[str] = tuple(ENGINES)) -> Iterator[tuple[int, str, str]]:
    """Number, world and engine of every fit that the file does not hold yet, simulation by simulation."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    done = {(fit["number"], fit["world"], fit["engine"]) for fit in map(json.loads, lines)}
    for number in range(wanted):
        for world in WORLDS:
            yield from ((number, world, engine) for engine in engines if (number, world, engine) not in done)


def run(out: Path, wanted: int, engines: Sequence[str] = tuple(ENGINES)) -> None:
    """Every fit not in `out` yet, each written as soon as it is there."""
    worlds = {name: build() for name, build in WORLDS.items()}
    for number, name, engine in list(remaining(out, wanted, engines)):
        place = list(WORLDS).index(name)
        key = jax.random.fold_in(jax.random.key(SEED + 1 + list(ENGINES).index(engine)), 1000 * number + place)
        world, method = worlds[name], ENGINES[engine].method
        fit = record(world, simulation(world, place, number), method, key=key)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"number": number, "world": name, "engine": engine, **fit}) + "\n")


def summarise(folder: Path) -> None:
    """Table, figure and what the README shows, from what is stored."""
    names = {name: quantities(build()) for name, build in WORLDS.items()}
    fits = [json.loads(line) for line in (folder / "simulations.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = summary.fractions(fits, names)
    table = uniform.table(rows)
    kept = {"seed": SEED, "quantities": names, "table": table.to_dict("list")}
    (folder / "summary.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    figure.draw(rows, folder / "ranks.svg")
    print(summary.calibration_text(table, fits), summary.gated(fits, names).to_string(), sep="\n\n")
    if (folder / "accuracy.json").exists():
        print("", summary.accuracy_text(json.loads((folder / "accuracy.json").read_text(encoding="utf-8"))), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="of each world; 0 only summarises")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--accuracy", action="store_true", help="the long run too, and every engine against it")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    run(arguments.out / "simulations.jsonl", arguments.simulations, arguments.engines)
    if arguments.accuracy:
        text = json.dumps(accuracy.all_worlds(), indent=1)
        (arguments.out / "accuracy.json").write_text(text + "\n", encoding="utf-8")
    summarise(arguments.out)


if __name__ == "__main__":
    main()
