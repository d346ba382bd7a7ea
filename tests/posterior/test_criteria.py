"""Deviance, information criteria and profile limits of a cohort of lines, against statsmodels; `method="auto"`."""

import warnings

import jax
import numpy as np
import numpyro
import pandas as pd
import pytest
from numpyro import distributions as dist
from statsmodels.regression.mixed_linear_model import MixedLM

from dpm.cohort import Cohort, Records
from dpm.errors import InferenceError
from dpm.inference import automatic
from dpm.inference.automatic import chosen
from dpm.inference.laplace import Laplace
from dpm.inference.marginal_nuts import MarginalNUTS
from dpm.inference.nuts import NUTS
from dpm.posterior.criteria import likelihood_table
from dpm.posterior.fit import fit
from dpm.posterior.interval import profile_likelihood
from tests.checks.lines import _score, line, straight, table

KEY = jax.random.key(2)


def reference(data: pd.DataFrame) -> float:
    """Log likelihood of the same model at its maximum by statsmodels."""
    design = np.column_stack([np.ones(len(data)), data["year"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixedLM(data["score"].to_numpy(), design, data["patient"].to_numpy())
        return float(model.fit(reml=False, method="lbfgs").llf)


def test_the_deviance_and_its_criteria() -> None:
    found = likelihood_table(line, straight(), key=KEY)
    deviance = -2.0 * reference(table())
    assert list(found.index) == ["laplace", "exact"]
    np.testing.assert_allclose(found["deviance"], deviance, atol=1e-4)
    np.testing.assert_allclose(found["aic"], deviance + 2 * 4, atol=1e-4)
    np.testing.assert_allclose(found["bic"], deviance + 4 * np.log(30), atol=1e-4)
    assert abs(found["error"].iloc[0]) < 1e-7 and np.isnan(found["error"].iloc[1])


def test_the_profile_of_a_slope() -> None:
    """At each limit the maximum over the other values, by statsmodels with that slope, has fallen by 1.92."""
    found = profile_likelihood(line, straight(), "slope", key=KEY)
    best = reference(table())
    for limit in (found.lower, found.upper):
        data = table()
        data["score"] -= limit * data["year"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = MixedLM(data["score"].to_numpy(), np.ones((len(data), 1)), data["patient"].to_numpy())
            fixed = float(model.fit(reml=False, method="lbfgs").llf)
        assert best - fixed == pytest.approx(0.5 * 3.8414588, abs=2e-3)


# method="auto" --------------------------------------------------------------------------------------------------------


def classes(records: Records) -> None:
    """`line`, in two classes that differ in nothing."""
    with numpyro.plate("subject", records.n_subjects, dim=-1):
        numpyro.sample("kind", dist.Categorical(probs=np.array([0.5, 0.5])))
    line(records)


def sites(records: Records) -> None:
    """`line`, at three sites whose levels differ by a spread."""
    sd = numpyro.sample("site_sd", dist.HalfNormal(1.0))
    level = numpyro.sample("site", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
    _score(records, sd * level[np.arange(records.n_subjects) % 3])


@pytest.mark.parametrize(
    ("model", "times", "expected", "why"),
    [
        (line, 5, NUTS, "exact and quick enough for 150 subjects with 1 effects each"),
        (line, 1, MarginalNUTS, "since 30 subjects with 1 effects each may leave"),
        (sites, 5, MarginalNUTS, "since few levels may leave site_sd too uncertain"),
        (classes, 1, MarginalNUTS, "since kind is discrete"),
        (line, 1000, Laplace, "30,000 subjects with 1 effects each are too many to sample"),
    ],
)
def test_size_and_kind_choose(model: object, times: int, expected: type, why: str) -> None:
    records = straight().records().take(np.arange(30 * times) % 30)
    method, reason = chosen(model, records)
    assert isinstance(method, expected) and why in reason
    if isinstance(method, Laplace):
        assert (method.level, method.n_nodes, method.most_shift) == ("quadrature", 1, 0.1)
    if isinstance(method, MarginalNUTS) and model is line:
        assert (method.level, method.draws) == ("quadrature", 1000)


def test_the_choice_is_said_and_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def quick(model: object, records: object, *, method: str) -> tuple[Laplace, str]:
        assert method == "auto"
        return Laplace(draws=10), "method: Laplace, as this test says."

    monkeypatch.setattr(automatic, "chosen", quick)
    data: Cohort = straight()
    posterior = fit(line, data, method="auto", key=KEY)
    assert "method: Laplace, as this test says." in posterior.provenance["notes"]
    assert "as this test says" in capsys.readouterr().err
    assert posterior.n_draws == 10


def test_another_word_is_refused() -> None:
    with pytest.raises(InferenceError, match="or \"auto\", got 'best'"):
        fit(line, straight(), method="best", key=KEY)
