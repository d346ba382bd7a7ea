"""What the README shows runs as it is printed."""

import re
import runpy
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from dpm.cli import app
from dpm.study.schema import Data

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
LINKS = re.findall(r"\]\(([^)#:]+)\)", README)


Show = Callable[[str], str]


@pytest.fixture
def show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Show:
    """Run a script and return what it prints."""

    def run(code: str) -> str:
        (tmp_path / "script.py").write_text(code, encoding="utf-8")
        runpy.run_path(str(tmp_path / "script.py"))
        return capsys.readouterr().out

    return run


def test_the_study_in_python_runs(show: Show) -> None:
    """With the normal approximation in place of the sampler, for speed; the slow test runs it as it stands."""
    assert BLOCKS[0].count("dpm.NUTS()") == 1
    printed = show(BLOCKS[0].replace("dpm.NUTS()", "dpm.Laplace(draws=50)"))
    assert "Difference in mean change of log bilirubin from baseline at 2 years" in printed


@pytest.mark.slow
def test_the_study_in_python_runs_as_printed(show: Show) -> None:
    assert "log mg/dL" in show(BLOCKS[0])


def test_the_model_in_python_is_built(show: Show) -> None:
    printed = show(f"import dpm\n{BLOCKS[1]}\nprint(model)")
    assert "Progression model" in printed
    assert "log_bilirubin" in printed


def test_files_that_it_points_to_are_there() -> None:
    assert LINKS
    assert [link for link in LINKS if not (ROOT / link).exists()] == []


def test_every_command_it_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"`dpm ([a-z]+)", README))
    assert {"run", "validate", "verify"} <= named
    with pytest.raises(SystemExit):
        app(["--help"])
    shown = capsys.readouterr().out
    assert [name for name in named if f" {name} " not in shown] == []


def test_the_data_section_is_one_that_a_study_file_takes() -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    data = tomllib.loads(block)["data"]
    data["roles"] |= {"subject": "id", "study": "study", "time": {"column": "day", "unit": "days"}}
    read = Data.model_validate(data)
    assert list(read.sources) == ["registry", "trial"]
    assert read.index is not None and len(read.index.eligible) == 2
    assert read.roles.outcomes["log_rna"].limits is not None
