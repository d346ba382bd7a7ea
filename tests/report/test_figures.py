"""Figures show the numbers of their tables, and are the same whatever the session's settings."""

from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose

import dpm.report
from dpm.errors import ReportError
from dpm.report import figures
from dpm.report.figures.flow import EVERYONE
from dpm.report.figures.scale import natural_ticks
from dpm.report.figures.style import wrapped
from dpm.report.run_folder import RunFolder, read_run
from tests.placebo import pbc

from .example_run import TWINS
from .example_study import CHANGE, ESTIMANDS, SLOPE

SCALE = figures.OutcomeScale(name="log_bilirubin", label="Serum bilirubin", unit="mg/dL", transform="log")
TITLES = {each["name"]: each["label"] for each in ESTIMANDS}


@pytest.fixture
def tables(reported: Path) -> RunFolder:
    return read_run(reported)


def texts(drawn: Figure) -> str:
    drawn.draw_without_rendering()
    return "\n".join(text.get_text() for text in drawn.findobj(matplotlib.text.Text))


def bars(axes: Axes) -> list[Rectangle]:
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_only_the_object_interface_is_used() -> None:
    folder = Path(dpm.report.__file__).parent
    assert not [path for path in folder.rglob("*.py") if "pyplot" in path.read_text(encoding="utf-8")]


def test_predictive_check_draws_observed_and_simulated(tables: RunFolder) -> None:
    drawn = figures.predictive_check(tables.vpc, SCALE)
    lines = [line.get_ydata() for line in drawn.axes[0].get_lines()]
    for percentile in (5, 50, 95):
        rows = tables.vpc[tables.vpc["percentile"] == percentile]
        for column in ("observed", "median"):
            assert any(len(line) == len(rows) and np.allclose(line, rows[column]) for line in lines)
    assert "Serum bilirubin [mg/dL], log scale" in texts(drawn)
    assert all(f"{n:.0f}" in texts(drawn) for n in tables.vpc["n_subjects"])


def test_predictive_check_marks_what_lies_outside(tables: RunFolder) -> None:
    moved = tables.vpc.assign(observed=tables.vpc["median"])
    assert "observed, outside" in texts(figures.predictive_check(moved, SCALE))
    moved.loc[moved.index[1], "observed"] = moved["high"].iloc[1] + 0.5
    marks = [line for line in figures.predictive_check(moved, SCALE).axes[0].get_lines() if line.get_marker() == "D"]
    assert_allclose(np.concatenate([line.get_ydata() for line in marks]), [moved["observed"].iloc[1]])


def test_a_scale_is_that_of_the_roles() -> None:
    assert figures.OutcomeScale.of(pbc(), "log_bilirubin") == SCALE
    with pytest.raises(ReportError, match="log_bilirubin"):
        figures.OutcomeScale.of(pbc(), "bilirubin")


def test_logarithms_are_labelled_in_the_unit_of_measurement() -> None:
    places, labels = natural_ticks(np.log(0.4), np.log(30), "log")
    assert labels == ["0.5", "1", "2", "5", "10", "20"]
    assert_allclose(np.exp(places), [0.5, 1, 2, 5, 10, 20])
    places, labels = natural_ticks(0.0, 3.0, "log10")
    assert_allclose(places, [0, 1, 2, 3])
    assert labels == ["1", "10", "100", "1000"]


def test_identity_scale_keeps_its_axis(tables: RunFolder) -> None:
    plain = figures.OutcomeScale(name="alsfrs", label="ALSFRS-R", unit="points")
    drawn = figures.predictive_check(tables.vpc, plain)
    assert "ALSFRS-R [points]" in texts(drawn)
    assert "log" not in texts(drawn)


def test_calibration_has_a_panel_per_level_and_marks_what_cannot_be_judged(tables: RunFolder) -> None:
    drawn = figures.subgroup_calibration(tables.coverage)
    assert len(drawn.axes) == tables.coverage["nominal"].nunique()
    unjudged = (tables.coverage["verdict"] == "cannot be judged at this n").sum()
    assert texts(drawn).count("cannot be judged") == unjudged + 1  # and once in the legend
    for axes, nominal in zip(drawn.axes, sorted(tables.coverage["nominal"].unique()), strict=True):
        rows = tables.coverage[tables.coverage["nominal"] == nominal]
        drawn_at = sorted(float(np.asarray(line.get_xdata())[0]) for line in axes.get_lines()[1:])
        assert_allclose(drawn_at, sorted(rows["observed"]))
        assert_allclose(sorted(bar.get_x() for bar in bars(axes)), sorted(rows["low"]))


def test_twins_have_a_panel_each_with_their_measurements(tables: RunFolder) -> None:
    drawn = figures.twin_courses(tables.twin_visits, tables.twin_bands, SCALE)
    shown = [axes for axes in drawn.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [f"Patient {subject}" for subject in TWINS]
    dots = sum(len(np.asarray(line.get_xdata())) for axes in shown for line in axes.get_lines()[1:])
    assert dots == len(tables.twin_visits)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_twins_of_any_number_can_be_drawn(tables: RunFolder, n: int) -> None:
    few = tables.twin_bands[tables.twin_bands["subject"].isin(TWINS[:n])]
    drawn = figures.twin_courses(tables.twin_visits, few, SCALE)
    assert len([axes for axes in drawn.axes if axes.get_visible()]) == n


def test_forest_has_the_randomised_interval_as_band(tables: RunFolder) -> None:
    drawn = figures.effect_forest(tables.effects, TITLES, {})
    assert len(drawn.axes) == 2
    for axes, estimand in zip(drawn.axes, (CHANGE, SLOPE), strict=True):
        rows = tables.effects[tables.effects["estimand"] == estimand]
        truth = rows[rows["role"] == "truth"].iloc[0]
        band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
        assert_allclose([band.x0, band.x1], [truth["low"], truth["high"]])
        ends = [tuple(line.get_xdata()) for line in axes.get_lines()]
        assert all(
            any(np.allclose(end, pair) for end in ends if len(end) == 2) for pair in rows[["low", "high"]].to_numpy()
        )
    assert "−0.0043 (−0.0529 to 0.0443)" in texts(drawn)


def test_forest_without_truth_has_no_band(tables: RunFolder) -> None:
    drawn = figures.effect_forest(tables.effects[tables.effects["role"] != "truth"], TITLES, {})
    assert not drawn.axes[0].patches


def test_labels_that_repeat_give_way_to_methods(tables: RunFolder) -> None:
    drawn = figures.effect_forest(tables.effects.assign(label="Slope"), TITLES, {})
    assert "aipw" in texts(drawn)


def test_layers_start_where_the_one_above_ends(tables: RunFolder) -> None:
    drawn = figures.uncertainty_layers(tables.layers, TITLES)
    layers = bars(drawn.axes[0])
    for above, below in pairwise(layers[:4]):
        assert below.get_x() == pytest.approx(above.get_x() + above.get_width())
    assert layers[4].get_x() == 0


@pytest.mark.parametrize("arm", EVERYONE)
def test_flow_joins_and_splits_arms(arm: str) -> None:
    rows = [("read", "", arm, 9, 90), ("treated", "", "a", 5, 50), ("treated", "", "b", 4, 40), ("all", "", arm, 9, 90)]
    flow = pd.DataFrame(rows, columns=["step", "reason", "arm", "patients", "visits"])
    drawn = figures.flow_diagram(flow)
    assert "9 patients\n90 visits" in texts(drawn)
    arrows = [each for each in drawn.axes[0].texts if getattr(each, "arrow_patch", None) is not None]
    assert len(arrows) == 4  # two out of the first box, two into the last


def test_an_arm_that_leaves_whole_stands_beside_the_reason() -> None:
    rows = [("read", "", "a", 9, 90), ("read", "", "b", 8, 80), ("keep b", "other arm", "a", 9, 90)]
    flow = pd.DataFrame([*rows, ("keep b", "", "b", 8, 80)], columns=["step", "reason", "arm", "patients", "visits"])
    axes = figures.flow_diagram(flow).axes[0]
    places = {text.get_text().split("\n")[0]: text.get_position()[0] for text in axes.texts}
    assert places["a"] > places["b"]
    arrows = [each for each in axes.texts if getattr(each, "arrow_patch", None) is not None]
    assert [each.get_position()[0] for each in arrows] == [places["b"]]
    assert any(np.allclose(line.get_xdata(), places["a"]) for line in axes.get_lines())


def test_flow_keeps_counts_and_reasons(tables: RunFolder) -> None:
    shown = texts(figures.flow_diagram(tables.flow))
    assert "placebo\n154 patients\n953 visits" in shown
    assert "no visit at time 0\n   dpenicillamine: 1 patient, 3 visits" in shown


def test_session_settings_do_not_reach_the_figures(tables: RunFolder, tmp_path: Path) -> None:
    usual = figures.save(figures.uncertainty_layers(tables.layers, TITLES), tmp_path, "usual")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None}):
        odd = figures.save(figures.uncertainty_layers(tables.layers, TITLES), tmp_path, "odd")
    assert usual == odd
    assert b"http://www.w3.org/Graphics" not in usual
    assert b"matplotlib.org" not in usual


def test_lines_are_as_even_as_can_be() -> None:
    assert wrapped("Randomised comparison (mixed model)", 30) == "Randomised comparison\n(mixed model)"
    assert wrapped("", 10) == ""
