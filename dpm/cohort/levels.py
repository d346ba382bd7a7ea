"""The order of levels: numbers by size, anything else by the alphabet."""

from collections.abc import Iterable


def in_order(levels: Iterable[str]) -> tuple[str, ...]:
    """Distinct levels, `"2"` before `"10"` when all of them are numbers."""
    distinct = sorted({str(level) for level in levels})
    try:
        return tuple(sorted(distinct, key=float))
    except ValueError:
        return tuple(distinct)
