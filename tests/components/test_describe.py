"""A model in words: every site with its prior, every equation in LaTeX that survives any name."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpyro
import pytest
from IPython.core.formatters import DisplayFormatter
from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.cohort import Records
from dpm.components.card import ModelCard
from dpm.components.categorical import thresholds
from dpm.components.clock import LatentTime, onset, pace
from dpm.components.correlation import LKJ
from dpm.components.describe import describe_model, prior_text
from dpm.components.link import CurrentValue
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.scalar import ByLevel, Scalar
from dpm.components.states import MultiState, Transition
from dpm.components.trajectory import Linear
from dpm.components.treatment import ByVisit, Slowing
from dpm.components.waning import HalfLife
from dpm.inference.hierarchy import Hierarchy

from . import test_clock, test_covariate_model, test_subtype, test_within
from .test_contract import LEVEL, MODELS, model_of, records

NAMES = Parameter(
    dist.Normal(0.0, 1.0),
    subject=dist.HalfNormal(1.0),
    effects={"log_albumin": dist.Normal(0.0, 1.0)},
    groups={"site_id": dist.HalfNormal(1.0)},
    link=jnp.exp,
)


@pytest.mark.parametrize("name", MODELS)
def test_every_learned_value_has_a_prior_in_words(name: str) -> None:
    """The table lists what is sampled, and what is fixed; what is standardised is summed up by its scale."""
    described = {row["site"]: row["prior"] for row in describe_model(MODELS[name])["priors"]}
    levels = {"y_level_stage"} if name != "other effects" else {"y_level_stage_steps", "y_level_horseshoe_z"}
    levels |= {"y_level_site"} if name == "everything" else set()
    learned = {site.name.removesuffix("_cholesky") for site in Hierarchy.of(MODELS[name], records()).population}
    assert learned - levels <= set(described)
    fixed = {site for site, prior in described.items() if prior.startswith("fixed at ")}
    assert set(described) - fixed == learned - levels


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (test_subtype.DIAGNOSED, test_subtype.records),
        (test_covariate_model.MODELLED, test_covariate_model.simulated),
        (test_clock.latent_form(), test_clock.records),
        (test_within.EYES, test_within.eyes),
    ],
    ids=["subtypes", "missing covariates", "latent time", "within"],
)
def test_every_part_of_a_model_lists_its_priors(model: ProgressionModel, data: Callable[[], Records]) -> None:
    learned = {site.name.removesuffix("_cholesky") for site in Hierarchy.of(model, data()).population}
    described = describe_model(model)
    assert learned == {row["site"] for row in described["priors"] if not row["prior"].startswith("fixed at ")}
    assert all(row["latex"] for row in described["equations"])


def test_equations_name_what_the_model_uses() -> None:
    model = model_of(Linear(level=NAMES, slope=LEVEL), correlation=LKJ(2.0))
    equations = {row["text"]: row["latex"] for row in describe_model(model)["equations"]}
    assert list(equations) == [
        "clock",
        "measurement of y",
        "expected course of y",
        "level of subject i",
        "slope of subject i",
        "subject-level effects, of y_level and y_slope",
    ]
    level = equations["level of subject i"]
    assert r"\mathrm{log\_albumin}" in level
    assert r"\gamma^{\mathrm{site\_id}}_{i}" in level
    assert r"\mathrm{exp}(" in level
    assert r"b^{\mathrm{level}}_i" in level
    assert "exp" not in equations["slope of subject i"]
    assert r"R\,\mathrm{diag}" in equations["subject-level effects, of y_level and y_slope"]


def test_every_part_that_has_parameters_of_a_subject_prints_them() -> None:
    """Onset and pace, an effect of treatment and how it wanes, the intensities between states."""
    slowed = Slowing(effect=NAMES, waning=HalfLife(half_life=2.0))
    later = ByVisit(effects=dist.Normal(jnp.zeros(1), 1.0).to_event(1), at=(1.0,), bends="time")
    line = Linear(level=LEVEL, slope=LEVEL)
    worse = Transition(log_rate=-1.0, effects={"age": 0.1}, links={"y": CurrentValue(0.2)})
    model = ProgressionModel(
        clock=LatentTime(onset=onset(1.0, effects={"apoe": dist.Normal(0.0, 1.0)}), pace=pace(0.2)),
        outcomes={"y": Outcome(line, Gaussian(sd=0.3), {"drug": slowed, "more": later})},
        states={"s": MultiState(states=("well", "ill"), transitions={("well", "ill"): worse})},
    )
    equations = {row["text"]: row["latex"] for row in describe_model(model)["equations"]}
    assert r"\mathrm{apoe}" in equations["onset of subject i"]
    assert equations["pace of subject i"] == r"\mathrm{pace}_i = \mathrm{exp}(\mathrm{pace} + b^{\mathrm{pace}}_i)"
    assert r"\mathrm{log\_albumin}" in equations["effect of y drug of subject i"]
    assert equations["share of it left, of y drug"] == r"w(s) = 2^{-s / \mathrm{half\_life}}"
    assert equations["y more, which changes the course"].startswith(r"\mu((1 - \theta(t)\,x_i)\,t)")
    intensity = equations["intensity from well to ill in subject i"]
    assert r"\mathrm{age}" in intensity
    assert r"\alpha^{\mathrm{y}}" in intensity


@pytest.mark.parametrize("name", MODELS)
def test_no_bare_underscore_in_upright_text(name: str) -> None:
    for row in describe_model(MODELS[name])["equations"]:
        for text in re.findall(r"\\mathrm\{([^{}]*)\}", row["latex"]):
            assert not re.search(r"(?<!\\)_", text), row["latex"]


def test_the_card_is_told() -> None:
    card = ModelCard(
        title="A line",
        context_of_use="Tests.",
        population="Nobody.",
        units={"y_level": "points"},
        covariates={"log_albumin": "log albumin, per sd"},
        reasons={"y_level": "because"},
        limitations=("Short.",),
    )
    model = ProgressionModel(outcomes={"y": Outcome(Linear(level=NAMES, slope=LEVEL), Gaussian(sd=0.3))}, card=card)
    told = describe_model(model)
    assert (told["title"], told["context_of_use"], told["population"]) == ("A line", "Tests.", "Nobody.")
    assert told["limitations"] == ["Short."]
    rows = {row["site"]: row for row in told["priors"]}
    assert rows["y_level"] == {
        "site": "y_level",
        "label": "y level: typical",
        "prior": "Normal(0, 1)",
        "unit": "points",
        "reason": "because",
    }
    assert rows["y_level_log_albumin"]["label"] == "y level: log albumin, per sd"
    assert rows["y_sd"]["prior"] == "fixed at 0.3"


def test_a_model_written_by_hand_is_told_by_its_docstring() -> None:
    def model(data: Records) -> None:
        """A line for everyone.

        More about it.
        """
        numpyro.sample("level", dist.Normal(0.0, 1.0))

    told = describe_model(model)
    assert told["title"] == "A line for everyone."
    assert told["priors"] == told["equations"] == []


@pytest.mark.parametrize(
    ("scalar", "text"),
    [
        (dist.Normal(0.5, 1.0), "Normal(0.5, 1)"),
        (dist.HalfNormal(0.2), "HalfNormal(0.2)"),
        (dist.LogNormal(3.0, 1.0), "LogNormal(3, 1)"),
        (dist.Gamma(2.0, 0.25), "Gamma(2, 0.25)"),
        (dist.StudentT(4.0, 0.0, 1.0), "StudentT(4, 0, 1)"),
        (dist.Uniform(-1.0, 2.0), "Uniform(-1, 2)"),
        (dist.LKJ(2, 2.0), "LKJ(2)"),
        (0.3, "fixed at 0.3"),
        (2, "fixed at 2"),
        (dist.Normal(0.0, 1.0).expand([3]).to_event(1), "Normal(0, 1), 3 values"),
        (dist.Normal(jnp.array([0.0, 2.0]), 1.0).to_event(1), "Normal([0, 2], 1), 2 values"),
        (dist.Dirichlet(2.0 * jnp.ones(4)), "Dirichlet(2), 4 values"),
        (thresholds(2), "ordered Normal([-0.6931, 0.3266], [3, 1]), 2 values"),
        (ByLevel(dist.HalfNormal(1.0), by="mode"), "HalfNormal(1) for each mode"),
    ],
)
def test_priors_in_words(scalar: Scalar, text: str) -> None:
    assert prior_text(scalar) == text


def test_a_model_prints_as_what_it_is() -> None:
    text = str(model_of(Linear(level=NAMES, slope=LEVEL)))
    assert "y_slope_sd" in text
    assert "HalfNormal(1)" in text
    assert r"\mathrm{log\_albumin}" in text


def test_a_notebook_shows_equations_and_priors_with_their_reasons() -> None:
    card = ModelCard(
        title="A card", context_of_use="", population="", reasons={"y_level": "as seen"}, limitations=("one site",)
    )
    model = replace(model_of(Linear(level=NAMES, slope=LEVEL), correlation=LKJ(2.0)), card=card)
    shown = DisplayFormatter().format(model)[0]
    assert shown["text/plain"] == str(model)
    for row in describe_model(model)["equations"]:
        assert f"$${row['latex']}$$" in shown["text/markdown"]
    assert "| y_level | y level: typical | Normal(0, 1) |  | as seen |" in shown["text/markdown"]
    assert "- one site" in shown["text/markdown"]
