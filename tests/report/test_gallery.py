"""The gallery: what it draws are the model's numbers; the page is whole and needs no network."""

import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from dpm.report.figures.gallery import CoursePanel, PriorPanel, SharePanel
from dpm.report.gallery import SHOWN, SUBJECTS, prior_panels, typical_panels, write_gallery
from models import aatd_density_tortorici as density
from models import cav_states, pbc_joint

KEY = jax.random.key(8)


def test_a_panel_is_the_model() -> None:
    """At time zero the typical level, and the 5th and 95th percentile of a normal population."""
    cohort = density.simulate(KEY, 5)
    (panel,) = typical_panels(density.build(), density.DESIGN, density.TYPICAL, cohort, key=KEY)
    assert isinstance(panel, CoursePanel)
    assert panel.label == "CT lung density [g/L]"
    assert panel.time[[0, -1]].tolist() == [0.0, 4.0]
    assert panel.typical[0] == pytest.approx(46.89)
    error = 15.28 * np.sqrt(0.05 * 0.95 / SUBJECTS) / 0.103  # of a 5th percentile
    assert panel.low[0] == pytest.approx(46.89 - 1.645 * 15.28, abs=4 * error)
    assert panel.high[0] == pytest.approx(46.89 + 1.645 * 15.28, abs=4 * error)
    assert len(panel.subjects) == 5
    assert all(len(time) == 9 for time, _ in panel.subjects)


def test_priors_are_as_wide_as_they_say() -> None:
    (panel,) = prior_panels(density.build(), density.DESIGN, key=KEY)
    assert isinstance(panel, PriorPanel)
    assert list(panel.percentiles) == [5, 25, 50, 75, 95]
    assert panel.percentiles[50][0] == pytest.approx(47.0, abs=4.0)
    assert panel.percentiles[95][0] - panel.percentiles[5][0] > 2 * 1.645 * 15.0


@pytest.mark.slow
def test_states_and_events() -> None:
    """Shares of states sum to one and nobody leaves death; who is free of an event is as Weibull's survival says."""
    (states,) = typical_panels(
        cav_states.build(), cav_states.DESIGN, cav_states.TYPICAL, cav_states.simulate(KEY, 5), key=KEY
    )
    assert isinstance(states, SharePanel)
    np.testing.assert_allclose(sum(states.shares.values()), 1.0)
    assert states.shares["1"][0] == 1.0
    assert (np.diff(states.shares["4"]) >= 0).all()
    values = {**pbc_joint.TYPICAL, "end_log_rate": -3.0, "end_female": 0.0, "end_log_bilirubin": 0.0}
    cohort = pbc_joint.DESIGN.simulate(pbc_joint.build(), values, key=KEY, n=5)
    _, free = typical_panels(pbc_joint.build(), pbc_joint.DESIGN, values, cohort, key=KEY)
    assert isinstance(free, SharePanel)
    assert free.label == "free of death [%]"
    known = np.exp(-np.exp(-3.0) * free.time ** values["end_shape"])
    error = np.sqrt(known * (1.0 - known) / SUBJECTS)
    assert (np.abs(free.shares["end"] - known) <= 4.0 * error + 1e-12).all()
    assert known[-1] < 0.6


def test_the_page_is_whole(root: Path, tmp_path: Path) -> None:
    """Files without a design are passed over; the same key gives the same bytes."""
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(root / "models" / "aatd_density_tortorici.py", models)
    (models / "other.py").write_text('"""A file without a design."""\n', encoding="utf-8")
    told: list[str] = []
    page = write_gallery(models, tmp_path / "one", key=KEY, tell=told.append)
    text = page.read_text(encoding="utf-8")
    assert told == ["aatd_density_tortorici"]
    assert density.CARD.title in text
    assert density.CARD.source in text
    assert f"measurements of {SHOWN} simulated subjects" in text
    assert text.count("data:image/svg+xml;base64,") == 2
    assert not re.search(r"(src|href)=\"(http|//)", text)
    assert sorted(path.name for path in (tmp_path / "one" / "figures").iterdir()) == [
        f"aatd_density_tortorici_{kind}.{suffix}" for kind in ("courses", "prior") for suffix in ("png", "svg")
    ]
    again = write_gallery(models, tmp_path / "two", key=KEY, tell=told.append)
    assert again.read_bytes() == page.read_bytes()
