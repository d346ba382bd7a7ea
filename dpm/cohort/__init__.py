"""What was observed: read, check, align, describe."""

from dpm.cohort.cohort import Cohort, Source
from dpm.cohort.describe import baseline_table, flow_table, standardised_difference
from dpm.cohort.encodings import Encodings
from dpm.cohort.flow import FlowStep
from dpm.cohort.read import read_cohort
from dpm.cohort.records import Records
from dpm.cohort.roles import CovariateRole, EventRole, OutcomeRole, Roles, TimeRole, parse_roles
from dpm.cohort.shipped import data_path, list_data, load_data
from dpm.cohort.visits import VisitRule

__all__ = [
    "Cohort",
    "CovariateRole",
    "Encodings",
    "EventRole",
    "FlowStep",
    "OutcomeRole",
    "Records",
    "Roles",
    "Source",
    "TimeRole",
    "VisitRule",
    "baseline_table",
    "data_path",
    "flow_table",
    "list_data",
    "load_data",
    "parse_roles",
    "read_cohort",
    "standardised_difference",
]
