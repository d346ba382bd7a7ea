"""`fit`: learn the natural history."""

from dataclasses import replace

import pandas as pd

from dpm.checks.convergence import parameter_table
from dpm.components.describe import describe_model
from dpm.inference.checkpoint import Checkpoint
from dpm.inference.laplace import Laplace
from dpm.inference.marginal_nuts import MarginalNUTS
from dpm.inference.nuts import NUTS
from dpm.posterior.fit import fit
from dpm.study.materials import Materials
from dpm.study.method_choice import MarginalFit, SampledFit
from dpm.study.stage import Context


def method_of(materials: Materials) -> NUTS | MarginalNUTS | Laplace:
    """The method the study asks for; what it leaves open is the method's own default."""
    chosen = materials.study.fit
    settings = chosen.model_dump(exclude={"method", "gate"}, exclude_none=True)
    if isinstance(chosen, SampledFit):
        return NUTS(**settings, progress=materials.progress)
    if isinstance(chosen, MarginalFit):
        return MarginalNUTS(**settings, progress=materials.progress)
    return Laplace(**settings)


def run(context: Context) -> str:
    """Fit, and describe the model and its draws."""
    materials = context.materials
    method = method_of(materials)
    if isinstance(method, NUTS | MarginalNUTS):
        method = replace(method, checkpoint=Checkpoint(folder=context.checkpoint))
    posterior = fit(materials.model, materials.history, method=method, key=context.key)
    # Without the times it took, so that the same draws are the same bytes; the manifest has the time of every stage.
    timeless = {name: value for name, value in posterior.provenance.items() if not name.startswith("seconds")}
    replace(posterior, provenance=timeless).save(context.path("fit/posterior.nc"))
    description = describe_model(materials.model)
    description["limitations"] += posterior.provenance.get("notes", [])
    counts = {name: posterior.provenance[name] for name in ("n_subjects", "n_visits")}
    context.json("fit/model.json", {**description, **counts, "method": in_words(method)})
    context.table("fit/parameters.csv", labelled(parameter_table(posterior), description["priors"]))
    return f"{posterior.n_draws:,} draws"


LEVELS = {
    "focei": "FOCEI",
    "laplace": "Laplace",
    "quadrature": "adaptive quadrature",
    "qmc": "quasi-Monte Carlo",
}
"""How the effects of a subject are integrated out, in words."""


def in_words(method: NUTS | MarginalNUTS | Laplace) -> str:
    """The settings that a reader of the report needs."""
    if isinstance(method, NUTS | MarginalNUTS):
        said = f"NUTS, {method.chains} chains of {method.warmup:,} warm-up and {method.draws:,} kept draws"
        if isinstance(method, NUTS):
            return said
        return f"{said} of population values (marginal likelihood: {LEVELS[method.level]})"
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
