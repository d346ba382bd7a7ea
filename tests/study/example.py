"""A small study with fake stages, for tests of the machinery around them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from dpm.errors import CheckError
from dpm.study.materials import Materials
from dpm.study.read import read_study
from dpm.study.runner import run_study
from dpm.study.stage import Context, News, Stage

DATA = """id,arm,day,marker,stage,event,futime
A1,active,0,2.5,1,death,900
A1,active,180,3.0,1,death,900
B2,placebo,0,1.5,2,censored,1200
B2,placebo,200,2.0,2,censored,1200
"""

STUDY = """
[study]
name = "small"
title = "A small study"
question = "Does it work?"
context_of_use = "Tests."
seed = 7

[data]
file = "patients.csv"

[data.roles]
subject = "id"
arm = "arm"
subgroups = ["stage"]
time = { column = "day", unit = "days" }
outcomes.marker = { column = "marker", unit = "mg/dL", transform = "log", lower = 0.0, higher_is = "worse" }
events.end = { column = "event", time = "futime", unit = "days", types = ["death"], terminal = true }

[cohorts]
history = { arm = "placebo" }
trial = { arm = "active" }

[model]
build = "model.py:build"

[fit]
method = "NUTS"
draws = 10

[check]
folds = 2
at = 1.0
bins = [0, 1]
subgroups = ["stage"]

[[estimand]]
name = "change"
type = "mean_change"
outcome = "marker"
at = 1.0
intercurrent = { death = "hypothetical" }
"""

MODEL = '''"""A model."""


def build():
    return lambda records: None


def other():
    return 1
'''

EFFECTS = {
    "estimand": ["change", "change"],
    "label": ["Difference in change", "Difference in change"],
    "method": ["Twins", "Randomised"],
    "role": ["answer", "truth"],
    "estimate": [-0.0312, -0.0121],
    "se": [0.05, 0.05],
    "low": [-0.13, -0.11],
    "high": [0.07, 0.09],
    "level": [0.95, 0.95],
    "unit": ["log mg/dL", "log mg/dL"],
}


def write_study(folder: Path, replaced: dict[str, str] | None = None) -> Path:
    """The small study in a folder, with texts replaced that have to be there exactly once."""
    folder.mkdir(parents=True, exist_ok=True)
    text = STUDY
    for old, new in (replaced or {}).items():
        assert text.count(old) == 1, (old, text.count(old))
        text = text.replace(old, new)
    (folder / "patients.csv").write_text(DATA, encoding="utf-8")
    (folder / "model.py").write_text(MODEL, encoding="utf-8")
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"


class Stages:
    """Three fake stages.

    `done` lists those that ran; `hook` is called in the middle of the second, whose folder to go on from is
    `checkpoint`.
    """

    def __init__(self, names: tuple[str, str, str] = ("first", "second", "third")) -> None:
        self.names = names
        self.done: list[str] = []
        self.news: list[News] = []
        self.hook: Callable[[], None] = lambda: None
        self.checkpoint: Path | None = None

    def first(self, context: Context) -> str:
        self.done.append("first")
        context.table("one/rows.csv", pd.DataFrame({"rows": [len(context.materials.cohort.visits)]}))
        return "read"

    def second(self, context: Context) -> str:
        self.done.append("second")
        self.checkpoint = context.checkpoint
        context.table("two/half.csv", pd.DataFrame({"draw": [1.5]}))
        self.hook()
        context.json("two/rest.json", {"draws": context.materials.study.fit.draws})
        return "fitted"

    def third(self, context: Context) -> str:
        self.done.append("third")
        context.table("compare/effects.csv", pd.DataFrame(EFFECTS))
        context.path("report.html").write_text((context.run / "two" / "rest.json").read_text(), encoding="utf-8")
        return "written"

    @property
    def all(self) -> tuple[Stage, ...]:
        one, two, three = self.names
        return (
            Stage(
                name=one,
                purpose="first",
                places=("one",),
                sections=("data",),
                key_index=0,
                run=self.first,
                code=("cohort",),
            ),
            Stage(
                name=two,
                purpose="second",
                places=("two",),
                sections=("fit", "study.seed"),
                key_index=1,
                run=self.second,
                needs=(one,),
                reads_model=True,
                gated=True,
            ),
            Stage(
                name=three,
                purpose="third",
                places=("report.html", "compare"),
                sections=("estimand",),
                key_index=2,
                run=self.third,
                needs=(two,),
            ),
        )

    def run(self, study: Path, folder: Path, *, last: str = "third", force: str | None = None) -> list[str]:
        """Run up to a stage and return which stages were really run."""
        self.done.clear()
        materials = Materials(file=read_study(study), run=folder)
        run_study(materials, self.all, last=last, tell=self.news.append, force=force)
        return list(self.done)


def fail_gate() -> None:
    raise CheckError("fit: R-hat", "at most 1.01", "1.2 for slope", "Run more warm-up steps.")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return content
