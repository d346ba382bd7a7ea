"""How numbers are printed: as many digits as their uncertainty bears, a true minus sign, a word for what is missing."""

import math

MISSING = "–"


def decimals(scale: float, digits: int = 3) -> int:
    """Decimals that show `scale`, usually a standard error, to so many significant digits (at most 6 decimals)."""
    if not math.isfinite(scale) or scale == 0:
        return digits
    return min(6, max(0, digits - 1 - math.floor(math.log10(abs(scale)))))


def number(value: float, places: int) -> str:
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.{places}f}"
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def significant(value: float, digits: int = 3) -> str:
    return number(value, decimals(value, digits))


def whole(value: float) -> str:
    return number(value, 0)


def percent(share: float, places: int = 0) -> str:
    """A share of 1 as a percentage."""
    return f"{number(share * 100, places)}\u00a0%"


def confidence(level: float) -> str:
    """The level of an interval, whether it was written as 0.95 or as 95."""
    share = level if level <= 1 else level / 100
    return percent(share, 0 if abs(share * 100 - round(share * 100)) < 1e-9 else 1)


def span(low: float, high: float, places: int) -> str:
    if math.isnan(low) and math.isnan(high):
        return "no interval"
    return f"{number(low, places)} to {number(high, places)}"


def counted(n: int, noun: str, plural: str = "") -> str:
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def words(name: str) -> str:
    """An identifier as words: `kish_control` reads "kish control"."""
    return name.replace("_", " ")


def plain(value: float) -> str:
    """A diagnostic of any size: five significant digits below 1,000, whole numbers above."""
    if math.isnan(value) or math.isinf(value) or abs(value) >= 1000:
        return number(value, 0)
    return f"{value:.5g}".replace("-", "−")


def lowered(text: str) -> str:
    """First letter in lower case, unless the word is an abbreviation."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
