"""Energies, trees and places of divergence, of draws made so that the answer is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from dpm.checks.convergence import Gate, convergence_table, require_converged
from dpm.checks.sampler import chain_table, divergence_table
from dpm.errors import CheckError
from dpm.posterior.posterior import Posterior
from tests.placebo import certain_posterior

CHAINS, DRAWS, SUBJECTS = 4, 4000, 5
AXES = ("chain", "draw")


def autoregressive(coefficient: float, rng: np.random.Generator) -> np.ndarray:
    """Stationary, unit variance."""
    noise = rng.normal(size=(CHAINS, DRAWS)) * np.sqrt(1.0 - coefficient**2)
    values = noise.copy()
    values[:, 0] = rng.normal(size=CHAINS)
    for t in range(1, DRAWS):
        values[:, t] = coefficient * values[:, t - 1] + noise[:, t]
    return values


def posterior(
    *,
    coefficient: float = 0.0,
    diverging: np.ndarray | None = None,
    depth: np.ndarray | None = None,
    values: dict[str, np.ndarray] | None = None,
    subjects: np.ndarray | None = None,
    facts: dict[str, Any] | None = None,
) -> Posterior:
    """Independent draws of a slope and of a spread beside what is given."""
    rng = np.random.default_rng(17)
    energy = autoregressive(coefficient, rng)
    shape = (CHAINS, DRAWS)
    found = {"slope": rng.normal(size=shape), "slope_sd": np.exp(rng.normal(size=shape)), **(values or {})}
    stats = {
        "diverging": np.zeros(shape, bool) if diverging is None else diverging,
        "energy": energy,
        "tree_depth": np.full(shape, 3) if depth is None else depth,
    }
    groups = {
        "posterior": xr.Dataset({name: (AXES, value) for name, value in found.items()}),
        "sample_stats": xr.Dataset({name: (AXES, value) for name, value in stats.items()}),
    }
    if subjects is not None:
        ids = [f"patient-{k}" for k in range(SUBJECTS)]
        groups["subjects"] = xr.Dataset({"slope_z": ((*AXES, "subject"), subjects)}, coords={"subject": ids})
    bare = certain_posterior(1)
    known = {"max_tree_depth": 10} if facts is None else facts
    return replace(bare, tree=xr.DataTree.from_dict(groups), provenance={**bare.provenance, **known})


def remedy(of: Posterior, criterion: str) -> str:
    row = convergence_table(of).set_index("criterion").loc[criterion]
    assert not row["passed"]
    with pytest.raises(CheckError) as refusal:
        require_converged(of)
    assert row["remedy"] in str(refusal.value)
    return str(row["remedy"])


def test_energies_of_a_known_autocorrelation() -> None:
    """Of an autoregression with coefficient r the missing information is 2 (1 - r) in the mean."""
    for coefficient in (0.0, 0.5, 0.95):
        found = posterior(coefficient=coefficient)
        energy = found.tree["sample_stats"].to_dataset()["energy"].to_numpy()
        table = chain_table(found)
        squares = ((energy - energy.mean(axis=1, keepdims=True)) ** 2).mean(axis=1)
        np.testing.assert_allclose(table["e_bfmi"], (np.diff(energy, axis=1) ** 2).mean(axis=1) / squares, rtol=1e-3)
        # Relative standard errors of the sums of squares: of an autoregression, and of its nearly independent steps.
        error = np.sqrt(2.0 / DRAWS * (1.0 + coefficient**2) / (1.0 - coefficient**2)) + np.sqrt(3.0 / DRAWS)
        np.testing.assert_allclose(table["e_bfmi"], 2.0 * (1.0 - coefficient), rtol=4.0 * error)
    worst = convergence_table(found).set_index("criterion").loc["e_bfmi"]
    assert worst["value"] == pytest.approx(table["e_bfmi"].min())
    assert worst["worst"] == f"chain {table['e_bfmi'].argmin()}"


def test_low_energy_information_names_the_spread_that_goes_with_it() -> None:
    slow = posterior(coefficient=0.95)
    energy = slow.tree["sample_stats"].to_dataset()["energy"].to_numpy()
    text = remedy(posterior(coefficient=0.95, values={"level_sd": np.exp(-0.9 * energy)}), "e_bfmi")
    assert text.startswith("Likely cause: heavy tails, or a spread that the data hardly determine; level_sd goes most")
    assert "correlation -1.00" in text and "stronger prior" in text and "MarginalNUTS()" in text
    assert "goes most" not in remedy(slow, "e_bfmi")


def test_trees_at_their_largest_depth() -> None:
    depth = np.full((CHAINS, DRAWS), 9)
    depth[2, :400] = 10
    table = chain_table(posterior(depth=depth))
    assert table["saturated"].tolist() == [0.0, 0.0, 0.1, 0.0]
    assert table["tree_depth"].tolist() == [9.0, 9.0, pytest.approx(9.1), 9.0]
    text = remedy(posterior(depth=depth), "saturation")
    assert "Rescale" in text and "fit.max_tree_depth" in text
    row = convergence_table(posterior(depth=depth), Gate(saturation=0.2)).set_index("criterion").loc["saturation"]
    assert row["passed"] and row["relaxed_from"] == 0.01 and row["worst"] == "chain 2"
    # What the largest depth was is not known of a sampler run by hand.
    assert chain_table(posterior(depth=depth, facts={}))["saturated"].isna().all()
    assert "saturation" not in convergence_table(posterior(depth=depth, facts={}))["criterion"].tolist()


def test_divergences_in_a_funnel_are_located() -> None:
    """Fifty draws, one sd of log two below the others in a spread: that spread is first, by so much, and named."""
    log_sd = np.random.default_rng(3).normal(size=(CHAINS, DRAWS))
    diverging = np.zeros((CHAINS, DRAWS), bool)
    diverging[1, np.argsort(np.abs(log_sd[1] + 2.0))[:50]] = True
    found = posterior(diverging=diverging, values={"slope_sd": np.exp(log_sd)})
    table = divergence_table(found)
    first = table.iloc[0]
    assert (first["site"], first["scale"], bool(first["located"])) == ("slope_sd", "log", True)
    assert first["difference"] == pytest.approx(-2.0, abs=0.05)
    assert first["divergent"] == pytest.approx(-2.0, abs=0.05)
    assert not table.set_index("site").loc["slope", "located"]
    text = remedy(found, "divergences")
    assert text.startswith("Likely cause: a funnel, since the divergent draws lie where slope_sd is small (-2.0 sd).")
    assert "MarginalNUTS()" in text
    assert chain_table(found)["divergences"].tolist() == [0, 50, 0, 0]


def test_a_subject_whose_effect_diverges_is_named() -> None:
    effects = np.random.default_rng(5).normal(size=(CHAINS, DRAWS, SUBJECTS))
    diverging = np.zeros((CHAINS, DRAWS), bool)
    diverging.ravel()[np.argsort(-effects[..., 3].ravel())[:40]] = True
    found = posterior(diverging=diverging, subjects=effects)
    table = divergence_table(found)
    assert table.iloc[0][["site", "subject"]].tolist() == ["slope_z", "patient-3"]
    assert table.iloc[0]["difference"] == pytest.approx(effects[..., 3][diverging].mean(), abs=0.05)
    assert len(table) == 2 + SUBJECTS
    assert "bends sharply where slope_z of subject patient-3 is high" in remedy(found, "divergences")


def test_divergences_anywhere_have_no_place() -> None:
    diverging = np.zeros((CHAINS, DRAWS), bool)
    diverging[:, ::400] = True
    found = posterior(diverging=diverging)
    assert not divergence_table(found)["located"].any()
    assert "steps too long for the curvature" in remedy(found, "divergences")
    assert divergence_table(posterior()).empty


def test_a_fit_without_chains_has_no_sampler() -> None:
    with pytest.raises(CheckError, match="expected draws of a chain, got fixed"):
        chain_table(certain_posterior(1))
