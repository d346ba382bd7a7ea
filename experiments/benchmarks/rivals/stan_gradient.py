"""What a gradient costs Stan, through pystan, in the Python that has it.

    python stan_gradient.py PROGRAM.stan GIVEN.json SHORT LONG

GIVEN.json holds `data` and `init`. Two runs of one chain, alike but for their SHORT and LONG draws, after a warm-up so
short that trees are as large as they may be. The seed is another every time, since httpstan keeps the draws of a run
that it knows. Prints one line of JSON.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import stan
from stan_sampler import used, version

DEPTH, WARMUP = 7, 100


def main(program: str, given: str, short: int, long: int) -> None:
    told = json.loads(Path(given).read_text())
    posterior = stan.build(Path(program).read_text(), data=told["data"], random_seed=time.time_ns() % 2**31)
    spent, steps = [], []
    for draws in (short, long):
        began = used()
        settings = {"num_chains": 1, "num_warmup": WARMUP, "num_samples": draws, "max_depth": DEPTH}
        fit = posterior.sample(**settings, init=[told["init"]], refresh=0)
        spent.append(used()[1] - began[1])
        steps.append(int(np.sum(fit["n_leapfrog__"])))
    gradients = steps[1] - steps[0]
    if spent[1] <= spent[0]:
        raise SystemExit("the longer run took no longer: its draws were not computed anew")
    print(json.dumps({"seconds": (spent[1] - spent[0]) / gradients, "gradients": gradients, "version": version()}))


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:5]))
