"""The answer of a run, read from its tables: per estimand, the synthetic control beside the randomised truth."""

import csv
from dataclasses import dataclass
from pathlib import Path

TABLE = "compare/effects.csv"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One method's answer to one estimand.

    Attributes:
        estimand: its label.
        method: in words.
        role: "answer", "comparison", "truth" or "sensitivity".
        estimate, low, high: in `unit`.
        level: of the interval.
    """

    estimand: str
    method: str
    role: str
    estimate: float
    low: float
    high: float
    level: float
    unit: str

    @property
    def interval(self) -> str:
        """As it is printed: signs always shown, three decimals."""
        return f"{self.estimate:+.3f}  ({self.low:+.3f} to {self.high:+.3f})"


def read_answers(run: Path) -> list[Answer]:
    """Every line of the table of effects, in its order."""
    with (run / TABLE).open(encoding="utf-8", newline="") as file:
        return [
            Answer(
                estimand=row["label"],
                method=row["method"],
                role=row["role"],
                unit=row["unit"],
                **{name: float(row[name]) for name in ("estimate", "low", "high", "level")},
            )
            for row in csv.DictReader(file)
        ]
