"""Spreads between subjects: where data cannot tell them from noise, or from none at all."""

import warnings

import numpy as np

from dpm.cohort.buckets import Buckets, Data
from dpm.cohort.cohort import Cohort
from dpm.components.categorical import Binary
from dpm.components.grouping import Drift
from dpm.components.outcome import Noise
from dpm.components.progression import ProgressionModel
from dpm.errors import ModelWarning
from dpm.inference.marginal import Marginal
from dpm.inference.surface import Surface
from dpm.posterior.estimable import composed
from dpm.posterior.posterior import Posterior
from dpm.types import Model

UNKNOWN = 0.25
"""Posterior sd of the logarithm of a spread above which zero is looked at; of 20 well-measured subjects it is 0.2."""

LOSS = 1.35
"""What leaving a spread out must cost of the log likelihood [nats]: half the 95 % point of a chi-squared variate that
is zero half of the time (Self & Liang 1987, doi 10.1080/01621459.1987.10478472)."""

NONE = -15.0
"""Logarithm of a spread that is none, less that of its mean."""


def spreads_from_one(model: Model, cohort: Cohort) -> tuple[str, ...]:
    """What a reader has to know where nobody was measured twice on a course that differs between subjects.

    A single measurement holds what a subject has of its own and what the measurement has: only their sum is seen, and
    what tells them apart is the priors, or the shape of the model. Outcomes that share a latent course, or a latent
    time, count together; where events follow the courses, these tell of subjects too.
    """
    built = composed(model)
    if built is None or built.events or not built.outcomes:
        return ()
    notes = []
    for names, spread in _shared(built).items():
        if not any(_learned(built.outcomes[name].noise) for name in names):
            continue
        most = int(cohort.visits[["subject", *names]].groupby("subject").count().sum(axis=1).max())
        if spread and most < 2:
            which = ", ".join(spread)
            note = (
                f"{', '.join(names)}: measured once in each of {cohort.n_subjects:,} subjects. Spread between subjects "
                f"({which}) and noise are seen as their sum alone; what tells them apart is their priors."
            )
            warnings.warn(note, ModelWarning, stacklevel=4)
            notes.append(note)
    return tuple(notes)


def _shared(built: ProgressionModel) -> dict[tuple[str, ...], list[str]]:
    """Outcomes that speak of the same subject effects, and the sites of those effects' spreads."""
    owners = {name: one.trajectory if isinstance(one.trajectory, str) else name for name, one in built.outcomes.items()}
    if any(parameter.subject is not None for parameter in built.clock.parameters().values()):
        owners = dict.fromkeys(owners, "clock")
    groups = {owner: tuple(name for name in owners if owners[name] == owner) for owner in owners.values()}
    spreads = [f"{name}_sd" for name, one in built.parameters().items() if one.subject is not None]
    return {
        names: [one for one in spreads if owner == "clock" or one.startswith((f"{owner}_", *(f"{n}_" for n in names)))]
        for owner, names in groups.items()
    }


def _learned(noise: Noise) -> bool:
    """Whether a measurement may lie as far from its course as the spread of a subject's effect would put it."""
    return isinstance(noise, Binary) or any(not isinstance(one, float) for one in noise.scalars().values())


def spreads_near_zero(posterior: Posterior, data: Data) -> tuple[str, ...]:
    """A sentence on spreads between subjects or groups that the data do not tell from zero; of models of components.

    Where a spread is known poorly, the log likelihood of the data at the posterior mean is set against that without it.

    Args:
        posterior: of the fit.
        data: of the fit.
    """
    built = composed(posterior.model)
    if built is None:
        return ()
    hierarchy = posterior.hierarchy(data.largest if isinstance(data, Buckets) else data)
    vectors = np.asarray(posterior.vectors(hierarchy))
    names, wanted = hierarchy.population_names(), _spreads(built)
    places = [k for k, name in enumerate(names) if name in wanted and vectors[:, k].std() > UNKNOWN]
    if not places:
        return ()
    here = vectors.mean(axis=0)
    without = [here + NONE * (np.arange(here.size) == place) for place in places]
    # With a gradient, of which nothing is wanted: by the function that most fits have compiled.
    surface = Surface(Marginal(hierarchy), data, prior=posterior.provenance.get("objective") != "ml")
    found = [float(surface.at(vector).log_likelihood) for vector in (here, *without)]
    near = [names[place] for place, there in zip(places, found[1:], strict=True) if found[0] - there < LOSS]
    if not near:
        return ()
    return (
        f"The data hardly tell {', '.join(near)} from zero: effects of that spread may not be there at all. Take the "
        "spread out of the model, or keep it and rely on no single one of its effects.",
    )


def _spreads(built: ProgressionModel) -> set[str]:
    """Sites of spreads between subjects and between levels of groups."""
    parameters = built.parameters()
    own = {f"{name}_sd" for name, one in parameters.items() if one.subject is not None}
    return own | {
        f"{name}_{group}_sd"
        for name, one in parameters.items()
        for group, scalar in one.groups.items()
        if not isinstance(scalar, Drift)
    }
