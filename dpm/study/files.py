"""Files of a run: written whole, the same bytes for the same content, or refused in one line."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from dpm.errors import StudyError

TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES)
"""What the operating system says when a disk is full, failing or not to be written."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a refusal of the file system into one of dpm's.

    Raises:
        StudyError: the file or folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        do = "Give a folder you may write to, with space left, with --run-folder."
        raise StudyError(
            str(path), "a run folder that can be written", (str(error.strerror or error)).partition("\n")[0], do
        ) from error


@contextmanager
def full(path: Path) -> Iterator[None]:
    """The same for what a library writes: only trouble of the disk, so that a fault of dpm's own stays one.

    Raises:
        StudyError: no space is left, or the disk fails or may not be written.
    """
    try:
        yield
    except OSError as error:
        # HDF5 gives the number in its message only.
        if error.errno in TROUBLE or any(f"errno = {number}," in str(error) for number in TROUBLE):
            with writing(path):
                raise
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one step: a reader finds the old content or the new, never a part.

    Raises:
        StudyError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)


def write_json(path: Path, content: Any) -> None:
    """JSON as a person reads it; numbers of NumPy become plain ones.

    Raises:
        StudyError: it cannot be written.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, default=_plain)
    write_bytes(path, (text + "\n").encode("utf-8"))


def write_table(path: Path, table: pd.DataFrame) -> None:
    """A CSV table with one header row and no index.

    Raises:
        StudyError: it cannot be written.
    """
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode("utf-8"))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
