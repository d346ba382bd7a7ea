"""The model card: what a model is for, in words that travel with its numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a reviewer reads before the equations.

    Attributes:
        title: one line.
        context_of_use: the question the model may be used for.
        population: in whom.
        disease, endpoint: as `dpm models` lists them.
        source: of structure and values.
        status: whether values are published, or what else priors stand on.
        units: per site, its unit.
        covariates: per covariate, the contrast its coefficient stands for, such as "age, per sd".
        reasons: per site, one line on why its prior is what it is.
        limitations: what the model cannot say.
    """

    title: str
    context_of_use: str
    population: str
    disease: str = ""
    endpoint: str = ""
    source: str = ""
    status: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    covariates: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    limitations: tuple[str, ...] = ()
