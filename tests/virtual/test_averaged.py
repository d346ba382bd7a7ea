"""A virtual arm from several models is a mixture of their twins, and says so."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from dpm.errors import PosteriorError, VirtualError
from dpm.posterior.posterior import Posterior
from dpm.virtual.arm import VirtualArm, synthetic_arm
from dpm.virtual.averaged import averaged_arm
from tests.placebo import KEY, certain_posterior, trial

DRAWS = 40


def steeper() -> Posterior:
    """The same with a slope of a point a year more."""
    posterior = certain_posterior(DRAWS)
    draws = posterior.draws.assign(log_bilirubin_slope=posterior.draws["log_bilirubin_slope"] + 1.0)
    return replace(posterior, tree=xr.DataTree.from_dict({"posterior": draws}))


@pytest.fixture(scope="module")
def arms() -> dict[str, VirtualArm]:
    posteriors = {"flat": certain_posterior(DRAWS), "steep": steeper()}
    some = trial().subset(trial().subjects.index[:20])
    return {
        name: synthetic_arm(posterior, like=some, key=KEY, draws=DRAWS, replicates=2)
        for name, posterior in posteriors.items()
    }


def test_at_weight_one_it_is_that_models_arm(arms: dict[str, VirtualArm]) -> None:
    arm = averaged_arm(arms, {"flat": 0.0, "steep": 1.0}, key=KEY)
    time = np.full((1, 20), 2.0)
    for kind in ("course", "measurement"):
        one, other = (getattr(each.predict(time, key=KEY), kind)["log_bilirubin"] for each in (arm, arms["steep"]))
        np.testing.assert_array_equal(one, other)


def test_a_draw_keeps_its_model_at_every_time(arms: dict[str, VirtualArm]) -> None:
    arm = averaged_arm(arms, {"flat": 0.25, "steep": 0.75}, key=KEY)
    early, late = (
        np.asarray(arm.predict(np.full((1, 20), time), key=KEY).course["log_bilirubin"]).mean(axis=(1, 2, 3))
        for time in (1.0, 3.0)
    )
    assert (arm.model == 1).sum() == 30
    assert ((late - early > 1.0) == (arm.model == 1)).all()


def test_it_says_the_weights(arms: dict[str, VirtualArm]) -> None:
    arm = averaged_arm(arms, {"flat": 0.25, "steep": 0.75}, key=KEY)
    assert "flat 0.250 (10 of 40 draws), steep 0.750 (30 of 40 draws)" in arm.notes[0]
    assert "drawn from steep alone" in arm.notes[0] and arm.posterior is arms["steep"].posterior
    few = arm.take(list(arm.history.subjects.index[:5]))
    assert few.predict(np.full((1, 5), 1.0), key=KEY).course["log_bilirubin"].shape == (40, 2, 1, 5)


def test_arms_that_differ_in_more_than_the_model_are_refused(arms: dict[str, VirtualArm]) -> None:
    half = {"flat": 0.5, "steep": 0.5}
    fewer = {**arms, "steep": arms["steep"].take(list(arms["steep"].history.subjects.index[:5]))}
    with pytest.raises(VirtualError, match="flat and steep with other patients"):
        averaged_arm(fewer, half, key=KEY)
    with pytest.raises(PosteriorError, match="sum to one"):
        averaged_arm(arms, {"flat": 0.5, "steep": 0.6}, key=KEY)
    elsewhere = replace(arms["steep"].posterior, provenance={**steeper().provenance, "n_subjects": 3})
    with pytest.raises(VirtualError, match="other natural-history cohorts"):
        averaged_arm({**arms, "steep": replace(arms["steep"], posterior=elsewhere)}, half, key=KEY)
