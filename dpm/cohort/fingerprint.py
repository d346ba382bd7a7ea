"""Fingerprints of what was observed, so that a likelihood is only ever set beside another of the same values."""

import hashlib

import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort


def fingerprints(cohort: Cohort) -> dict[str, str]:
    """By outcome and event process, a hash of who was observed when with which value, on the scale of the model.

    A cohort of other subjects, other visits or another transform has another one.
    """
    visits, events = cohort.visits, cohort.events
    found = {}
    for name in cohort.roles.outcomes:
        beside = [column for end in ("censored", "until") if (column := f"{name}_{end}") in visits]
        found[name] = _hash(visits.loc[visits[name].notna(), ["subject", "time", name, *beside]])
    columns = ["subject", "event", "entry", "time", "until"]
    return found | {name: _hash(events.loc[events["process"] == name, columns]) for name in cohort.roles.events}


def scales(cohort: Cohort) -> dict[str, str]:
    """By outcome, its transform and unit."""
    return {name: f"{role.transform} [{role.unit}]" for name, role in cohort.roles.outcomes.items()}


def _hash(rows: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    for name, column in rows.items():
        number = pd.api.types.is_float_dtype(column.dtype)
        text = np.ascontiguousarray(column, dtype=np.float64).tobytes() if number else "\0".join(column.astype(str))
        digest.update(f"{name} {len(column)} ".encode())
        digest.update(text if isinstance(text, bytes) else text.encode())
    return digest.hexdigest()
