"""What a reviewer reads was executed from top to bottom, defines nothing, and comes out the same when run again."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat import NotebookNode

from tests.test_repository import MACHINE_PATH

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
TOLERANCE = 0.02
"""Relative, and absolute; a normal approximation's draws differ in the last digits between processors."""

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def definitions(source: str) -> list[str]:
    return [type(node).__name__ for node in ast.walk(ast.parse(source)) if isinstance(node, DEFINITIONS)]


def shown(cell: NotebookNode) -> list[str]:
    """The text of a cell's outputs; of an image, the words that stand for it."""
    found = []
    for output in cell.outputs:
        data = output.get("data", {})
        plain = data.get("text/markdown") or data.get("text/plain") or output.get("text", "")
        found.append(plain + str(output.get("metadata", {})))
    return found


def parted(text: str) -> tuple[str, list[float]]:
    """A text without its numbers and without layout, and the numbers."""
    words = re.sub(r"[\s\\]+", " ", NUMBER.sub("#", text))
    return words, [float(number.replace(",", "")) for number in NUMBER.findall(text)]


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["pbc_subgroup_validation"]


@each_notebook
def test_a_notebook_defines_nothing_and_imports_nothing_private(path: Path) -> None:
    for cell in code(read(path)):
        assert not definitions(cell.source), cell.source
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.ImportFrom):
                private = (node.module or "").startswith("dpm.") and node.module != "dpm.report"
                assert not private, f"{node.module} is not public"


@pytest.mark.parametrize("source", ["def f(): pass", "class A: pass", "f = lambda x: x"])
def test_a_definition_is_seen(source: str) -> None:
    assert definitions(source)


@each_notebook
def test_a_notebook_was_executed_in_order_without_error(path: Path) -> None:
    cells = code(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    assert [output for output in outputs if "image/png" in output.get("data", {})]


@each_notebook
def test_a_notebook_says_nothing_of_the_machine_or_the_time(path: Path) -> None:
    text, notebook = path.read_text(encoding="utf-8"), read(path)
    assert not MACHINE_PATH.search(text)
    assert "site-packages" not in text
    assert str(FOLDER.parent) not in text
    assert "/tmp/" not in "".join(part for cell in code(notebook) for part in [cell.source, *shown(cell)])
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    assert not re.search(r"0x[0-9a-f]{6,}", text)


def test_numbers_are_compared_apart_from_words() -> None:
    assert parted("shift  -0.37 of\n1,234 (p = 1e-06)") == ("shift # of # (p = #)", [-0.37, 1234.0, 1e-6])


@pytest.mark.slow
@each_notebook
def test_a_notebook_shows_what_comes_out_when_it_is_run_again(path: Path, tmp_path: Path) -> None:
    """In a process of its own: the kernel's libraries start threads and warn."""
    again = tmp_path / path.name
    program = (
        "import sys, nbformat; from pathlib import Path; from notebooks.execute import executed;"
        "nbformat.write(executed(Path(sys.argv[1])), sys.argv[2])"
    )
    command = [sys.executable, "-c", program, str(path), str(again)]
    subprocess.run(command, cwd=FOLDER.parent, check=True, capture_output=True, text=True)
    for old, new in zip(code(read(path)), code(read(again)), strict=True):
        assert old.source == new.source
        for kept, found in zip(shown(old), shown(new), strict=True):
            (words, numbers), (words_again, numbers_again) = parted(kept), parted(found)
            assert words == words_again
            np.testing.assert_allclose(numbers_again, numbers, rtol=TOLERANCE, atol=TOLERANCE, err_msg=old.source)


@each_notebook
def test_an_image_has_words_that_stand_for_it(path: Path) -> None:
    for cell in code(read(path)):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                assert "alt" in json.dumps(output.metadata), cell.source
