"""Intervals of population values that rest on the likelihood itself."""

from dpm.cohort.cohort import Cohort
from dpm.inference.laplace import Laplace
from dpm.inference.profile import Profile, profile
from dpm.inference.surface import Surface
from dpm.posterior.maximum import Maximum
from dpm.types import Key, Model


def profile_likelihood(
    model: Model,
    cohort: Cohort,
    site: str,
    *,
    element: int = 0,
    level: float = 0.95,
    method: Laplace | None = None,
    key: Key,
) -> Profile:
    """The profile-likelihood interval of one population value; see `dpm.inference.profile.profile`.

    Args:
        model: as for `fit`.
        cohort: as for `fit`.
        site: a population site, such as `"log_bilirubin_slope"`.
        element: which of its values, counted flat.
        level: of the interval.
        method: `Laplace(objective="ml")` by default; its level of accuracy is that of the profile.
        key: of the fit's starting points.

    Raises:
        ModelError: the model cannot be fitted to this cohort, see `fit`.
        InferenceError: no maximum was found, or the value cannot be profiled.
    """
    found = Maximum.of(model, cohort, method, key=key)
    prior = found.method.objective == "map"
    surface = Surface(found.marginal, found.data, prior=prior, coordinates=found.optimum.coordinates)
    return profile(surface, found.optimum, site, element=element, level=level)
