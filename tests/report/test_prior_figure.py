"""What priors expect, drawn for a model of one's own."""

import jax
import numpy as np

from dpm.posterior.prior import prior_predictive
from dpm.report.prior_figure import panels_of, prior_figure
from tests.checks.lines import line, straight


def test_the_figure_shows_the_table() -> None:
    """A panel per outcome; its median and bands are the table's percentiles at each visit."""
    table = prior_predictive(line, straight().records(), key=jax.random.key(1), draws=40)
    (panel,) = panels_of(table, {})
    for percentile, values in panel.percentiles.items():
        rows = table[table["percentile"] == percentile].sort_values("time")
        np.testing.assert_array_equal(values, rows["value"])
        np.testing.assert_array_equal(panel.time, rows["time"])
    (axes,) = prior_figure(table, labels={"score": "score [points]"}).axes
    assert axes.get_ylabel() == "score [points]"
    (median,) = (curve for curve in axes.get_lines() if curve.get_label() == "median, prior")
    np.testing.assert_array_equal(median.get_ydata(), panel.percentiles[50])
    assert len(axes.collections) == 2
