"""The report stage: one page of a run, its figures, and where every number comes from."""

from dpm.report.document import write_report
from dpm.report.figures import (
    OutcomeScale,
    effect_forest,
    flow_diagram,
    predictive_check,
    subgroup_calibration,
    twin_courses,
    uncertainty_layers,
)

__all__ = [
    "OutcomeScale",
    "effect_forest",
    "flow_diagram",
    "predictive_check",
    "subgroup_calibration",
    "twin_courses",
    "uncertainty_layers",
    "write_report",
]
