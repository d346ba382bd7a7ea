"""The gate opens for chains that mix and shuts, with a remedy, for chains that do not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dpm.checks.convergence import Gate, convergence_table, parameter_table, require_converged
from dpm.errors import CheckError
from dpm.posterior.posterior import Posterior
from tests.placebo import certain_posterior


def posterior(*, offset: float = 0.0, divergences: int = 0, energy: float = 1.0, draws: int = 1000) -> Posterior:
    """Four chains of independent normals; the last one is moved by `offset`."""
    rng = np.random.default_rng(3)
    shape = (4, draws)
    values = rng.normal(size=shape)
    values[3] += offset
    axes = ("chain", "draw")
    matrix = np.broadcast_to(np.eye(2), (*shape, 2, 2)).copy()
    matrix[..., 1, 0] = matrix[..., 0, 1] = 0.1 * rng.normal(size=shape)
    diverging = np.zeros(shape, bool)
    diverging.ravel()[:divergences] = True
    energies = np.cumsum(rng.normal(size=shape), axis=1) if energy < 1 else rng.normal(size=shape)
    groups = {
        "posterior": xr.Dataset(
            {
                "slope": (axes, values),
                "subject_correlation": ((*axes, "row", "column"), matrix),
                "subject_correlation_cholesky": ((*axes, "row", "column"), matrix),
            }
        ),
        "sample_stats": xr.Dataset({"diverging": (axes, diverging), "energy": (axes, energies)}),
    }
    estimates = pd.DataFrame({"estimate": [0.0], "se": [1.0]}, index=["slope"])
    return replace(certain_posterior(1), tree=xr.DataTree.from_dict(groups), estimates=estimates)


def test_good_chains_pass() -> None:
    table = convergence_table(posterior())
    assert table["criterion"].tolist() == ["r_hat", "ess_bulk", "ess_tail", "divergences", "e_bfmi"]
    assert table["passed"].all()
    assert (table["remedy"] == "").all()
    require_converged(posterior())


def test_constants_and_the_cholesky_factor_are_not_parameters() -> None:
    assert parameter_table(posterior())["site"].tolist() == ["slope", "subject_correlation[1,0]"]


def test_without_a_laplace_start_its_columns_are_empty() -> None:
    by_hand = replace(posterior(), estimates=pd.DataFrame())
    table = parameter_table(by_hand)
    assert table[["laplace_estimate", "laplace_se"]].isna().all(axis=None)
    require_converged(by_hand)


@pytest.mark.parametrize(
    ("fault", "criterion"),
    [
        ({"offset": 1.0}, "r_hat"),
        ({"divergences": 3}, "divergences"),
        ({"energy": 0.0}, "e_bfmi"),
        ({"draws": 60}, "ess_bulk"),
    ],
)
def test_each_fault_shuts_the_gate(fault: dict[str, float], criterion: str) -> None:
    bad = posterior(**fault)
    row = convergence_table(bad).set_index("criterion").loc[criterion]
    assert not row["passed"]
    assert row["remedy"]
    with pytest.raises(CheckError) as refusal:
        require_converged(bad)
    assert criterion in str(refusal.value)
    assert row["remedy"] in str(refusal.value)


def test_a_failed_gate_names_cause_and_remedy() -> None:
    """Each criterion its own: a shift between chains, crawling energies, too few draws."""
    said: dict[str, tuple[dict[str, Any], str]] = {
        "r_hat": ({"offset": 1.0}, "the chains disagree"),
        "divergences": ({"divergences": 3}, "steps too long for the curvature"),
        "e_bfmi": ({"energy": 0.0}, "heavy tails, or a spread"),
        "ess_bulk": ({"draws": 60}, "draws follow each other too closely"),
    }
    for criterion, (fault, cause) in said.items():
        remedy = convergence_table(posterior(**fault)).set_index("criterion").loc[criterion, "remedy"]
        assert str(remedy).startswith(f"Likely cause: {cause}")
        assert "fit." in str(remedy)


@pytest.mark.parametrize(
    ("facts", "failed"),
    [
        ({}, set()),
        ({"elbo_rise": 2.5}, {"elbo_rise"}),
        ({"pareto_k": 0.9}, {"pareto_k"}),
        ({"pareto_k": np.inf, "narrow": 1.6}, {"pareto_k", "narrow"}),
        ({"pareto_k": -np.inf}, set()),  # equal weights: the guide is the posterior
    ],
)
def test_a_guide_has_its_own_criteria(facts: dict[str, float], failed: set[str]) -> None:
    known = {"elbo_rise": 0.4, "steps": 3000, "pareto_k": 0.3, "importance_ess": 900.0, "narrow": 1.1, **facts}
    fixed = certain_posterior(1)
    guided = replace(fixed, provenance={**fixed.provenance, **known})
    table = convergence_table(guided)
    assert table["criterion"].tolist() == ["elbo_rise", "pareto_k", "narrow"]
    assert set(table.loc[~table["passed"], "criterion"]) == failed
    assert table.loc[~table["passed"], "remedy"].str.startswith("Likely cause: ").all()


def test_a_relaxed_gate_is_shown_with_its_default() -> None:
    table = convergence_table(posterior(divergences=3), Gate(divergences=5, r_hat=1.005)).set_index("criterion")
    assert table.loc["divergences", "passed"]
    assert table.loc["divergences", "relaxed_from"] == 0
    assert np.isnan(table.loc["r_hat", "relaxed_from"])


def test_a_diagnostic_that_is_not_a_number_does_not_pass() -> None:
    stuck = posterior()
    stuck.draws["slope"].values[:] = 1.0
    assert not convergence_table(stuck).set_index("criterion")["passed"]["r_hat"]


def with_matrix(name: str, matrix: np.ndarray) -> Posterior:
    """The good chains, and a matrix of shape (chain, draw, 2, 2) beside them."""
    good = posterior()
    draws = good.draws.assign({name: (("chain", "draw", "a", "b"), matrix)})
    return replace(
        good, tree=xr.DataTree.from_dict({"posterior": draws, "sample_stats": good.tree["sample_stats"].to_dataset()})
    )


def test_no_value_of_a_matrix_escapes_the_gate() -> None:
    """A matrix that is neither symmetric nor triangular, stuck in its upper corner; a covariance; a lone factor."""
    rng = np.random.default_rng(8)
    free = rng.normal(size=(4, 1000, 2, 2))
    free[3, :, 0, 1] += 3.0
    stuck = with_matrix("transition", free)
    assert convergence_table(stuck).set_index("criterion").loc["r_hat", "worst"] == "transition[0,1]"
    with pytest.raises(CheckError, match=r"transition\[0,1\]"):
        require_converged(stuck)

    factor = np.tril(free[:, :, ::-1, ::-1])
    shown = parameter_table(with_matrix("spread_cholesky", factor))["site"].tolist()
    assert [name for name in shown if name.startswith("spread")] == [
        f"spread_cholesky[{index}]" for index in ("0,0", "1,0", "1,1")
    ]
    covariance = factor @ np.swapaxes(factor, 2, 3)
    shown = parameter_table(with_matrix("spread", covariance))["site"].tolist()
    assert [name for name in shown if name.startswith("spread")] == ["spread[0,0]", "spread[1,0]", "spread[1,1]"]
