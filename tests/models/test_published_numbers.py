"""Published numbers that are not a typical course: centiles, ages at an event, limits and constants."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from numpyro import handlers

from dpm.cohort import Records
from dpm.types import Sites

from .test_library import DESIGNS, KEY, model, module, records

MANY = 4000


def shown(name: str, n: int, start: float) -> Records:
    """Subjects whose clock says `start` at time zero, covariates at zero."""
    design = DESIGNS[name]
    assert design.origin is not None
    data = records(replace(design, origin=(design.origin[0], start)), n)
    return replace(data, covariates={key: 0.0 * value for key, value in data.covariates.items()})


def drawn(name: str, data: Records, given: dict[str, Any]) -> Sites:
    """Every site of the model at its typical values, what is not `given` drawn."""
    values = {key: jnp.asarray(value) for key, value in {**getattr(module(name), "TYPICAL", {}), **given}.items()}
    if "subject_correlation" in values:
        values["subject_correlation_cholesky"] = jnp.linalg.cholesky(values.pop("subject_correlation"))
    filled = handlers.substitute(handlers.uncondition(model(name)), data=values)
    return {
        site: message["value"] for site, message in handlers.trace(handlers.seed(filled, KEY)).get_trace(data).items()
    }


def test_simulated_adas_cog_stays_within_its_bounds() -> None:
    """With its residuals, at draws from the prior, as in the simulator of Rogers' model."""
    data = records(DESIGNS["adas_cog_rogers"], 50)
    for key in jax.random.split(KEY, 10):
        trace = handlers.trace(handlers.seed(handlers.uncondition(model("adas_cog_rogers")), key)).get_trace(data)
        scores = np.asarray(trace["adas_cog"]["value"])
        assert ((scores >= 0.0) & (scores <= 70.0)).all()
        assert trace["dropout"]["value"].shape == (50, 1, 2)
