"""What a user installs: the wheel holds data, models and study, and works with no checkout in sight."""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

STUDY = "dpm/_shipped/studies/pbc_dpenicillamine/study.toml"

COMES_WITH = {"markupsafe": "jinja2", "pydantic_core": "pydantic"}  # part of what a declared package offers


def completed(*command: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command run to its end in `folder`, without what this process' environment says about Python."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYTEST", "VIRTUAL_ENV", "COV_"))}
    command = tuple(map(str, command))
    return subprocess.run(
        command, cwd=folder, env={**clean, **environment}, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def output(*command: str | Path, folder: Path, **environment: str) -> str:
    done = completed(*command, folder=folder, **environment)
    assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def missing(root: Path) -> list[str]:
    """Files that the build needs and a checkout always has."""
    needed = ("README.md", "LICENSE", "NOTICE", "experiments/pbc_dpenicillamine/study.toml")
    return [name for name in needed if not (root / name).is_file()]


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout by the locked build tools."""
    assert not missing(root)
    folder = tmp_path_factory.mktemp("dist")
    output(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder=root)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`bin` of a new environment: dpm from the wheel; its dependencies are those of this process, read but not copied.

    The borrowed folder stands in a path file, whose own path files Python does not follow: the checkout, which this
    process sees through one, stays out of sight.
    """
    home = tmp_path_factory.mktemp("user") / "env"
    uv = next((tool for tool in (shutil.which("uv"), root / ".uv/bin/uv") if tool and answers(tool)), None)
    venv.create(home, with_pip=uv is None, symlinks=os.name != "nt")
    python = home / "bin" / "python"
    install = (uv, "pip", "install", "--python", python) if uv else (python, "-m", "pip", "install", "--no-index")
    output(*install, "--quiet", "--no-deps", wheel, folder=home)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return home / "bin"


def answers(tool: str | Path) -> bool:
    """Whether a program is there and runs: a version manager's shim may be there and not run."""
    try:
        return subprocess.run([tool, "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def test_content(wheel: Path, root: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside in (("data", "dpm/_shipped/data"), ("models", "dpm/_shipped/models"), ("dpm", "dpm")):
        files = (path for path in (root / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        assert {f"{inside}/{path.relative_to(root / folder).as_posix()}" for path in files} <= names
    assert STUDY in names
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dpm"}
    assert not [name for name in names if "test" in name or name.endswith(".pyc")]


def test_every_licence_travels(wheel: Path, root: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    carried = {name.split(".dist-info/licenses/")[1] for name in names if ".dist-info/licenses/" in name}
    own = {f"data/{folder.name}/{name}" for folder in (root / "data").iterdir() for name in ("LICENSE", "NOTICE")}
    assert carried == {"LICENSE", "NOTICE", *own}


def test_the_source_archive_builds_the_same_wheel(wheel: Path, root: Path, tmp_path: Path) -> None:
    output(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", tmp_path, folder=root)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path, filter="data")
    (unpacked,) = (path for path in tmp_path.iterdir() if path.is_dir())
    output(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, folder=unpacked)
    (again,) = tmp_path.glob("*.whl")
    content = {info.filename: info.CRC for info in zipfile.ZipFile(again).infolist()}
    assert content == {info.filename: info.CRC for info in zipfile.ZipFile(wheel).infolist()}


def test_the_library_imports_only_what_it_declares(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split(r"[\[<>=~! ;]", line)[0].lower() for line in project["dependencies"]}
    belongs_to = packages_distributions()
    names = {
        name.split(".")[0]
        for path in [*(root / "dpm").rglob("*.py"), *(root / "models").rglob("*.py")]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in imported_names(node)
    }
    third = {COMES_WITH.get(name, name) for name in names - {"dpm"} if name not in sys.stdlib_module_names}
    assert not {name for name in third if not {package.lower() for package in belongs_to.get(name, [])} & declared}


def imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


def test_it_is_the_installed_one(installed: Path, tmp_path: Path) -> None:
    where = output(installed / "python", "-c", "import dpm; print(dpm.__file__)", folder=tmp_path).strip()
    assert Path(where).is_relative_to(installed.parent)


def test_help(installed: Path, tmp_path: Path) -> None:
    text = output(installed / "dpm", "--help", folder=tmp_path)
    assert "demo" in text
    assert not list(tmp_path.iterdir())


def test_shipped_data_are_listed(installed: Path, root: Path, tmp_path: Path) -> None:
    text = output(installed / "dpm", "data", folder=tmp_path)
    assert all(folder.name in text for folder in (root / "data").iterdir())


@pytest.mark.slow
def test_demo(installed: Path, tmp_path: Path) -> None:
    output(installed / "dpm", "demo", folder=tmp_path)
    assert list(tmp_path.rglob("report.html"))
