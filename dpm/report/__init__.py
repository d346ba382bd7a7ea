"""The report stage: one page of a run, its figures, and where every number comes from."""

from dpm.report.captions import calibration_text, flow_text, predictive_text
from dpm.report.document import write_report
from dpm.report.figures import (
    OutcomeScale,
    effect_forest,
    flow_diagram,
    predictive_check,
    rendered,
    subgroup_calibration,
    twin_courses,
    uncertainty_layers,
)
from dpm.report.wording import coverage_notice

__all__ = [
    "OutcomeScale",
    "calibration_text",
    "coverage_notice",
    "effect_forest",
    "flow_diagram",
    "flow_text",
    "predictive_check",
    "predictive_text",
    "rendered",
    "subgroup_calibration",
    "twin_courses",
    "uncertainty_layers",
    "write_report",
]
