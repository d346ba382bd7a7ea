"""The stages of a study, in order: what each reads, rests on and writes.

Each file here joins the study file to the library and computes nothing itself. It is imported when its stage runs, so
that a run in which nothing has changed imports none.
"""

from collections.abc import Callable
from importlib import import_module

from dpm.study.stage import Context, Stage

ARM_KEY = 3
"""Of the twins, which the comparison draws anew."""

FITTED = ("cohort", "components", "inference", "posterior", "checks")
VIRTUAL = (*FITTED, "virtual")
CONTROL = (*VIRTUAL, "control")
"""Folders of dpm that a stage may import, as far as the flow has come."""

PATIENTS = ("data", "cohorts", "model")


def step(name: str) -> Callable[[Context], str]:
    """The function `run` of a file of this folder."""

    def run(context: Context) -> str:
        outcome: str = import_module(f"dpm.study.stages.{name}").run(context)
        return outcome

    return run


STAGES = (
    Stage(
        name="validate",
        purpose="reading the patients and checking the study against them",
        places=("cohort",),
        sections=(*PATIENTS, "fitness", "check", "estimand", "compare"),
        code=CONTROL,
        reads_model=True,
        key_index=0,
        run=step("cohort"),
    ),
    Stage(
        name="fit",
        purpose="learning the natural history",
        places=("fit/posterior.nc", "fit/model.json", "fit/parameters.csv"),
        sections=("study.seed", *PATIENTS, "fit"),
        ignores=("fit.gate",),
        code=FITTED,
        needs=("validate",),
        reads_model=True,
        key_index=1,
        run=step("fit"),
    ),
    Stage(
        name="gate",
        purpose="holding the draws against the gates of convergence",
        places=("fit/convergence.csv",),
        sections=("fit.gate",),
        code=FITTED,
        needs=("fit",),
        reads_model=True,
        gated=True,
        key_index=6,
        run=step("gate"),
    ),
    Stage(
        name="check",
        purpose="holding the fit against what was observed",
        places=("check",),
        sections=("study.seed", *PATIENTS, "fit", "check", "estimand"),
        ignores=("fit.gate",),
        code=FITTED,
        needs=("validate", "fit"),
        gates=("gate",),
        reads_model=True,
        key_index=2,
        run=step("check"),
    ),
    Stage(
        name="arm",
        purpose="drawing an untreated twin for every treated patient",
        places=("arm",),
        sections=("study.seed", *PATIENTS, "arm", "estimand"),
        code=VIRTUAL,
        needs=("validate", "fit"),
        gates=("gate",),
        reads_model=True,
        key_index=ARM_KEY,
        run=step("arm"),
    ),
    Stage(
        name="compare",
        purpose="comparing treated patients with their untreated twins",
        places=("compare",),
        sections=("study.seed", *PATIENTS, "arm", "estimand", "compare"),
        code=CONTROL,
        needs=("validate", "fit", "arm"),
        gates=("gate",),
        reads_model=True,
        key_index=4,
        run=step("compare"),
    ),
    Stage(
        name="report",
        purpose="writing the report",
        places=("report.html", "figures"),
        sections=("study", "estimand"),
        code=("report",),
        needs=("validate", "fit", "gate", "check", "arm", "compare"),
        key_index=5,
        run=step("report"),
    ),
)
