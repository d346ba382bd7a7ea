"""A run of NUTS that saves itself every ten transitions, and as a program one that kills itself on the way.

python -m tests.inference.killed FOLDER step 15          when 15 transitions are done
python -m tests.inference.killed FOLDER write 2          before the second file is put in its place
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import jax

from dpm.inference.checkpoint import Checkpoint
from dpm.inference.draws import Draws
from dpm.inference.nuts import NUTS
from dpm.inference.progress import Ticker

from . import wang

MODEL, DATA, KEY = wang.model("additive"), wang.records(), jax.random.key(11)
SETTINGS: dict[str, Any] = {"chains": 2, "warmup": 30, "draws": 30, "progress": False}


def sample(folder: Path | None, **changed: Any) -> Draws:
    """The run, from what is in the folder."""
    checkpoint = None if folder is None else Checkpoint(folder=folder, draws=10, minutes=None)
    return NUTS(**{**SETTINGS, **changed}, checkpoint=checkpoint).run(MODEL, DATA, key=KEY)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    place, what, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    written, put = 0, os.replace

    def tell(ticker: Ticker, step: int, divergences: int) -> None:
        if what == "step" and step >= count:
            die()

    def replace(old: Path, new: Path) -> None:
        global written
        written += 1
        if what == "write" and written == count:
            die()
        put(old, new)

    with mock.patch.object(Ticker, "tell", tell), mock.patch.object(os, "replace", replace):
        sample(place)
