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
    """A model file, by what its study key would be, the first line of what it says of itself, and its card."""

    build: str
    title: str
    disease: str = ""
    endpoint: str = ""
    source: str = ""
    status: str = ""


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
            yield ShippedModel(build=f"models/{file.name}:build", title=title, **_card(tree))


def _card(tree: ast.Module) -> dict[str, str]:
    """What the card of a model file says of disease, endpoint, source and status, where they are plain texts."""
    wanted = ("disease", "endpoint", "source", "status")
    for node in tree.body:
        named = isinstance(node, ast.Assign) and any(
            isinstance(to, ast.Name) and to.id == "CARD" for to in node.targets
        )
        if named and isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            given = {each.arg: each.value for each in node.value.keywords if each.arg in wanted}
            return {str(key): str(value.value) for key, value in given.items() if isinstance(value, ast.Constant)}
    return {}
