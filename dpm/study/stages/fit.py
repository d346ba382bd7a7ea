"""`fit`: learn the natural history, and stop if the sampler did not converge."""

import pandas as pd

from dpm.checks.convergence import Gate, convergence_table, parameter_table, require_converged
from dpm.components.describe import describe_model
from dpm.inference.laplace import Laplace
from dpm.inference.nuts import NUTS
from dpm.posterior.fit import fit
from dpm.study.materials import Materials
from dpm.study.schema import SampledFit
from dpm.study.stage import Context


def method_of(materials: Materials) -> NUTS | Laplace:
    """The method the study asks for; what it leaves open is the method's own default."""
    chosen = materials.study.fit
    settings = chosen.model_dump(exclude={"method", "gate"}, exclude_none=True)
    if isinstance(chosen, SampledFit):
        return NUTS(**settings, progress=materials.progress)
    return Laplace(**settings)


def gate_of(materials: Materials) -> Gate:
    """The default gate, with the limits the study changes."""
    return Gate(**materials.study.fit.gate.model_dump(exclude_none=True))


def run(context: Context) -> str:
    """Fit, describe the model and its draws, then hold them against the gate.

    Raises:
        CheckError: the gate was not passed; the tables are written all the same.
    """
    materials = context.materials
    method, gate = method_of(materials), gate_of(materials)
    posterior = fit(materials.model, materials.history, method=method, key=context.key)
    posterior.save(context.path("fit/posterior.nc"))
    description = describe_model(materials.model)
    counts = {name: posterior.provenance[name] for name in ("n_subjects", "n_visits")}
    context.json("fit/model.json", {**description, **counts, "method": in_words(method)})
    context.table("fit/parameters.csv", labelled(parameter_table(posterior), description["priors"]))
    convergence = convergence_table(posterior, gate)
    context.table("fit/convergence.csv", convergence)
    require_converged(posterior, gate)
    return f"{posterior.n_draws:,} draws; all {len(convergence)} convergence gates passed"


def in_words(method: NUTS | Laplace) -> str:
    """The settings that a reader of the report needs."""
    if isinstance(method, NUTS):
        return f"NUTS, {method.chains} chains of {method.warmup:,} warm-up and {method.draws:,} kept draws"
    draws = f"{method.draws:,} draws"
    if method.importance:
        draws += f", resampled from {method.importance:,} proposals weighted by the marginal likelihood"
    return f"Laplace approximation ({method.objective}, {method.level}), {draws}"


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
