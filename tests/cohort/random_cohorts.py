"""Random cohorts that use everything a cohort can hold: history, censoring, reasons, structural values, events."""

from typing import Any

import pandas as pd
from hypothesis import strategies as st

from dpm.cohort import Cohort, IndexRule, read_cohort

ROLES: dict[str, Any] = {
    "subject": "who",
    "time": {"column": "day", "unit": "days"},
    "arm": "arm",
    "site": "place",
    "occasion": "visit",
    "outcomes": {
        "marker": {
            "column": "y1",
            "unit": "mg/dL",
            "transform": "log",
            "lower": 0.001,
            "higher_is": "worse",
            "limits": {"below": 0.1, "above": 900.0},
        },
        "score": {"column": "y2", "unit": "points", "kind": "integer", "lower": 0, "upper": 48, "higher_is": "better"},
        "state": {
            "column": "y3",
            "unit": "1",
            "kind": "ordinal",
            "levels": ["mild", "worse, much"],
            "higher_is": "worse",
        },
    },
    "covariates": {
        "age": {"column": "age", "unit": "years", "transform": "sqrt"},
        "female": {"column": "sex", "level": "f", "levels": ["f", "m"], "missing": "keep"},
    },
    "subgroups": ["stage"],
    "events": {
        "end": {"column": "event", "time": "stop", "unit": "days", "types": ["death", "transplant"], "terminal": True},
    },
}
"""What an ADaM data set can hold too."""

RICH: dict[str, Any] = {
    **ROLES,
    "mode": "how",
    "outcomes": {
        **ROLES["outcomes"],
        "load": {
            "column": "y4",
            "unit": "copies",
            "transform": "log1p",
            "higher_is": "worse",
            "limits": {"signs": True, "until": "y4_to"},
        },
        "walk": {
            "column": "y5",
            "unit": "m",
            "higher_is": "better",
            "reason": "why",
            "structural": [{"when": "can_walk == no", "value": 0, "reason": "cannot walk"}],
        },
    },
    "events": {
        **ROLES["events"],
        "fall": {"column": "fell", "time": "fall_day", "until": "fall_to", "unit": "days", "types": {"yes": "fall"},
                 "censored": "no"},
    },
}  # fmt: skip
"""What only dpm's own tables hold as well."""

IDS = st.lists(st.text("abXY019_ -,'\"é", min_size=1, max_size=4), min_size=1, max_size=5, unique=True)
DAYS = st.sets(st.integers(-40, 700).filter(bool), max_size=5)


@st.composite
def tables(draw: st.DrawFn, *, plain_ids: bool = False) -> pd.DataFrame:
    """A long table that `RICH` reads; subjects come one after the other."""
    rows: list[dict[str, object]] = []
    for number, who in enumerate(draw(IDS)):
        fixed = _subject(draw, f"s{number}" if plain_ids else f"s{number}{who}e")
        for day in sorted({0, *draw(DAYS)}):
            rows.append({**fixed, "day": float(day), **_visit(draw, day)})
    return pd.DataFrame(rows)


def read(table: pd.DataFrame, roles: dict[str, Any] = RICH) -> Cohort:
    """The cohort of a random table."""
    return read_cohort(table, roles, index=IndexRule(time_zero="origin"))


def _subject(draw: st.DrawFn, who: str) -> dict[str, object]:
    fall = float(draw(st.integers(800, 900)))
    fell = draw(st.sampled_from(["yes", "no"]))
    return {
        "who": who,
        "arm": draw(st.sampled_from(["active", "placebo"])),
        "place": draw(st.sampled_from(["north", "7", "10"])),
        "age": draw(st.floats(20, 90)),
        "sex": draw(st.sampled_from(["f", "m"])),
        "stage": draw(st.sampled_from(["1", "2", "10"])),
        "event": draw(st.sampled_from(["death", "transplant", "censored"])),
        "stop": float(draw(st.integers(701, 2000))),
        "fell": fell,
        "fall_day": fall,
        "fall_to": fall + 30 * (fell == "yes") * draw(st.booleans()),
    }


def _visit(draw: st.DrawFn, day: int) -> dict[str, object]:
    walks = draw(st.booleans())
    metres = draw(st.none() | st.floats(1, 600))
    load = draw(st.sampled_from(["", "<20", ">1000000", "35", "17.25"]))
    return {
        "visit": f"Week {day // 7}",
        "how": draw(st.sampled_from(["clinic", "home"])),
        "y1": 1.5 if day == 0 else draw(st.none() | st.floats(0.001, 1000)),
        "y2": draw(st.none() | st.integers(0, 48).map(float)),
        "y3": draw(st.sampled_from(["", "mild", "worse, much"])),
        "y4": load,
        "y4_to": float(load) + 5 if load[:1].isdigit() and draw(st.booleans()) else None,
        "can_walk": "yes" if walks else "no",
        "y5": metres if walks else None,
        "why": draw(st.sampled_from(["", "refused", "cannot walk"])) if walks and metres is None else "",
    }
