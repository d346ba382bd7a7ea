"""The house rules that a machine can read: what imports what, what is named how, and how long it may be."""

import ast
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("cohort", "components", "inference", "posterior", "checks", "virtual", "control", "design", "report")
SHARED = {"dpm.errors", "dpm.types", "dpm.precision"}
DRIVERS = {"study"}  # with cli.py it calls the stages; no stage imports it
VAGUE = {"utils", "util", "helpers", "helper", "core", "base", "common", "misc"}
EVALUATES = {"eval", "exec", "pickle", "dill", "cloudpickle", "joblib"}
OUTSIDE = {"models", "tests", "experiments", "notebooks"}
FILE_LINES, BODY_LINES = 400, 60

SOURCES = [*sorted((ROOT / "dpm").rglob("*.py")), *sorted((ROOT / "models").rglob("*.py"))]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def stage_of(module: str) -> str | None:
    """The stage a dotted module name lies in, if any."""
    parts = module.split(".")
    return parts[1] if parts[0] == "dpm" and len(parts) > 1 and parts[1] in STAGES else None


def imported(tree: ast.Module, module: str, *, package: bool) -> Iterator[str]:
    """Dotted names of everything a module imports, wherever in it; `from a import b` gives `a.b`."""
    parents = module.split(".") if package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def words(path: Path) -> tuple[str, ...]:
    """The parts of a source file's dotted name."""
    return path.relative_to(ROOT).with_suffix("").parts


def imports_of(path: Path) -> set[str]:
    parts = words(path)
    package = parts[-1] == "__init__"
    return set(imported(tree_of(path), ".".join(parts[:-1] if package else parts), package=package))


def out_of_order(module: str, names: set[str]) -> set[str]:
    """Which of the imported `names` a module of a stage may not import: dpm's own, neither shared nor to its left."""
    stage = stage_of(module)
    if stage is None:
        return set()
    allowed = STAGES[: STAGES.index(stage) + 1]
    own = {name for name in names if name == "dpm" or name.startswith("dpm.")}
    shared = {name for name in own if any(f"{name}.".startswith(f"{module}.") for module in SHARED)}
    return {name for name in own - shared if stage_of(name) not in allowed}


def called(path: Path) -> set[str]:
    """Names called directly, as in `super()`."""
    calls = (node.func for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call))
    return {function.id for function in calls if isinstance(function, ast.Name)}


def where(function: Function) -> str:
    return f"{function.name}, line {function.lineno}"


def functions(tree: ast.Module) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def public_functions(body: list[ast.stmt]) -> Iterator[Function]:
    """Functions of a module and methods of its public classes, those with a leading underscore left out."""
    for node in body:
        if isinstance(node, Function) and (not node.name.startswith("_") or node.name.endswith("__")):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)


def untyped(function: Function) -> list[str]:
    spec = function.args
    arguments = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, *(a for a in (spec.vararg, spec.kwarg) if a)]
    return [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]


def breaches(rule: Callable[[Path], Collection[str]]) -> dict[str, list[str]]:
    """By source file, what in it breaks a rule; empty when nothing does."""
    found = {path.relative_to(ROOT).as_posix(): sorted(rule(path)) for path in SOURCES}
    return {name: what for name, what in found.items() if what}


def test_only_known_stages() -> None:
    folders = {path.name for path in (ROOT / "dpm").iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert set(STAGES) & folders
    assert folders <= {*STAGES, *DRIVERS}


def test_imports_point_upstream() -> None:
    assert not breaches(lambda path: out_of_order(".".join(words(path)), imports_of(path)))


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("from dpm.control.effect import Effect", {"dpm.control.effect.Effect"}),
        ("def f():\n    import dpm.report", {"dpm.report"}),
        ("from ..virtual import arm", {"dpm.virtual.arm"}),
        ("import dpm", {"dpm"}),
        ("from dpm import cli", {"dpm.cli"}),
        ("from dpm.study import Study", {"dpm.study.Study"}),
        ("from dpm.errors import CheckError\nfrom dpm import types\nimport dpm.precision\nimport jax", set()),
        ("from dpm.cohort.records import Records\nfrom . import calibration\nfrom .holdout import folds", set()),
    ],
)
def test_the_order_is_understood(text: str, refused: set[str]) -> None:
    module = "dpm.checks.example"
    assert out_of_order(module, set(imported(ast.parse(text), module, package=False))) == refused


def test_only_the_report_draws() -> None:
    found = breaches(lambda path: {name for name in imports_of(path) if name.split(".")[0] == "matplotlib"})
    assert not {name for name in found if not name.startswith("dpm/report/")}


def test_nothing_imports_what_is_outside_the_library() -> None:
    assert not breaches(lambda path: {name for name in imports_of(path) if name.split(".")[0] in OUTSIDE})


def test_nothing_is_unpickled_or_evaluated() -> None:
    assert not breaches(lambda path: (called(path) | {name.split(".")[0] for name in imports_of(path)}) & EVALUATES)


def test_no_super() -> None:
    assert not breaches(lambda path: called(path) & {"super"})


def test_a_file_is_named_by_a_word_of_the_field() -> None:
    assert not breaches(lambda path: {word for part in words(path) for word in part.split("_")} & VAGUE)


def test_a_file_is_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert not {path.relative_to(ROOT).as_posix(): n for path, n in lengths.items() if n > FILE_LINES}


def test_a_function_is_short() -> None:
    assert not breaches(lambda path: [where(f) for f in functions(tree_of(path)) if body_lines(f) > BODY_LINES])


def test_every_public_argument_is_typed() -> None:
    assert not breaches(lambda path: [where(f) for f in public_functions(tree_of(path).body) if untyped(f)])


def test_the_measures_measure() -> None:
    long = "def f(a: int, b, *, c):\n    '''Two\n    lines.'''\n" + "    a += 1\n" * 61
    (function,) = functions(ast.parse(long))
    assert body_lines(function) == 61
    assert untyped(function) == ["b", "c"]
