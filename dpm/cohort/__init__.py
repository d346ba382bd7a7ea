"""What was observed: read, check, align, describe."""

from dpm.cohort.adam import read_adam
from dpm.cohort.adam_export import write_adam
from dpm.cohort.cleaning import CleaningRule, LedgerLine, ledger_rows, ledger_table
from dpm.cohort.cohort import Cohort
from dpm.cohort.comparability import (
    Comparability,
    JointSupport,
    baseline_values,
    compare_sources,
    joint_support,
    representativeness,
)
from dpm.cohort.describe import baseline_table, flow_table, standardised_difference
from dpm.cohort.digits import DigitPreference, digit_preference
from dpm.cohort.encodings import Encodings
from dpm.cohort.event_role import CENSORED, EventRole
from dpm.cohort.export import read_written, write_cohort, written_roles
from dpm.cohort.fitness import DEFAULT_RULES, FitnessRule, fitness
from dpm.cohort.flow import FlowStep
from dpm.cohort.index_date import IndexRule
from dpm.cohort.nonmem import read_nonmem
from dpm.cohort.outcome_role import Limits, OutcomeRole, StructuralZero
from dpm.cohort.quality import quality_table
from dpm.cohort.read import read_cohort
from dpm.cohort.records import Records
from dpm.cohort.roles import CovariateRole, Roles, TimeRole, parse_roles
from dpm.cohort.shipped import data_path, list_data, load_data
from dpm.cohort.sources import SourceFile, Tables
from dpm.cohort.table import Source
from dpm.cohort.visit_table import visit_table
from dpm.cohort.visiting import VisitProcess, visit_distances, visit_process
from dpm.cohort.visits import VisitRule

__all__ = [
    "CENSORED",
    "DEFAULT_RULES",
    "CleaningRule",
    "Cohort",
    "Comparability",
    "CovariateRole",
    "DigitPreference",
    "Encodings",
    "EventRole",
    "FitnessRule",
    "FlowStep",
    "IndexRule",
    "JointSupport",
    "LedgerLine",
    "Limits",
    "OutcomeRole",
    "Records",
    "Roles",
    "Source",
    "SourceFile",
    "StructuralZero",
    "Tables",
    "TimeRole",
    "VisitProcess",
    "VisitRule",
    "baseline_table",
    "baseline_values",
    "compare_sources",
    "data_path",
    "digit_preference",
    "fitness",
    "flow_table",
    "joint_support",
    "ledger_rows",
    "ledger_table",
    "list_data",
    "load_data",
    "parse_roles",
    "quality_table",
    "read_adam",
    "read_cohort",
    "read_nonmem",
    "read_written",
    "representativeness",
    "standardised_difference",
    "visit_distances",
    "visit_process",
    "visit_table",
    "write_adam",
    "write_cohort",
    "written_roles",
]
