"""NONMEM data sets with errors of many kinds are refused, with the record, and none is half-read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dpm.cohort import read_cohort, read_nonmem

from .test_nonmem import PK, ROLES
from .test_refusals import refusal


def swap(old: str, new: str) -> Callable[[bytes], bytes]:
    assert PK.count(old) == 1, (old, PK.count(old))
    return lambda content: content.replace(old.encode(), new.encode())


CORRUPTIONS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "EVID without TIME": (swap("\n2,0,.,1", "\n2,.,.,1"), "TIME: expected a time in every record"),
    "EVID unknown": (swap("1,1,7.5,0", "1,1,7.5,9"), "EVID: expected one of: 0, 1, 2, 3, 4, got 9 in row 5"),
    "EVID missing": (swap("1,1,7.5,0", "1,1,7.5,."), "EVID: expected an event code in every record"),
    "MDV of 2": (swap("2,2,.,0,1", "2,2,.,0,2"), "MDV: expected one of: 0, 1, got 2 in row 9"),
    "MDV 0 without DV": (swap("2,2,.,0,1", "2,2,.,0,0"), "DV: expected a value where MDV is 0"),
    "CENS of 3": (swap("1,1,7.5,0,0,.,0", "1,1,7.5,0,0,.,3"), "CENS: expected one of: -1, 0, 1, got 3"),
    "CENS missing": (swap("1,1,7.5,0,0,.,0", "1,1,7.5,0,0,.,."), "CENS: expected a censoring code"),
    "LIMIT above DV": (swap(",1,0.1,1", ",1,0.9,1"), "LIMIT: expected a LIMIT under DV where CENS = 1"),
    "LIMIT below DV": (swap(",-1,80", ",-1,20"), "LIMIT: expected a LIMIT under DV"),
    "DVID unknown": (swap("1,1,7.5,0,0,.,0,.,1", "1,1,7.5,0,0,.,0,.,5"), "DVID: expected one of the named outcomes"),
    "DVID missing": (swap("1,1,7.5,0,0,.,0,.,1", "1,1,7.5,0,0,.,0,.,."), "DVID: expected an outcome for each"),
    "text in DV": (swap("1,1,7.5", "1,1,BLQ"), "DV: expected numbers, got the text 'BLQ' in row 5"),
    "clock time": (swap("1,1,7.5", "1,10:30,7.5"), "TIME: expected numbers, got the text '10:30'"),
    "infinite DV": (swap("1,1,7.5", "1,1,inf"), "DV: expected finite numbers, got inf in row 5"),
    "text NaN": (swap("1,1,7.5", "1,1,NaN"), "DV: expected numbers, got the text 'NaN'"),
    "decimal comma": (swap("1,1,7.5", '1,1,"7,5"'), "DV: expected numbers, got the text '7,5'"),
    "a record twice": (
        swap("1,1,7.5,0,0,.,0,.,1,1,70", "1,1,7.5,0,0,.,0,.,1,1,70\n1,1,7,0,0,.,0,.,1,1,70"),
        "row 5 and",
    ),
    "time goes back": (swap("1,2,0.5", "1,0.5,0.5"), "TIME: expected records in time order within a subject"),
    "ID again": (
        lambda content: content + b"1,9,3,0,0,.,0,.,1,2,70\n",
        "ID: expected the records of a subject one after",
    ),
    "ID missing": (swap("1,1,7.5", ".,1,7.5"), "ID: expected a subject in every record"),
    "OCC differs": (swap("1,0,12,0,0,.,0,.,2,1", "1,0,12,0,0,.,0,.,2,9"), "OCC: expected one value in all records"),
    "covariate differs": (swap("1,0,12,0,0,.,0,.,2,1,70", "1,0,12,0,0,.,0,.,2,1,71"), "WT: expected one value"),
    "header twice": (swap("AMT", "dv"), "DV: expected each column once, in any case, got 'DV' and 'dv'"),
    "no DV": (swap("DV,EVID", "Y,EVID"), "DV: expected a column 'DV'"),
    "cut short": (lambda content: content[:-10], "11 fields in each row"),
    "header gone": (lambda content: content.split(b"\n", 1)[1], "expected"),
    "doses only": (lambda content: content.replace(b",0,0,.", b",1,1,1").replace(b",0,1,.", b",1,1,1"), "observations"),
    "blanks for commas": (lambda content: content.replace(b",", b" "), "comma-separated values"),
    "another encoding": (lambda content: content.decode().encode("utf-16"), "expected"),
}


@pytest.mark.parametrize("case", CORRUPTIONS)
def test_it_is_refused(case: str, tmp_path: Path) -> None:
    spoil, message = CORRUPTIONS[case]
    path = tmp_path / "pk.csv"
    path.write_bytes(spoil(PK.encode()))
    assert message in refusal(lambda: read_cohort(read_nonmem(path, {1: "conc", 2: "effect"}), ROLES))
