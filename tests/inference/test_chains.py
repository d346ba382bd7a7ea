"""Chains run in pieces have the same draws wherever these end, and of population variables NumPyro's."""

from typing import Any

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from numpyro.infer import MCMC
from numpyro.infer import NUTS as Kernel

from dpm.inference.chains import ChainMethod, Chains, Potential, Settings, packed, unpacked
from dpm.types import Array, Sites

WARMUP, DRAWS = 40, 30
KEY = jax.random.key(5)


def potential(position: Sites, weight: float) -> Array:
    return 0.5 * jnp.sum(position["u"] ** 2) + weight * jnp.sum(position["w"] ** 4) + jnp.sum(jnp.sin(position["w"]))


def alone(position: Sites, weight: float) -> Array:
    return 0.5 * jnp.sum(position["u"] ** 2) + weight * jnp.sum(position["u"] ** 4)


def starts(count: int) -> Sites:
    return {"u": jax.random.normal(jax.random.key(0), (count, 2)), "w": jnp.zeros((count, 1, 3))}


def of(count: int, method: ChainMethod, density: Potential = potential) -> Chains:
    settings: dict[str, Any] = {"warmup": WARMUP, "target_accept": 0.85, "max_tree_depth": 10}
    return Chains(Settings(potential=density, count=count, method=method, **settings), 0.25)


def run(
    made: Chains, lengths: list[int], *, anew: int | None = None, begun: Sites | None = None
) -> dict[str, np.ndarray]:
    """All transitions; before piece number `anew` everything but plain arrays is thrown away."""
    begun = starts(made.settings.count) if begun is None else begun
    state, rows = made.begin(begun, key=KEY), []
    for number, length in enumerate(lengths):
        if number == anew:
            arrays, made = packed(state), of(made.settings.count, made.settings.method)
            state = unpacked(arrays, made.shape(begun, key=KEY), key=KEY)
        state, kept = made.advance(state, length)
        rows.append(kept)
    return {name: np.concatenate([each[name] for each in rows], axis=1) for name in rows[0]}


@pytest.mark.parametrize(("count", "method"), [(3, "vectorized"), (2, "sequential"), (1, "vectorized")])
def test_of_population_variables_alone_the_draws_are_numpyros(count: int, method: ChainMethod) -> None:
    kernel = Kernel(potential_fn=lambda position: alone(position, 0.25), target_accept_prob=0.85)
    plain = MCMC(
        kernel, num_warmup=WARMUP, num_samples=DRAWS, num_chains=count, chain_method=method, progress_bar=False
    )
    begun = {"u": starts(count)["u"]}
    first = begun if count > 1 else {"u": begun["u"][0]}
    plain.run(KEY, init_params=first, extra_fields=("num_steps", "adapt_state.step_size"))
    rows = run(of(count, method, alone), [WARMUP, DRAWS], begun=begun)
    samples, extra = plain.get_samples(group_by_chain=True), plain.get_extra_fields(group_by_chain=True)
    np.testing.assert_allclose(rows["u"][:, WARMUP:], samples["u"], rtol=1e-5)
    np.testing.assert_array_equal(rows["n_steps"][:, WARMUP:], extra["num_steps"])
    np.testing.assert_allclose(rows["step_size"][:, WARMUP:], extra["adapt_state.step_size"], rtol=1e-5)


def test_where_pieces_end_is_not_in_the_draws() -> None:
    whole = run(of(2, "vectorized"), [WARMUP, DRAWS])
    cut = run(of(2, "vectorized"), [1, 16, 23, 1, 1, 28], anew=2)
    statistics = {"diverging", "energy", "n_steps", "tree_depth", "acceptance_rate", "step_size", "potential"}
    assert set(whole) == {"u", "w"} | statistics
    for name, values in whole.items():
        assert values.shape[:2] == (2, WARMUP + DRAWS)
        assert values.tobytes() == cut[name].tobytes(), name


def test_a_chain_on_a_device_of_its_own() -> None:
    on_its_own, plain = run(of(1, "parallel"), [3, 4]), run(of(1, "sequential"), [3, 4])
    np.testing.assert_allclose(on_its_own["u"], plain["u"], rtol=1e-9)


@pytest.mark.parametrize("method", ["sequential", "vectorized"])
def test_later_pieces_run_what_was_compiled_for_the_first(method: ChainMethod) -> None:
    traced: list[int] = []

    def density(position: Sites, weight: float) -> Array:
        traced.append(1)
        return potential(position, weight)

    made = of(2, method, density)
    state = made.begin(starts(2), key=KEY)
    state, _ = made.advance(state, 1)
    assert traced
    traced.clear()
    for length in (3, 20, 30, 1):
        state, _ = made.advance(state, length)
    assert not traced
