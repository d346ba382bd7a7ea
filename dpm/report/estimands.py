"""What a comparison asks, in the words of ICH E9(R1), as the comparison stage recorded it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dpm.report.figures.scale import OutcomeScale
from dpm.report.numbers import words

UNSAID = "not recorded"


@dataclass(frozen=True, kw_only=True)
class EstimandText:
    """One estimand as readers see it; what the stage did not record says so.

    Attributes:
        scale: name, unit and transform of the outcome.
        time: when the outcome is read, in words.
        intercurrent: strategy by intercurrent event.
        counts: numbers of patients by what they count.
    """

    name: str
    label: str
    population: str
    scale: OutcomeScale
    time: str
    contrast: str
    interval_for: str
    intercurrent: tuple[tuple[str, str], ...]
    visits_rule: str
    counts: tuple[tuple[str, str], ...]


def described(entry: Mapping[str, Any]) -> EstimandText:
    """Read one entry of `compare/estimands.json`."""

    def text(key: str) -> str:
        return str(entry.get(key) or UNSAID)

    name, time = str(entry["name"]), entry.get("time")
    return EstimandText(
        name=name,
        label=str(entry.get("label") or words(name)),
        population=text("population"),
        scale=outcome_scale(entry),
        time=when(time),
        contrast=text("contrast"),
        interval_for=text("interval_for"),
        intercurrent=together(pairs(entry.get("intercurrent"))),
        visits_rule=text("visits_rule"),
        counts=pairs(entry.get("counts")),
    )


def when(time: Any) -> str:
    """A time [years] or the two ends of a period, in words."""
    if isinstance(time, list) and len(time) == 2:
        return f"from {time[0]:g} to {time[1]:g} years after baseline"
    return f"{time:g} years after baseline" if isinstance(time, int | float) else str(time or "over all of follow-up")


def together(strategies: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Events with the same strategy under one heading."""
    each = dict.fromkeys(strategy for _, strategy in strategies)
    return tuple((", ".join(event for event, own in strategies if own == strategy), strategy) for strategy in each)


def outcome_scale(entry: Mapping[str, Any]) -> OutcomeScale:
    name = str(entry.get("outcome") or "outcome")
    return OutcomeScale(
        name=name,
        label=str(entry.get("outcome_label") or words(name)),
        unit=str(entry.get("outcome_unit") or ""),
        transform=str(entry.get("outcome_transform") or "identity"),
    )


def pairs(mapping: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    return tuple(
        (words(str(key)), f"{value:,}" if isinstance(value, int) else str(value))
        for key, value in (mapping or {}).items()
    )
