"""Disease progression modelling: natural history in, virtual control arms and honest comparisons out.

The names below are in the order of the flow: cohort, components, inference, posterior, checks, virtual, control,
report. They are imported when first used, so that `import dpm` and `dpm --help` cost nothing; float64 and JAX's
compilation cache are switched on now.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dpm.precision import configure

configure()

if TYPE_CHECKING:
    from dpm.checks.convergence import Gate, convergence_table, parameter_table, require_converged
    from dpm.checks.holdout import held_out_coverage
    from dpm.checks.predictive import visual_check
    from dpm.cohort.cohort import Cohort
    from dpm.cohort.describe import baseline_table, flow_table
    from dpm.cohort.encodings import Encodings
    from dpm.cohort.read import read_cohort
    from dpm.cohort.records import Records
    from dpm.cohort.roles import Roles
    from dpm.cohort.shipped import data_path, list_data, load_data
    from dpm.cohort.visits import VisitRule
    from dpm.components.card import ModelCard
    from dpm.components.clock import StudyTime
    from dpm.components.correlation import LKJ
    from dpm.components.outcome import Gaussian, Noise, Outcome
    from dpm.components.parameter import Parameter
    from dpm.components.progression import ProgressionModel
    from dpm.components.trajectory import Linear, LogisticGrowth, Trajectory
    from dpm.control.effect import Effect
    from dpm.control.estimand import MeanChange, SlopeDifference
    from dpm.control.external import unadjusted
    from dpm.control.randomised import randomised
    from dpm.control.twin import compare
    from dpm.errors import DPMError
    from dpm.inference.laplace import Laplace
    from dpm.inference.nuts import NUTS
    from dpm.posterior.fit import fit
    from dpm.posterior.posterior import Posterior
    from dpm.virtual.arm import VirtualArm, synthetic_arm

__version__ = "0.1.0"

_HOMES = {
    "cohort.read": ["read_cohort"],
    "cohort.roles": ["Roles"],
    "cohort.cohort": ["Cohort"],
    "cohort.records": ["Records"],
    "cohort.encodings": ["Encodings"],
    "cohort.visits": ["VisitRule"],
    "cohort.describe": ["baseline_table", "flow_table"],
    "cohort.shipped": ["data_path", "list_data", "load_data"],
    "components.parameter": ["Parameter"],
    "components.clock": ["StudyTime"],
    "components.trajectory": ["Linear", "LogisticGrowth", "Trajectory"],
    "components.outcome": ["Gaussian", "Noise", "Outcome"],
    "components.correlation": ["LKJ"],
    "components.card": ["ModelCard"],
    "components.progression": ["ProgressionModel"],
    "inference.laplace": ["Laplace"],
    "inference.nuts": ["NUTS"],
    "posterior.fit": ["fit"],
    "posterior.posterior": ["Posterior"],
    "checks.convergence": ["Gate", "convergence_table", "parameter_table", "require_converged"],
    "checks.predictive": ["visual_check"],
    "checks.holdout": ["held_out_coverage"],
    "virtual.arm": ["VirtualArm", "synthetic_arm"],
    "control.estimand": ["MeanChange", "SlopeDifference"],
    "control.effect": ["Effect"],
    "control.twin": ["compare"],
    "control.external": ["unadjusted"],
    "control.randomised": ["randomised"],
    "errors": ["DPMError"],
}
_WHERE = {name: module for module, names in _HOMES.items() for name in names}

__all__ = list(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'dpm' has no attribute {name!r}")
    return getattr(import_module(f"dpm.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
