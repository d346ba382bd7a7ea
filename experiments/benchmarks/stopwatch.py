"""Wall and CPU time of a stretch of work, with what JAX spends on tracing, lowering and compiling kept apart."""

from threading import Event, Thread
from time import perf_counter, process_time
from types import TracebackType

import jax
import numpy as np

TICK = 0.01
"""How often the two clocks are read together [s]; an interval's CPU time is interpolated between readings."""


class Stopwatch:
    """Measures what runs in its `with` block.

    JAX reports each trace, lowering and compilation at its end, with its length; they nest, so their union counts.
    """

    def __init__(self) -> None:
        self._stages: list[tuple[float, float]] = []
        self._readings: list[tuple[float, float]] = []
        self._done = Event()
        self._reader = Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Stopwatch":
        jax.monitoring.register_event_duration_secs_listener(self._note)
        self._readings.append((perf_counter(), process_time()))
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._reader.join()
        self._readings.append((perf_counter(), process_time()))

    def _note(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event.startswith("/jax/core/compile/"):
            now = perf_counter()
            self._stages.append((now - duration_secs, now))

    def _read(self) -> None:
        while not self._done.wait(TICK):
            self._readings.append((perf_counter(), process_time()))

    def seconds(self) -> dict[str, float]:
        """`compile_wall`, `compile_cpu`, and the rest of the block, `wall` and `cpu` [s]."""
        wall, cpu = np.array(self._readings).T
        spans = merged([span for span in self._stages if span[1] > wall[0]])
        compile_wall = sum(end - start for start, end in spans)
        compile_cpu = sum(float(np.interp(end, wall, cpu) - np.interp(start, wall, cpu)) for start, end in spans)
        return {
            "compile_wall": compile_wall,
            "compile_cpu": compile_cpu,
            "wall": float(wall[-1] - wall[0]) - compile_wall,
            "cpu": float(cpu[-1] - cpu[0]) - compile_cpu,
        }


def merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The union of intervals, as intervals that do not touch."""
    union: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(end, union[-1][1]))
        else:
            union.append((start, end))
    return union
