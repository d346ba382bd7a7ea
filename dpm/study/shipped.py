"""The models and studies that travel with dpm, in a source checkout and in an installed wheel alike."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dpm.errors import StudyError
from dpm.study.hashing import PACKAGE

DEMO = "pbc_dpenicillamine"


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """A model file, by what its study key would be, and the first line of what it says of itself."""

    build: str
    title: str


def folder_of(kind: str, beside: str) -> Path:
    """A shipped folder: inside the package when installed, beside it in a checkout.

    Args:
        kind: its name in the wheel.
        beside: its name in a checkout.

    Raises:
        StudyError: neither is there.
    """
    for folder in (PACKAGE / "_shipped" / kind, PACKAGE.parent / beside):
        if folder.is_dir():
            return folder
    raise StudyError(beside, f"the {kind} shipped with dpm", "no such folder", "Install dpm again from its wheel.")


def models_folder() -> Path:
    return folder_of("models", "models")


def demo_study() -> Path:
    """The study file of `dpm demo`."""
    file = folder_of("studies", "experiments") / DEMO / "study.toml"
    if not file.is_file():
        raise StudyError(f"{DEMO}/study.toml", "the study shipped with dpm", "no such file", "Install dpm again.")
    return file


def list_models() -> Iterator[ShippedModel]:
    """Every shipped model file with a function `build`; read, not run."""
    for file in sorted(models_folder().glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "build" for node in tree.body):
            title = (ast.get_docstring(tree) or "").partition("\n")[0]
            yield ShippedModel(build=f"models/{file.name}:build", title=title)
