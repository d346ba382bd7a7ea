"""Columns of a table as they were read: text with few levels, or numbers of a typed file."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dpm.types import Bool, Float, Int

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*|\s*[+-]?inf(inity)?\s*", re.IGNORECASE | re.ASCII)
"""A number as a table may write it, in the digits 0 to 9."""


LONGEST = 2**53
"""Up to here float64 holds every whole number."""


class Column(ABC):
    """The cells of one column; an empty text is a missing value."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def factorize(self) -> tuple[Int[np.ndarray, " row"], np.ndarray]:
        """A code per row and the text of each code."""

    @abstractmethod
    def numbers(self) -> Float[np.ndarray, " row"]:
        """The cells as float64: NaN where empty and where the text is no number."""

    @abstractmethod
    def empty(self) -> Bool[np.ndarray, " row"]:
        """Where there is nothing."""

    @abstractmethod
    def take(self, rows: Int[np.ndarray, " taken"]) -> "Column":
        """These rows, by position; -1 gives an empty cell."""

    def as_text_column(self) -> "TextColumn":
        """The same cells as text."""
        return TextColumn(*self.factorize())

    def text(self) -> np.ndarray:
        """Every cell as text, an array of objects."""
        codes, levels = self.factorize()
        return levels[codes]


@dataclass(frozen=True, eq=False)
class TextColumn(Column):
    """Text by code.

    Attributes:
        codes: position in `levels` of each row.
        levels: distinct texts, stripped of surrounding spaces.
    """

    codes: Int[np.ndarray, " row"]
    levels: np.ndarray

    @classmethod
    def of(cls, cells: Sequence[str] | np.ndarray) -> "TextColumn":
        """The cells, stripped."""
        codes, raw = pd.factorize(_objects([str(cell) for cell in cells]))
        stripped, levels = pd.factorize(_objects([text.strip() for text in raw]))
        return cls(stripped[codes], np.asarray(levels, dtype=object))

    def __len__(self) -> int:
        return len(self.codes)

    def factorize(self) -> tuple[Int[np.ndarray, " row"], np.ndarray]:
        return self.codes, self.levels

    def numbers(self) -> Float[np.ndarray, " row"]:
        # Python's float() also reads "nan" and "1_0", which a table must not hold.
        values = [float(text) if NUMBER.fullmatch(text) else math.nan for text in self.levels]
        return np.array(values, dtype=np.float64)[self.codes] if values else np.zeros(0)

    def empty(self) -> Bool[np.ndarray, " row"]:
        return np.asarray(self.levels == "", dtype=bool)[self.codes] if len(self.levels) else np.zeros(0, dtype=bool)

    def take(self, rows: Int[np.ndarray, " taken"]) -> "TextColumn":
        taken = TextColumn(self.codes[np.maximum(rows, 0)], self.levels)
        return taken.replaced(rows < 0, "") if (rows < 0).any() else taken

    def replaced(self, where: Bool[np.ndarray, " row"], text: str) -> "TextColumn":
        """The column with one text in some of its cells."""
        known = np.flatnonzero(self.levels == text)
        levels = self.levels if len(known) else np.append(self.levels, _objects([text]))
        return TextColumn(np.where(where, known[0] if len(known) else len(self.levels), self.codes), levels)


@dataclass(frozen=True, eq=False)
class NumberColumn(Column):
    """Numbers of a file that knows types; NaN is a missing value."""

    values: Float[np.ndarray, " row"]

    def __len__(self) -> int:
        return len(self.values)

    def factorize(self) -> tuple[Int[np.ndarray, " row"], np.ndarray]:
        codes, levels = pd.factorize(self.values, use_na_sentinel=False)
        return codes, _objects([as_text(value) for value in levels.tolist()])

    def numbers(self) -> Float[np.ndarray, " row"]:
        return self.values

    def empty(self) -> Bool[np.ndarray, " row"]:
        return np.isnan(self.values)

    def take(self, rows: Int[np.ndarray, " taken"]) -> "NumberColumn":
        return NumberColumn(np.where(rows < 0, np.nan, self.values[np.maximum(rows, 0)]))


def as_text(value: float) -> str:
    """A number as a cell: a whole number has no decimals, so that level "1" is "1" in every kind of file."""
    if math.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() else repr(value)


def column_of(values: pd.Series) -> Column:
    """A column of a data frame: numbers stay numbers, anything else becomes text."""
    number = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    if not number or _too_long(values):
        missing = values.isna().to_numpy()
        return TextColumn.of(
            [_cell(value, gone) for value, gone in zip(values.tolist(), missing.tolist(), strict=True)]
        )
    return NumberColumn(values.to_numpy(dtype=np.float64, na_value=np.nan))


def _too_long(values: pd.Series) -> bool:
    """Whether whole numbers are too long for float64, as identifiers may be: two of them could become one."""
    if not pd.api.types.is_integer_dtype(values.dtype) or not values.notna().any():
        return False
    return int(values.max()) > LONGEST or int(values.min()) < -LONGEST


def stacked(columns: Sequence[Column]) -> Column:
    """One column under the other."""
    if all(isinstance(column, NumberColumn) for column in columns):
        return NumberColumn(np.concatenate([column.numbers() for column in columns]))
    factors = [column.factorize() for column in columns]
    raw = np.concatenate([levels for _, levels in factors]) if factors else np.zeros(0, dtype=object)
    merged, levels = pd.factorize(raw)
    starts = np.cumsum([0, *(len(levels) for _, levels in factors)])
    codes = [merged[start + codes] for start, (codes, _) in zip(starts, factors, strict=False)]
    return TextColumn(np.concatenate(codes), np.asarray(levels, dtype=object))


def empty_column(length: int) -> TextColumn:
    """Nothing in every row."""
    return TextColumn(np.zeros(length, dtype=np.int64), _objects([""]))


def _cell(value: object, gone: bool) -> str:
    if gone:
        return ""
    return as_text(value) if isinstance(value, float) else str(value)


def _objects(texts: Sequence[str]) -> np.ndarray:
    out = np.empty(len(texts), dtype=object)
    out[:] = texts
    return out
