"""Benchmarks judge every program alike, and leave out with the reason what cannot run."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks import gradient, growth, joint_posterior, logistic, nlme_rest, programs, simulators
from experiments.benchmarks.joint_posterior import ASSOCIATION, judged


def drawn(*, stuck: bool) -> pd.DataFrame:
    """Three chains of 1,000 independent draws; where `stuck`, the hazard's first value stays apart in each."""
    generator = np.random.default_rng(0)
    chains = []
    for chain in range(3):
        shift = 3.0 * chain if stuck else 0.0
        columns = {ASSOCIATION: 1.2 + 0.1 * generator.normal(size=1_000), "end_female": generator.normal(size=1_000)}
        chains.append(pd.DataFrame({"chain": chain, **columns, "hazard_1": shift + generator.normal(size=1_000)}))
    return pd.concat(chains)


def test_independent_draws_count_in_full() -> None:
    found = judged(drawn(stuck=False))
    assert found["least_ess_bulk"] == pytest.approx(3_000, rel=0.15)
    assert found["worst_r_hat"] < 1.01
    association = found["association"]
    assert association["sds"] == pytest.approx(0.1, rel=0.05)
    assert association["mcse"] == pytest.approx(association["sds"] / np.sqrt(association["ess_bulk"]), rel=0.1)


def test_a_hazard_that_did_not_mix_is_told_apart_from_the_values_that_did() -> None:
    found = judged(drawn(stuck=True))
    assert found["hazard"]["worst_r_hat"] > 1.5
    assert found["hazard"]["least_ess_bulk"] < 20
    assert found["worst_r_hat"] < 1.01


def test_a_program_that_is_missing_or_fails_is_told_in_words() -> None:
    assert programs.run(["no_such_program"]) == "no_such_program is not installed"
    failed = programs.run([sys.executable, "-c", "raise SystemExit('it lacks a package')"])
    assert failed == "failed: it lacks a package"


def test_a_program_that_takes_too_long_is_stopped() -> None:
    assert programs.run([sys.executable, "-c", "import time; time.sleep(30)"], limit=0.3) == "stopped after 0 s"


def test_a_program_says_what_it_found_in_its_last_line() -> None:
    ran = programs.run([sys.executable, "-c", "print('a word'); print('{\"cpu\": 1.5}')"])
    assert isinstance(ran, programs.Ran)
    assert ran.found == {"cpu": 1.5}
    assert 0 < ran.cpu < 30


def test_jmbayes2_is_left_out_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert joint_posterior.by_jmbayes2("weibull", 1, tmp_path, 5.0) == "Rscript is not installed"


def test_the_exponent_is_the_slope_of_log_time() -> None:
    seconds = {100: 9.0, 1_000: 2e-3 * 1_000**0.9, 10_000: 2e-3 * 10_000**0.9}
    assert programs.exponent(seconds, least=1_000) == pytest.approx(0.9)
    assert programs.exponent({1_000: 1.0}) is None


def test_a_start_for_nlme_names_every_spread_and_correlation() -> None:
    sites = [*logistic.SITES.values(), *(f"subject_correlation[{at}]" for at in ("1,0", "2,0", "2,1"))]
    words = nlme_rest.words_of({site: 0.5 + k for k, site in enumerate(sites)})
    assert words[0] == "asymptote=0.5"
    assert words[-1] == "correlation_21=9.5"
    assert len(words) == 10


def test_of_one_fit_alone_the_compiled_time_leaves_out_compiling() -> None:
    first = {"cpu": 3.0, "wall": 4.0, "compile_cpu": 20.0, "compile_wall": 30.0}
    told = logistic._only(programs.Ran({"first": first, **dict.fromkeys(logistic.OWN, 1.0)}, cpu=26.0, wall=37.0))
    assert (told["cpu"], told["first_cpu"], told["process_cpu"]) == ([3.0], [23.0], [26.0])
    assert set(growth.KEPT) <= set(told)


def test_every_model_of_growth_has_sizes_and_an_objective() -> None:
    assert growth.MODELS.keys() == growth.OBJECTIVE.keys()
    assert growth.MODELS.keys() <= simulators.MODELS.keys()


def test_the_peak_of_memory_can_be_forgotten() -> None:
    before = programs.peak_gb()
    held = np.ones(2**26)
    assert programs.peak_gb() > before - 0.01
    assert programs.memory_gb() >= held.nbytes / 2**30
    del held
    programs.forget_peak()
    assert programs.peak_gb() == pytest.approx(programs.memory_gb(), abs=0.1)


@pytest.mark.parametrize("name", gradient.BY_HAND)
def test_what_was_written_by_hand_has_the_gradient_of_the_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    records = simulators.cohort(name, 30).records()
    assert list(gradient.agreeing(name, records)) == ["dpm", "by hand"]
    wrong = gradient.BY_HAND[name]
    monkeypatch.setitem(gradient.BY_HAND, name, lambda data: lambda vector, z: 1.001 * wrong(data)(vector, z))
    with pytest.raises(AssertionError):
        gradient.agreeing(name, records)
