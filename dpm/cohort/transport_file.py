"""SAS transport files (XPORT, version 5 or 8): what their blocks must show to be believed."""

import struct
import warnings
from pathlib import Path

import pandas as pd

from dpm.errors import CohortError

BLOCK = 80
_MEMBER, _NAMES, _RECORDS = (f"HEADER RECORD*******{kind}".encode() for kind in ("MEM", "NAM", "OBS"))
_AGAIN = "Write the file again; it may have been cut short, or its text be neither ASCII nor UTF-8."


def read_transport(content: bytes, path: Path, name: str) -> pd.DataFrame:
    """The one data set of a transport file.

    Raises:
        CohortError: it is another kind of file, was cut short, or holds several data sets or a variable twice.
    """
    import pyreadstat

    if not content.startswith(b"HEADER RECORD*******LIB"):
        do = "Write it with PROC COPY or the XPORT engine; a .sas7bdat file is another kind."
        raise CohortError(name, "a SAS transport file (XPORT)", "another kind of file", do)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            frame, _ = pyreadstat.read_xport(str(path))
    except UserWarning as error:
        raise CohortError(name, "each column once", str(error), "Rename or drop one of them.") from None
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, UnicodeDecodeError, ValueError) as error:
        raise CohortError(name, "a SAS transport file (XPORT)", str(error).splitlines()[0][:200], _AGAIN) from None
    _refuse_several(content, name)
    _refuse_cut(content, name)
    return frame


def _refuse_several(content: bytes, name: str) -> None:
    members = sum(content[at : at + len(_MEMBER)] == _MEMBER for at in range(0, len(content), BLOCK))
    if members != 1:
        do = "Write each data set to a file of its own."
        raise CohortError(name, "one data set", f"{members} in one file", do)


def _refuse_cut(content: bytes, name: str) -> None:
    """Blocks are of 80 bytes; after the last whole record there are blanks up to the end of its block, and no more.

    A file without its last records whose end falls on a whole record cannot be told from a shorter one.
    """
    if len(content) % BLOCK:
        got = f"{len(content) % BLOCK} bytes too many: a file cut short"
        raise CohortError(name, "whole blocks of 80 bytes", got, "Write the file again.")
    names, records = (
        next((at for at in range(0, len(content), BLOCK) if content[at : at + len(mark)] == mark), None)
        for mark in (_NAMES, _RECORDS)
    )
    if names is None or records is None:
        raise CohortError(name, "headers of variables and of records", "a file without one of them", _AGAIN)
    count = int(content[names + 54 : names + 58])
    starts = range(names + BLOCK, names + BLOCK + 140 * count, 140)
    width = sum(int(struct.unpack_from(">h", content, start + 4)[0]) for start in starts)
    data = content[records + BLOCK :]
    rest = data[len(data) - len(data) % width :] if width > 0 else data
    if width <= 0 or rest.strip(b" ") or len(rest) >= BLOCK:
        got = f"{len(rest)} bytes after the last whole record of {width} bytes: a file cut short"
        raise CohortError(name, "whole records, and blanks to the end of a block", got, "Write the file again.")
