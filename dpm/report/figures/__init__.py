"""Figures of a report: each takes tables and gives back a `matplotlib.figure.Figure`; they draw and compute nothing."""

from dpm.report.figures.calibration import subgroup_calibration
from dpm.report.figures.comparability import covariate_support
from dpm.report.figures.effects import effect_forest
from dpm.report.figures.flow import flow_diagram
from dpm.report.figures.layers import uncertainty_layers
from dpm.report.figures.predictive import predictive_check
from dpm.report.figures.quality import fitness_lights, quality_overview
from dpm.report.figures.scale import OutcomeScale
from dpm.report.figures.style import rendered, save
from dpm.report.figures.twins import twin_courses
from dpm.report.figures.visiting import visit_timing

__all__ = [
    "OutcomeScale",
    "covariate_support",
    "effect_forest",
    "fitness_lights",
    "flow_diagram",
    "predictive_check",
    "quality_overview",
    "rendered",
    "save",
    "subgroup_calibration",
    "twin_courses",
    "uncertainty_layers",
    "visit_timing",
]
