"""`validate`: can this study be run on these data and answer its questions, and who is in them."""

from dataclasses import replace

from dpm.cohort.cohort import Cohort, counts_by_arm
from dpm.cohort.describe import baseline_table, flow_table
from dpm.cohort.flow import count_step
from dpm.errors import StudyError
from dpm.inference.hierarchy import Hierarchy
from dpm.study.answerable import require_answerable
from dpm.study.fitness import comparability_tables, fitness_tables
from dpm.study.model_file import traced
from dpm.study.stage import Context


def run(context: Context) -> str:
    """Read the patients, trace the model on them once, and write who they are."""
    materials = context.materials
    history, trial = materials.history, materials.trial
    both = history.subjects.index.intersection(trial.subjects.index)
    if len(both):
        got = f"{len(both):,} of both (first: {both[0]})"
        raise StudyError(f"{materials.file.path}: cohorts", "different patients in history and trial", got)
    require_answerable(materials)
    traced(materials.file, lambda: Hierarchy.of(materials.model, history.records()))
    context.table("cohort/flow.csv", flow_table(divided(materials.cohort, history, trial)))
    study = everyone(materials.cohort, history, trial)
    context.table("cohort/baseline.csv", baseline_table(study))
    tables = fitness_tables(study, materials.study.fitness) | comparability_tables(history, trial)
    for name, table in tables.items():
        context.table(name, table)
    return (
        f"{history.n_subjects:,} patients with {history.n_visits:,} visits for the natural history, "
        f"{trial.n_subjects:,} with {trial.n_visits:,} treated"
    )


def everyone(cohort: Cohort, history: Cohort, trial: Cohort) -> Cohort:
    """The patients of the study; those it has no use for are left out, with that reason."""
    used = history.subjects.index.union(trial.subjects.index)
    rest = cohort.subjects.index.difference(used)
    return cohort.exclude(rest, "neither natural history nor treated") if len(rest) else cohort


def divided(cohort: Cohort, history: Cohort, trial: Cohort) -> Cohort:
    """The patients of the study with their attrition: one way up to the point where the two cohorts part."""
    study = everyone(cohort, history, trial)
    number = 1 + len({line.step for line in study.flow})
    parted = [
        line
        for place, (what, part) in enumerate((("natural history", history), ("untreated twins", trial)))
        for line in count_step(f"{number + place} {what}", "", counts_by_arm(part), counts_by_arm(part))
    ]
    return replace(study, flow=(*study.flow, *parted))
