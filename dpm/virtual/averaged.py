"""A virtual arm generated from several models, so that no one structure is taken to be right."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dpm.cohort.cohort import Cohort
from dpm.errors import VirtualError
from dpm.posterior.average import allocate, mixed, require_weights
from dpm.posterior.posterior import Posterior
from dpm.posterior.predict import Predicted
from dpm.types import Array, Float, Int, Key
from dpm.virtual.arm import VirtualArm


@dataclass(frozen=True, kw_only=True, eq=False)
class AveragedArm:
    """Twins from several models, a share of the draws each.

    The model is part of what is uncertain about the population: all patients of a draw are of one model, at every
    time, so the spread over `draw` holds what the models disagree on.

    Attributes:
        arms: by model, of the same patients, with as many draws and replicates.
        weights: by model.
        model: of each draw, the position of its model in `weights`.
        notes: what a reader of a comparison has to know of the twins; the first says the weights.
    """

    arms: Mapping[str, VirtualArm]
    weights: Mapping[str, float]
    model: Int[np.ndarray, " draw"]
    notes: tuple[str, ...]

    @property
    def heaviest(self) -> VirtualArm:
        """The arm of the largest weight."""
        return self.arms[max(self.weights, key=lambda name: self.weights[name])]

    @property
    def history(self) -> Cohort:
        """The patients, and what the twins are conditioned on."""
        return self.heaviest.history

    @property
    def posterior(self) -> Posterior:
        """That of the heaviest model, by which the treated patients' own courses are imputed."""
        return self.heaviest.posterior

    @property
    def vectors(self) -> Float[Array, "draw population"]:
        """The population draws of the heaviest model."""
        return self.heaviest.vectors

    def predict(self, time: Float[np.ndarray, "visit subject"], *, key: Key) -> Predicted:
        """Untreated courses and measurements at `time` [years], leading axes `(draw, replicate)`.

        Raises:
            VirtualError: see `VirtualArm.predict`.
            PosteriorError: the models do not predict the same outcomes and events.
        """
        return mixed([self.arms[name].predict(time, key=key) for name in self.weights], self.model)

    def take(self, ids: list[str]) -> "AveragedArm":
        """The twins of some patients."""
        return replace(self, arms={name: arm.take(ids) for name, arm in self.arms.items()})


def averaged_arm(arms: Mapping[str, VirtualArm], weights: Mapping[str, float], *, key: Key) -> AveragedArm:
    """One arm from several models.

    Args:
        arms: by model, each from `synthetic_arm` with the same `like`, `until`, `draws` and `replicates`.
        weights: by model, such as `compare_models(...).weights()`.
        key: for which draws are whose.

    Raises:
        PosteriorError: weights are not a distribution over these models.
        VirtualError: the arms are not of the same patients, histories, draws and natural-history cohort.
    """
    require_weights(weights, arms)
    ordered = {name: arms[name] for name in weights}
    _require_alike(ordered)
    first = next(iter(ordered.values()))
    model = allocate(weights, first.effects.shape[0], key=key)
    notes = [_weights_note(weights, model)]
    notes += list(dict.fromkeys(note for arm in ordered.values() for note in arm.notes))
    return AveragedArm(arms=ordered, weights=dict(weights), model=model, notes=tuple(notes))


def _weights_note(weights: Mapping[str, float], model: Int[np.ndarray, " draw"]) -> str:
    shares = ", ".join(
        f"{name} {weight:.3f} ({int((model == k).sum()):,} of {len(model):,} draws)"
        for k, (name, weight) in enumerate(weights.items())
    )
    heaviest = max(weights, key=lambda name: weights[name])
    return (
        f"Twins are averaged over {len(weights)} models by weight: {shares}. Weights are taken as known. Measurements "
        f"that treated patients lack are drawn from {heaviest} alone."
    )


def _require_alike(arms: Mapping[str, VirtualArm]) -> None:
    (name, first), *rest = arms.items()
    for other_name, other in rest:
        facts = [
            ("patients", list(first.history.subjects.index) == list(other.history.subjects.index)),
            ("histories", first.history.visits[["subject", "time"]].equals(other.history.visits[["subject", "time"]])),
            ("numbers of draws and replicates", first.effects.shape[:2] == other.effects.shape[:2]),
            ("natural-history cohorts", _source(first) == _source(other)),
        ]
        if unlike := [what for what, same in facts if not same]:
            got = f"{name} and {other_name} with other {' and '.join(unlike)}"
            do = "Make each by synthetic_arm with the same like, until, draws and replicates."
            raise VirtualError("averaged_arm", "arms that differ in their model alone", got, do)


def _source(arm: VirtualArm) -> tuple[object, ...]:
    facts = arm.posterior.provenance
    return tuple(facts[name] for name in ("source_sha256", "n_subjects", "n_visits"))


type Arm = VirtualArm | AveragedArm
"""Twins, of one model or of several."""
