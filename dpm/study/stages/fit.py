"""`fit`: learn the natural history."""

from dataclasses import replace

import pandas as pd

from dpm.checks.convergence import parameter_table
from dpm.components.describe import describe_model
from dpm.inference.automatic import chosen
from dpm.inference.checkpoint import Checkpoint
from dpm.inference.laplace import Laplace
from dpm.inference.marginal_nuts import MarginalNUTS
from dpm.inference.nuts import NUTS
from dpm.inference.variational import Variational
from dpm.posterior.fit import fit
from dpm.study.materials import Materials
from dpm.study.method_choice import ApproximateFit, GuidedFit, MarginalFit, SampledFit
from dpm.study.stage import Context

Chosen = NUTS | MarginalNUTS | Laplace | Variational


def method_of(materials: Materials) -> tuple[Chosen, str]:
    """The method the study asks for, and why where it leaves that to dpm; other settings are the method's defaults."""
    asked = materials.study.fit
    settings = asked.model_dump(exclude={"method", "gate"}, exclude_none=True)
    if isinstance(asked, SampledFit):
        return NUTS(**settings, progress=materials.progress), ""
    if isinstance(asked, MarginalFit):
        return MarginalNUTS(**settings, progress=materials.progress), ""
    if isinstance(asked, GuidedFit):
        return Variational(**settings, progress=materials.progress), ""
    if isinstance(asked, ApproximateFit):
        return Laplace(**settings), ""
    method, why = chosen(materials.model, materials.history.records())
    assert isinstance(method, NUTS | MarginalNUTS | Laplace)
    shown = method if isinstance(method, Laplace) else replace(method, progress=materials.progress)
    return shown, why


def run(context: Context) -> str:
    """Fit, and describe the model and its draws.

    Raises:
        InferenceError: the method failed, or its answer cannot be relied on.
    """
    materials = context.materials
    method, why = method_of(materials)
    if isinstance(method, NUTS | MarginalNUTS):
        method = replace(method, checkpoint=Checkpoint(folder=context.checkpoint))
    if why:
        context.note(why)
    posterior = fit(materials.model, materials.history, method=method, key=context.key)
    # Without the times it took, so that the same draws are the same bytes; the manifest has the time of every stage.
    timeless = {name: value for name, value in posterior.provenance.items() if not name.startswith("seconds")}
    notes = [*([why] if why else []), *posterior.provenance.get("notes", [])]
    replace(posterior, provenance={**timeless, **({"notes": notes} if notes else {})}).save(
        context.path("fit/posterior.nc")
    )
    description = describe_model(materials.model)
    description["limitations"] += posterior.provenance.get("notes", [])
    counts = {name: posterior.provenance[name] for name in ("n_subjects", "n_visits")}
    said = in_words(method, weighed_by=posterior.provenance.get("weighed_by", ""))
    said += f"; {REASON}{why.removeprefix('method: ')}" if why else ""
    context.json("fit/model.json", {**description, **counts, "method": said})
    context.table("fit/parameters.csv", labelled(parameter_table(posterior), description["priors"]))
    return f"{posterior.n_draws:,} draws"


REASON = "chosen by dpm: "
"""Before the reason of a choice that the study left open."""

LEVELS = {
    "focei": "FOCEI",
    "laplace": "Laplace",
    "quadrature": "adaptive quadrature",
    "qmc": "quasi-Monte Carlo",
}
"""How the effects of a subject are integrated out, in words."""


FAMILIES = {
    "mean-field": "independent values",
    "low-rank": "a covariance of low rank",
    "structured": "effects given population values",
}
"""Of a guide, in words."""


def in_words(method: Chosen, *, weighed_by: str = "") -> str:
    """The settings that a reader of the report needs, and the level of accuracy by which draws were weighed, if any."""
    if isinstance(method, NUTS | MarginalNUTS):
        said = f"NUTS, {method.chains} chains of {method.warmup:,} warm-up and {method.draws:,} kept draws"
        if isinstance(method, NUTS):
            return said
        weighed = f", draws weighed by {weighed_by}" if weighed_by else ""
        return f"{said} of population values (marginal likelihood: {LEVELS[method.level]}{weighed})"
    if isinstance(method, Variational):
        return (
            f"variational, a guide of {FAMILIES[method.family]}; {method.draws:,} draws, resampled from "
            f"{method.proposals:,} proposals weighted by the marginal likelihood"
        )
    maximum = {"map": "maximum of the posterior density", "ml": "maximum of the likelihood"}[method.objective]
    draws = f"{method.draws:,} draws"
    if method.importance:
        draws += f", resampled from {method.importance:,} proposals weighted by the marginal likelihood"
    errors = ", sandwich errors" if method.errors == "sandwich" else ""
    return f"normal approximation at the {maximum} (marginal likelihood: {LEVELS[method.level]}){errors}, {draws}"


def labelled(parameters: pd.DataFrame, priors: list[dict[str, str]]) -> pd.DataFrame:
    """The table of parameters with the label and unit the model gives to each site (`site[1,0]` is one of `site`)."""
    known = pd.DataFrame(priors, columns=["site", "label", "unit"]).set_index("site")
    site = parameters["site"].str.partition("[")[0]
    texts = {
        "label": known["label"].reindex(site).fillna("").to_numpy(),
        "unit": known["unit"].reindex(site).fillna("").to_numpy(),
    }
    rest = [column for column in parameters if column != "site"]
    return parameters.assign(**texts)[["site", "label", "unit", *rest]]
