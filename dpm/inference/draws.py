"""What a method returns: draws of population and subject sites, and how they came about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from dpm.cohort.buckets import Data
from dpm.types import Array, Key, Model


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Result of a method.

    Attributes:
        sites: per site, an array with leading axes `(chain, draw)`: population sites, and deterministic ones outside
            the plate.
        subject_sites: the same for sites inside the plate, subject axis last; empty where the method draws none.
        stats: sampler statistics with axes `(chain, draw)`; empty for a method without a chain.
        estimates: the maximum the method started from or ended at, see `Optimum.table`.
        facts: plain values worth keeping, such as `log_likelihood` or `seconds`.
    """

    sites: Mapping[str, np.ndarray]
    subject_sites: Mapping[str, np.ndarray] = field(default_factory=dict)
    stats: Mapping[str, np.ndarray] = field(default_factory=dict)
    estimates: pd.DataFrame = field(default_factory=pd.DataFrame)
    facts: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Method(Protocol):
    """How a model is fitted: a frozen dataclass of settings with one verb."""

    def run(self, model: Model, records: Data, *, key: Key) -> Draws:
        """Fit `model` to `records`."""
        ...


def host(values: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Arrays moved off the device."""
    return {name: np.asarray(value) for name, value in values.items()}
