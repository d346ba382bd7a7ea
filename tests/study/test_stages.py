"""The real stages on the shipped study, made small: every table of a run, twice the same."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr

from dpm.checks.convergence import Gate
from dpm.errors import InferenceError
from dpm.inference.laplace import Laplace
from dpm.inference.marginal_nuts import MarginalNUTS
from dpm.inference.nuts import NUTS
from dpm.inference.variational import Variational
from dpm.report.run_folder import NUMBERS, TEXTS, TRUTHS, read_run
from dpm.study.ledger import Ledger
from dpm.study.materials import Materials
from dpm.study.read import read_study
from dpm.study.runner import run_study
from dpm.study.shipped import demo_study
from dpm.study.stage import News
from dpm.study.stages import STAGES
from dpm.study.stages import fit as fit_stage
from dpm.study.stages.fit import in_words, method_of
from dpm.study.stages.gate import gate_of
from dpm.study.verify import verify

SMALLER = {
    'method = "NUTS"\nchains = 4\nwarmup = 300\ndraws = 1000\n': 'method = "Laplace"\ndraws = 50\n',
    "folds = 5": "folds = 2\nsimulations = 20",
    "show = 9": "draws = 50\nreplicates = 2\nshow = 3",
}


def small_study(folder: Path) -> Path:
    text = demo_study().read_text(encoding="utf-8")
    for old, new in SMALLER.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    folder.mkdir()
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"


def run(study: Path, folder: Path, force: str | None = None) -> None:
    materials = Materials(file=read_study(study), run=folder)
    run_study(materials, STAGES, last="report", tell=lambda news: None, force=force)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_study(tmp_path_factory.mktemp("small") / "study")


@pytest.fixture(scope="module")
def finished(study: Path) -> Path:
    folder = study.parent.parent / "run"
    run(study, folder)
    return folder


def test_every_table_is_there_with_its_columns(finished: Path) -> None:
    for name in TEXTS:
        columns = pd.read_csv(finished / name, nrows=0).columns
        missing = {*TEXTS[name], *NUMBERS[name], *TRUTHS.get(name, ())} - set(columns)
        assert not missing, (name, missing)
    found = read_run(finished)
    assert found.model["n_subjects"] == 154
    words = "normal approximation at the maximum of the posterior density (marginal likelihood: Laplace), 50 draws"
    assert found.model["method"] == words
    assert (finished / "report.html").stat().st_size > 100_000
    assert not [finding for finding in verify(finished) if finding.verdict == "differs"]


def test_each_estimand_has_an_answer_and_the_truth(finished: Path) -> None:
    effects = read_run(finished).effects
    roles = effects.groupby("estimand")["role"].apply(list).to_dict()
    assert roles == {
        "change_2y": ["answer", "comparison", "truth", "sensitivity"],
        "slope": ["answer", "comparison", "truth"],
    }
    slope = effects[(effects["estimand"] == "slope") & (effects["role"] == "truth")].iloc[0]
    # The mixed model of the reference: -0.0043 per year, SE 0.0248.
    assert slope["estimate"] == pytest.approx(-0.0043, abs=0.02 * 0.0248)
    assert slope["se"] == pytest.approx(0.0248, abs=0.02 * 0.0248)


def test_another_gate_is_held_against_the_same_draws(study: Path, finished: Path, tmp_path: Path) -> None:
    run_folder, own = tmp_path / "run", tmp_path / "study.toml"
    shutil.copytree(finished, run_folder)
    text = study.read_text(encoding="utf-8")
    assert redone(own, text, run_folder) == []
    assert redone(own, text.replace("[check]", "[fit.gate]\nr_hat = 1.05\n\n[check]", 1), run_folder) == ["gate"]
    assert not [finding for finding in verify(run_folder) if finding.verdict == "differs"]


def redone(study: Path, text: str, folder: Path) -> list[str]:
    """The stages that this text of the study file makes run again, up to the comparison."""
    study.write_text(text, encoding="utf-8")
    news: list[News] = []
    run_study(Materials(file=read_study(study), run=folder), STAGES, last="compare", tell=news.append)
    return [each.stage for each in news if each.kind == "start"]


def test_a_shut_gate_holds_later_stages_back() -> None:
    """They read nothing of the gate, so that another limit does not do them again, yet do not run while it is shut."""
    by_name = {stage.name: stage for stage in STAGES}
    for name in ("check", "arm", "compare"):
        assert "gate" in by_name[name].gates
        assert "gate" not in by_name[name].needs
        assert by_name[name].needs[1] == "fit"


def test_no_patient_is_in_the_posterior(finished: Path) -> None:
    with xr.open_datatree(finished / "fit" / "posterior.nc", engine="h5netcdf") as tree:
        assert set(tree.children) == {"posterior"}
        assert "subject" not in tree["posterior"].dims


def test_shown_patients_are_picked_by_rule(finished: Path) -> None:
    tables = read_run(finished)
    shown = list(dict.fromkeys(tables.twin_visits["subject"]))
    assert len(shown) == 3
    assert set(shown) == set(tables.twin_bands["subject"])
    baseline = tables.twin_visits[tables.twin_visits["baseline"]]["value"]
    assert baseline.max() - baseline.min() > 3.0  # from the lowest to the highest bilirubin, in logs
    bands = tables.twin_bands
    assert ((bands["pred_high"] - bands["pred_low"]) > (bands["mean_high"] - bands["mean_low"])).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["fit", "check", "arm"])
def test_a_stage_done_again_gives_the_same_bytes(stage: str, study: Path, finished: Path) -> None:
    before = {path: path.read_bytes() for path in (finished / stage).iterdir()}
    run(study, finished, force=stage)
    assert {path: path.read_bytes() for path in (finished / stage).iterdir()} == before


DEFAULT = 'method = "NUTS"\nchains = 4\nwarmup = 300\ndraws = 1000\n'
"""How the shipped study is fitted."""


def asking(folder: Path, fitted: str) -> Materials:
    """The shipped study with another way to fit."""
    text = demo_study().read_text(encoding="utf-8")
    assert text.count(DEFAULT) == 1
    (folder / "study.toml").write_text(text.replace(DEFAULT, fitted), encoding="utf-8")
    return Materials(file=read_study(folder / "study.toml"), run=folder / "run")


def test_the_gate_and_method_of_a_study_reach_the_library(tmp_path: Path) -> None:
    materials = asking(tmp_path, f"{DEFAULT}\n[fit.gate]\nr_hat = 1.05\n")
    assert gate_of(materials) == Gate(r_hat=1.05)
    assert method_of(materials) == (NUTS(chains=4, warmup=300, draws=1000, progress=False), "")


def test_a_guide_that_a_study_asks_for(tmp_path: Path) -> None:
    materials = asking(tmp_path, 'method = "Variational"\nfamily = "low-rank"\nrank = 3\nproposals = 500\n')
    asked, why = method_of(materials)
    assert asked == Variational(family="low-rank", rank=3, proposals=500, progress=False) and not why
    assert asked.on_unreliable == "refuse"  # and no study file can say otherwise
    assert in_words(asked) == (
        "variational, a guide of a covariance of low rank; 1,000 draws, resampled from 500 proposals weighted by the "
        "marginal likelihood"
    )


def test_a_report_says_by_what_draws_were_weighed() -> None:
    said = "NUTS, 4 chains of 200 warm-up and 500 kept draws of population values (marginal likelihood: Laplace"
    assert in_words(MarginalNUTS()) == f"{said})"
    assert in_words(MarginalNUTS(), weighed_by="qmc, 512 nodes") == f"{said}, draws weighed by qmc, 512 nodes)"


def test_a_guide_that_is_refused_refuses_the_study(tmp_path: Path) -> None:
    guide = 'method = "Variational"\nfamily = "mean-field"\nstart = "prior"\nsteps = 500\nproposals = 50\n'
    materials = asking(tmp_path, guide)
    with pytest.raises(InferenceError, match=r"stage fit: Variational: expected a bound that has come to rest"):
        run_study(materials, STAGES, last="gate", tell=lambda news: None)
    assert not (materials.run / "fit").exists()
    assert Ledger(materials.run / "ledger.jsonl").entries()[-1]["event"] == "refused"


def test_a_choice_left_to_dpm(tmp_path: Path) -> None:
    method, why = method_of(asking(tmp_path, 'method = "auto"\n'))
    assert method == NUTS(progress=False)
    assert why == "method: NUTS, exact and quick enough for 154 subjects with 2 effects each."


def test_a_run_says_what_was_chosen_and_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    why = "method: Laplace, since this is a test."
    monkeypatch.setattr(fit_stage, "chosen", lambda model, records: (Laplace(draws=50), why))
    materials = asking(tmp_path, 'method = "auto"\n')
    news: list[News] = []
    run_study(materials, STAGES, last="fit", tell=news.append)
    assert why in [each.text for each in news if each.kind == "note"]
    said = json.loads((materials.run / "fit" / "model.json").read_text(encoding="utf-8"))["method"]
    assert said.startswith("normal approximation at the maximum of the posterior density")
    assert said.endswith("; chosen by dpm: Laplace, since this is a test.")
    provenance = Materials(file=materials.file, run=materials.run).posterior.provenance
    assert provenance["method"].startswith("Laplace(") and why in provenance["notes"]


KILLED = """
import os, signal, sys
from unittest import mock
from dpm import cli
from dpm.inference.progress import Ticker

def tell(ticker, step, divergences):
    if step >= int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)

with mock.patch.object(Ticker, "tell", tell):
    cli.app(["fit", sys.argv[2], "-o", sys.argv[3]])
"""
"""The command, killed by the system when so many transitions are done and, if due, saved."""


@pytest.mark.slow
def test_a_fit_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    text = demo_study().read_text(encoding="utf-8")
    sampled = text.replace("chains = 4\nwarmup = 300\ndraws = 1000\n", "chains = 2\nwarmup = 15\ndraws = 30\n")
    assert sampled != text
    study, folder, whole = tmp_path / "study.toml", tmp_path / "run", tmp_path / "whole"
    study.write_text(sampled, encoding="utf-8")
    for step in (1, 16):  # what is saved then: the start, and the end of the warm-up
        command = [sys.executable, "-c", KILLED, str(step), str(study), str(folder)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == -9
    (kept,) = folder.glob(".checkpoint-fit-*")
    assert (kept / "start.npz").is_file() and (kept / "state.npz").is_file()
    for place in (folder, whole):
        run_study(Materials(file=read_study(study), run=place), STAGES, last="fit", tell=lambda news: None)
    for name in ("posterior.nc", "parameters.csv", "model.json"):
        assert (folder / "fit" / name).read_bytes() == (whole / "fit" / name).read_bytes()
    assert [entry["event"] for entry in Ledger(folder / "ledger.jsonl").entries()].count("resumed") == 2
    assert not list(folder.glob(".checkpoint*"))


def test_a_full_disk_ends_the_fit_with_one_screen(study: Path, tmp_path: Path) -> None:
    """Files of the run may hold 20 KiB here: the posterior does not fit, and nothing of the fit is left."""
    command = f'ulimit -f 20; exec "{sys.executable}" -m dpm.cli fit "{study}" -o "{tmp_path / "run"}"'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "a run folder that can be written, got File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        *("cohort", "ledger.jsonl", "manifest.json", "study.toml"),
    ]
