"""Predictions averaged over models: draws of each in proportion to its weight."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from dpm.errors import PosteriorError
from dpm.posterior.predict import Predicted
from dpm.types import Array, Int, Key


class Averaged(NamedTuple):
    """Draws from a mixture of models.

    Attributes:
        predicted: as of one model.
        weights: by model, as they were asked for.
        model: of each draw, the position of its model in `weights`.
    """

    predicted: Predicted
    weights: Mapping[str, float]
    model: Int[np.ndarray, " draw"]


def average(predictions: Mapping[str, Predicted], weights: Mapping[str, float], *, key: Key) -> Averaged:
    r"""Predictions of $\sum_k w_k\,p_k(\tilde y)$.

    Draw $s$ of the result is draw $s$ of one model, which all its subjects, visits and replicates share. Models have
    $S w_k$ draws each, up to rounding.

    Args:
        predictions: by model, of the same subjects and times, with as many draws, on the leading axis.
        weights: by model, such as `Comparison.weights()`; they sum to one.
        key: for which draws are whose.

    Raises:
        PosteriorError: weights are not those of these models, negative, or do not sum to one; or the predictions are
            not alike.

    Source: Yao et al. 2018, doi 10.1214/17-BA1091.
    """
    require_weights(weights, predictions)
    parts = [predictions[name] for name in weights]
    count = int(next(iter(parts[0].measurement.values())).shape[0])
    model = allocate(weights, count, key=key)
    return Averaged(mixed(parts, model), dict(weights), model)


def allocate(weights: Mapping[str, float], count: int, *, key: Key) -> Int[np.ndarray, " draw"]:
    """A model's position for each of `count` draws, in random order; counts in proportion (systematic sampling)."""
    offset_key, order_key = jax.random.split(key)
    shares = np.asarray(list(weights.values()))
    points = (np.arange(count) + float(jax.random.uniform(offset_key))) / count
    stops = np.cumsum(shares / shares.sum())
    model = np.searchsorted(stops[:-1], points, side="right")
    return np.asarray(jax.random.permutation(order_key, jnp.asarray(model)))


def mixed(parts: Sequence[Predicted], model: Int[np.ndarray, " draw"]) -> Predicted:
    """Each draw from the model it is allocated to.

    Raises:
        PosteriorError: the predictions are not of the same things, or not of as many draws.
    """
    shapes = [
        {f"{kind}.{name}": x.shape for kind, group in _groups(part) for name, x in group.items()} for part in parts
    ]
    for other in shapes[1:]:
        if other != shapes[0]:
            got = f"{shapes[0]} and {other}"
            do = "Predict the same subjects at the same times with each, from as many draws."
            raise PosteriorError("average", "predictions of the same outcomes and shapes", got, do)

    def of(kind: str) -> dict[str, Array]:
        names = getattr(parts[0], kind)
        return {name: _chosen([getattr(part, kind)[name] for part in parts], model) for name in names}

    return Predicted(of("course"), of("measurement"), of("events"))


def _groups(part: Predicted) -> list[tuple[str, Mapping[str, Array]]]:
    return [("course", part.course), ("measurement", part.measurement), ("events", part.events)]


def _chosen(arrays: list[Array], model: Int[np.ndarray, " draw"]) -> Array:
    if arrays[0].shape[0] != len(model):
        raise PosteriorError("average", f"{len(model):,} draws of each model", f"{arrays[0].shape[0]:,}")
    out = arrays[0]
    for position, array in enumerate(arrays[1:], 1):
        out = out.at[model == position].set(array[model == position])
    return out


def require_weights(weights: Mapping[str, float], models: Mapping[str, object]) -> None:
    """Refuse weights that are not a distribution over these models."""
    if not weights or set(weights) != set(models):
        got = ", ".join(weights) or "none"
        raise PosteriorError("average: weights", f"one for each of {', '.join(models)}", got)
    total = sum(weights.values())
    # Not below minus rounding: an optimiser may end there.
    if not all(weight >= -1e-9 for weight in weights.values()) or not abs(total - 1.0) < 1e-6:
        got = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
        raise PosteriorError("average: weights", "weights of at least zero that sum to one", got)
