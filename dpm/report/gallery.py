"""The gallery of the model library: a page with each model's courses, a cohort it gives and what its priors expect."""

import base64
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from markupsafe import Markup

from dpm.cohort.cohort import Cohort
from dpm.cohort.records import Records
from dpm.components.clock import LatentTime, Since
from dpm.components.describe import describe_model
from dpm.components.progression import ProgressionModel
from dpm.errors import ReportError
from dpm.inference.hierarchy import Hierarchy
from dpm.posterior.predict import Predicted, predict_population, predict_subject
from dpm.posterior.prior import prior_predictive
from dpm.report.document import page
from dpm.report.equations import mathml
from dpm.report.figures.gallery import CoursePanel, Panel, SharePanel, model_panels
from dpm.report.figures.style import replace, save
from dpm.report.prior_figure import panels_of
from dpm.types import Array, Float, Key
from dpm.virtual.design import Design, population_vector

SUBJECTS = 400
"""Whose courses a band is made of."""

SHOWN = 40
"""Subjects whose measurements are drawn."""

GRID = 60
"""Times at which courses and shares are drawn."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model of the page.

    Attributes:
        name: of its file.
        title, disease, endpoint, source, status: of its card.
        values: what its values are.
        equations: each with its words, as MathML.
        priors: a row each.
        figures: each as an image in the page, with its caption.
        limitations: of its card.
    """

    name: str
    title: str
    disease: str
    endpoint: str
    source: str
    status: str
    values: str
    equations: tuple[tuple[str, Markup], ...]
    priors: tuple[dict[str, str], ...]
    figures: tuple[tuple[str, str], ...]
    limitations: tuple[str, ...]


def write_gallery(models: Path, folder: Path, *, key: Key, tell: Callable[[str], None] = print) -> Path:
    """Draw every model of a library and write `index.html`, which needs no network.

    Args:
        models: the folder of model files.
        folder: where the page and the figures go.
        key: the same key gives the same page.
        tell: is told each model as it is drawn.

    Returns:
        The path of the page.

    Raises:
        ReportError: the folder cannot be written.
    """
    with _writing(folder):
        (folder / "figures").mkdir(parents=True, exist_ok=True)  # before minutes of drawing
        return _written(models, folder, key=key, tell=tell)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn a refusal of the file system into one of dpm's."""
    try:
        yield
    except OSError as error:
        got = str(error.strerror or error)
        raise ReportError(str(folder), "a folder that can be written", got, "Give another, with space left.") from error


def _written(models: Path, folder: Path, *, key: Key, tell: Callable[[str], None]) -> Path:
    entries = []
    for file in sorted(models.glob("*.py")):
        module = _module(file)
        if not hasattr(module, "DESIGN"):
            continue
        tell(file.stem)
        entries.append(_entry(file.stem, module, folder / "figures", key=key))
    replace(folder / "index.html", page("gallery.html.j2", entries=entries).encode("utf-8"))
    return folder / "index.html"


def _module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"dpm_gallery_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _entry(name: str, module: ModuleType, folder: Path, *, key: Key) -> Entry:
    model, design, values = module.build(), module.DESIGN, getattr(module, "TYPICAL", None)
    card, described = module.CARD, describe_model(model)
    who, what, before = jax.random.split(key, 3)
    cohort = design.simulate(model, values, key=who, n=SHOWN)
    drawings = {"courses": (typical_panels(model, design, values, cohort, key=what), _course_caption(model, values))}
    priors = prior_panels(model, design, key=before)
    if priors:
        caption = (
            "Before any data: what the priors expect of measurements in this design, 90 % and 50 % of them and their "
            "median, over 200 draws of the population values."
        )
        drawings["prior"] = (priors, caption)
    figures = []
    for kind, (panels, caption) in drawings.items():
        svg = save(model_panels(panels), folder, f"{name}_{kind}")
        figures.append((f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}", caption))
    return Entry(
        name=name,
        title=card.title,
        disease=card.disease,
        endpoint=card.endpoint,
        source=card.source,
        status=card.status,
        values="at its published or documented typical values" if values else "at the medians of its priors",
        equations=tuple((each["text"], mathml(each["latex"])) for each in described["equations"]),
        priors=tuple(described["priors"]),
        figures=tuple(figures),
        limitations=tuple(card.limitations),
    )


def _course_caption(model: ProgressionModel, values: object) -> str:
    """What the first figure shows, and nothing that is not in it."""
    at = "typical values of the model" if values else "medians of the priors, for want of published values"
    said = []
    if model.outcomes:
        line = "the median course of subjects" if model.subtypes else "the course of a subject without deviations"
        said.append(
            f"{line} at the median of covariates (line), where the courses of 90 % of subjects lie (band) and the "
            f"measurements of {SHOWN} simulated subjects"
        )
    if model.states:
        said.append("the share of subjects in each state")
    if model.events:
        said.append("the share of subjects still free of the event")
    return f"At the {at}: {'; '.join(said)}. Bands and shares are of {SUBJECTS} subjects."


def typical_panels(
    model: ProgressionModel, design: Design, values: Any, cohort: Cohort, *, key: Key
) -> tuple[Panel, ...]:
    """Courses of outcomes, shares in states, and who is free of the event.

    Args:
        model: in a design.
        design: of it.
        values: by site; None: the medians of the priors.
        cohort: simulated from the same.
        key: of the subjects whose courses make the band.
    """
    who, how = jax.random.split(key)
    records = design.planned(key=who, n=SUBJECTS)
    clock, axis = _axis(model, design, records)
    grid = jnp.linspace(*axis, GRID)
    origin = _origins(model, records)
    records = records.at(_visits(grid, origin, design))
    hierarchy = Hierarchy.of(model, records)
    vector = population_vector(hierarchy, values, records)
    still = jnp.zeros((hierarchy.n_effects, SUBJECTS))

    @jax.jit
    def courses(at: Records) -> tuple[Predicted, Mapping[str, Array]]:
        population = predict_population(hierarchy, vector, at, key=how)
        if hierarchy.summed:
            return population, population.course
        return population, predict_subject(hierarchy, vector, still, at, key=how).course

    drawn, typical = courses(records)
    panels: list[Panel] = []
    for name in model.outcomes:
        step = max(len(design.parts), 1)
        low, high = np.nanpercentile(np.asarray(drawn.course[name]), (5, 95), axis=1)
        panels.append(
            CoursePanel(
                label=_label(design, name),
                clock=clock,
                time=np.asarray(grid),
                typical=np.nanmedian(np.asarray(typical[name]), axis=1)[::step],
                low=low[::step],
                high=high[::step],
                subjects=list(_seen(cohort, name, model)),
            )
        )
    for name, states in model.states.items():
        drawn_states = np.asarray(drawn.measurement[name])
        shares = {state: (drawn_states == k).mean(axis=1) for k, state in enumerate(states.states)}
        panels.append(SharePanel(label=f"{name}, % of subjects", clock=clock, time=np.asarray(grid), shares=shares))
    for name in model.events:
        time, kind = np.asarray(drawn.events[name]).T
        last = design.times[-1] if design.follow_up is None else design.follow_up
        at = np.linspace(0.0, last, GRID)
        free = np.array([np.mean(~((kind > 0) & (time <= t))) for t in at])
        panels.append(
            SharePanel(
                label=f"free of {' or '.join(design.events[name]).replace('_', ' ')} [%]",
                clock="Time since baseline [years]",
                time=at,
                shares={name: free},
            )
        )
    return tuple(panels)


def prior_panels(model: ProgressionModel, design: Design, *, key: Key) -> tuple[Panel, ...]:
    """What the priors expect of each outcome in a design."""
    if not model.outcomes:
        return ()
    who, how = jax.random.split(key)
    table = prior_predictive(model, design.planned(key=who, n=SHOWN), key=how)
    return panels_of(table, {name: _label(design, name) for name in model.outcomes})


def _label(design: Design, name: str) -> str:
    role = design.outcomes[name]
    return f"{role.label or name} [{role.unit}]"


def _origins(model: ProgressionModel, records: Records) -> Float[Array, " subject"]:
    """The clock of each subject at baseline; zero on study time."""
    name = _clock_name(model)
    return records.origins[name] if name else jnp.zeros(records.n_subjects)


def _clock_name(model: ProgressionModel) -> str | None:
    return model.clock.origin if isinstance(model.clock, Since | LatentTime) else None


def _axis(model: ProgressionModel, design: Design, records: Records) -> tuple[str, tuple[float, float]]:
    """Words for the horizontal axis, and where it begins and ends."""
    name, origin = _clock_name(model), np.asarray(_origins(model, records))
    if name is None:
        return "Time since baseline [years]", (0.0, design.times[-1])
    since = name.removeprefix("since_").replace("_", " ")
    words = "Age [years]" if name == "age" else f"Time since {since} [years]"
    return words, (float(origin.min()), float(origin.max()) + design.times[-1])


def _visits(grid: Array, origin: Array, design: Design) -> Float[Array, "visit subject"]:
    return jnp.repeat(grid[:, None] - origin, max(len(design.parts), 1), axis=0)


def _seen(cohort: Cohort, name: str, model: ProgressionModel) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Time on the model's clock and measurements, a subject after the other."""
    clock = _clock_name(model)
    start = dict(zip(cohort.subjects.index, cohort.subjects[f"clock.{clock}"], strict=True)) if clock else None
    columns = ["subject", *(["part"] if "part" in cohort.visits else [])]
    for (subject, *_), rows in cohort.visits.dropna(subset=[name]).groupby(columns, sort=False):
        shift = 0.0 if start is None else float(start[subject])
        yield rows["time"].to_numpy() + shift, rows[name].to_numpy(dtype=float)
