"""Simulation-based calibration of every engine, and its distance from a long run. See README.md; run from the root."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from experiments.sbc.simulations import ENGINES, SEED, record, simulation
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="of each world")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--out", type=Path, default=RESULTS / "simulations.jsonl")
    arguments = parser.parse_args()
    run(arguments.out, arguments.simulations, arguments.engines)


if __name__ == "__main__":
    main()
