"""What the study asks, as the library takes it."""

from dpm.cohort.visits import VisitRule
from dpm.control import estimand as estimands
from dpm.control.estimand import Estimand
from dpm.study.materials import Materials
from dpm.study.schema import MeanChange, SlopeDifference

Question = MeanChange | SlopeDifference


def estimand_of(materials: Materials, question: Question) -> Estimand:
    """The estimand of a table `[[estimand]]`.

    Raises:
        ControlError: its numbers do not go together.
    """
    settings = question.model_dump(exclude={"type", "name", "label"}, exclude_none=True)
    if isinstance(question, MeanChange):
        return estimands.MeanChange(**settings, visit_rule=visit_rule_of(materials))
    return estimands.SlopeDifference(**settings)


def visit_rule_of(materials: Materials) -> VisitRule:
    chosen = materials.study.compare.visit_rule
    return VisitRule(**chosen.model_dump(exclude_none=True)) if chosen else VisitRule()
