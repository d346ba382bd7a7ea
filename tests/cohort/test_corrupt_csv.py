"""CSV files with errors of many kinds are refused, and none is half-read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dpm.cohort import read_cohort

from .tables import SMALL, SMALL_ROLES
from .test_refusals import refusal


def swap(old: str, new: bytes | str) -> Callable[[bytes], bytes]:
    assert old in SMALL
    return lambda content: content.replace(old.encode(), new if isinstance(new, bytes) else new.encode(), 1)


CORRUPTIONS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut inside a row": (lambda content: content[:-30], "10 fields in each row"),
    "cut inside a number": (lambda content: content[:-4], "futime: expected"),
    "latin-1": (swap("placebo", "plac\xe9bo".encode("latin-1")), "UTF-8 text, got the byte 0xe9 in row 5"),
    "utf-16": (lambda content: content.decode().encode("utf-16"), "text (CSV), got a binary file"),
    "utf-16 without a mark": (lambda content: content.decode().encode("utf-16-le"), "a binary file"),
    "a mark in the middle": (swap("3.0", "\ufeff3.0"), "marker: expected numbers"),
    "a mark before an identifier": (swap("C3,placebo,400", "\ufeffC3,placebo,400"), "a visit at time 0"),
    "a NUL byte": (swap("3.0", b"3.\x000"), "a binary file"),
    "a NUL byte at the end": (lambda content: content + b"\0", "a binary file"),
    "a compressed file": (lambda content: b"\x1f\x8b\x08\x00" + content, "a binary file"),
    "a Parquet file": (lambda content: b"PAR1" + content, "id: expected a column 'id'"),
    "an open quote": (swap("active,180", '"active,180'), "Repair the quotes"),
    "text after a quote": (swap("active,180", '"act"ive,180'), "Repair the quotes"),
    "a quote across lines": (swap("A1,active,180", '"A1\n,active",180'), "10 fields in each row"),
    "a header twice": (swap("score", "marker"), "a duplicated header: 'marker' 2 times"),
    "a header twice but for blanks": (swap("score", " marker "), "a duplicated header"),
    "the header among the rows": (swap("B2,placebo,0", SMALL.splitlines()[0] + "\nB2,placebo,0"), "expected"),
    "no header": (lambda content: content.split(b"\n", 1)[1], "id: expected a column 'id'"),
    "semicolons": (lambda content: content.replace(b",", b";"), "columns separated by ';'"),
    "tabs": (lambda content: content.replace(b",", b"\t"), "columns separated by '\\t'"),
    "one row of tabs": (swap("B2,placebo,0,", "B2\tplacebo\t0\t"), "10 fields in each row"),
    "a decimal comma": (swap("3.0", '"3,0"'), "got the text '3,0'"),
    "a comma of thousands": (swap("900", '"1,900"'), "got the text '1,900'"),
    "text NaN": (swap("3.0", "NaN"), "got the text 'NaN'"),
    "text null": (swap("3.0", "null"), "got the text 'null'"),
    "a lone point": (swap("3.0", "."), "got the text '.'"),
    "infinity": (swap("3.0", "-Infinity"), "finite numbers"),
    "a number too large": (swap("3.0", "1e999"), "finite numbers, got 1e999"),
    "a hexadecimal number": (swap("3.0", "0x3"), "got the text '0x3'"),
    "digits grouped by _": (swap("3.0", "3_0"), "got the text '3_0'"),
    "digits of another script": (swap("3.0", "٣"), "expected numbers"),
    "a minus that is a dash": (swap("180", "−180"), "expected numbers"),
    "a hard blank in a number": (swap("900", "9\u00a000"), "expected numbers"),
    "a date as the time": (swap("180", "2020-01-01"), "day: expected numbers"),
    "a row twice": (swap("A1,active,180,", "A1,active,180,3.0,,50,female,1,death,900\nA1,active,180,"), "a second row"),
    "a web page": (lambda content: b"<!DOCTYPE html><html><body>Not found</body></html>", "expected"),
    "a merge conflict": (swap("B2,placebo,0", "<<<<<<< HEAD\nB2,placebo,0"), "10 fields in each row"),
    "a pointer to a large file": (lambda content: b"version https://git-lfs.example/v1\noid sha256:1\n", "expected"),
}


@pytest.mark.parametrize("case", CORRUPTIONS)
def test_it_is_refused(case: str, tmp_path: Path) -> None:
    spoil, message = CORRUPTIONS[case]
    path = tmp_path / "trial.csv"
    path.write_bytes(spoil(SMALL.encode()))
    assert path.read_bytes() != SMALL.encode()
    assert message in refusal(lambda: read_cohort(path, SMALL_ROLES))
