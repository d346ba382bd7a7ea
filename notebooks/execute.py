"""Execute notebooks in place: `python notebooks/execute.py [FILE ...]`, every notebook of this folder by default.

What is written depends on code and data alone: no times, no execution metadata, a kernel's name that every machine has.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

# A progress bar's wish for widgets, which would be written into the notebook with the path of a library.
QUIET = {"PYTHONWARNINGS": "ignore:IProgress not found"}


def executed(path: Path, timeout: int = 1800) -> NotebookNode:
    """The notebook with the outputs of a fresh kernel, which works in the notebook's folder.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=timeout, kernel_name=KERNEL["name"], resources=resources)
    return tidied(client.execute(env={**os.environ, **QUIET}))


def tidied(notebook: NotebookNode) -> NotebookNode:
    """Without what differs from one execution, or one machine, to the next."""
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(KERNEL), language_info=NotebookNode(name="python", file_extension=".py")
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = NotebookNode({key: value for key, value in cell.metadata.items() if key == "tags"})
    return notebook


def main() -> None:
    for path in [Path(name).resolve() for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        nbformat.write(executed(path), path)
        print(f"executed {path.name}")


if __name__ == "__main__":
    main()
