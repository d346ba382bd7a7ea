"""Where a method starts from: a Laplace optimum, and the variables whitened around it."""

from time import perf_counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from jax import numpy as jnp

from dpm.cohort.buckets import Data
from dpm.inference.checkpoint import Arrays
from dpm.inference.coordinates import Coordinates
from dpm.inference.laplace import Laplace, Optimum
from dpm.inference.marginal import Marginal
from dpm.inference.origin import origins
from dpm.inference.surface import Surface
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
        surface = Surface(marginal, records, prior=True, coordinates=optimum.coordinates)
        surface.begin_at(optimum.effects)
        whitening = Whitening.at(marginal.hierarchy, records, optimum, origins(surface, optimum))
        return cls(optimum, whitening, perf_counter() - began)

    def arrays(self) -> Arrays:
        """As plain arrays by name: a resumed run takes these bits and does not compute them anew."""
        parts = {"optimum": self.optimum._asdict(), "whitening": self.whitening._asdict()}
        table: pd.DataFrame = parts["optimum"].pop("estimates")
        for name in ("optimum", "whitening"):
            parts[f"{name}_coordinates"] = parts[name].pop("coordinates")._asdict()
        plain = {f"{part}_{name}": np.asarray(value) for part, own in parts.items() for name, value in own.items()}
        return {
            **plain,
            "estimates_of": table.index.to_numpy(dtype=str),
            "estimates": table[list(TABLE)].to_numpy(),
            "seconds_laplace": np.asarray(self.seconds),
        }

    @classmethod
    def read(cls, arrays: Arrays) -> "Start":
        """The inverse of `arrays`."""
        optimum = Optimum(
            vector=arrays["optimum_vector"],
            coordinates=Coordinates(*(arrays[f"optimum_coordinates_{name}"] for name in Coordinates._fields)),
            covariance=arrays["optimum_covariance"],
            effects=arrays["optimum_effects"],
            log_likelihood=float(arrays["optimum_log_likelihood"]),
            decrement=float(arrays["optimum_decrement"]),
            evaluations=int(arrays["optimum_evaluations"]),
            estimates=pd.DataFrame(arrays["estimates"], index=arrays["estimates_of"].tolist(), columns=list(TABLE)),
        )
        bent = Coordinates(*(jnp.asarray(arrays[f"whitening_coordinates_{name}"]) for name in Coordinates._fields))
        rest = [name for name in Whitening._fields if name != "coordinates"]
        whitening = Whitening(bent, *(jnp.asarray(arrays[f"whitening_{name}"]) for name in rest))
        return cls(optimum, whitening, float(arrays["seconds_laplace"]))
