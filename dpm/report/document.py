"""The report: one page made of a run's tables, readable without a network and the same bytes for the same run."""

import base64
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from dpm.report import captions, data_tables, figures, provenance, tables, wording
from dpm.report.equations import mathml
from dpm.report.estimands import UNSAID, EstimandText, described
from dpm.report.figures.style import replace
from dpm.report.run_folder import RunFolder, each_row, read_run

CARD = ("title", "context_of_use", "population", "n_subjects", "n_visits", "method")
"""What the model card says in words; the rest of it is equations, priors and limitations."""

PIXELS = 96
"""Pixels of a page per inch of a figure."""


@dataclass(frozen=True, kw_only=True)
class Illustration:
    """A figure as it stands in the page: the image itself, its size [pixels], what is seen and what is drawn."""

    name: str
    source: str
    width: int
    height: int
    alt: str
    caption: str


def write_report(run: Path) -> Path:
    """Draw the figures of a run into its folder and write `report.html`, replacing an earlier one in one step.

    Args:
        run: folder of a run whose other stages are complete.

    Returns:
        The path of the page.

    Raises:
        ReportError: a table is missing or cannot be read; the stage that writes it is named.
    """
    tables_of_run = read_run(run)
    target = run / "report.html"
    replace(target, render(tables_of_run).encode("utf-8"))
    return target


def render(run: RunFolder) -> str:
    """The page as text; writes the figures it shows."""
    estimands = tuple(described(entry) for entry in run.estimands)
    return page(
        "template.html.j2",
        **opening(run, estimands),
        **evidence(run, estimands),
        **shown_provenance(run),
        figures=illustrations(run, estimands),
    )


def page(template: str, **values: Any) -> str:
    """A page of this package with the style that its pages share."""
    folder = files("dpm.report")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    style = Markup(folder.joinpath("page.css").read_text(encoding="utf-8"))
    return environment.from_string(folder.joinpath(template).read_text(encoding="utf-8")).render(style=style, **values)


def opening(run: RunFolder, estimands: tuple[EstimandText, ...]) -> dict[str, Any]:
    """Title, answers, status, estimands and model card."""
    study = provenance.part(run.manifest, "study")
    answers = [wording.answer(run.effects, estimand) for estimand in estimands]
    equations = [
        (mathml(str(each.get("latex", ""))), str(each.get("text", ""))) for each in run.model.get("equations", [])
    ]
    return {
        "title": str(study.get("title") or study.get("name") or "Disease progression study"),
        "question": str(study.get("question") or UNSAID),
        "context_of_use": str(study.get("context_of_use") or UNSAID),
        "answers": [each for each in answers if each is not None],
        "notices": wording.notices(run.convergence, run.coverage, run.ledger),
        "estimands": estimands,
        "model": {key: run.model.get(key) for key in CARD},
        "equations": equations,
        "limitations": [str(each) for each in run.model.get("limitations", [])],
        "randomised": bool((run.effects["role"] == "truth").any()),
    }


def evidence(run: RunFolder, estimands: tuple[EstimandText, ...]) -> dict[str, Any]:
    """Every table between the model card and the provenance."""
    labels = {each.name: each.label for each in estimands}
    return {
        "flow": tables.flow_table(run.flow),
        "baseline": tables.baseline_table(run.baseline),
        "cleaning": data_tables.cleaning_table(run.cleaning),
        "quality": data_tables.quality_table(run.quality),
        "fitness": data_tables.fitness_table(run.fitness),
        "support": data_tables.support_table(run.support),
        "verdicts": [f"{row['outcome']}: {row['verdict']}" for row in each_row(run.verdicts)],
        "priors": tables.priors_table(run.model.get("priors", [])),
        "convergence": tables.convergence_table(run.convergence),
        "parameters": tables.parameters_table(run.parameters),
        "coverage": tables.coverage_table(run.coverage),
        "effects": [tables.effects_table(run.effects, estimand) for estimand in estimands],
        "assumptions": tables.assumptions_table(run.effects, labels),
        "layers": tables.layers_table(run.layers, labels),
    }


def shown_provenance(run: RunFolder) -> dict[str, Any]:
    return {
        "facts": provenance.facts(run.manifest, run.ledger),
        "stages": provenance.stages_table(run.manifest),
        "outputs": provenance.outputs_table(run.manifest),
        "packages": provenance.packages_table(run.manifest),
        "ledger": provenance.ledger_table(run.ledger),
    }


def illustrations(run: RunFolder, estimands: tuple[EstimandText, ...]) -> dict[str, list[Illustration]]:
    """Draw, save and embed every figure, by the section it belongs to."""
    titles = {each.name: each.label for each in estimands}
    stated = [each for each in estimands if each.contrast != UNSAID]
    contrasts = {each.name: each.contrast[:1].upper() + each.contrast[1:] for each in stated}
    scales = {each.scale.name: each.scale for each in reversed(estimands)}
    scale = estimands[0].scale
    checks = []
    for outcome, rows in run.vpc.groupby("outcome", sort=False):
        seen = scales.get(str(outcome)) or figures.OutcomeScale(name=str(outcome), label=str(outcome))
        drawn = figures.predictive_check(rows, seen)
        checks.append(embed(run, drawn, f"predictive_{outcome}", captions.predictive_text(rows, seen)))
    twins = figures.twin_courses(run.twin_visits, run.twin_bands, scale)
    forest = figures.effect_forest(run.effects, titles, contrasts)
    layers = figures.uncertainty_layers(run.layers, titles)
    flow, cells = figures.flow_diagram(run.flow), figures.subgroup_calibration(run.coverage)
    return {
        "flow": [embed(run, flow, "flow", captions.flow_text(run.flow))],
        "data": data_figures(run),
        "predictive": checks,
        "calibration": [embed(run, cells, "calibration", captions.calibration_text(run.coverage))],
        "twins": [embed(run, twins, "twins", captions.twins_text(run.twin_visits, run.twin_bands, scale))],
        "effects": [embed(run, forest, "effects", captions.effects_text(run.effects, estimands))],
        "layers": [embed(run, layers, "layers", captions.layers_text(run.layers))],
    }


def data_figures(run: RunFolder) -> list[Illustration]:
    """What the data are fit for, and whether the treated lie where the natural history has patients."""
    lights = figures.fitness_lights(run.fitness)
    found = [embed(run, lights, "fitness", captions.fitness_text(run.fitness))]
    if len(run.support):
        support = figures.covariate_support(run.support, name_a="natural history", name_b="treated")
        found.append(embed(run, support, "support", captions.support_text(run.support)))
    return found


def embed(run: RunFolder, drawn: Figure, name: str, texts: tuple[str, str]) -> Illustration:
    """Save a figure in the run and take it into the page as data."""
    safe = "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
    svg = figures.save(drawn, run.folder / "figures", safe)
    width, height = (round(float(inches) * PIXELS) for inches in drawn.get_size_inches())
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"
    return Illustration(name=safe, source=source, width=width, height=height, alt=texts[0], caption=texts[1])
