"""`ProgressionModel`: a NumPyro model built from components."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpyro
from jax import numpy as jnp

from dpm.cohort.records import Records
from dpm.components.card import ModelCard
from dpm.components.censoring import Censored
from dpm.components.clock import Clock, StudyTime
from dpm.components.correlation import LKJ
from dpm.components.outcome import Outcome
from dpm.components.parameter import Parameter, sample_scalar
from dpm.errors import ModelError
from dpm.types import PerSubject, PerVisit

CORRELATION_SITE = "subject_correlation"
"""Correlation matrix of the subject effects; its Cholesky factor is sampled at `subject_correlation_cholesky`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProgressionModel:
    r"""A nonlinear mixed-effects model of one or more outcomes.

    For outcome $o$ with trajectory $f$ and noise $p$, parameters $\theta_i$ as in `Parameter` and clock $\tau$,

    $$y_{ij} \sim p\{f(\tau(t_{ij});\, \theta_i)\},\quad
    b_i \sim N(0,\ \mathrm{diag}(\omega)\, R\, \mathrm{diag}(\omega)).$$

    Calling it with `records` runs it as a NumPyro model. Sites are named `<outcome>_<parameter>` for a typical
    value, with `_<covariate>`, `_<grouping>`, `_<grouping>_sd` and `_sd` after it for the rest; inside the plate
    `<outcome>_<parameter>_z` is the standardised subject effect, `<outcome>_mean` the expected course and
    `<outcome>` the measurement. Subject effects are sampled as independent standard normals and correlated by the
    Cholesky factor of $R$ (non-centred).

    Compared by identity: keep one object, and what was compiled for it is used again.

    Attributes:
        outcomes: by the name they have in the cohort.
        clock: what time is; sampled once.
        correlation: of all subject effects together; None for independent ones.
        card: what the model is for.
    """

    outcomes: Mapping[str, Outcome]
    clock: Clock = field(default_factory=StudyTime)
    correlation: LKJ | None = field(default_factory=lambda: LKJ(2.0))
    card: ModelCard | None = None

    def __str__(self) -> str:
        from dpm.components.describe import model_text  # describing imports what it describes

        return model_text(self)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What a notebook shows: equations typeset, priors with their reasons."""
        from dpm.components.describe import model_markdown, model_text

        return {"text/plain": model_text(self), "text/markdown": model_markdown(self)}

    def parameters(self) -> dict[str, Parameter]:
        """Every trajectory parameter, by site name."""
        return {
            f"{name}_{field_name}": parameter
            for name, outcome in self.outcomes.items()
            for field_name, parameter in outcome.trajectory.parameters().items()
        }

    def __call__(self, records: Records) -> None:
        for name in self.outcomes:
            if name not in records.values:
                have = ", ".join(sorted(records.values))
                raise ModelError(
                    "model", f'outcome "{name}" in the cohort', have, "Name the outcome as in the cohort's roles."
                )
        time = self.clock.time(records)
        parameters = self._sample_parameters(records)
        for name, outcome in self.outcomes.items():
            fields = {key: parameters[f"{name}_{key}"] for key in outcome.trajectory.parameters()}
            self._observe(name, outcome, outcome.trajectory.curve(time, **fields), records)

    def _sample_parameters(self, records: Records) -> dict[str, PerSubject]:
        specs = self.parameters()
        fixed = {name: spec.fixed_part(name, records) for name, spec in specs.items()}
        spreads = {
            name: sample_scalar(f"{name}_sd", spec.subject) for name, spec in specs.items() if spec.subject is not None
        }
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            z = [numpyro.sample(f"{name}_z", numpyro.distributions.Normal(0.0, 1.0)) for name in spreads]
        correlated = self._correlate(z)
        deviation = {name: sd * b for (name, sd), b in zip(spreads.items(), correlated, strict=True)}
        return {name: spec.link(fixed[name] + deviation.get(name, jnp.zeros(()))) for name, spec in specs.items()}

    def _correlate(self, z: list[PerSubject]) -> list[PerSubject]:
        if self.correlation is None or len(z) < 2:
            return z
        lower = self.correlation.sample(f"{CORRELATION_SITE}_cholesky", len(z))
        numpyro.deterministic(CORRELATION_SITE, lower @ lower.T)
        # Unrolled: a batched triangular product per subject is many times slower than vector operations.
        return [sum((lower[j, k] * z[k] for k in range(j + 1)), jnp.zeros(())) for j in range(len(z))]

    @staticmethod
    def _observe(name: str, outcome: Outcome, mean: PerVisit, records: Records) -> None:
        scalars = {key: sample_scalar(f"{name}_{key}", scalar) for key, scalar in outcome.noise.scalars().items()}
        with (
            numpyro.plate("subject", records.n_subjects, dim=-1),
            numpyro.plate("visit", records.time.shape[0], dim=-2),
        ):
            numpyro.deterministic(f"{name}_mean", mean)
            noise = outcome.noise.distribution(mean, **scalars)
            if name in records.censored:
                noise = Censored(outcome.noise, mean, scalars, records.censored[name], records.until.get(name))
            numpyro.sample(name, noise.mask(records.observed[name]), obs=records.values[name])
