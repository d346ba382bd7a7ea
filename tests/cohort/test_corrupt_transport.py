"""ADaM data sets and transport files with errors of many kinds are refused, and none is half-read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dpm.cohort import read_cohort

from .test_adam import ADLB, FILES, as_transport, mgdl, read, written
from .test_refusals import refusal

Spoil = Callable[[str], str]
NAMES = b"NAMESTR HEADER RECORD!!!!!!!"


def swap(old: str, new: str) -> Spoil:
    def change(text: str) -> str:
        assert old in text, old
        return text.replace(old, new, 1)

    return change


WRONG: dict[str, tuple[str, Spoil, str]] = {
    "ADY of 0": ("adlb", swap("mg/dL,29", "mg/dL,0"), "ADY: expected a study day: 1 is the first"),
    "ADY of a part day": ("adlb", swap("mg/dL,29", "mg/dL,29.5"), "ADY: expected whole study days, got 29.5 in row 3"),
    "ADY missing": ("adlb", swap("mg/dL,29", "mg/dL,"), "ADY: expected ADY in every record"),
    "a record twice": ("adlb", swap("0,,\n", "0,,Y\n"), "one record per subject and time, got two, in row 4 and row 5"),
    "two baselines": ("adlb", swap("57,Week 8,8,,", "57,Week 8,8,Y,"), "one baseline record per subject and PARAMCD"),
    "late baseline": ("adqs", swap("30,30,,Y", "30,30,Y,Y"), "one baseline record"),
    "odd ABLFL": (
        "adlb",
        swap("Week 4,4,,Y", "Week 4,4,X,Y"),
        "Y, N or nothing",
    ),
    "odd ANL01FL": ("adlb", swap("Week 8,8,,Y", "Week 8,8,,1"), "ANL01FL: expected Y, N or nothing, got 1 in row 6"),
    "nothing analysed": ("adqs", lambda text: text.replace(",Y\n", ",N\n"), "TOTAL"),
    "PARAMCD missing": ("adlb", swap("ST1-002,BILI", "ST1-002,"), "PARAMCD: expected PARAMCD in every record"),
    "PARAMCD unknown": ("adlb", lambda text: text.replace("BILI", "BILI2"), "a column 'BILI'"),
    "PARAMCD a column": ("adqs", lambda text: text.replace("TOTAL", "AGE"), "a name that is no column yet, got 'AGE'"),
    "two units": (
        "adlb",
        swap("mg/dL,29", "g/L,29"),
        "AVALU: expected one unit per PARAMCD, got 'g/L', unlike 'mg/dL'",
    ),
    "two units in PARAM": ("adqs", swap("(points)", "(percent)"), "PARAM: expected one unit per PARAMCD"),
    "stranger": ("adlb", swap("ST1-002,BILI", "ST1-009,BILI"), "USUBJID: expected subjects of"),
    "subject missing": ("adlb", swap("ST1-002,BILI", ",BILI"), "USUBJID: expected USUBJID in every record"),
    "text in AVAL": ("adqs", swap(",40,", ",forty,"), "TOTAL: expected numbers, got the text 'forty' in row 2"),
    "infinite AVAL": ("adqs", swap(",40,", ",inf,"), "TOTAL: expected finite numbers, got inf"),
    "text NaN": ("adqs", swap(",40,", ",NaN,"), "TOTAL: expected numbers, got the text 'NaN'"),
    "two names of a visit": (
        "adlb",
        swap("0,,\n", "0,,\nST1-001,ALT,ALT,3,3,U/L,57,Week 9,9,,Y\n"),
        "AVISIT: expected one",
    ),
    "subject twice": ("adsl", swap("ST1-003", "ST1-002"), "USUBJID: expected one row per subject"),
    "no USUBJID": ("adsl", swap("USUBJID", "SUBJID"), "a column 'USUBJID'"),
    "arm missing": ("adsl", swap("10,Drug", "10,"), "TRT01P: expected an arm in every row"),
    "age missing": ("adsl", swap("64,F", ".,F"), "AGE: expected a value at baseline"),
    "CNSR missing": ("adtte", swap("900,0", "900,"), "CNSR: expected CNSR in every record"),
    "CNSR negative": ("adtte", swap("900,0", "900,-1"), "CNSR: expected 0 for an event"),
    "CNSR as text": ("adtte", swap("900,0", "900,N"), "CNSR: expected numbers, got the text 'N'"),
    "AVAL of an event missing": ("adtte", swap("900,0", ".,0"), "AVAL: expected AVAL in every record"),
    "AVAL of an event negative": ("adtte", swap("900,0", "-9,0"), "AVAL: expected a time from 0 upwards"),
    "an event twice": ("adtte", swap("ST1-001,PFS", "ST1-001,OS"), "one row per subject"),
    "process unknown": ("adtte", lambda text: text.replace("PFS", "EFS"), "rows with PARAMCD == PFS"),
    "event of a stranger": ("adtte", swap("ST1-001,PFS", "ST1-009,PFS"), "USUBJID: expected subjects of"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused(case: str, tmp_path: Path) -> None:
    name, spoil, message = WRONG[case]
    written(tmp_path, **{name: spoil(FILES[name])})
    assert message in refusal(lambda: read_cohort(read(tmp_path), mgdl()))


def _cut(content: bytes, at: int) -> bytes:
    return content[:at]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "wrong magic": lambda content: b"x" + content[1:],
    "a CSV by another name": lambda content: ADLB.encode(),
    "another format": lambda content: b"PAR1" + content[4:] + b"PAR1",
    "the library header only": lambda content: _cut(content, 240),
    "cut inside a block": lambda content: _cut(content, len(content) - 33),
    "cut inside the names": lambda content: _cut(content, 800),
    "cut before the records": lambda content: _cut(content, content.index(b"HEADER RECORD*******OBS")),
    "no records": lambda content: _cut(content, content.index(b"HEADER RECORD*******OBS") + 80),
    "half of the records": lambda content: _cut(content, (len(content) + content.index(b"*******OBS")) // 160 * 80),
    "one block less": lambda content: _cut(content, len(content) - 80),
    "a byte too many": lambda content: content + b"\0",
    "member header gone": lambda content: content.replace(b"*******MEMBER ", b"*******XXXXXX "),
    "observation header gone": lambda content: content.replace(b"*******OBS ", b"*******XXX "),
    "no variables": lambda content: content.replace(NAMES + b"000000001", NAMES + b"000000000"),
    "too many variables": lambda content: content.replace(NAMES + b"000000001", NAMES + b"000000009"),
    "a variable twice": lambda content: content.replace(b"AVALC   ", b"AVAL    ", 1),
    "text that is no UTF-8": lambda content: content.replace(b"Baseline", b"Bas\xff\xfe\xfdne"),
    "a file of another system": lambda content: content.decode("latin-1").encode("utf-16"),
    "two data sets": lambda content: content + content[240:],
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_transport_file_is_refused(case: str, tmp_path: Path) -> None:
    written(tmp_path)
    as_transport(tmp_path)
    path = tmp_path / "adlb.xpt"
    content = path.read_bytes()
    path.write_bytes(BROKEN[case](content))
    assert path.read_bytes() != content
    refusal(lambda: read_cohort(read(tmp_path, ".xpt"), mgdl()))
