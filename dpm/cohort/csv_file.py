"""Comma-separated values: a strict reader, and a fast one for files that leave nothing to be strict about."""

import csv
import io

import numpy as np
import pandas as pd

from dpm.cohort.column import TextColumn
from dpm.errors import CohortError
from dpm.types import Int

Cells = tuple[dict[str, TextColumn], Int[np.ndarray, " row"]]


def read_csv(content: bytes, name: str) -> Cells:
    """Columns of text, and the line each row starts on.

    Raises:
        CohortError: the bytes are not one table of comma-separated values in UTF-8.
    """
    text = _decode(content, name)
    fast = _plain(content.removeprefix(b"\xef\xbb\xbf"), name)
    if fast is not None:
        return fast
    header, rows, lines = _parse(text, name)
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    return {column: TextColumn.of(values) for column, values in cells.items()}, np.array(lines, dtype=np.int64)


def check_header(header: list[str], name: str) -> None:
    """Refuse names that occur twice, and a single column that another sign than a comma divides.

    Raises:
        CohortError: the header is one of these.
    """
    twice = [column for column in dict.fromkeys(header) if header.count(column) > 1]
    if twice:
        got = f"a duplicated header: {twice[0]!r} {header.count(twice[0])} times"
        raise CohortError(f"{name}: {twice[0]}", "each column once", got, "Rename or drop one of them.")
    if len(header) == 1:
        other = next((sign for sign in (";", "\t", "|") if sign in header[0]), None)
        got = f"columns separated by {other!r}" if other else f"a single column {header[0][:40]!r}"
        raise CohortError(name, "comma-separated values", got, "Save the table as CSV, comma-separated.")


def _plain(content: bytes, name: str) -> Cells | None:
    """The columns where there is no quote, no empty line and the same number of commas in each line; else None.

    Without quotes a comma always divides and a line feed always ends, so that there is one way to read the file,
    and each row stands on the line of its number.
    """
    import pyarrow
    from pyarrow import csv as fast

    if b'"' in content or b"\n\n" in content or b"\n\r" in content or b"\r\r" in content or content[:1] in b"\r\n":
        return None
    if content.count(b"\r") not in (0, content.count(b"\r\n")):
        return None
    head = content.split(b"\n", 1)[0].decode().rstrip("\r")
    header = [column.strip() for column in head.split(",")]
    check_header(header, name)
    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    try:
        table = fast.read_csv(
            pyarrow.BufferReader(content),
            read_options=fast.ReadOptions(column_names=header, skip_rows=1, use_threads=True),
            parse_options=fast.ParseOptions(quote_char=False, ignore_empty_lines=False),
            convert_options=fast.ConvertOptions(
                column_types=dict.fromkeys(header, text), strings_can_be_null=False, null_values=[]
            ),
        )
    except pyarrow.ArrowException:
        return None  # the strict reader says what is wrong, and where
    if not table.num_rows:
        return None
    columns = {column: _text(table.column(column)) for column in header}
    return columns, np.arange(table.num_rows, dtype=np.int64) + 2


def _text(chunks: object) -> TextColumn:
    import pyarrow

    assert isinstance(chunks, pyarrow.ChunkedArray)
    whole = chunks.unify_dictionaries().combine_chunks()
    if isinstance(whole, pyarrow.ChunkedArray):
        whole = whole.chunk(0)
    levels = np.array([text.strip() for text in whole.dictionary.to_pylist()], dtype=object)
    merged, distinct = pd.factorize(levels)
    return TextColumn(merged[whole.indices.to_numpy()], np.asarray(distinct, dtype=object))


def _decode(content: bytes, name: str) -> str:
    if not content.removeprefix(b"\xef\xbb\xbf").strip():
        raise CohortError(name, "a CSV file with a header and rows", "an empty file")
    do = "Save the table as CSV, comma-separated, in UTF-8."
    if b"\0" in content:
        raise CohortError(name, "text (CSV)", "a binary file", do)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise CohortError(name, "UTF-8 text", f"the byte 0x{content[error.start]:02x} in row {row}", do) from None


def _parse(text: str, name: str) -> tuple[list[str], list[list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows, lines, before = [], [], 0
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(before + 1)
            before = reader.line_num
    except csv.Error as error:
        raise CohortError(
            name, "comma-separated values", f"{error} in row {before + 1}", "Repair the quotes."
        ) from None
    header = [column.strip() for column in rows[0]]
    check_header(header, name)
    if len(rows) == 1:
        raise CohortError(name, "a header and rows", "a header only")
    uneven = [line for line, row in zip(lines, rows, strict=True) if len(row) != len(header)]
    if uneven:
        fields = len(rows[lines.index(uneven[0])])
        got = f"{fields} in row {uneven[0]} ({len(uneven):,} of {len(rows) - 1:,} rows)"
        do = "Quote a text that holds a comma; a file cut short has to be written again."
        raise CohortError(name, f"{len(header)} fields in each row, as in the header", got, do)
    return header, rows[1:], lines[1:]
