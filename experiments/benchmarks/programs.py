"""One fit by one program, in a process of its own on one core that measures itself; what the process costs in all."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """What a program found, and what its process and all that it started took.

    Attributes:
        found: the last line that it printed.
        cpu: of the process and those it waited for, start and end included [s].
        wall: the same by the clock on the wall [s].
    """

    found: dict[str, Any]
    cpu: float
    wall: float


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None, limit: float = 540.0) -> Ran | str:
    """Run a program whose last line is JSON; a reason where it cannot run, fails, or takes longer than `limit` [s]."""
    if shutil.which(command[0]) is None:
        return f"{Path(command[0]).name} is not installed"
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            [*_on_one_core(), *command], stdout=out, stderr=err, cwd=ROOT, env={**os.environ, **(env or {})}
        )
        status, used = _ended(process, began + limit)
        wall = time.perf_counter() - began
        out.seek(0)
        err.seek(0)
        if status is None:
            return f"stopped after {limit:.0f} s"
        if status:
            said = [line.strip() for line in err.read().splitlines() if line.strip()]
            return "failed: " + " ".join(said[-2:])[:200]
        return Ran(json.loads(out.read().splitlines()[-1]), used.ru_utime + used.ru_stime, wall)


def _on_one_core() -> list[str]:
    """Every program gets one core: idle threads of a pool that wait by spinning would count as its work."""
    return ["taskset", "-c", str(max(os.sched_getaffinity(0)))] if shutil.which("taskset") else []


def _ended(process: subprocess.Popen[bytes], end: float) -> tuple[int | None, Any]:
    """Exit status, None where it was ended at the time `end`; and what it used."""
    late = False
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return None if late else process.returncode, used
        if not late and time.perf_counter() > end:
            process.kill()
            late = True
        time.sleep(0.02)


def python(module: str, *words: object, env: Mapping[str, str] | None = None, limit: float = 540.0) -> Ran | str:
    """`run` of a module of this folder in this Python."""
    return run([sys.executable, "-m", f"experiments.benchmarks.{module}", *map(str, words)], env=env, limit=limit)


def peak_gb() -> float:
    """Largest memory that this process held since it began or `forget_peak` [GB of 2^30 bytes]; Linux only."""
    return _status_gb("VmHWM")


def memory_gb() -> float:
    """Memory that this process holds now [GB of 2^30 bytes]; Linux only."""
    return _status_gb("VmRSS")


def forget_peak() -> None:
    """Begin `peak_gb` anew from what is held now; Linux only."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _status_gb(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) / 2**20


def exponent(seconds: Mapping[int, float], least: int = 0) -> float | None:
    """Slope of log time over log size from size `least` on; None where that is one point."""
    import numpy as np

    sizes = sorted(size for size in seconds if size >= least)
    if len(sizes) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log([seconds[size] for size in sizes]), 1)[0])
