"""`read_study`: a study file in, a checked study out, or a refusal that names the key."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from dpm.cohort.role import Name
from dpm.errors import CohortError, StudyError
from dpm.study.fields import Build, meant
from dpm.study.hashing import sha256_of_bytes
from dpm.study.method_choice import METHODS
from dpm.study.schema import Study

SHOWN = 4
"""Problems named beside the first one."""

LONGEST = 160
"""Letters of a value that are shown."""

KINDS = {"model_type": "a table", "dict_type": "a table", "tuple_type": "a list", "string_type": "text"}
"""What a value should have been, by pydantic's name of the error."""

PATTERNS = {
    str(get_args(Name)[1].pattern): "a name of lower-case letters, digits and _ that begins with a letter",
    str(get_args(Build)[1].pattern): "<file>.py:<function>, such as models/pbc_bilirubin.py:build",
}
"""What a text should have looked like, by its pattern."""


@dataclass(frozen=True, kw_only=True)
class StudyFile:
    """A study and the file it stands in.

    Attributes:
        path: of the file.
        content: its bytes.
        study: what it says.
    """

    path: Path
    content: bytes
    study: Study

    @property
    def sha256(self) -> str:
        return sha256_of_bytes(self.content)

    @property
    def folder(self) -> Path:
        return self.path.resolve().parent


def read_study(path: Path) -> StudyFile:
    """Read and check a study file; of a folder, its `study.toml`.

    Raises:
        StudyError: there is no such file, it is not TOML, or a key is missing, unknown or holds what it may not.
    """
    file = path / "study.toml" if path.is_dir() else path
    content = read_bytes(file)
    tables = tables_of(file, content)
    try:
        return StudyFile(path=file, content=content, study=Study.model_validate(tables))
    except ValidationError as error:
        raise refusal(file, error) from None
    except CohortError as error:
        raise in_data_section(file, error) from None


def tables_of(file: Path, content: bytes) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        StudyError: it is not TOML.
    """
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(str(file), "a TOML file in UTF-8", f"something else: {error}") from None


def in_data_section(file: Path, error: CohortError) -> StudyError:
    """A refusal of the roles, with its place in the file."""
    where = f"{file}: data.{error.where.replace('roles: ', 'roles.')}"
    return StudyError(where, error.expected, error.got, error.do)


def read_bytes(file: Path) -> bytes:
    """The content of a study file.

    Raises:
        StudyError: there is no such file, or it cannot be read.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        beside = [each.name for each in file.parent.glob("*.toml")] if file.parent.is_dir() else []
        raise StudyError(str(file), "a study file", "no such file", meant(file.name, beside)) from None
    except OSError as error:
        raise StudyError(str(file), "a study file that can be read", str(error.strerror)) from None


def refusal(file: Path, error: ValidationError) -> StudyError:
    """One problem in full, and where the others are. A misspelt key comes first: what it is missing as comes of it."""
    problems = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    where, expected, got, do = problem(problems[0])
    others = [problem(each)[0] for each in problems[1:]]
    if others:
        more = "" if len(others) <= SHOWN else f" and {len(others) - SHOWN} more"
        do = f"{do}\nAlso wrong: {', '.join(others[:SHOWN])}{more}.".strip()
    return StudyError(f"{file}: {where}", expected, got, do)


def problem(error: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Where, expected, got and what to do, from one error of pydantic's."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "refused":
        return context["where"], context["expected"], context["got"], context["do"]
    owner, where = follow(tuple(error["loc"]))
    key = where.rpartition(".")[2]
    if kind == "extra_forbidden":
        keys = list(owner.model_fields)
        return where, f"one of the keys {', '.join(keys)}", f'"{key}"', meant(key, keys)
    if kind == "missing":
        return where, "a value", "none", f"Keys of this table: {', '.join(owner.model_fields)}."
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _tag(where, kind, context)
    expected = in_words(error)
    got = as_written(error["input"])
    if kind == "literal_error":
        words = [each.strip("' ") for each in context["expected"].replace(" or ", ", ").split(", ")]
        return where, f"one of {', '.join(words)}", got, meant(str(error["input"]), words)
    return where, expected, got, ""


def in_words(error: Mapping[str, Any]) -> str:
    """What was expected, without the words of the library that checked it."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("too_short", "string_too_short"):
        what = "letter" if kind == "string_too_short" else "entry" if context["min_length"] == 1 else "entries"
        return f"at least {context['min_length']} {what}"
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], f"text of the form {context['pattern']}")
    if kind in KINDS:
        return KINDS[kind]
    return str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")


def as_written(value: Any) -> str:
    """A value about as the study file has it, cut where it is long."""
    if isinstance(value, dict):
        text = ", ".join(f"{key} = {as_written(each)}" for key, each in value.items())
        text = f"{{ {text} }}" if text else "an empty table"
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(map(as_written, value))}]"
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = "this table" if isinstance(value, BaseModel) else repr(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _tag(where: str, kind: str, context: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """A table whose kind decides which keys it has."""
    key = str(context["discriminator"]).strip("'")
    tags = {"method": list(METHODS), "type": ["mean_change", "slope_difference"]}[key]
    got = f'"{context["tag"]}"' if kind == "union_tag_invalid" else "none"
    return f"{where}.{key}", f"one of {', '.join(tags)}", got, meant(str(context.get("tag", "")), tags)


def follow(place: tuple[Any, ...]) -> tuple[type[BaseModel], str]:
    """The table that the last key belongs to and the path of that key as the file has it, from pydantic's location.

    Such a location also holds the tags of unions and markers such as `[key]`, which no file has.
    """
    owner: type[BaseModel] = Study
    annotation: Any = Study
    path = ""
    for part in place:
        kinds = _kinds(annotation)
        if isinstance(part, int):
            annotation, path = kinds[0], f"{path}[{part}]"
        elif part in kinds:
            annotation = kinds[part]
        elif part != "[key]":
            path = f"{path}.{part}" if path else part
            owner = kinds.get("table", owner)
            field = owner.model_fields.get(part) if "table" in kinds else None
            annotation = field.annotation if field else kinds.get("value")
    return owner, path


def _kinds(annotation: Any) -> dict[Any, Any]:
    """What can follow in a location: the `table` itself, members of a union by tag, a `value`, or item 0."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {"table": annotation}
    origin, parts = get_origin(annotation), [part for part in get_args(annotation) if part is not NoneType]
    if origin is Annotated:
        return _kinds(parts[0])
    if origin is tuple:
        return {0: parts[0]}
    if origin is dict:
        return {"value": parts[1]}
    if origin in (Union, UnionType) and len(parts) == 1:
        return _kinds(parts[0])
    return {tag: part for part in parts for tag in _tags(part)}


def _tags(annotation: Any) -> tuple[Any, ...]:
    """The words that select a table among several."""
    fields = annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, BaseModel) else {}
    return tuple(tag for key in ("method", "type") if key in fields for tag in get_args(fields[key].annotation))
