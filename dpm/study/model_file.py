"""The model a study names: find its file, run it, and call the function that builds it."""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from types import FunctionType, ModuleType

from dpm.errors import DPMError, StudyError
from dpm.study.fields import meant
from dpm.study.hashing import sha256_of_file
from dpm.study.read import StudyFile
from dpm.study.shipped import models_folder
from dpm.types import Model

WHERE = "model.build"
LONGEST = 300
"""Letters of somebody else's error message that are shown."""

TOP = (".git", "pyproject.toml")
"""What marks the top folder of a project, where the search upwards ends."""


def model_path(study_file: StudyFile) -> Path:
    """The file of the model: beside the study file, in a folder above it within the project, or shipped with dpm.

    Raises:
        StudyError: it is in none of them.
    """
    name, _ = split(study_file)
    shipped = models_folder()
    folders = [*_upwards(study_file.folder), shipped.parent]
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).resolve()
    here = [f"models/{file.name}" for file in sorted(shipped.glob("*.py"))]
    do = f"{meant(name, here)} Shipped: {', '.join(here) or 'none'}.".strip()
    where = f"{study_file.path}: {WHERE}"
    raise StudyError(where, "a file beside the study, above it in its project, or shipped with dpm", f'no "{name}"', do)


def build_model(study_file: StudyFile) -> Model:
    """Run the model's file and call its function.

    Raises:
        StudyError: there is no such file or function, or one of them fails.
    """
    path = model_path(study_file)
    _, name = split(study_file)
    where = f"{study_file.path}: {WHERE}"
    module = _load(path, where)
    build = getattr(module, name, None)
    if not callable(build):
        own = [key for key, value in vars(module).items() if isinstance(value, FunctionType) and _is_own(module, value)]
        got = f'no function "{name}"'
        raise StudyError(where, f"a function of {path.name}: {', '.join(own) or 'it has none'}", got, meant(name, own))
    model = _guarded(build, path, where)
    if not callable(model):
        raise StudyError(where, "a function that returns a model", f"{name}() returned {type(model).__name__}")
    if not _takes_one(model):
        raise StudyError(where, "a model of one argument, `records`", f"{name}() returned one that takes others")
    return model


def traced[T](study_file: StudyFile, call: Callable[[], T]) -> T:
    """Do what runs the model for the first time; what it raises is the modeller's to mend.

    Raises:
        StudyError: the model failed.
        DPMError: dpm refused the model.
    """
    return _guarded(call, model_path(study_file), f"{study_file.path}: {WHERE}")


def model_hash(study_file: StudyFile) -> str:
    """Of the model's file."""
    return sha256_of_file(model_path(study_file))


def split(study_file: StudyFile) -> tuple[str, str]:
    """The path of the file and the name of the function."""
    name, _, function = study_file.study.model.build.rpartition(":")
    return name, function


def _upwards(folder: Path) -> list[Path]:
    """The folder and those above it up to the top of its project; only the folder where it is in none."""
    found = []
    for each in (folder, *folder.parents):
        found.append(each)
        if any((each / mark).exists() for mark in TOP):
            return found
    return [folder]


def _load(path: Path, where: str) -> ModuleType:
    name = f"dpm_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise StudyError(where, "a Python file", path.name)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name while the file runs.
    sys.modules[name] = module
    loader = spec.loader
    _guarded(lambda: loader.exec_module(module), path, where)
    return module


def _guarded[T](call: Callable[[], T], path: Path, where: str) -> T:
    """Call into the model's file; what it raises is the modeller's to mend, and is told in one line."""
    try:
        return call()
    except DPMError:
        raise
    except SyntaxError as error:
        got = f"{error.msg} in line {error.lineno}" if error.lineno else error.msg
        raise StudyError(where, f"{path.name} to be valid Python", got) from error
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
        line = f" in line {lines[-1]}" if lines else ""
        first = str(error).strip().partition("\n")[0][:LONGEST]
        got = f"{type(error).__name__}: {first}{line}"
        raise StudyError(where, f"{path.name} to run", got, "Mend the model's file.") from error


def _takes_one(model: Callable[..., object]) -> bool:
    """Whether it can be called with the records alone; what has no signature is given the benefit of the doubt."""
    try:
        signature(model).bind(None)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def _is_own(module: ModuleType, function: FunctionType) -> bool:
    return function.__module__ == module.__name__ and not function.__name__.startswith("_")
