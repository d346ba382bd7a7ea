"""Draws as plain arrays, and as an xarray tree once somebody asks for that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import xarray

LEADING = ("chain", "draw")


@dataclass(frozen=True)
class Arrays:
    """What a tree is made of.

    Attributes:
        groups: per group and site, an array with leading axes `LEADING`.
        subjects: identifiers of the last axis in the group `subjects`.
    """

    groups: Mapping[str, Mapping[str, np.ndarray]]
    subjects: np.ndarray

    def tree(self) -> "xarray.DataTree":
        """The same with named dimensions."""
        import xarray  # half a second, which a fit that is asked for its estimates alone does not take

        return xarray.DataTree.from_dict(
            {
                group: xarray.Dataset(*_named(arrays, self.subjects if group == "subjects" else None))
                for group, arrays in self.groups.items()
            }
        )


class TreeField:
    """A field that is given arrays or a tree, and is read as a tree."""

    def __set__(self, owner: object, value: "xarray.DataTree | Arrays") -> None:
        vars(owner)["tree"] = value

    def __get__(self, owner: object | None, kind: type) -> Any:
        if owner is None:
            raise AttributeError("tree")  # by which a dataclass knows that the field has no default
        held = vars(owner)["tree"]
        if isinstance(held, Arrays):
            vars(owner)["tree"] = held = held.tree()
        return held


def population(held: "xarray.DataTree | Arrays") -> Mapping[str, np.ndarray]:
    """The population draws by site, with leading axes `LEADING`."""
    if isinstance(held, Arrays):
        return held.groups["posterior"]
    return {str(name): value.values for name, value in held["posterior"].to_dataset().items()}


def _named(
    arrays: Mapping[str, np.ndarray], subjects: np.ndarray | None
) -> tuple[dict[str, tuple[tuple[str, ...], np.ndarray]], dict[str, Any]]:
    """Variables of a dataset with the names of their dimensions, and its coordinates."""
    coordinates: dict[str, Any] = {}
    variables = {}
    for name, value in arrays.items():
        rest = [f"{name}_dim_{k}" for k in range(value.ndim - 2)]
        if subjects is not None:
            rest[-1] = "subject"
            coordinates["subject"] = subjects
        variables[name] = ((*LEADING, *rest), value)
    shape = next(iter(arrays.values())).shape
    # Of an array xarray would import pint, to ask whether it is one of its.
    return variables, coordinates | {axis: pd.RangeIndex(n) for axis, n in zip(LEADING, shape, strict=False)}
