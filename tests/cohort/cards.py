"""What data cards say, to be held against the tables."""

from collections.abc import Callable
from functools import cache

import pandas as pd

from dpm.cohort import data_path, load_data

Fact = tuple[str, str, Callable[[pd.DataFrame], tuple[float | str, ...]]]
"""A data set, a sentence of its card with {} for each number, and how its main table gives the numbers."""

load = cache(load_data)


def prose(name: str) -> str:
    """The card's text with every run of white space as one blank."""
    return " ".join(data_path(name).with_name("card.md").read_text(encoding="utf-8").split())


def filled(sentence: str, numbers: tuple[float | str, ...]) -> str:
    """The sentence with its numbers as the cards write them."""
    return sentence.format(*(number if isinstance(number, str) else shown(number) for number in numbers))


def shown(number: float) -> str:
    """Thousands with a comma, one decimal where there is a fraction."""
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"


def persons(table: pd.DataFrame) -> pd.DataFrame:
    """The first row of each subject."""
    return table.groupby("subject").nth(0).set_index("subject")
