"""How far a sampler has come, how fast it is and how long the rest may take."""

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shutil import get_terminal_size
from time import perf_counter

SEEN = 60.0
"""What the rate is taken from: the last minute, since steps cost more while a chain still adapts [s]."""

APART = 30.0
"""Between two lines in a log [s]."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a sampler is.

    Attributes:
        step: transitions of each chain, warm-up included.
        warmup: how many of these are warm-up.
        draws: to be kept per chain.
        chains: run side by side or one after another.
        divergences: among the draws kept so far, of all chains.
        rate: transitions of each chain a second; 0 where not known yet.
    """

    step: int
    warmup: int
    draws: int
    chains: int
    divergences: int
    rate: float

    def __str__(self) -> str:
        left = self.warmup + self.draws - self.step
        warming = self.step < self.warmup or not self.step
        place = f"warm-up {self.step:,} of {self.warmup:,}"
        if not warming:
            place = f"draw {self.step - self.warmup:,} of {self.draws:,}"
        parts = [f"{place}, {self.chains} chain{'s' if self.chains > 1 else ''}"]
        if self.rate:
            parts.append(f"{self.rate:,.0f} a second" if self.rate >= 10 else f"{self.rate:.2g} a second")
        if self.rate and left:
            parts.append(f"about {duration(left / self.rate)} left")
        if not warming:
            parts.append(f"{self.divergences:,} divergence{'s' if self.divergences != 1 else ''}")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """As a person says it."""
    whole = round(seconds)
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


class Line:
    """Tells how something goes on the error stream: in one line that changes on a terminal, else in dated lines.

    In a log a line is due when `APART` seconds have gone by, or where the caller says so.
    """

    def __init__(self, name: str, *, shown: bool = True, clock: Callable[[], float] = perf_counter) -> None:
        self.name, self.shown, self.clock = name, shown, clock
        self.told = clock()
        self.width = 0

    def tell(self, text: str, *, due: bool = False) -> None:
        """What may be written over by the next, or left out of a log."""
        if not self.shown:
            return
        if sys.stderr.isatty():
            self._rewrite(text)
        elif self.clock() - self.told >= APART or due:
            self.say(text)

    def say(self, text: str) -> None:
        """A line of its own; dated where it may be read later."""
        if not self.shown:
            return
        self.end()
        date = "" if sys.stderr.isatty() else f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} "
        sys.stderr.write(f"{date}{self.name}: {text}\n")
        sys.stderr.flush()
        self.told = self.clock()

    def end(self) -> None:
        """What comes next begins on a new line."""
        if self.width:
            sys.stderr.write("\n")
            sys.stderr.flush()
        self.width = 0

    def _rewrite(self, text: str) -> None:
        line = f"{self.name}: {text}"[: get_terminal_size().columns - 1]  # a line that wraps cannot be written over
        sys.stderr.write("\r" + line.ljust(self.width))
        sys.stderr.flush()
        self.width = len(line)


class Ticker:
    """Tells where a sampler is: by one line that changes on a terminal, else by a dated line now and then.

    A line is due when `APART` seconds have gone by, at the end of the warm-up and at the end.
    """

    def __init__(
        self, *, warmup: int, draws: int, chains: int, shown: bool = True, clock: Callable[[], float] = perf_counter
    ) -> None:
        self.warmup, self.draws, self.chains, self.clock = warmup, draws, chains, clock
        self.marks: deque[tuple[float, int]] = deque()
        self.line = Line("NUTS", shown=shown, clock=clock)

    def at(self, step: int, divergences: int) -> Progress:
        """Where the sampler is now, at the rate of the last pieces; the first is compiled, and tells no rate."""
        now = self.clock()
        self.marks.append((now, step))
        while len(self.marks) > 2 and now - self.marks[1][0] > SEEN:
            self.marks.popleft()
        (then, before), elapsed = self.marks[0], now - self.marks[0][0]
        return Progress(
            step=step,
            warmup=self.warmup,
            draws=self.draws,
            chains=self.chains,
            divergences=divergences,
            rate=(step - before) / elapsed if then < now else 0.0,
        )

    def tell(self, step: int, divergences: int) -> None:
        """One more piece is done."""
        now = self.at(step, divergences)
        self.line.tell(str(now), due=step in (self.warmup, self.warmup + self.draws))

    def resume(self, step: int, divergences: int, folder: Path) -> None:
        """The sampler goes on from a checkpoint."""
        self.say(f"going on from {folder}: {self.at(step, divergences)}")
        self.marks.clear()

    def say(self, text: str) -> None:
        """A line of its own."""
        self.line.say(text)

    def end(self) -> None:
        """What comes next begins on a new line."""
        self.line.end()
