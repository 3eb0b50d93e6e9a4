"""The fields of records, read by Arrow in the dialect of their member.

What belongs here: records to text columns. What does not: where records are (`records.py`)
and what their values must be (`contract.py`). Rule: Apache Arrow documentation: "Reading and
Writing CSV files"; where it and RFC 4180 are silent, Python's `csv` module is the judge.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from rwt_assets.member.dialect import CsvDialect
from rwt_assets.member.encodings import BOM
from rwt_assets.member.records import CR, LF, Marks, active_escapes, header_end, without_escaped

TRAILING: Final = "\0trailing"  # what follows a trailing delimiter; no column can be named so
BLOCK_BYTES: Final = 64 << 10

RaggedHandler = Callable[[Any], str]


def read_names(header: bytes, dialect: CsvDialect) -> tuple[str, ...]:
    """The fields of a header record, as they stand."""
    header = _with_escapes_doubled(header, dialect)
    with arrow_csv.open_csv(
        pa.BufferReader(_with_mark_doubled(header)),
        parse_options=_parse_options(dialect),
        read_options=arrow_csv.ReadOptions(block_size=max(len(header) + len(BOM), BLOCK_BYTES)),
    ) as opened:
        return tuple(opened.schema.names)


def physical_columns(columns: Sequence[str], dialect: CsvDialect) -> list[str]:
    """The columns of a member and, where its records end in a delimiter, what follows it."""
    return [*columns, TRAILING] if dialect.trailing_delimiter else [*columns]


def read_fields(
    text: Any,
    dialect: CsvDialect,
    columns: Sequence[str],
    *,
    only: Sequence[str] = (),
    ragged: RaggedHandler | None = None,
) -> pa.Table:
    """Read records, without a header, as columns.

    Args:
        text: the records' bytes or an Arrow buffer of them.
        dialect: of the member.
        columns: names of the member's columns.
        only: the columns to read; none for all.
        ragged: called with Arrow's `InvalidRow` for a record with another number of fields;
            without it such a record is an error.

    Returns:
        A table of text columns. An empty field is an empty text, quoted or not. An escape before
        anything but a quote, a delimiter, a line end or another escape is a character.

    Raises:
        pa.ArrowInvalid: without `ragged`, a record has another number of fields.
    """
    physical = physical_columns(columns, dialect)
    wanted = list(only) or list(columns)
    text = _with_escapes_doubled(text, dialect)
    return arrow_csv.read_csv(
        pa.BufferReader(_with_mark_doubled(text)),
        read_options=arrow_csv.ReadOptions(
            use_threads=False,
            block_size=max(len(text) + len(BOM), BLOCK_BYTES),
            column_names=physical,
        ),
        parse_options=_parse_options(dialect, ragged),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(wanted, pa.string()),
            strings_can_be_null=False,
        ),
    )


def parse_record(record: bytes, dialect: CsvDialect) -> list[bytes]:
    """The fields of one record, whatever their number."""
    return [name.encode() for name in read_names(record, dialect)]


def parse_shard(data: bytes, dialect: CsvDialect, columns: Sequence[str]) -> pa.Table:
    """Read a part of a shard: every column as text, every field as it stands."""
    rest = pa.py_buffer(data).slice(header_end(data, dialect))
    if rest.size == 0:
        return pa.table({name: pa.array([], pa.string()) for name in columns})
    return read_fields(rest, dialect, columns)


def count_fields(text: Any, bounds: np.ndarray, dialect: CsvDialect) -> np.ndarray:
    """How many fields each record has, of records whose quotes are right.

    Args:
        text: the bytes of the records, one after another.
        bounds: where each begins, and where the last ends.
        dialect: of the member.
    """
    marks = Marks.of(dialect)
    view = np.frombuffer(text, np.uint8)
    if marks.escape is not None:
        view = without_escaped(view, marks.escape)
    delimiters = np.flatnonzero(view == marks.delimiter)
    if marks.quote is not None:
        quotes = np.flatnonzero(view == marks.quote)
        if len(quotes):
            delimiters = delimiters[np.searchsorted(quotes, delimiters) % 2 == 0]
    counted: np.ndarray = np.diff(np.searchsorted(delimiters, bounds)) + 1
    return counted


def _with_escapes_doubled(text: Any, dialect: CsvDialect) -> Any:
    r"""Arrow drops every escape; one that escapes nothing stays: `\N` of a database is no `N`."""
    if dialect.escape is None:
        return text
    marks, view = Marks.of(dialect), np.frombuffer(text, np.uint8)
    escapes = active_escapes(view, marks.escape)
    if len(escapes) == 0:
        return text
    after = view[np.minimum(escapes + 1, len(view) - 1)]
    special = [marks.delimiter, LF, CR, marks.escape]
    special += [] if marks.quote is None else [marks.quote]
    plain = escapes[~np.isin(after, np.array(special, np.uint8))]
    return np.insert(view, plain, ord(dialect.escape)).tobytes() if len(plain) else text


def _with_mark_doubled(text: Any) -> Any:
    """Arrow drops a byte order mark from what it reads; one that is part of a field stays."""
    return BOM + bytes(text) if bytes(text[: len(BOM)]) == BOM else text


def _parse_options(dialect: CsvDialect, ragged: RaggedHandler | None = None) -> Any:
    return arrow_csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char=dialect.quote or False,
        double_quote=dialect.quote is not None,
        escape_char=dialect.escape or False,
        newlines_in_values=True,
        ignore_empty_lines=not dialect.blank_rows,
        invalid_row_handler=ragged,
    )
