"""What all tables of a study file are made of: kinds of values, refusals, and a table that knows its keys."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, NoReturn

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(gt=0, le=1_000_000, strict=True)]
Draws = Annotated[int, Field(ge=2, le=1_000_000, strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(gt=0, lt=1)]
Build = Annotated[str, StringConstraints(pattern=r"^[^:]+\.py:[A-Za-z_]\w*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Levels = Annotated[dict[Text, Text], Field(min_length=1)]


def meant(word: str, allowed: Iterable[str]) -> str:
    """A hint at the closest allowed word, or nothing where none is close."""
    near = get_close_matches(word, list(allowed), n=1)
    return f'Did you mean "{near[0]}"?' if near else ""


def refuse(where: str, expected: str, got: str, do: str = "") -> NoReturn:
    """Refuse a value that is wrong only beside another one; `where` is the path of its key."""
    raise PydanticCustomError("refused", "{expected}", {"where": where, "expected": expected, "got": got, "do": do})


def require_one_of(where: str, word: str, allowed: Iterable[str], what: str) -> None:
    names = list(allowed)
    if word not in names:
        refuse(where, f"{what}: {', '.join(names) or 'none declared'}", f'"{word}"', meant(word, names))


def require_distinct(where: str, values: tuple[object, ...]) -> None:
    twice = next((value for place, value in enumerate(values) if value in values[:place]), None)
    if twice is not None:
        refuse(where, "each value once", f"{twice!r} a second time")


class Section(BaseModel):
    """What all tables of a study file share: frozen, and no key that dpm does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)
