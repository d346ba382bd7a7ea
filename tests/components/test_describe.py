"""A model says what it is: equations, every prior with its unit and reason, and the text it prints."""

from jax import numpy as jnp
from numpyro import distributions as dist

from dpm.components.describe import describe_model, prior_text
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.inference.hierarchy import Hierarchy
from models.pbc_bilirubin import build
from tests.placebo import history


def test_every_sampled_site_has_a_prior_a_unit_and_a_reason() -> None:
    model = build()
    sampled = {site.name.removesuffix("_cholesky") for site in Hierarchy.of(model, history().records()).population}
    priors = {prior["site"]: prior for prior in describe_model(model)["priors"]}
    assert set(priors) == sampled
    assert all(prior["reason"] for prior in priors.values())
    assert all(prior["unit"] for site, prior in priors.items() if site != "subject_correlation")


def test_priors_are_written_as_a_statistician_writes_them() -> None:
    assert prior_text(dist.Normal(0.5, 1.0)) == "Normal(0.5, 1)"
    assert prior_text(dist.HalfNormal(0.2)) == "HalfNormal(0.2)"
    assert prior_text(2.0) == "fixed at 2"
    assert prior_text(dist.LKJ(2, 2.0)) == "LKJ(2)"


def test_equations_show_link_groups_and_subject_effects() -> None:
    level = Parameter(1.0, subject=0.5, groups={"site": dist.HalfNormal(1.0)}, link=jnp.exp)
    model = ProgressionModel(outcomes={"y": Outcome(Linear(level=level, slope=Parameter(0.0)), Gaussian(sd=1.0))})
    latex = {each["text"]: each["latex"] for each in describe_model(model)["equations"]}
    assert "exp" in latex["level of subject i"]
    assert "site" in latex["level of subject i"]
    assert "b^" in latex["level of subject i"]
    assert "b^" not in latex["slope of subject i"]


def test_a_hand_written_model_is_described_by_its_docstring() -> None:
    def by_hand(records: object) -> None:
        """A line through the origin."""

    described = describe_model(by_hand)
    assert described["title"] == "A line through the origin."
    assert described["priors"] == []


def test_a_model_prints_as_what_it_is() -> None:
    text = str(build())
    assert "log_bilirubin_slope_sd" in text
    assert "HalfNormal(0.2)" in text
