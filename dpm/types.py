"""Names for arrays. Axes are words: `visit`, `subject`, `draw`, `chain`, `effect`.

The subject axis is always last, so that a subject's values broadcast over visits.
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Key = PRNGKeyArray
"""A typed JAX key, from `jax.random.key(seed)`."""

PerSubject = Float[Array, "subject"]
PerVisit = Float[Array, "visit subject"]

Sites = dict[str, Array]
"""Values by NumPyro site name."""

Model = Callable[..., Any]
"""A NumPyro model of one argument, `records`, that samples a subject's values in `plate("subject", n, dim=-1)`."""

__all__ = ["Array", "Bool", "Float", "Int", "Key", "Model", "PerSubject", "PerVisit", "Sites"]
