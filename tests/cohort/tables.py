"""A small cohort that reads without complaint, to be spoilt by tests, and the roles of the PBC trial."""

from typing import Any

import pandas as pd

from dpm.cohort import Roles

SMALL = """id,arm,day,marker,score,age,sex,stage,event,futime
A1,active,0,2.5,10,50,female,1,death,900
A1,active,180,3.0,,50,female,1,death,900
A1,active,365,4.5,12,50,female,1,death,900
B2,placebo,0,1.5,8,61,male,2,censored,1200
B2,placebo,200,,9,61,male,2,censored,1200
C3,placebo,0,0.5,7,44,female,10,transplant,700
C3,placebo,400,0.75,,44,female,10,transplant,700
"""

SMALL_ROLES: dict[str, Any] = {
    "subject": "id",
    "time": {"column": "day", "unit": "days"},
    "arm": "arm",
    "outcomes": {
        "log_marker": {"column": "marker", "unit": "mg/dL", "transform": "log", "lower": 0.0, "higher_is": "worse"},
        "score": {"column": "score", "unit": "points", "lower": 0, "upper": 48, "higher_is": "better"},
    },
    "covariates": {
        "age": {"column": "age", "unit": "years", "standardise": True},
        "female": {"column": "sex", "level": "female"},
    },
    "subgroups": ["stage"],
    "events": {
        "end": {"column": "event", "time": "futime", "unit": "days", "types": ["death", "transplant"], "terminal": True}
    },
}

PBC_ROLES = Roles.model_validate(
    {
        "subject": "id",
        "time": {"column": "day", "unit": "days"},
        "arm": "arm",
        "outcomes": {
            "log_bilirubin": {
                "column": "bilirubin",
                "unit": "mg/dL",
                "transform": "log",
                "lower": 0.0,
                "higher_is": "worse",
                "label": "Serum bilirubin",
            },
            "cholesterol": {"column": "cholesterol", "unit": "mg/dL", "higher_is": "worse"},
        },
        "covariates": {
            "age": {"column": "age", "unit": "years", "standardise": True},
            "female": {"column": "sex", "level": "female"},
            "log_albumin": {"column": "albumin", "unit": "g/dL", "transform": "log", "standardise": True},
        },
        "subgroups": ["stage", "edema"],
        "groups": ["stage"],
        "events": {
            "end": {
                "column": "event",
                "time": "futime_days",
                "unit": "days",
                "types": ["death", "transplant"],
                "terminal": True,
            }
        },
    }
)


def with_roles(**changes: Any) -> dict[str, Any]:
    """`SMALL_ROLES` with top-level keys replaced; None takes a key away."""
    return {key: value for key, value in {**SMALL_ROLES, **changes}.items() if value is not None}


def edited(old: str, new: str) -> str:
    """`SMALL` with one text replaced, which has to be there exactly once."""
    assert SMALL.count(old) == 1, (old, SMALL.count(old))
    return SMALL.replace(old, new)


def as_text(frame: pd.DataFrame) -> str:
    """A data frame as CSV."""
    return frame.to_csv(index=False)
