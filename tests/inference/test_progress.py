"""What is told of a run on the way: place, rate, time left, divergences."""

import io
import re
import sys
from pathlib import Path

import pytest

from dpm.inference.progress import APART, Line, Ticker, duration


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Goes on by as much as one says."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def ticker(clock: Clock, *, shown: bool = True) -> Ticker:
    return Ticker(warmup=200, draws=1000, chains=4, shown=shown, clock=clock)


def test_rate_and_time_left_are_those_of_the_last_minute(clock: Clock) -> None:
    told = ticker(clock)
    assert str(told.at(1, 0)) == "warm-up 1 of 200, 4 chains"  # the first piece is compiled
    clock.now += 100.0
    assert str(told.at(101, 0)) == "warm-up 101 of 200, 4 chains, 1 a second, about 18 min left"
    for step in range(201, 702, 100):
        clock.now += 20.0
        found = told.at(step, 3)
    assert str(found) == "draw 501 of 1,000, 4 chains, 5 a second, about 100 s left, 3 divergences".replace(
        "100 s", "2 min"
    )
    clock.now += 10.0
    assert str(told.at(1200, 1)).endswith("1 divergence")
    assert "left" not in str(told.at(1200, 1))


def test_one_line_that_changes_on_a_terminal(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "60")
    told = ticker(clock)
    for step in (1, 100, 300):
        told.tell(step, 0)
        clock.now += 1.0
    told.end()
    first, *rest = screen.getvalue().split("\r")
    assert (first, len(rest)) == ("", 3)
    assert rest[0] == "NUTS: warm-up 1 of 200, 4 chains"
    assert rest[2].startswith("NUTS: draw 100 of 1,000, 4 chains, 150 a second")
    assert screen.getvalue().count("\n") == 1
    assert all(len(line.rstrip("\n")) < 60 for line in rest)


def test_dated_lines_now_and_then_in_a_log(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    told = ticker(clock)
    for step in range(1, 1201):
        told.tell(step, 0)
        clock.now += APART / 128
    lines = log.getvalue().splitlines()
    places = [re.search(r"(?:warm-up|draw) [\d,]+", line) for line in lines]
    assert [found[0] for found in places if found] == [
        *("warm-up 129", "draw 0", "draw 128", "draw 256", "draw 384", "draw 512", "draw 640", "draw 768", "draw 896"),
        "draw 1,000",
    ]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d NUTS: ", line) for line in lines)
    assert "warm-up 129 of 200, 4 chains, 4.3 a second, about 4 min left" in lines[0]


def test_a_resumed_run_says_so(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    ticker(clock).resume(500, 2, Path("kept"))
    assert log.getvalue().endswith("NUTS: going on from kept: draw 300 of 1,000, 4 chains, 2 divergences\n")


def test_nothing_is_told_where_nobody_asked(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    told = ticker(clock, shown=False)
    told.tell(200, 0)
    told.say("anything")
    told.end()
    assert log.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (89.4, "89 s"),
        (90.0, "2 min"),
        (5339.0, "89 min"),
        (5400.0, "1 h 30 min"),
        (36_060.0, "10 h 01 min"),
    ],
)
def test_a_duration_as_a_person_says_it(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_any_method_tells_by_its_name(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """In a log, a line when it is due: after `APART` seconds, or where the caller says so."""
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    line = Line("Variational", clock=clock)
    line.tell("step 1")
    line.tell("step 2", due=True)
    clock.now += APART
    line.tell("step 3")
    said = [text.split("Variational: ")[1] for text in log.getvalue().splitlines()]
    assert said == ["step 2", "step 3"]
