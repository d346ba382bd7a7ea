"""Rules as a user declares them, records or plain tables, as records that were checked."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ValidationError

from dpm.errors import CohortError


def declared[R: BaseModel](kind: type[R], given: Iterable[R | Mapping[str, object]], where: str) -> tuple[R, ...]:
    """Each as a record.

    Args:
        kind: of record.
        given: records, or tables of their fields.
        where: what they are called in a refusal.

    Raises:
        CohortError: a key is missing, unknown or holds what it may not.
    """
    try:
        return tuple(each if isinstance(each, kind) else kind.model_validate(each) for each in given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ": ".join([where, *([".".join(map(str, first["loc"]))] if first["loc"] else [])])
        keys = f"Keys: {', '.join(kind.model_fields)}."
        raise CohortError(place, first["msg"].removeprefix("Value error, "), repr(first["input"]), keys) from None
