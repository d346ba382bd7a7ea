"""What stages share: the study, and what it names, each read once and only when a stage asks."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax

from dpm.cohort.adam import read_adam
from dpm.cohort.cohort import Cohort
from dpm.cohort.nonmem import read_nonmem
from dpm.cohort.read import read_cohort
from dpm.cohort.shipped import data_path
from dpm.cohort.sources import SourceFile, Tables
from dpm.errors import CohortError, StudyError
from dpm.posterior.posterior import Posterior
from dpm.study.hashing import sha256_of_file
from dpm.study.model_file import build_model
from dpm.study.read import StudyFile
from dpm.study.schema import Data, Study
from dpm.types import Key, Model

INDEX_KEY = 7
"""Of an index visit drawn at random."""


@dataclass(frozen=True, kw_only=True)
class Materials:
    """The study at work.

    Attributes:
        file: the study and its file.
        run: the run folder.
        progress: whether a sampler tells on the error stream how far it is.
    """

    file: StudyFile
    run: Path
    progress: bool = False

    @property
    def study(self) -> Study:
        return self.file.study

    def key(self, index: int) -> Key:
        """The key of a stage."""
        return jax.random.fold_in(jax.random.key(self.study.study.seed), index)

    @cached_property
    def data(self) -> dict[str, Path]:
        """The files of the patients, by their keys in the study file.

        Raises:
            StudyError: there is no such file.
        """
        return find_data(self.study.data, self.file.path, self.file.folder)

    @cached_property
    def data_sha256(self) -> dict[str, str]:
        """The hash of each file, by its name in the study file."""
        return {name: sha256_of_file(self.data[key]) for key, name in self.study.data.files.items()}

    @cached_property
    def cohort(self) -> Cohort:
        """Everyone in the files."""
        return read_data(self.study.data, self.data, self.key(INDEX_KEY))

    @property
    def rows(self) -> int:
        """How many were read."""
        return sum(source.rows for source in self.cohort.sources)

    @cached_property
    def history(self) -> Cohort:
        """Those the natural history is learned from."""
        return self._part("history", self.study.cohorts.history)

    @cached_property
    def trial(self) -> Cohort:
        """Those who were treated."""
        return self._part("trial", self.study.cohorts.trial)

    def _part(self, name: str, levels: dict[str, str]) -> Cohort:
        try:
            return self.cohort.where(**levels)
        except CohortError as error:
            where = f"{self.file.path}: cohorts.{name}, {error.where.removeprefix('where: ')}"
            raise StudyError(where, error.expected, error.got, error.do) from None

    @cached_property
    def model(self) -> Model:
        return build_model(self.file)

    @cached_property
    def posterior(self) -> Posterior:
        """As the fit left it on disk, so that a run in one go and a resumed one rest on the same numbers."""
        return Posterior.load(self.run / "fit" / "posterior.nc", model=self.model)


def find_data(data: Data, file: Path, folder: Path) -> dict[str, Path]:
    """Every file that a data section names, by its key.

    Args:
        data: the section.
        file: that holds it.
        folder: that its paths start from.

    Raises:
        StudyError: there is no such file.
    """
    found = {}
    for key, name in data.files.items():
        where = f"{file}: data.{key}"
        if name.startswith("data:"):
            try:
                found[key] = data_path(name)
            except CohortError as error:
                raise StudyError(where, error.expected, f'"{name}"', error.do) from None
            continue
        found[key] = folder / name
        if not found[key].is_file():
            do = "The path starts at the folder of the study file; data shipped with dpm start with data: (dpm data)."
            raise StudyError(where, "a file", f'no file "{name}" beside {file.name}', do)
    return found


def read_data(data: Data, files: dict[str, Path], key: Key) -> Cohort:
    """Everyone in the files of a data section.

    Raises:
        CohortError: the tables cannot be used as they are.
    """
    return read_cohort(
        _source(data, files),
        data.roles,
        subjects=files.get("subjects"),
        events=files.get("events"),
        units=data.units,
        rules=data.rules,
        index=data.index,
        key=key,
    )


def _source(data: Data, files: dict[str, Path]) -> Path | dict[str, Path | SourceFile] | Tables:
    """What the cohort is read from."""
    if data.adam is not None:
        bds = [files[f"adam.bds[{number}]"] for number in range(len(data.adam.bds))]
        window = data.adam.baseline_window
        return read_adam(files["adam.adsl"], bds, files.get("adam.adtte"), baseline_window=window)
    if data.nonmem is not None:
        names = {int(number): name for number, name in data.nonmem.names.items()}
        drop, positive = data.nonmem.drop, data.nonmem.positive
        return read_nonmem(files["nonmem.file"], names or None, drop=drop, positive=positive)
    if data.file is not None:
        return files["file"]
    return {
        name: SourceFile(file=files[f"sources.{name}.file"], **source.model_dump(exclude={"file"}))
        for name, source in data.sources.items()
    }
