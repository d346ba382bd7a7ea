"""Multi-state models: the likelihood of the heart recipients against msm's, and hidden states by brute force."""

from dataclasses import replace
from functools import cache
from itertools import product

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers
from scipy.linalg import expm

from dpm.cohort import Cohort, Records, read_cohort
from dpm.components.course import Courses
from dpm.components.link import CurrentValue
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.states import MultiState, Transition, matrix_exponential
from dpm.components.trajectory import Linear
from dpm.components.treatment import CaptureMode
from dpm.errors import ModelError
from dpm.inference.hierarchy import Hierarchy
from dpm.inference.laplace import Laplace
from dpm.inference.marginal import Marginal
from dpm.posterior.fit import fit
from dpm.posterior.predict import predict_population
from dpm.study.cohort_file import read_cohort_file, shipped_cohort
from models.cav_states import RATES, STATES, build

KEY = jax.random.key(2)


@cache
def cohort() -> Cohort:
    return read_cohort("data:cav/cav_heart_transplant.csv", read_cohort_file(shipped_cohort("cav")).data.roles)


@cache
def split() -> Hierarchy:
    return Hierarchy.of(build(), cohort().records())


def known() -> dict[str, jax.Array]:
    return {f"state_{one}_{other}_log_rate": jnp.log(rate) for (one, other), rate in RATES.items()}


def test_the_likelihood_is_that_of_msm() -> None:
    found = Marginal(split()).log_marginal(split().unconstrain(known()), cohort().records())[0]
    assert -2.0 * float(found.sum()) == pytest.approx(3968.7979, abs=1e-3)


@pytest.mark.slow
def test_the_maximum_is_that_of_msm() -> None:
    found = Laplace(objective="ml").maximise(Marginal(split()), cohort().records(), key=KEY)
    assert -2.0 * found.log_likelihood == pytest.approx(3968.7979, abs=1e-3)
    for name, value in known().items():
        assert found.estimates["estimate"][name] == pytest.approx(float(value), abs=0.01 * found.estimates["se"][name])


@pytest.mark.slow
def test_with_sex_on_every_move() -> None:
    moves = {
        step: Transition(log_rate=dist.Normal(-2.0, 2.0), effects={"female": dist.Normal(0.0, 2.0)}) for step in RATES
    }
    model = replace(build(), states={"state": MultiState(states=STATES, transitions=moves, exact=("4",))})
    found = Laplace(objective="ml").maximise(
        Marginal(Hierarchy.of(model, cohort().records())), cohort().records(), key=KEY
    )
    assert -2.0 * found.log_likelihood == pytest.approx(3954.777, abs=2e-3)


def test_simulated_states_are_occupied_as_the_matrix_says() -> None:
    records = cohort().records().take(np.arange(600)).at(jnp.broadcast_to(jnp.array([[0.0], [2.0], [6.0]]), (3, 600)))
    drawn = np.asarray(predict_population(split(), split().unconstrain(known()), records, key=KEY).measurement["state"])
    q = np.zeros((4, 4))
    for (one, other), rate in RATES.items():
        q[int(one) - 1, int(other) - 1] = rate
    q -= np.diag(q.sum(axis=1))
    for row, t in ((1, 2.0), (2, 6.0)):
        share = np.array([(drawn[row] == s).mean() for s in range(4)])
        expected = expm(q * t)[0]
        assert (np.abs(share - expected) < 4.5 * np.sqrt(expected * (1 - expected) / 600)).all()
    assert ((drawn[2] == 3) >= (drawn[1] == 3)).all()


# Hidden states --------------------------------------------------------------------------------------------------------


def test_hidden_states_are_summed_over_every_path() -> None:
    """Three states, the last of them death at a known time, two of them mistaken for each other; by enumeration."""
    rates, wrong = (
        {("a", "b"): 0.4, ("b", "a"): 0.1, ("b", "d"): 0.3, ("a", "d"): 0.05},
        {("a", "b"): 0.1, ("b", "a"): 0.2},
    )
    model = MultiState(
        states=("a", "b", "d"),
        transitions={step: Transition(log_rate=float(np.log(rate))) for step, rate in rates.items()},
        exact=("d",),
        misclassified=dict(wrong),
    )
    time = np.array([[0.0, 0.0], [1.0, 0.5], [2.5, 2.0], [4.0, 0.0]])
    seen, observed = np.array([[0, 0], [1, 1], [0, 0], [2, 0]]), np.array([[1, 1], [1, 0], [1, 1], [1, 0]], dtype=bool)
    records = Records(jnp.asarray(time), {"s": jnp.asarray(seen, dtype=float)}, {"s": jnp.asarray(observed)}, {}, {})
    courses = Courses(outcomes={}, clock=lambda t: t, deviations={})

    def run() -> None:
        model.observe("s", records, courses)

    site = handlers.trace(handlers.seed(run, KEY)).get_trace()["s"]
    found = np.asarray(site["fn"].log_prob(site["value"]).sum(axis=0))
    q = np.array([[-0.45, 0.4, 0.05], [0.1, -0.4, 0.3], [0.0, 0.0, 0.0]])
    e = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]])
    for i, visits in enumerate((4, 3)):
        total = 0.0
        for path in product(range(2), repeat=visits - 1 if i == 0 else visits):
            if path[0] != 0:
                continue
            p = 1.0
            for j in range(1, len(path)):
                p *= expm(q * (time[j, i] - time[j - 1, i]))[path[j - 1], path[j]]
                p *= e[path[j], seen[j, i]] if observed[j, i] else 1.0
            if i == 0:
                last = expm(q * (time[3, 0] - time[2, 0]))[path[-1], :2]
                p *= last @ q[:2, 2]
            total += p
        assert found[i] == pytest.approx(np.log(total), abs=1e-9)


def test_the_matrix_exponential() -> None:
    rng = np.random.default_rng(0)
    q = rng.uniform(0.0, 2.0, (4, 4, 5)) * np.array([1e-3, 0.1, 1.0, 10.0, 40.0])
    q -= np.einsum("ij,ik->ijk", np.eye(4), q.sum(axis=1))
    expected = np.stack([expm(q[:, :, k]) for k in range(5)], axis=-1)
    np.testing.assert_allclose(matrix_exponential(jnp.asarray(q)), expected, atol=1e-11)


def test_intensities_follow_the_course_without_the_mode_of_capture() -> None:
    """What one way of measuring adds to a visit is no part of a subject's course."""
    worse = Transition(log_rate=-1.0, links={"score": CurrentValue(0.5)})
    line = Linear(level=Parameter(1.0), slope=Parameter(0.3))
    states = {"state": MultiState(states=("well", "ill"), transitions={("well", "ill"): worse})}
    mode = {"mode": CaptureMode(shifts=dist.Normal(jnp.zeros(1), 1.0).to_event(1))}
    time = jnp.arange(3.0)[:, None]
    values = {"score": jnp.zeros((3, 1)), "state": jnp.array([[0.0], [0.0], [1.0]])}
    seen = {name: jnp.ones((3, 1), bool) for name in values}
    at_home = jnp.zeros((2, 3, 1)).at[1].set(1.0)
    data = Records(time, values, seen, {}, {}, levels={"mode": at_home})
    found = []
    for changes in ({}, mode):
        model = ProgressionModel(outcomes={"score": Outcome(line, Gaussian(sd=1.0), changes)}, states=states)
        shifted = handlers.substitute(model, data={"score_mode_shifts": jnp.array([3.0])})
        site = handlers.trace(handlers.seed(shifted, KEY)).get_trace(data)["state"]
        found.append(np.asarray(site["fn"].log_prob(site["value"])))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)


def test_a_state_that_is_not_there_is_refused() -> None:
    with pytest.raises(ModelError, match="states among a, b, got c"):
        MultiState(states=("a", "b"), transitions={("a", "c"): Transition(log_rate=0.0)})


def test_states_that_are_others_are_refused_before_the_fit() -> None:
    """Levels are read by place: in another order the fit would run and be wrong. Under a handler as well."""
    first = cohort().subset(cohort().subjects.index[:20])
    turned = MultiState(states=STATES[::-1], transitions=build().states["state"].transitions, exact=("4",))
    for model in (
        replace(build(), states={"state": turned}),
        handlers.condition(replace(build(), states={"state": turned}), {}),
    ):
        with pytest.raises(
            ModelError, match="fit: state: expected the states 4, 3, 2, 1, in this order, got 1, 2, 3, 4"
        ):
            fit(model, first, method=Laplace(), key=KEY)
    hidden = first.visits["state"].where(first.visits.index != 0)
    with pytest.raises(ModelError, match="the state of every subject at its first visit, got none for 1 of 20"):
        fit(build(), replace(first, visits=first.visits.assign(state=hidden)), method=Laplace(), key=KEY)


def test_a_move_that_no_intensity_allows_has_no_probability() -> None:
    only = MultiState(states=("a", "b"), transitions={("a", "b"): Transition(log_rate=0.0)})
    back = Records(jnp.array([[0.0], [1.0]]), {"s": jnp.array([[1.0], [0.0]])}, {"s": jnp.ones((2, 1), bool)}, {}, {})

    def run() -> None:
        only.observe("s", back, Courses(outcomes={}, clock=lambda t: t, deviations={}))

    site = handlers.trace(handlers.seed(run, KEY)).get_trace()["s"]
    assert float(site["fn"].log_prob(site["value"]).sum()) == -np.inf


def test_shares_of_mistakes_are_probabilities() -> None:
    """Fixed ones that sum to more than one are refused; drawn ones have a density that is no number."""
    with pytest.raises(ModelError, match=r"sum to at most 1, got 1\.2"):
        MultiState(states=("a", "b", "d"), transitions={}, misclassified={("a", "b"): 0.7, ("a", "d"): 0.5})
    drawn = MultiState(
        states=("a", "b", "d"), transitions={}, misclassified={("a", "b"): dist.Beta(1.0, 1.0), ("a", "d"): 0.5}
    )
    whole, none = (drawn._emission({"a_seen_b": jnp.array(b), "a_seen_d": jnp.array(0.5)}) for b in (0.5, 0.6))
    np.testing.assert_allclose(whole, [[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert none is not None and bool(jnp.isnan(none).all())
