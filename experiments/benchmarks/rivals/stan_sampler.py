"""Stan's NUTS through pystan, in the Python that has it.

    python stan_sampler.py PROGRAM.stan GIVEN.json DRAWS.npz CHAINS WARMUP KEPT SEED

GIVEN.json holds `data` and `init`. Prints one line of JSON; DRAWS.npz holds, by name, arrays (chain, draw, ...) of
every population value and `divergent`, `steps`.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import httpstan
import numpy as np
import stan

TRIES = 3


def used() -> tuple[float, float, float]:
    """CPU of this process, CPU of all processes that it or one of them started, and the clock on the wall [s]."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    children: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:  # it has ended
            continue
        pid = int(path.parent.name)
        children.setdefault(int(fields[1]), []).append(pid)
        spent[pid] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    running, waiting = 0.0, list(children.get(os.getpid(), []))
    while waiting:
        pid = waiting.pop()
        running += spent[pid]
        waiting += children.get(pid, [])
    return time.process_time(), ended.ru_utime + ended.ru_stime + running, time.perf_counter()


def version() -> str:
    header = Path(httpstan.__file__).parent / "include" / "stan" / "version.hpp"
    words = [line.split() for line in header.read_text().splitlines()]
    number = {word[1]: word[2] for word in words if len(word) == 3 and word[0] == "#define"}
    return ".".join(number[f"STAN_{part}"] for part in ("MAJOR", "MINOR", "PATCH"))


def main(program: str, data: str, out: str, chains: int, warmup: int, kept: int, seed: int) -> None:
    began = used()
    given = json.loads(Path(data).read_text())
    posterior = stan.build(Path(program).read_text(), data=given["data"], random_seed=seed)
    built = used()
    lengths = {"num_chains": chains, "num_warmup": warmup, "num_samples": kept}
    for attempt in range(TRIES):
        began_sampling = used()
        try:
            fit = posterior.sample(**lengths, init=[given["init"]] * chains, refresh=0)
            break
        except ValueError:  # on a busy machine httpstan can read a line of its sampler cut in two, and gives up
            if attempt == TRIES - 1:
                raise
    sampled = used()
    names = {"divergent": "divergent__", "steps": "n_leapfrog__"} | {
        name: name for name in fit.param_names if name != "z"
    }
    kept_draws = {}
    for name, column in names.items():
        value = np.asarray(fit[column])
        value = value.reshape(*value.shape[:-1], kept, chains)
        kept_draws[name] = np.moveaxis(value, (-1, -2), (0, 1))
    np.savez(out, **kept_draws)
    print(
        json.dumps(
            {
                "build_cpu": built[0] + built[1] - began[0] - began[1],
                "sampler_cpu": sampled[1] - began_sampling[1],
                "around_cpu": sampled[0] - began_sampling[0],
                "wall": sampled[2] - began_sampling[2],
                "version": f"Stan {version()}",
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:4], *map(int, sys.argv[4:8]))
