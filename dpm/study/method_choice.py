"""How a study asks for its model to be fitted."""

from typing import Annotated, Literal

from pydantic import Field

from dpm.study.fields import Count, Draws, Number, Positive, Section, Share


class GateChoice(Section):
    """Limits of the convergence gate that differ from dpm's; the report shows each with the limit it replaces."""

    r_hat: Annotated[Number, Field(gt=1)] | None = None
    ess_bulk: Positive | None = None
    ess_tail: Positive | None = None
    divergences: Annotated[int, Field(ge=0, strict=True)] | None = None
    e_bfmi: Annotated[Number, Field(ge=0, lt=1)] | None = None
    saturation: Annotated[Number, Field(ge=0, lt=1)] | None = None


class SampledFit(Section):
    """Sampling by NUTS. What is not given is dpm's default."""

    method: Literal["NUTS"]
    chains: Count | None = None
    warmup: Count | None = None
    draws: Draws | None = None
    target_accept: Share | None = None
    max_tree_depth: Count | None = None
    chain_method: Literal["auto", "vectorized", "parallel", "sequential"] | None = None
    precision: Literal["float64", "float32"] | None = None
    gate: GateChoice = GateChoice()


class MarginalFit(Section):
    """Sampling by MarginalNUTS, effects integrated out. What is not given is dpm's default."""

    method: Literal["MarginalNUTS"]
    level: Literal["focei", "laplace", "quadrature", "qmc"] | None = None
    n_nodes: Count | None = None
    chains: Count | None = None
    warmup: Count | None = None
    draws: Draws | None = None
    target_accept: Share | None = None
    max_tree_depth: Count | None = None
    chain_method: Literal["auto", "vectorized", "parallel", "sequential"] | None = None
    gate: GateChoice = GateChoice()


class ApproximateFit(Section):
    """The maximum and the normal approximation around it, weighted by the marginal likelihood if `importance` is given.

    What is not given is dpm's default.
    """

    method: Literal["Laplace"]
    objective: Literal["map", "ml"] | None = None
    level: Literal["focei", "laplace", "quadrature", "qmc"] | None = None
    n_nodes: Count | None = None
    draws: Draws | None = None
    errors: Literal["hessian", "sandwich"] | None = None
    importance: Count | None = None
    gate: GateChoice = GateChoice()


class GuidedFit(Section):
    """A guide by Variational, weighed by the marginal likelihood; what it does not reach stops the study.

    What is not given is dpm's default.
    """

    method: Literal["Variational"]
    family: Literal["mean-field", "low-rank", "structured"] | None = None
    rank: Count | None = None
    start: Literal["laplace", "pathfinder", "prior"] | None = None
    samples: Count | None = None
    steps: Count | None = None
    proposals: Draws | None = None
    draws: Draws | None = None
    level: Literal["focei", "laplace", "quadrature", "qmc"] | None = None
    n_nodes: Count | None = None
    gate: GateChoice = GateChoice()


class ChosenFit(Section):
    """dpm chooses NUTS, MarginalNUTS or Laplace by the size and kind of the problem; the report says which and why."""

    method: Literal["auto"]
    gate: GateChoice = GateChoice()


METHODS = ("NUTS", "MarginalNUTS", "Laplace", "Variational", "auto")
"""The words for it."""
