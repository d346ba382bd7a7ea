"""One example run with its report, shared by the tests that only look at it."""

from pathlib import Path

import pytest

from dpm.report import write_report

from .example_run import write_example_run


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run whose report is written; not to be changed."""
    run = write_example_run(tmp_path_factory.mktemp("reported"))
    write_report(run)
    return run


@pytest.fixture(scope="session")
def page(reported: Path) -> str:
    return (reported / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Folder of a run without a report, to be changed at will."""
    return write_example_run(tmp_path)
