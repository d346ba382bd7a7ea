"""One rule makes a NumPyro model usable: what belongs to a subject is sampled inside `plate("subject", n, dim=-1)`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import numpyro
import pytest
from jax import numpy as jnp
from jax.scipy.special import logsumexp
from numpyro import distributions as dist
from numpyro import handlers
from numpyro.infer.util import potential_energy

from dpm.cohort import Records
from dpm.errors import InferenceError, ModelError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Level, Marginal
from dpm.types import Array, PerSubject

from . import wang
from .examples import each, hierarchy, marginal, records, vector

GRID = jnp.linspace(-1.6, 1.6, 2001)


def integrated(split: Hierarchy, population: dict[str, Array], data: Records) -> PerSubject:
    """One effect per subject, integrated on a fine grid."""
    values = jax.vmap(lambda b: split.log_subject(population, jnp.full((1, data.n_subjects), b), data))(GRID)
    return logsumexp(values, axis=0) + jnp.log(GRID[1] - GRID[0])


# Shapes and scales ----------------------------------------------------------------------------------------------------


def test_sites_are_told_apart_by_the_plate() -> None:
    split = hierarchy("joint_effects")
    assert [site.name for site in split.population] == ["mean", "spread"]
    assert [(site.name, site.shape, site.subject_axis) for site in split.subject] == [("line", (6, 2), 0)]
    assert (split.n_population, split.n_effects) == (4, 2)
    assert split.population_names() == ["mean[0]", "mean[1]", "spread[0]", "spread[1]"]


@pytest.mark.parametrize("level", ["focei", "laplace", "quadrature"])
def test_a_site_with_an_event_axis_equals_separate_sites(level: Level) -> None:
    data = records("joint_effects")
    joint, separate = (
        each(marginal(name, level, 5), vector(name), data) for name in ("joint_effects", "separate_effects")
    )
    np.testing.assert_allclose(joint, separate, rtol=1e-12)


def test_a_constrained_site_equals_its_unconstrained_twin() -> None:
    """The Jacobian of a log-normal and a half-normal effect is that of the change of variables done by hand."""
    data = records("positive_effect")
    natural, by_hand = (
        each(marginal(name, "laplace", 1), vector(name), data) for name in ("positive_effect", "unbounded_effect")
    )
    np.testing.assert_allclose(natural, by_hand, rtol=1e-11)


def test_effects_survive_the_round_trip() -> None:
    for name in ("joint_effects", "positive_effect", "theophylline"):
        split = hierarchy(name)
        effects = jax.random.normal(jax.random.key(1), (split.n_effects, records(name).n_subjects))
        np.testing.assert_allclose(split.unconstrain_effects(split.effect_values(effects)), effects, atol=1e-12)
        at = vector(name)
        np.testing.assert_allclose(split.unconstrain(split.constrain(at)), at, atol=1e-12)


def test_joint_density_is_that_of_numpyro() -> None:
    """Population and subjects together against NumPyro's own potential energy on the unconstrained scale."""
    data, split = records("positive_effect"), hierarchy("positive_effect")
    at = vector("positive_effect")
    effects = 0.3 * jax.random.normal(jax.random.key(2), (2, data.n_subjects))
    ours = split.log_population(at, data, prior=True) + split.log_subject(split.constrain(at), effects, data).sum()
    unconstrained = {"spread": at[0], "level": effects[0], "decline": effects[1]}
    theirs = -potential_energy(split.model, (data,), {}, unconstrained)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-12)


def test_a_model_without_population_values() -> None:
    """Everything fixed: nothing to learn, but subjects still have marginals."""

    def fixed(data: Records) -> None:
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            eta = numpyro.sample("eta", dist.Normal(0.0, 0.2))
            with numpyro.plate("visit", 2, dim=-2):
                mean = 10.0 * jnp.exp(-0.5 * jnp.exp(eta) * data.time)
                numpyro.sample("y", dist.Normal(mean, jnp.sqrt(0.1)), obs=data.values["y"])

    data = wang.records()
    split = Hierarchy.of(fixed, data)
    assert split.n_population == 0
    expected = each(marginal("wang_additive", "laplace", 1), vector("wang_additive"), data)
    np.testing.assert_allclose(each(Marginal(split), jnp.zeros(0), data), expected, rtol=1e-12)


def test_a_model_is_traced_once() -> None:
    """The same model on records of the same shapes is the same object to the compiler; on others it is not."""
    data = wang.records()
    model = wang.model("additive")
    assert Hierarchy.of(model, data) is Hierarchy.of(model, wang.records())
    assert Hierarchy.of(model, data) is not Hierarchy.of(model, data.take(np.arange(4)))


def test_a_model_may_be_an_object_with_settings() -> None:
    @dataclass(frozen=True)
    class Settings:
        errors: dict[str, str]

        def __call__(self, data: Records) -> None:
            wang.model(self.errors["y"])(data)

    model = Settings({"y": "additive"})
    assert [site.name for site in Hierarchy.of(model, wang.records()).population] == ["decay"]


# Handlers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["focei", "laplace"])
def test_a_conditioned_site_is_no_longer_learned(level: Level) -> None:
    data = wang.records()
    model = handlers.condition(wang.model("additive"), data={"decay": jnp.asarray(0.55)})
    split = Hierarchy.of(model, data)
    assert split.n_population == 0
    expected = each(marginal("wang_additive", level, 1), jnp.log(jnp.array([0.55])), data)
    np.testing.assert_allclose(each(Marginal(split, level), jnp.zeros(0), data), expected, rtol=1e-12)


@pytest.mark.parametrize(("level", "tolerance"), [("focei", 0.05), ("laplace", 0.01), ("quadrature", 1e-6)])
def test_a_scaled_model_is_raised_to_a_power(level: Level, tolerance: float) -> None:
    """Densities to the power one half, as in borrowing: every level is as close to integration on a grid as before."""
    data = wang.records()
    split = Hierarchy.of(handlers.scale(wang.model("additive"), scale=0.5), data)
    value = each(Marginal.at(split, level, data, n_nodes=15), vector("wang_additive"), data)
    np.testing.assert_allclose(value, integrated(split, {"decay": jnp.asarray(0.5)}, data), atol=tolerance)


def test_a_masked_likelihood_hides_a_subject() -> None:
    """NumPyro's own mask around the measurements does what `Records.hide` does, at FOCEI's level too."""
    data = wang.records()
    hidden = jnp.arange(10) == 4

    def masked(records: Records) -> None:
        decay = numpyro.sample("decay", dist.LogNormal(jnp.log(0.5), 1.0))
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            eta = numpyro.sample("eta", dist.Normal(0.0, 0.2))
            with numpyro.plate("visit", 2, dim=-2), handlers.mask(mask=~hidden):
                mean = 10.0 * jnp.exp(-decay * jnp.exp(eta) * records.time)
                numpyro.sample("y", dist.Normal(mean, jnp.sqrt(0.1)), obs=records.values["y"])

    at = vector("wang_additive")
    for level in ("focei", "laplace"):
        found = each(Marginal(Hierarchy.of(masked, data), level), at, data)
        expected = each(marginal("wang_additive", level, 1), at, data.hide(hidden))
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


def test_a_joint_outcome_counts_as_its_parts() -> None:
    """FOCEI with a subject's two measurements as one site with an event axis: shape (subject, 2)."""

    def joint(records: Records) -> None:
        decay = numpyro.sample("decay", dist.LogNormal(jnp.log(0.5), 1.0))
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            eta = numpyro.sample("eta", dist.Normal(0.0, 0.2))
            mean = 10.0 * jnp.exp(-decay * jnp.exp(eta) * records.time)
            numpyro.sample("y", dist.Normal(mean.T, jnp.sqrt(0.1)).to_event(1), obs=records.values["y"].T)

    data, at = wang.records(), vector("wang_additive")
    found = each(Marginal(Hierarchy.of(joint, data), "focei"), at, data)
    np.testing.assert_allclose(found, each(marginal("wang_additive", "focei", 1), at, data), rtol=1e-12)


# Refusals -------------------------------------------------------------------------------------------------------------


def plated(plate: Callable[[int], numpyro.plate]) -> Callable[[Records], None]:
    def model(data: Records) -> None:
        level = numpyro.sample("level", dist.Normal(0.0, 1.0))
        with plate(data.n_subjects):
            numpyro.sample("effect", dist.Normal(level, 1.0))

    return model


@pytest.mark.parametrize(
    ("plate", "message"),
    [
        (
            lambda n: numpyro.plate("patient", n, dim=-1),
            'model: expected at least one site inside plate("subject", n, dim=-1), got none.\n'
            'Sample what belongs to one subject inside plate("subject", n, dim=-1).',
        ),
        (
            lambda n: numpyro.plate("subject", n, dim=-2),
            "model: expected the subject plate of size 10 at dim -1, got size 10 at dim -2.\n"
            'Use plate("subject", n, dim=-1) with n = records.n_subjects.',
        ),
        (
            lambda n: numpyro.plate("subject", n + 1, dim=-1),
            "model: expected the subject plate of size 10 at dim -1, got size 11 at dim -1.\n"
            'Use plate("subject", n, dim=-1) with n = records.n_subjects.',
        ),
    ],
    ids=["no subject plate", "plate elsewhere", "wrong size"],
)
def test_a_broken_rule_is_refused(plate: Callable[[int], numpyro.plate], message: str) -> None:
    with pytest.raises(ModelError) as refusal:
        Hierarchy.of(plated(plate), wang.records())
    assert str(refusal.value) == message


def shared(data: Records, *, inside: bool) -> None:
    """Subjects that lean on each other's effects: in the measurements, or in a term outside the plate."""
    decay = numpyro.sample("decay", dist.LogNormal(jnp.log(0.5), 1.0))
    with numpyro.plate("subject", data.n_subjects, dim=-1):
        eta = numpyro.sample("eta", dist.Normal(0.0, 0.2))
        own = eta - eta.mean() if inside else eta
        with numpyro.plate("visit", 2, dim=-2):
            mean = 10.0 * jnp.exp(-decay * jnp.exp(own) * data.time)
            numpyro.sample("y", dist.Normal(mean, jnp.sqrt(0.1)), obs=data.values["y"])
    if not inside:
        numpyro.factor("sum_to_zero", -50.0 * eta.sum() ** 2)


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        (True, "y: expected subjects that are independent, got another subject's effects in its density"),
        (False, "sum_to_zero: expected a site outside the plate without subjects' effects, got a density they enter"),
    ],
)
def test_subjects_that_are_not_independent_are_refused(inside: bool, message: str) -> None:
    with pytest.raises(ModelError) as refusal:
        Hierarchy.of(partial(shared, inside=inside), wang.records())
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize("centred", [True, False])
def test_a_model_that_looks_at_other_subjects_data_is_refused(centred: bool) -> None:
    """Time less its mean over the cohort changes with who else is there; less a number it does not."""

    def model(data: Records) -> None:
        decay = numpyro.sample("decay", dist.LogNormal(jnp.log(0.5), 1.0))
        middle = data.time.mean() if centred else 0.5
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            eta = numpyro.sample("eta", dist.Normal(0.0, 0.2))
            with numpyro.plate("visit", 2, dim=-2):
                mean = 10.0 * jnp.exp(-decay * jnp.exp(eta) * (data.time - middle))
                numpyro.sample("y", dist.Normal(mean, 1.0), obs=data.values["y"])

    if not centred:
        assert Hierarchy.of(model, wang.records()).n_effects == 1
        return
    with pytest.raises(
        ModelError, match="y: expected subjects that are independent, got another subject's data in its"
    ):
        Hierarchy.of(model, wang.records())


def test_what_moves_with_effects_is_not_a_population_value() -> None:
    """The mean of the effects, at effects of zero, would be reported as a number that no draw has."""

    def model(data: Records) -> None:
        decay = numpyro.sample("decay", dist.LogNormal(jnp.log(0.5), 1.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            eta = numpyro.sample("eta", dist.Normal(0.0, 0.2))
            with numpyro.plate("visit", 2, dim=-2):
                mean = 10.0 * jnp.exp(-decay * jnp.exp(eta) * data.time)
                numpyro.sample("y", dist.Normal(mean, jnp.sqrt(0.1)), obs=data.values["y"])
        numpyro.deterministic("mean_decay", (decay * jnp.exp(eta)).mean())
        numpyro.deterministic("half_life", jnp.log(2.0) / decay)

    draws = Laplace(draws=5).run(model, wang.records(), key=jax.random.key(0))
    assert set(draws.sites) == {"decay", "half_life"} == set(draws.estimates.index)
    np.testing.assert_allclose(draws.sites["half_life"], np.log(2.0) / draws.sites["decay"])


def test_focei_refuses_what_is_not_normal() -> None:
    with pytest.raises(InferenceError, match=r'seizures: expected a Normal outcome for level="focei", got Poisson'):
        each(marginal("poisson", "focei", 1), vector("poisson"), records("poisson"))


def test_levels_refuse_what_they_cannot_do() -> None:
    split = hierarchy("wang_additive")
    with pytest.raises(InferenceError, match="a power of two for Sobol points, got 100"):
        Marginal.at(split, "qmc", wang.records(), n_nodes=100, key=jax.random.key(0))
    with pytest.raises(InferenceError, match='a JAX key for level="qmc", got none'):
        Marginal.at(split, "qmc", wang.records(), n_nodes=64)

    def four_effects(data: Records) -> None:
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            numpyro.sample("effect", dist.StudentT(4.0, 0.0, jnp.ones(4)).to_event(1))

    with pytest.raises(InferenceError, match="at most three effects per subject"):
        Marginal.at(Hierarchy.of(four_effects, wang.records()), "quadrature", wang.records())


# Supports that move ---------------------------------------------------------------------------------------------------


def test_a_support_that_depends_on_another_site() -> None:
    """An effect below a learned ceiling: the change of variables has to follow the ceiling."""

    def model(data: Records) -> None:
        ceiling = numpyro.sample("ceiling", dist.Uniform(1.0, 3.0))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            effect = numpyro.sample("effect", dist.Uniform(-1.0, ceiling))
            with numpyro.plate("visit", 2, dim=-2):
                numpyro.sample("y", dist.Normal(10.0 * jnp.exp(-effect * data.time), 1.0), obs=data.values["y"])

    data = wang.records()
    with pytest.raises(ModelError, match="effect: expected a support that is always the same"):
        Hierarchy.of(model, data)


def test_a_support_that_depends_on_the_data() -> None:
    """A bound taken from one cohort would be kept for the next."""

    def model(data: Records) -> None:
        onset = numpyro.sample("onset", dist.Uniform(0.0, data.time.max()))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", 2, dim=-2):
                numpyro.sample("y", dist.Normal(effect * (data.time - onset), 1.0), obs=data.values["y"])

    with pytest.raises(ModelError, match="onset: expected a support that is always the same"):
        Hierarchy.of(model, wang.records())


@pytest.mark.parametrize(
    ("inside", "fn", "message"),
    [
        (True, dist.Poisson(2.0), "a discrete site with finitely many values, one per subject, got Poisson"),
        (False, dist.Bernoulli(0.5), "a continuous latent site, got Bernoulli"),
    ],
)
def test_a_discrete_site_that_cannot_be_summed_out_is_refused(
    inside: bool, fn: dist.Distribution, message: str
) -> None:
    def model(data: Records) -> None:
        if not inside:
            numpyro.sample("discrete", fn)
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            numpyro.sample("eta", dist.Normal(0.0, 1.0))
            if inside:
                numpyro.sample("discrete", fn)

    with pytest.raises(ModelError, match=f"discrete: expected {message}"):
        Hierarchy.of(model, wang.records())


def test_flat_priors_can_be_used() -> None:
    """A prior without a density to draw from serves maximum likelihood."""

    def model(data: Records) -> None:
        decay = numpyro.sample("decay", dist.ImproperUniform(dist.constraints.positive, (), ()))
        with numpyro.plate("subject", data.n_subjects, dim=-1):
            eta = numpyro.sample("eta", dist.Normal(0.0, 0.2))
            with numpyro.plate("visit", 2, dim=-2):
                mean = 10.0 * jnp.exp(-decay * jnp.exp(eta) * data.time)
                numpyro.sample("y", dist.Normal(mean, jnp.sqrt(0.1)), obs=data.values["y"])

    data = wang.records()
    prepared = Marginal(Hierarchy.of(model, data))
    np.testing.assert_allclose(
        each(prepared, vector("wang_additive"), data),
        each(marginal("wang_additive", "laplace", 1), vector("wang_additive"), data),
    )
    assert Laplace(objective="ml").maximise(prepared, data, key=jax.random.key(0)).vector.shape == (1,)
