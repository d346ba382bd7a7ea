"""The stages of a study, in order. Each file here joins the study file to the library and computes nothing itself."""

from dpm.study.stage import Stage
from dpm.study.stages import arm, check, cohort, compare, fit, report

STAGES: tuple[Stage, ...] = (cohort.STAGE, fit.STAGE, check.STAGE, arm.STAGE, compare.STAGE, report.STAGE)
