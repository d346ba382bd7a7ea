"""`Effect`: the record every comparison ends in, whatever its method."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from dpm.control.estimand import Estimand
from dpm.types import Float

FOR_NEW_PATIENTS = "The interval is for patients like these: both arms are taken as samples, not as all there are."
"""Note of a method whose standard error counts who happened to be in either arm."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Effect:
    """One method's answer to one estimand.

    Attributes:
        method: in words.
        estimand: what was estimated.
        estimate, se: in the outcome's unit (per year for a slope).
        interval: lower and upper end.
        level: of the interval.
        unit: of the estimate.
        draws: where the method is Bayesian.
        sizes: every count and effective sample size, under its own name.
        assumptions: what must hold for the answer to mean what it says.
        layers: where the variance comes from, columns `layer`, `sd`, `variance_share`; empty where unknown.
        note: anything the reader must know.
    """

    method: str
    estimand: Estimand
    estimate: float
    se: float
    interval: tuple[float, float]
    unit: str
    n_treated: int
    n_control: int
    level: float = 0.95
    draws: Float[np.ndarray, " draw"] | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    layers: pd.DataFrame = field(default_factory=pd.DataFrame)
    note: str = ""

    def __str__(self) -> str:
        low, high = self.interval
        interval = f"{self.level:.0%} interval {low:.4f} to {high:.4f}, SE {self.se:.4f}"
        return f"{self.estimand.label}\n  {self.method}: {self.estimate:.4f} {self.unit} ({interval})"

    @classmethod
    def from_draws(cls, draws: Float[np.ndarray, " draw"], *, level: float = 0.95, **fields: Any) -> "Effect":
        """Mean, sd and equal-tailed interval of draws."""
        tail = (1 - level) / 2
        low, high = np.quantile(draws, [tail, 1 - tail])
        interval = (float(low), float(high))
        return cls(
            estimate=float(draws.mean()),
            se=float(draws.std(ddof=1)),
            interval=interval,
            level=level,
            draws=draws,
            **fields,
        )

    @classmethod
    def from_normal(cls, estimate: float, se: float, *, level: float = 0.95, **fields: Any) -> "Effect":
        """Estimate with a normal interval."""
        z = float(norm.ppf(0.5 + level / 2))
        return cls(estimate=estimate, se=se, interval=(estimate - z * se, estimate + z * se), level=level, **fields)

    def to_row(self, *, estimand: str, role: str) -> dict[str, Any]:
        """A line of the table of effects; `estimand` is the study's name for it, `role` what the line is for."""
        return {
            "estimand": estimand,
            "label": self.estimand.label,
            "method": self.method,
            "role": role,
            "estimate": self.estimate,
            "se": self.se,
            "low": self.interval[0],
            "high": self.interval[1],
            "level": self.level,
            "unit": self.unit,
            "n_treated": self.n_treated,
            "n_control": self.n_control,
            "sizes": json.dumps(dict(self.sizes)),
            "assumptions": json.dumps(list(self.assumptions)),
            "note": self.note,
        }
