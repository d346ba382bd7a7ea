"""A stage: what it reads, what it writes, and what it is given to do so."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from dpm.study.files import write_json, write_table
from dpm.study.materials import Materials
from dpm.types import Key


@dataclass(frozen=True, kw_only=True)
class News:
    """One line of progress.

    Attributes:
        stage: its name.
        kind: what happened.
        text: what is being done, what came out, or why a stage runs again.
        seconds: since the stage began.
    """

    stage: str
    kind: Literal["start", "note", "done", "unchanged", "gate"]
    text: str
    seconds: float = 0.0


Tell = Callable[[News], None]
"""Who is told of progress."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a stage works with.

    Attributes:
        materials: the study and what earlier stages made of it.
        run: the run folder; read from, never written to.
        partial: where this stage writes, at the paths that its files will have in the run folder.
        checkpoint: a folder for what lets this stage go on after a stop; not there yet unless a run of the same inputs
            was stopped, and removed when the stage is done.
        note: tell the user what is being done.
        key_index: of this stage; see `key`.
    """

    materials: Materials
    run: Path
    partial: Path
    checkpoint: Path
    note: Callable[[str], None]
    key_index: int

    @property
    def key(self) -> Key:
        """The key of this stage: the study's seed, folded with the place of the stage."""
        return self.materials.key(self.key_index)

    def table(self, name: str, table: pd.DataFrame) -> None:
        """Write a CSV table at its path in the run folder, such as `fit/parameters.csv`."""
        write_table(self.partial / name, table)

    def json(self, name: str, content: Any) -> None:
        """Write a JSON file at its path in the run folder."""
        write_json(self.partial / name, content)

    def path(self, name: str) -> Path:
        """Where to write a file of another kind; its folder exists."""
        path = self.partial / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of a study.

    It runs again when something that it reads has changed: its tables of the study file, the data, the model's
    file, the part of dpm's code that it may import, the versions of the packages below it, or what its upstream stages
    wrote.

    Attributes:
        name: of its command and in the manifest.
        purpose: what it does, in a few words.
        places: the files and folders of the run folder that are its own.
        sections: dotted paths of what it reads in the study file.
        code: the folders of dpm that it may import.
        needs: the stages whose outputs it reads.
        ignores: dotted paths below `sections` that it does not read.
        gates: the stages whose gate has to be open for it to run, though it reads nothing of theirs.
        reads_model: whether it rests on the model's file.
        key_index: from which its key is derived; kept for ever, so that a new stage changes no other's draws.
        run: writes the outputs and returns what came out, in one line.
        gated: whether a `CheckError` is its gate: what it wrote before is then kept, as evidence.
    """

    name: str
    purpose: str
    places: tuple[str, ...]
    sections: tuple[str, ...]
    key_index: int
    run: Callable[[Context], str]
    code: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    ignores: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    reads_model: bool = False
    gated: bool = False
