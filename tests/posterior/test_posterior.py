"""A posterior survives its file, tells nothing of its patients, and refuses what it does not belong to."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import numpyro
import pytest
import xarray as xr
from jax import numpy as jnp
from numpyro import distributions as dist
from numpyro import handlers

from dpm.cohort import Records
from dpm.components.outcome import Gaussian, Outcome
from dpm.components.parameter import Parameter
from dpm.components.progression import ProgressionModel
from dpm.components.trajectory import Linear
from dpm.errors import ModelError, PosteriorError
from dpm.inference.draws import Draws
from dpm.inference.laplace import Laplace
from dpm.posterior.fit import fit
from dpm.posterior.posterior import Posterior
from tests.inference.hand_written import joint_effects

from .small import DRAWS, HOSPITALS, KEY, MODEL, SUBJECTS, cohort, others, posterior, table


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "posterior.nc"
    posterior().save(path)
    return path


# What it holds --------------------------------------------------------------------------------------------------------


def test_it_says_where_it_comes_from() -> None:
    facts = posterior().provenance
    assert facts["method"].startswith("Laplace(")
    assert (facts["n_subjects"], facts["n_visits"]) == (SUBJECTS, len(table()))
    assert facts["longest_follow_up"] == 2.0
    ages = table().groupby("patient")["age"].first()
    assert facts["support"] == {"age": [pytest.approx(ages.min()), pytest.approx(ages.max())], "female": [0.0, 1.0]}
    assert facts["source_sha256"] == cohort().sources[0].sha256


def test_draws_have_named_dimensions() -> None:
    draws = posterior().draws
    assert posterior().n_draws == DRAWS
    assert draws["score_level"].dims == ("chain", "draw")
    assert draws["subject_correlation"].shape == (1, DRAWS, 2, 2)
    np.testing.assert_allclose(draws["score_slope_hospital"].sum(axis=-1), 0.0, atol=1e-10)


def test_vectors_are_the_draws() -> None:
    records = cohort().records(posterior().encodings)
    hierarchy = posterior().hierarchy(records)
    vectors = posterior().vectors(hierarchy)
    assert vectors.shape == (DRAWS, hierarchy.n_population)
    back = jax.vmap(hierarchy.constrain)(vectors)
    for name, value in back.items():
        np.testing.assert_allclose(value, posterior().draws[name].to_numpy()[0], rtol=1e-8, atol=1e-10, err_msg=name)
    few = posterior().vectors(hierarchy, 5)
    np.testing.assert_array_equal(few, vectors[np.linspace(0, DRAWS - 1, 5).round().astype(int)])
    np.testing.assert_array_equal(posterior().vectors(hierarchy, 10 * DRAWS), vectors)


def test_the_same_key_gives_the_same_posterior() -> None:
    again = fit(MODEL, cohort(), method=Laplace(draws=DRAWS), key=KEY)
    xr.testing.assert_equal(again.tree, posterior().tree)


# The file -------------------------------------------------------------------------------------------------------------


def test_save_and_load_is_a_round_trip(saved: Path) -> None:
    loaded, whole = Posterior.load(saved, model=MODEL), posterior()
    xr.testing.assert_equal(loaded.tree, whole.tree)
    assert loaded.encodings == whole.encodings
    assert loaded.provenance == dict(whole.provenance)
    np.testing.assert_allclose(loaded.estimates, whole.estimates, rtol=1e-12)
    assert list(loaded.estimates.index) == list(whole.estimates.index)
    records = others().records(loaded.encodings)
    vectors = loaded.vectors(loaded.hierarchy(records), key=KEY)
    np.testing.assert_array_equal(vectors, whole.vectors(whole.hierarchy(records), key=KEY))


def test_a_loaded_posterior_can_be_saved_again(saved: Path, tmp_path: Path) -> None:
    Posterior.load(saved, model=MODEL).save(tmp_path / "again.nc")
    xr.testing.assert_equal(Posterior.load(tmp_path / "again.nc", model=MODEL).tree, posterior().tree)


def axes(path: Path) -> set[int]:
    """The lengths of all axes in a file."""
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return {length for node in tree.subtree for length in node.to_dataset().sizes.values()}


def test_the_file_holds_no_patient(saved: Path) -> None:
    """No identifier anywhere in its bytes, no array with an entry per patient or per visit."""
    content = saved.read_bytes()
    assert not [patient for patient in cohort().subjects.index if patient.encode() in content]
    assert b"patient-0" not in content
    assert not {SUBJECTS, len(cohort().visits)} & axes(saved)


def test_a_value_per_patient_computed_outside_the_plate_is_not_kept(tmp_path: Path) -> None:
    """A covariate effect that a model written by hand records for every patient."""

    def model(records: Records) -> None:
        level = numpyro.sample("level", dist.Normal(10.0, 5.0))
        numpyro.deterministic("double", 2.0 * level)
        expected = numpyro.deterministic("expected", level + 0.8 * records.covariates["age"])
        with numpyro.plate("subject", records.n_subjects, dim=-1):
            effect = numpyro.sample("effect", dist.Normal(0.0, 1.0))
            with numpyro.plate("visit", records.time.shape[0], dim=-2):
                mean = numpyro.deterministic("score_mean", expected + effect + 2.0 * records.time)
                numpyro.sample("score", dist.Normal(mean, 1.0), obs=records.values["score"])

    whole = fit(model, cohort(), method=Laplace(draws=7), key=KEY)
    assert set(whole.draws) == {"level", "double"}
    whole.save(tmp_path / "posterior.nc")
    assert SUBJECTS not in axes(tmp_path / "posterior.nc")


def patient_level() -> Draws:
    """Draws as NUTS returns them, subject sites among them."""
    sites = {name: np.asarray(value) for name, value in posterior().draws.items()}
    shape = (1, DRAWS, SUBJECTS)
    return Draws(sites={str(name): value for name, value in sites.items()}, subject_sites={"z": np.zeros(shape)})


@pytest.mark.parametrize("keep", [False, True])
def test_patients_are_kept_on_request_only(tmp_path: Path, keep: bool) -> None:
    whole = Posterior.of(MODEL, cohort(), posterior().encodings, patient_level(), method="none", keep_subjects=keep)
    path = tmp_path / "posterior.nc"
    whole.save(path)
    assert (SUBJECTS in axes(path)) is keep
    loaded = Posterior.load(path, model=MODEL)
    assert ("subjects" in loaded.tree) is keep
    if keep:
        assert loaded.tree["subjects"]["z"].dims == ("chain", "draw", "subject")
        assert loaded.tree["subjects"]["subject"].to_numpy().tolist() == list(cohort().subjects.index)


def not_there(folder: Path) -> Path:
    return folder / "nothing.nc"


def a_text(folder: Path) -> Path:
    path = folder / "notes.nc"
    path.write_text("no posterior", encoding="utf-8")
    return path


def a_folder(folder: Path) -> Path:
    return folder


def another_netcdf(folder: Path) -> Path:
    path = folder / "other.nc"
    xr.Dataset({"rain": ("day", np.arange(3.0))}).to_netcdf(path, engine="h5netcdf")
    return path


def a_damaged_file(folder: Path) -> Path:
    path = folder / "cut.nc"
    posterior().save(path)
    path.write_bytes(path.read_bytes()[:2000])
    return path


def other_attributes(folder: Path) -> Path:
    path = folder / "attributes.nc"
    tree = posterior().tree.copy()
    tree.attrs = {"encodings": json.dumps(posterior().encodings.to_dict()), "provenance": "{}", "estimates": "null"}
    tree.to_netcdf(path, engine="h5netcdf")
    return path


@pytest.mark.parametrize("make", [not_there, a_text, a_folder, another_netcdf, a_damaged_file, other_attributes])
def test_another_file_is_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(PosteriorError, match="expected a posterior saved by dpm") as refusal:
        Posterior.load(path, model=MODEL)
    assert str(path) in str(refusal.value)


# The model it belongs to ----------------------------------------------------------------------------------------------


def line(**level: object) -> ProgressionModel:
    slope = MODEL.outcomes["score"].trajectory.parameters()["slope"]
    parts = {"typical": dist.Normal(10.0, 5.0), "subject": dist.HalfNormal(2.0), **level}
    trajectory = Linear(level=Parameter(**parts), slope=slope)
    return ProgressionModel(outcomes={"score": Outcome(trajectory, Gaussian(sd=dist.HalfNormal(1.0)))})


def test_its_own_model_built_again_is_accepted() -> None:
    loaded = replace(posterior(), model=line(effects={"age": dist.Normal(0.0, 1.0)}))
    loaded.hierarchy(cohort().records(loaded.encodings))


def test_a_site_held_by_a_handler_is_accepted() -> None:
    """The draws have more than the model now learns, but nothing it does not know."""
    held = replace(posterior(), model=handlers.condition(MODEL, data={"score_level_age": jnp.zeros(())}))
    hierarchy = held.hierarchy(cohort().records(held.encodings))
    assert "score_level_age" not in {site.name for site in hierarchy.population}


@pytest.mark.parametrize(
    ("level", "site"),
    [
        ({"effects": {name: dist.Normal(0.0, 1.0) for name in ("age", "female")}}, "score_level_female"),
        ({}, "score_level_age"),
        ({"effects": {"age": 0.5}}, "score_level_age"),
    ],
    ids=["one site more", "one site less", "a site fixed"],
)
def test_another_model_is_refused(saved: Path, level: dict[str, object], site: str) -> None:
    loaded = Posterior.load(saved, model=line(**level))
    with pytest.raises(PosteriorError, match=rf"posterior: expected draws of .*, got .*{site}") as refusal:
        loaded.hierarchy(cohort().records(loaded.encodings))
    assert "Give the model that was fitted." in str(refusal.value)


def test_draws_of_another_shape_are_refused() -> None:
    draws = posterior().draws.rename({"score_slope_hospital_dim_0": "level"}).isel(level=slice(2))
    other = replace(posterior(), tree=xr.DataTree.from_dict({"posterior": draws}))
    with pytest.raises(PosteriorError, match=r"score_slope_hospital of shape \(2,\) instead of \(3,\)"):
        other.hierarchy(cohort().records(other.encodings))


# Another cohort -------------------------------------------------------------------------------------------------------


def test_encodings_replay_on_another_cohort(saved: Path) -> None:
    loaded = Posterior.load(saved, model=MODEL)
    records = others().records(loaded.encodings)
    learnt = table().groupby("patient")["age"].first()
    expected = (others().subjects["age"] - learnt.mean()) / learnt.std(ddof=1)
    np.testing.assert_allclose(records.covariates["age"], expected, rtol=1e-12)
    assert float(records.covariates["age"].mean()) > 1.0
    assert loaded.encodings.levels["hospital"] == tuple(sorted(HOSPITALS))
    unseen = (others().subjects["hospital"] == "west").to_numpy()
    np.testing.assert_array_equal(records.groups["hospital"].sum(axis=0), ~unseen)


# Fitting --------------------------------------------------------------------------------------------------------------


def test_a_subject_without_data_is_refused() -> None:
    one = cohort().visits["subject"] == "patient-0-0003"
    with pytest.raises(ModelError) as refusal:
        fit(MODEL, cohort().drop_visits(one, "for this test"), method=Laplace(), key=KEY)
    assert str(refusal.value) == (
        "fit: expected at least one measurement or event of every subject, got none for 1 of 37 "
        "(first: patient-0-0003).\n"
        "Exclude these subjects, with a reason."
    )


def test_keep_subjects_with_an_event_axis() -> None:
    """Patient-level sites of any shape get the dimension `subject`."""
    draws = Draws(
        sites={"mean": np.zeros((1, 6, 2)), "spread": np.ones((1, 6, 2))},
        subject_sites={"line": np.zeros((1, 6, 2, SUBJECTS))},
    )
    whole = Posterior.of(joint_effects, cohort(), posterior().encodings, draws, method="none", keep_subjects=True)
    assert whole.tree["subjects"]["line"].dims == ("chain", "draw", "line_dim_0", "subject")
