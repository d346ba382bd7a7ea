"""Where a method starts from: a Laplace optimum, and the variables whitened around it."""

from time import perf_counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.inference.checkpoint import Arrays
from dpm.inference.laplace import Laplace, Optimum
from dpm.inference.marginal import Marginal
from dpm.inference.whitening import Whitening
from dpm.types import Array, Key

TABLE = ("estimate", "se")
"""Columns of the estimates."""


class Start(NamedTuple):
    """What a sampler needs that is not its own.

    Attributes:
        optimum: of the Laplace fit.
        whitening: around it.
        seconds: that both took.
    """

    optimum: Optimum
    whitening: Whitening
    seconds: float

    @classmethod
    def of_laplace(cls, marginal: Marginal, records: Data, *, key: Key, point: Array | None = None) -> "Start":
        """The maximum of the posterior, effects integrated out, and the variables whitened around it.

        Args:
            marginal: of the subjects' effects, at its level.
            records: the data.
            key: of starting points.
            point: the first of these, a population vector; the prior means by default.

        Raises:
            InferenceError: no maximum was found, see `Laplace.run`.
        """
        began = perf_counter()
        optimum = Laplace(objective="map").maximise(marginal, records, key=key, start=point)
        return cls(optimum, Whitening.at(marginal.hierarchy, records, optimum), perf_counter() - began)

    def arrays(self) -> Arrays:
        """As plain arrays by name: a resumed run takes these bits and does not compute them anew."""
        plain = self.optimum._asdict()
        table: pd.DataFrame = plain.pop("estimates")
        return {
            **{f"optimum_{name}": np.asarray(value) for name, value in plain.items()},
            **{f"whitening_{name}": np.asarray(value) for name, value in self.whitening._asdict().items()},
            "estimates_of": table.index.to_numpy(dtype=str),
            "estimates": table[list(TABLE)].to_numpy(),
            "seconds_laplace": np.asarray(self.seconds),
        }

    @classmethod
    def read(cls, arrays: Arrays) -> "Start":
        """The inverse of `arrays`."""
        optimum = Optimum(
            vector=arrays["optimum_vector"],
            covariance=arrays["optimum_covariance"],
            effects=arrays["optimum_effects"],
            log_likelihood=float(arrays["optimum_log_likelihood"]),
            decrement=float(arrays["optimum_decrement"]),
            evaluations=int(arrays["optimum_evaluations"]),
            estimates=pd.DataFrame(arrays["estimates"], index=arrays["estimates_of"].tolist(), columns=list(TABLE)),
        )
        whitening = Whitening(*(jnp.asarray(arrays[f"whitening_{name}"]) for name in Whitening._fields))
        return cls(optimum, whitening, float(arrays["seconds_laplace"]))
