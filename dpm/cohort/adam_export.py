"""A cohort in the shape of CDISC ADaM: ADSL, ADLB and ADTTE, as SAS transport files or CSV."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dpm.cohort.cohort import Cohort
from dpm.cohort.event_role import CENSORED
from dpm.cohort.export import in_own_unit, indicator_text, refuse_unreadable, visits_and_history
from dpm.cohort.outcome_role import OutcomeRole
from dpm.cohort.role import PER_YEAR
from dpm.cohort.roles import Roles, parse_roles
from dpm.cohort.transforms import TRANSFORMS
from dpm.errors import CohortError

NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,7}")
OWN = ("USUBJID", "STUDYID", "SITEID", "ERA", "TRT01P", "DAY", "AVISIT")
LONGEST_TEXT = 200
SMALLEST, LARGEST = 1e-77, 1e75
"""Of the numbers that a SAS transport file can hold."""

Suffix = Literal[".xpt", ".csv"]


def write_adam(
    cohort: Cohort, folder: str | Path, *, names: Mapping[str, str] | None = None, suffix: Suffix = ".xpt"
) -> Roles:
    """Write `adsl`, `adlb` and, where events are followed, `adtte` into a folder, which is made if it is not there.

    ADSL has USUBJID, STUDYID, SITEID, ERA, TRT01P, covariates in their own units, groups and subgroups; ADLB a record
    per subject, day and outcome (PARAMCD, PARAM, AVAL or the text of a level in AVALC, AVALU, ADY, AVISIT, ABLFL on day
    1, ANL01FL); a censored value is `<0.3` in AVALC beside its limit in AVAL. ADTTE has AVAL in days since time zero,
    CNSR and EVNTDESC.

    `read_cohort(read_adam(adsl, adlb, adtte), roles)`, with `index=IndexRule(time_zero="origin")` where there is
    history, gives the cohort again with the roles returned here, but for what ADaM has no place for: groups and
    subgroups come back under their ADaM names, rows of visits in the order of subjects, days and not hours. Refused,
    because they would be lost: visits that are not whole days after time zero, intervals, reasons of missing and of
    structural values, modes, delayed entry, events between two times or that recur, and clones.

    Args:
        cohort: what is written.
        folder: where.
        names: ADaM names of outcomes, covariates, groups, subgroups and processes, of 8 capitals, digits and _ at most;
            by default the name in capitals.
        suffix: of the files.

    Raises:
        CohortError: the cohort holds what such files cannot hold.
    """
    refuse_unreadable(cohort)
    called = _names(cohort, names or {})
    _refuse_what_is_lost(cohort)
    tables = {"adsl": _adsl(cohort, called), "adlb": _adlb(cohort, called)}
    if cohort.roles.events:
        tables["adtte"] = _adtte(cohort, called)
    for name, frame in tables.items():
        _refuse_unwritable(frame, name)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        _write(frame, folder / f"{name}{suffix}")
    return _roles(cohort, called)


def _names(cohort: Cohort, given: Mapping[str, str]) -> dict[str, str]:
    """The ADaM name of each thing; outcomes, covariates and groups share the columns of one table."""
    roles = cohort.roles
    grouped = tuple(dict.fromkeys((*roles.groups, *roles.subgroups)))
    wanted = {
        **{f"events.{name}": name for name in roles.events},
        **{f"columns.{name}": name for name in (*roles.outcomes, *roles.covariates, *grouped)},
    }
    strange = [name for name in given if name not in wanted.values()]
    if strange:
        expected = f"names among: {', '.join(dict.fromkeys(wanted.values()))}"
        raise CohortError("write_adam: names", expected, repr(strange[0]))
    shared = [*roles.outcomes, *roles.covariates, *grouped]
    if len(set(shared)) < len(shared):
        got = "an outcome, a covariate or a group of the same name"
        raise CohortError(
            "write_adam", "outcomes, covariates and groups whose names differ", got, "Rename one of them."
        )
    called = {key: given.get(name, name.upper()) for key, name in wanted.items()}
    for key, name in called.items():
        if not NAME.fullmatch(name) or name in OWN:
            do = f"Pass names={{{wanted[key]!r}: ...}}, with none of {', '.join(OWN)}."
            raise CohortError("write_adam", "names of up to 8 capitals, digits and _", repr(name), do)
    columns = [name for key, name in called.items() if key.startswith("columns.")]
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice:
        raise CohortError("write_adam", "names that differ", f"{twice!r} twice", "Give one of them another in names.")
    return called


def _refuse_what_is_lost(cohort: Cohort) -> None:
    rows, events, roles = visits_and_history(cohort), cohort.events, cohort.roles
    day = rows["time"] * PER_YEAR["days"]
    lost = {
        "visits that are not whole days after time zero": (np.abs(day - day.round()) > 1e-6).any(),
        "how a visit was captured (mode)": roles.mode is not None,
        "delayed entry": (events["entry"] > 0).any(),
        "events between two times": (events["until"] > events["time"]).any(),
        "events that recur": any(role.recurrent for role in roles.events.values()),
    }
    for name in roles.outcomes:
        if f"{name}_reason" in rows:
            lost[f"reasons of {name}"] = (rows[f"{name}_reason"].astype(str) != "").any()
        if f"{name}_censored" in rows:
            lost[f"intervals of {name}"] = (rows[f"{name}_censored"] == "interval").any()
    for what, there in lost.items():
        if there:
            do = "Use write_cohort, which keeps everything, or leave it out of the cohort."
            raise CohortError("write_adam", "what ADaM has a place for", what, do)


def _adsl(cohort: Cohort, called: dict[str, str]) -> pd.DataFrame:
    roles, subjects = cohort.roles, cohort.subjects
    columns: dict[str, object] = {"USUBJID": _text(subjects.index.to_series())}
    fixed = {"study": "STUDYID", "site": "SITEID", "era": "ERA"}
    columns |= {name: _text(subjects[key]) for key, name in fixed.items() if getattr(roles, key)}
    if roles.arm:
        columns["TRT01P"] = _text(subjects["arm"])
    for name, role in roles.covariates.items():
        numbers = TRANSFORMS[role.transform].inverse(subjects[name].to_numpy(dtype=np.float64))
        columns[called[f"columns.{name}"]] = numbers if role.level is None else indicator_text(role, subjects[name])
    for name in dict.fromkeys((*roles.groups, *roles.subgroups)):
        columns[called[f"columns.{name}"]] = _text(subjects[name])
    return pd.DataFrame(columns)


def _adlb(cohort: Cohort, called: dict[str, str]) -> pd.DataFrame:
    rows = visits_and_history(cohort)
    names = list(cohort.roles.outcomes)
    if not names:
        raise CohortError("write_adam", "an outcome, whose records are the visits", "none")
    bare = rows[names].isna().all(axis=1).to_numpy()
    parts = []
    for number, name in enumerate(names):
        # A visit without measurements stays as one record without a value, and so does an outcome without any.
        keep = rows[name].notna().to_numpy() | (bare & (number == 0))
        keep[0] |= not keep.any()
        parts.append(_records(rows[keep], name, cohort.roles.outcomes[name], called[f"columns.{name}"]))
    whole = pd.concat(parts, ignore_index=True)
    place = pd.Index(cohort.subjects.index).get_indexer(pd.Index(whole["USUBJID"]))
    return whole.iloc[np.lexsort((whole["ADY"], place))].reset_index(drop=True)


def _records(rows: pd.DataFrame, name: str, role: OutcomeRole, code: str) -> pd.DataFrame:
    day = (rows["time"] * PER_YEAR["days"]).round().to_numpy()
    label = (role.label or name.replace("_", " ")).replace("(", "[").replace(")", "]")
    frame = pd.DataFrame(
        {
            "USUBJID": _text(rows["subject"]),
            "PARAMCD": code,
            "PARAM": f"{label} ({role.unit})",
            "AVAL": np.full(len(rows), np.nan),
            "AVALC": "",
            "AVALU": role.unit,
            "ADY": np.where(day >= 0, day + 1, day),
            "AVISIT": _text(rows["occasion"]) if "occasion" in rows else "",
            "ABLFL": np.where(day == 0, "Y", ""),
            "ANL01FL": "Y",
        }
    )
    if role.levels:
        codes = rows[name].to_numpy(dtype=np.float64)
        frame["AVALC"] = ["" if np.isnan(value) else role.levels[int(value)] for value in codes]
        return frame
    frame["AVAL"] = in_own_unit(role, rows[name])
    if f"{name}_censored" in rows:
        sign = rows[f"{name}_censored"].astype(str).map({"": "", "below": "<", "above": ">"}).tolist()
        values = frame["AVAL"].tolist()
        frame["AVALC"] = ["" if np.isnan(v) else f"{s}{v!r}" for s, v in zip(sign, values, strict=True)]
    return frame


def _adtte(cohort: Cohort, called: dict[str, str]) -> pd.DataFrame:
    events = cohort.events
    happened = (events["event"] != CENSORED).to_numpy()
    return pd.DataFrame(
        {
            "USUBJID": _text(events["subject"]),
            "PARAMCD": [called[f"events.{name}"] for name in events["process"]],
            "PARAM": [f"{name.replace('_', ' ')} (days)" for name in events["process"]],
            "AVAL": events["time"].to_numpy() * PER_YEAR["days"],
            "AVALU": "DAYS",
            "CNSR": np.where(happened, 0.0, 1.0),
            "EVNTDESC": np.where(happened, _text(events["event"]), ""),
        }
    )


def _roles(cohort: Cohort, called: dict[str, str]) -> Roles:
    roles = cohort.roles

    def outcome(name: str, role: OutcomeRole) -> dict[str, object]:
        kept = role.model_dump(exclude={"column", "limits", "structural", "reason"})
        return {**kept, "column": called[f"columns.{name}"], "limits": {"signs": True} if role.limits else None}

    def covariate(name: str) -> dict[str, object]:
        role = roles.covariates[name]
        levels = (role.level, f"not {role.level}") if role.level is not None else ()
        return {**role.model_dump(exclude={"column"}), "column": called[f"columns.{name}"], "levels": levels}

    def event(name: str) -> dict[str, object]:
        role = roles.events[name]
        kept = {"terminal": role.terminal, "visits_after": role.visits_after, "types": role.names}
        where = f"PARAMCD == {called[f'events.{name}']}"
        return {**kept, "column": "EVENT", "time": "AVAL", "unit": "days", "where": where, "censored": CENSORED}

    return parse_roles(
        {
            "subject": "USUBJID",
            "time": {"column": "DAY", "unit": "days"},
            "arm": "TRT01P" if roles.arm else None,
            "study": "STUDYID" if roles.study else None,
            "site": "SITEID" if roles.site else None,
            "era": "ERA" if roles.era else None,
            "occasion": "AVISIT" if roles.occasion else None,
            "outcomes": {name: outcome(name, role) for name, role in roles.outcomes.items()},
            "covariates": {name: covariate(name) for name in roles.covariates},
            "groups": [called[f"columns.{name}"] for name in roles.groups],
            "subgroups": [called[f"columns.{name}"] for name in roles.subgroups],
            "events": {name: event(name) for name in roles.events},
        }
    )


def _text(cells: pd.Series) -> np.ndarray:
    return cells.astype(object).where(cells.notna(), "").astype(str).to_numpy(dtype=object)


def _refuse_unwritable(frame: pd.DataFrame, name: str) -> None:
    """A transport file holds ASCII of 200 bytes at most, and numbers in a range of its own."""
    for column in frame:
        where = f"write_adam: {name}.{column}"
        if pd.api.types.is_numeric_dtype(frame[column].dtype):
            size = np.abs(frame[column].to_numpy(dtype=np.float64))
            odd = ~np.isnan(size) & (size != 0) & ((size < SMALLEST) | (size > LARGEST))
            if odd.any():
                expected = f"numbers between {SMALLEST:g} and {LARGEST:g}"
                raise CohortError(where, expected, f"{frame[column][int(np.argmax(odd))]:g}", "Use write_cohort.")
            continue
        for text in frame[column].unique():
            if not text.isascii() or not text.isprintable() or len(text) > LONGEST_TEXT or text == ".":
                expected = f"plain ASCII texts of {LONGEST_TEXT} characters at most, other than a lone point"
                raise CohortError(where, expected, repr(text[:60]), "Shorten or spell it, or use write_cohort.")


def _write(frame: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False, lineterminator="\n")
        return
    import pyreadstat

    pyreadstat.write_xport(frame, str(path), table_name=path.stem.upper(), file_format_version=5)
