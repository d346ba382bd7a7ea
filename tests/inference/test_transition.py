"""Chains try long steps where a position has subjects' variables, and keep them where there is no tail."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from dpm.inference.chains import Chains, Potential, Settings
from dpm.inference.integrator import LEAPFROG, LOBATTO
from dpm.inference.transition import LONG_STEP, Chain, Trial
from dpm.types import Array, Sites

WARMUP, SUBJECTS = 150, 40


def near_normal(position: Sites, bend: float) -> Array:
    r"""$u \sim N(0, 1)$, and of every subject $w \mid u \sim N(b(u^2 - 1), 1)$, with a bend $b$."""
    u, w = position["u"][0], position["w"]
    return 0.5 * u**2 + 0.5 * jnp.sum((w - bend * (u**2 - 1.0)) ** 2)


def funnel(position: Sites, scale: float) -> Array:
    r"""Neal's funnel: $u \sim N(0, 1)$, every $w \mid u \sim N(0, e^{2su})$."""
    u, w = position["u"][0], position["w"]
    return 0.5 * u**2 + 0.5 * jnp.sum((w * jnp.exp(-scale * u)) ** 2) + w.size * scale * u


def sampled(
    potential: Potential, given: float, *, draws: int, target: float = 0.85
) -> tuple[Chain, dict[str, np.ndarray]]:
    """The last state of four chains and their draws after the warm-up."""
    settings = Settings(
        potential=potential, count=4, warmup=WARMUP, target_accept=target, max_tree_depth=8, method="sequential"
    )
    made = Chains(settings, given)
    begin, move = jax.random.split(jax.random.key(3))
    state = made.begin(
        {"u": jax.random.normal(begin, (4, 1)), "w": jnp.zeros((4, 1, SUBJECTS))},
        key=move,
    )
    rows = []
    for done in range(0, WARMUP + draws, 50):
        state, kept = made.advance(state, 50)
        if done >= WARMUP:
            rows.append(kept)
    return state, {name: np.concatenate([each[name] for each in rows], axis=1) for name in rows[0]}


def test_long_steps_are_kept_near_a_normal_and_their_draws_are_of_the_density() -> None:
    """Moments by hand: of $w$ the mean is 0 and the variance $1 + 2 b^2$, its covariance with $u^2$ is $2 b$."""
    state, rows = sampled(near_normal, 0.05, draws=1000)
    assert (np.asarray(state.kind) == LOBATTO).all()
    assert (rows["step_size"] == LONG_STEP).all()
    assert rows["n_steps"].mean() <= 10.0
    assert (rows["n_steps"] % 3 == 0).all()
    assert not rows["diverging"].any()
    u, w = rows["u"][..., 0].ravel(), rows["w"][:, :, 0, :].reshape(-1, SUBJECTS)
    assert u.mean() == pytest.approx(0.0, abs=0.08)
    assert (u**2).mean() == pytest.approx(1.0, abs=0.1)
    assert w.mean() == pytest.approx(0.0, abs=0.03)
    assert w.var(axis=0).mean() == pytest.approx(1.005, abs=0.03)
    assert np.mean((u**2 - 1.0) * w.mean(axis=1)) == pytest.approx(0.1, abs=0.03)


def test_a_tail_ends_the_trial_and_leapfrog_goes_on() -> None:
    state, rows = sampled(funnel, 0.5, draws=200)
    assert (np.asarray(state.kind) == LEAPFROG).all()
    assert (np.asarray(state.trial.tried) > 0).all()
    assert (rows["step_size"] < 0.9).all()


def test_who_asks_for_few_rejections_gets_short_steps() -> None:
    """Long ones are accepted 994 times in 1,000 here, which is enough by default and less than what is asked."""
    usual, _ = sampled(near_normal, 0.05, draws=50)
    careful, rows = sampled(near_normal, 0.05, draws=200, target=0.999)
    assert (np.asarray(usual.kind) == LOBATTO).all()
    assert (np.asarray(careful.kind) == LEAPFROG).all()
    assert rows["acceptance_rate"].mean() > 0.99


def test_without_subjects_variables_long_steps_are_not_tried() -> None:
    """`NUTS` of a model without effects has none of them, in an array of no rows."""

    def normal(position: Sites, scale: float) -> Array:
        return 0.5 * jnp.sum((position["u"] / scale) ** 2) + jnp.sum(position["w"])

    settings = Settings(potential=normal, count=1, warmup=60, target_accept=0.85, max_tree_depth=8, method="sequential")
    made = Chains(settings, 1.0)
    state = made.begin({"u": jnp.zeros((1, 2)), "w": jnp.zeros((1, 0, 5))}, key=jax.random.key(0))
    state, _ = made.advance(state, 70)
    assert (np.asarray(state.trial.tried) == 0).all()
    assert (np.asarray(state.kind) == LEAPFROG).all()


def test_what_a_trial_makes_of_its_transitions() -> None:
    trial = Trial(*(jnp.asarray(0.0) for _ in range(3)))
    for rate in (0.9, 0.95, 0.4, 0.97):
        trial = trial.after(jnp.asarray(rate), jnp.asarray(True))
    trial = trial.after(jnp.asarray(0.0), jnp.asarray(False))
    assert (float(trial.tried), float(trial.poor)) == (4.0, 1.0)
    assert float(trial.accepted) == pytest.approx(3.22)
