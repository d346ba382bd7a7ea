"""What was observed: read, check, align, describe."""

from dpm.cohort.adam import read_adam
from dpm.cohort.adam_export import write_adam
from dpm.cohort.cleaning import CleaningRule, LedgerLine, ledger_rows, ledger_table
from dpm.cohort.cohort import Cohort
from dpm.cohort.describe import baseline_table, flow_table, standardised_difference
from dpm.cohort.encodings import Encodings
from dpm.cohort.event_role import CENSORED, EventRole
from dpm.cohort.export import read_written, write_cohort, written_roles
from dpm.cohort.flow import FlowStep
from dpm.cohort.index_date import IndexRule
from dpm.cohort.nonmem import read_nonmem
from dpm.cohort.outcome_role import Limits, OutcomeRole, StructuralZero
from dpm.cohort.read import read_cohort
from dpm.cohort.records import Records
from dpm.cohort.roles import CovariateRole, Roles, TimeRole, parse_roles
from dpm.cohort.shipped import data_path, list_data, load_data
from dpm.cohort.sources import SourceFile, Tables
from dpm.cohort.table import Source
from dpm.cohort.visits import VisitRule

__all__ = [
    "CENSORED",
    "CleaningRule",
    "Cohort",
    "CovariateRole",
    "Encodings",
    "EventRole",
    "FlowStep",
    "IndexRule",
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
    "VisitRule",
    "baseline_table",
    "data_path",
    "flow_table",
    "ledger_rows",
    "ledger_table",
    "list_data",
    "load_data",
    "parse_roles",
    "read_adam",
    "read_cohort",
    "read_nonmem",
    "read_written",
    "standardised_difference",
    "write_adam",
    "write_cohort",
    "written_roles",
]
