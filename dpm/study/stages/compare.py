"""`compare`: treated patients against their untreated twins, and the same question asked in other ways."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import pandas as pd

from dpm.control.effect import Effect
from dpm.control.estimand import Estimand, SlopeDifference
from dpm.control.external import unadjusted
from dpm.control.randomised import randomised
from dpm.control.twin import TreatedCourse, compare
from dpm.study.materials import Materials
from dpm.study.questions import Question, estimand_of
from dpm.study.stage import Context
from dpm.study.stages.arm import arm_of
from dpm.types import Key
from dpm.virtual.arm import VirtualArm


@dataclass(frozen=True, kw_only=True)
class Courses:
    """Treated and untreated courses, shared by all estimands; each drawn when a method first asks.

    Attributes:
        materials: of the study.
        key: for the treated courses.
    """

    materials: Materials
    key: Key

    @cached_property
    def twins(self) -> VirtualArm:
        return arm_of(self.materials)

    @cached_property
    def treated(self) -> TreatedCourse:
        return TreatedCourse.of(self.twins, self.materials.trial, key=self.key)

    def compare(self, estimand: Estimand, *, key: Key) -> Effect:
        """The treated against their twins."""
        return compare(self.materials.trial, self.twins, estimand=estimand, key=key, course=self.treated)


def effects_of(courses: Courses, question: Question, *, key: Key) -> Iterator[tuple[str, Effect]]:
    """Every method's answer with its role: the answer first, what stands beside it, the truth, then variations."""
    materials = courses.materials
    trial, history, asked = materials.trial, materials.history, materials.study.compare
    estimand = estimand_of(materials, question)
    for place, method in enumerate(asked.methods):
        role = "comparison" if place else "answer"
        if method == "twin":
            yield role, courses.compare(estimand, key=key)
        else:
            yield role, unadjusted(trial, history, estimand=estimand)
    if asked.truth is not None:
        yield "truth", randomised(trial, history, estimand=estimand)
    if "all_visits" in asked.sensitivity and not isinstance(estimand, SlopeDifference):
        effect = courses.compare(replace(estimand, visit_rule=None), key=key)
        yield "sensitivity", replace(effect, method=f"{effect.method}, all visits")


def described(materials: Materials, question: Question, effects: list[dict[str, Any]]) -> dict[str, Any]:
    """The estimand in words, with the scale of its outcome and the counts of the method that answers it."""
    role = materials.study.data.roles.outcomes[question.outcome]
    sizes = json.loads(effects[0]["sizes"])
    return {
        **estimand_of(materials, question).describe(),
        "name": question.name,
        "label": effects[0]["label"],
        "outcome_label": role.label or question.outcome,
        "outcome_unit": role.unit,
        "outcome_transform": role.transform,
        "counts": sizes,
    }


def run(context: Context) -> str:
    """Write every method's answer to every estimand, and where the variance of the twins' answer comes from."""
    materials = context.materials
    courses = Courses(materials=materials, key=jax.random.fold_in(context.key, len(materials.study.estimand)))
    rows, layers, estimands = [], [], []
    for number, question in enumerate(materials.study.estimand):
        context.note(f"answering {question.name}")
        own = []
        for role, effect in effects_of(courses, question, key=jax.random.fold_in(context.key, number)):
            row = effect.to_row(estimand=question.name, role=role)
            own.append({**row, "label": question.label or row["label"]})
            if role == "answer" and len(effect.layers):
                layers.append(effect.layers.assign(estimand=question.name))
        rows += own
        estimands.append(described(materials, question, own))
    context.table("compare/effects.csv", pd.DataFrame(rows))
    empty = pd.DataFrame(columns=["estimand", "layer", "sd", "variance_share"])
    together = pd.concat(layers) if layers else empty
    context.table("compare/layers.csv", together[list(empty.columns)])
    context.json("compare/estimands.json", estimands)
    return f"{len(estimands)} estimands, {len(rows)} answers"
