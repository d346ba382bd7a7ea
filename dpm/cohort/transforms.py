"""The listed transforms of a measured value: the only ones a study file may name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, logit

from dpm.types import Bool, Float

TransformName = Literal["identity", "log", "log1p", "sqrt", "logit"]


@dataclass(frozen=True, kw_only=True)
class Transform:
    """A strictly increasing change of scale and the values it is defined for.

    Attributes:
        forward: from the unit of the data to the scale of the model.
        inverse: back again; undoes `forward` to rounding.
        above, below: the values it accepts lie strictly between the two.
        domain: the same in words, for an error.
    """

    forward: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]
    above: float = -np.inf
    below: float = np.inf
    domain: str = "any number"

    def accepts(self, values: Float[np.ndarray, " value"]) -> Bool[np.ndarray, " value"]:
        """Which values the transform is defined for."""
        return np.asarray((values > self.above) & (values < self.below))


TRANSFORMS: dict[TransformName, Transform] = {
    "identity": Transform(forward=np.positive, inverse=np.positive),
    "log": Transform(forward=np.log, inverse=np.exp, above=0.0, domain="numbers above 0"),
    "log1p": Transform(forward=np.log1p, inverse=np.expm1, above=-1.0, domain="numbers above -1"),
    "sqrt": Transform(
        forward=np.sqrt, inverse=np.square, above=float(np.nextafter(0.0, -1.0)), domain="numbers from 0 upwards"
    ),
    "logit": Transform(forward=logit, inverse=expit, above=0.0, below=1.0, domain="shares between 0 and 1"),
}
