"""Figures of a report: each takes tables and gives back a `matplotlib.figure.Figure`; they draw and compute nothing."""

from dpm.report.figures.calibration import subgroup_calibration
from dpm.report.figures.effects import effect_forest
from dpm.report.figures.flow import flow_diagram
from dpm.report.figures.layers import uncertainty_layers
from dpm.report.figures.predictive import predictive_check
from dpm.report.figures.scale import OutcomeScale
from dpm.report.figures.style import rendered, save
from dpm.report.figures.twins import twin_courses

__all__ = [
    "OutcomeScale",
    "effect_forest",
    "flow_diagram",
    "predictive_check",
    "rendered",
    "save",
    "subgroup_calibration",
    "twin_courses",
    "uncertainty_layers",
]
