"""The figure of what a model expects before any data."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from dpm.report.figures.gallery import PriorPanel, model_panels


def prior_figure(table: pd.DataFrame, *, labels: Mapping[str, str] | None = None) -> Figure:
    """A panel per outcome of a `dpm.prior_predictive` table: median, middle half and middle 90 % by visit.

    Args:
        table: of `dpm.prior_predictive`.
        labels: of the vertical axes by outcome, with the unit; the outcome's name where there is none.

    Returns:
        a figure; `figure.savefig("prior.png")` writes it.
    """
    return model_panels(panels_of(table, labels or {}))


def panels_of(table: pd.DataFrame, labels: Mapping[str, str]) -> tuple[PriorPanel, ...]:
    """The panels of such a table."""
    panels = []
    for name, own in table.groupby("outcome", sort=False):
        rows = own.drop_duplicates(["time", "percentile"])
        wide = rows.pivot_table(index="time", columns="percentile", values="value", dropna=False)
        panels.append(
            PriorPanel(
                label=labels.get(str(name), str(name).replace("_", " ")),
                time=wide.index.to_numpy(),
                percentiles={int(each): wide[each].to_numpy() for each in wide.columns},
            )
        )
    return tuple(panels)
