"""`validate`: can this study be run on these data, and who is in them."""

from dataclasses import replace

from dpm.cohort.describe import baseline_table, flow_table
from dpm.errors import StudyError
from dpm.inference.hierarchy import Hierarchy
from dpm.study.stage import Context, Stage


def run(context: Context) -> str:
    """Read the patients, trace the model on them once, and write who they are."""
    materials = context.materials
    history, trial = materials.history, materials.trial
    both = history.subjects.index.intersection(trial.subjects.index)
    if len(both):
        got = f"{len(both):,} of both (first: {both[0]})"
        raise StudyError(f"{materials.file.path}: cohorts", "different patients in history and trial", got)
    Hierarchy.of(materials.model, history.records())
    steps = dict.fromkeys((*history.flow, *trial.flow))
    context.table("cohort/flow.csv", flow_table(replace(materials.cohort, flow=tuple(steps))))
    everyone = materials.cohort.subset([*history.subjects.index, *trial.subjects.index])
    context.table("cohort/baseline.csv", baseline_table(everyone))
    return (
        f"{history.n_subjects:,} patients with {history.n_visits:,} visits for the natural history, "
        f"{trial.n_subjects:,} with {trial.n_visits:,} treated"
    )


STAGE = Stage(
    name="validate",
    purpose="reading the patients and checking the study against them",
    places=("cohort",),
    sections=("data", "cohorts", "model"),
    code=("cohort", "components", "inference"),
    key_index=0,
    reads_model=True,
    run=run,
)
