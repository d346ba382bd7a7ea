"""Correlation of subject-level effects."""

from dataclasses import dataclass

import numpyro
from numpyro import distributions as dist

from dpm.types import Array, Float


@dataclass(frozen=True)
class LKJ:
    r"""$R \sim \mathrm{LKJ}(\eta)$, density proportional to $|R|^{\eta - 1}$.

    Attributes:
        concentration: $\eta$; 1 is uniform over correlation matrices, larger favours none.

    Source: Lewandowski, Kurowicka & Joe 2009, doi 10.1016/j.jmva.2009.04.008.
    """

    concentration: float

    def sample(self, name: str, size: int) -> Float[Array, "effect effect"]:
        """The Cholesky factor of $R$, at site `name`."""
        return numpyro.sample(name, dist.LKJCholesky(size, self.concentration))
