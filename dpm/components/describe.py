"""A model in words and equations, for the report and for printing."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpyro import distributions as dist

from dpm.components.card import ModelCard
from dpm.components.covariate_effect import CovariateEffect
from dpm.components.event import Event
from dpm.components.link import Link
from dpm.components.parameter import ByClass, Parameter, identity
from dpm.components.progression import CORRELATION_SITE, ProgressionModel
from dpm.components.scalar import ByLevel, Scalar
from dpm.components.treatment import Treatment
from dpm.types import Model


def describe_model(model: Model) -> dict[str, Any]:
    """Title, context of use, equations, priors and limitations of a model.

    A model written by hand, which nothing looks inside, is described by its docstring.

    Returns:
        `title`, `context_of_use`, `population`, `equations` (each `latex`, `text`), `priors` (each `site`, `label`,
        `prior`, `unit`, `reason`), `limitations`.
    """
    if not isinstance(model, ProgressionModel):
        text = (getattr(model, "__doc__", None) or "").strip()
        title = text.splitlines()[0] if text else getattr(model, "__name__", type(model).__name__)
        return _card(ModelCard(title=title, context_of_use="", population="")) | {"equations": [], "priors": []}
    card = model.card or ModelCard(title="Progression model", context_of_use="", population="")
    return _card(card) | {"equations": list(_equations(model)), "priors": list(_priors(model, card))}


def model_text(model: ProgressionModel) -> str:
    """A model as text: its title, its equations in LaTeX, its priors."""
    described = describe_model(model)
    equations = [f"  {equation['text']}: {equation['latex']}" for equation in described["equations"]]
    width = max((len(prior["site"]) for prior in described["priors"]), default=0)
    priors = [f"  {prior['site']:<{width}}  {prior['prior']}  [{prior['unit']}]" for prior in described["priors"]]
    return "\n".join([described["title"], *equations, *priors])


def model_markdown(model: ProgressionModel) -> str:
    """A model as Markdown: its title, its equations typeset, a table of priors with reasons, what it cannot say."""
    described = describe_model(model)
    equations = [f"{equation['text']}:\n\n$${equation['latex']}$$\n" for equation in described["equations"]]
    columns = ("site", "label", "prior", "unit", "reason")
    rows = ["| " + " | ".join(prior[column] for column in columns) + " |" for prior in described["priors"]]
    priors = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|", *rows, ""]
    limitations = [f"- {each}" for each in described["limitations"]]
    return "\n".join([f"**{described['title']}**\n", *equations, *priors, *limitations])


def _card(card: ModelCard) -> dict[str, Any]:
    return {
        "title": card.title,
        "context_of_use": card.context_of_use,
        "population": card.population,
        "limitations": list(card.limitations),
    }


def _equations(model: ProgressionModel) -> Iterator[dict[str, str]]:
    yield {"latex": model.clock.equation, "text": "clock"}
    yield from _parameter_equations(model.clock.parameters())
    for name, outcome in model.outcomes.items():
        yield {"latex": outcome.noise.equation, "text": f"measurement of {name}"}
    for name, change in model.changes().items():
        words = name.replace("_", " ")
        yield {"latex": change.equation, "text": f"{words}, which changes the course"}
        if isinstance(change, Treatment) and change.waning is not None:
            yield {"latex": f"w(s) = {change.waning.equation}", "text": f"share of it left, of {words}"}
        yield from _parameter_equations(change.parameters(), f" of {words}")
    for name, trajectory in model.trajectories().items():
        yield {"latex": trajectory.equation, "text": f"expected course of {name}"}
        yield from _parameter_equations(trajectory.parameters())
    for name, states in model.states.items():
        yield {"latex": states.equation, "text": f"states of {name}"}
        for (one, other), move in states.transitions.items():
            intensity = _log_rate(r"\mathrm{log\_rate}", move.effects, move.links)
            yield {"latex": rf"\log q_i(t) = {intensity}", "text": f"intensity from {one} to {other} in subject i"}
    for name, process in model.events.items():
        for cause, event in process.named(name).items():
            yield {"latex": event.hazard.equation, "text": f"baseline hazard of {cause.replace('_', ' ')}"}
            yield {"latex": _hazard_equation(event), "text": f"hazard of {cause.replace('_', ' ')} in subject i"}
    if model.subtypes is not None:
        yield {"latex": model.subtypes.equation, "text": f"class of subject i: {', '.join(model.subtypes.names)}"}
    for name, covariate in model.covariates.items():
        yield {"latex": covariate.equation, "text": f"{name} of subject i, where it is not measured"}
    spread = [name for name, parameter in model.parameters().items() if parameter.subject is not None]
    if spread:
        correlation = r"\,R\,\mathrm{diag}(\omega)" if model.correlation is not None and len(spread) > 1 else r"^2"
        yield {
            "latex": rf"b_i \sim \mathrm{{Normal}}(0,\ \mathrm{{diag}}(\omega){correlation})",
            "text": f"subject-level effects, of {' and '.join(spread)}",
        }


def _parameter_equations(parameters: Mapping[str, Parameter], of: str = "") -> Iterator[dict[str, str]]:
    for field, parameter in parameters.items():
        yield {"latex": _parameter_equation(field, parameter), "text": f"{field}{of} of subject i"}


def _parameter_equation(field: str, parameter: Parameter) -> str:
    typical = rf"{_upright(field)}_{{z_i}}" if isinstance(parameter.typical, ByClass) else _upright(field)
    terms = [typical]
    linear = [name for name, effect in parameter.effects.items() if not isinstance(effect, CovariateEffect)]
    if linear:
        names = r",\ ".join(map(_upright, linear))
        terms.append(rf"\textstyle\sum_{{k \in \{{{names}\}}}} \beta_k x_{{ik}}")
    terms += [
        effect.term(_upright(name)) for name, effect in parameter.effects.items() if isinstance(effect, CovariateEffect)
    ]
    if parameter.horseshoe is not None:
        terms.append(r"\textstyle\sum_j \beta_j x_{ij}")
    terms += [rf"\gamma^{{{_upright(name)}}}_{{i}}" for name in parameter.groups]
    if parameter.subject is not None:
        terms.append(rf"b^{{{_upright(field)}}}_i")
    terms += [rf"c^{{{_upright(name)}}}_{{ij}}" for name in parameter.within]
    inside = " + ".join(terms)
    if parameter.link is not identity:
        inside = rf"{_upright(getattr(parameter.link, '__name__', 'g'))}({inside})"
    return rf"{_upright(field)}_i = {inside}"


def _hazard_equation(event: Event) -> str:
    return r"\log h_i(t) = " + _log_rate(r"\log h(t)", event.effects, event.links)


def _log_rate(typical: str, effects: Mapping[str, Scalar], links: Mapping[str, Link]) -> str:
    terms = [typical]
    if effects:
        names = r",\ ".join(map(_upright, effects))
        terms.append(rf"\textstyle\sum_{{k \in \{{{names}\}}}} \beta_k x_{{ik}}")
    for name, link in links.items():
        linked = link.symbol.replace("X", rf"{{{_upright(getattr(link, 'of', None) or name)}}}")
        terms.append(rf"\alpha^{{{_upright(name)}}}\,{linked}")
    return " + ".join(terms)


def _upright(name: str) -> str:
    """A name in LaTeX, its underscores escaped."""
    return rf"\mathrm{{{name.replace('_', r'\_')}}}"


def _priors(model: ProgressionModel, card: ModelCard) -> Iterator[dict[str, str]]:
    for site, label, scalar in _scalars(model, card):
        yield {
            "site": site,
            "label": label,
            "prior": prior_text(scalar),
            "unit": card.units.get(site, ""),
            "reason": card.reasons.get(site, ""),
        }


def _scalars(model: ProgressionModel, card: ModelCard) -> Iterator[tuple[str, str, Scalar]]:
    for name, parameter in model.parameters().items():
        yield from parameter.priors(name, card.covariates)
    if model.subtypes is not None:
        yield from model.subtypes.priors()
    for name, covariate in model.covariates.items():
        yield from covariate.priors(name)
    for name, scalar in model.scalars().items():
        yield name, name.replace("_", " "), scalar
    for name, outcome in model.outcomes.items():
        for field, scalar in outcome.noise.scalars().items():
            yield f"{name}_{field}", f"{name.replace('_', ' ')}: residual {field}", scalar
    for name, states in model.states.items():
        for key, scalar in states.scalars().items():
            yield f"{name}_{key}", f"{name}: {key.replace('_', ' ')}", scalar
    for name, process in model.events.items():
        for cause, event in process.named(name).items():
            words = cause.replace("_", " ")
            for key, scalar in event.scalars().items():
                contrast = card.covariates.get(key, key.replace("_", " "))
                link = f"link to {key.replace('_', ' ')}" if key in event.links else contrast
                yield f"{cause}_{key}", f"{words}: {link}", scalar
    spread = [name for name, parameter in model.parameters().items() if parameter.subject is not None]
    if model.correlation is not None and len(spread) > 1:
        lkj = dist.LKJ(len(spread), model.correlation.concentration)
        yield CORRELATION_SITE, "correlation of subject-level effects", lkj


def prior_text(scalar: Scalar) -> str:
    """`Normal(0.5, 1)`, `Normal(0, 1), 3 values`, or the number of a fixed scalar."""
    if isinstance(scalar, ByLevel):
        return f"{prior_text(scalar.prior)} for each {scalar.by}"
    if not isinstance(scalar, dist.Distribution):
        return f"fixed at {float(scalar):g}"
    if isinstance(scalar, dist.LKJ):
        return f"LKJ({float(scalar.concentration):g})"
    count = int(np.prod(scalar.shape()))
    return _family(scalar) + (f", {count} values" if count > 1 else "")


def _family(prior: dist.Distribution) -> str:
    """Its name and numbers, from under what only shapes it."""
    if isinstance(prior, dist.Independent | dist.ExpandedDistribution):
        return _family(prior.base_dist)
    if type(prior) is dist.TransformedDistribution:
        steps = " ".join(type(step).__name__.removesuffix("Transform").lower() for step in reversed(prior.transforms))
        return f"{steps} {_family(prior.base_dist)}"
    values = [getattr(prior, name) for name in prior.arg_constraints if hasattr(prior, name)]
    return f"{type(prior).__name__}({', '.join(map(_number, values))})"


def _number(value: Any) -> str:
    """One number where all are the same."""
    each = np.unique(np.asarray(value)) if np.ndim(value) else np.asarray(value)[None]
    if each.size == 1:
        return f"{float(each[0]):.4g}"
    return f"[{', '.join(f'{float(one):.4g}' for one in np.ravel(np.asarray(value)))}]"
