"""One record of a member as text, and its fields: read, and written so that they read the same.

What belongs here: between the text of a rejected or corrected record and its fields. What does
not: members as a whole (`member_rows.py`). Rule: RFC 4180, section 2, under the characters of a
dialect; what is written is read again before it is believed.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa

from rwt_assets.member.dialect import CsvDialect
from rwt_assets.member.fields import physical_columns, read_fields
from rwt_assets.member.quoting import judge_records


def fields_of(
    texts: Sequence[str], dialect: CsvDialect, columns: Sequence[str]
) -> list[tuple[str, ...] | None]:
    """The fields of records that are given as texts without line ends.

    Args:
        texts: of the records.
        dialect: of the member.
        columns: of the member.

    Returns:
        For each text one field a column; None where the text is not one record of so many fields.
    """
    if not texts or not columns:
        return [None] * len(texts)
    data = [f"{text}\n".encode(errors="surrogatepass") for text in texts]
    if (found := _read(data, dialect, columns)) is not None:
        return found
    return [(_read([one], dialect, columns) or [None])[0] for one in data]


def write_records(
    rows: Sequence[Sequence[str]], dialect: CsvDialect, columns: Sequence[str]
) -> list[bytes | None]:
    """Records with these fields, line ends included; None where the dialect cannot say them."""
    texts = [_record(fields, dialect) for fields in rows]
    return [
        f"{text}\n".encode(errors="surrogatepass") if read == tuple(fields) else None
        for text, read, fields in zip(texts, fields_of(texts, dialect, columns), rows, strict=True)
    ]


def _record(fields: Sequence[str], dialect: CsvDialect) -> str:
    written = [_written(field, dialect) for field in fields]
    if dialect.comment is not None and written[0].startswith(dialect.comment):
        written[0] = _quoted(fields[0], dialect)
    if written == [""]:
        written = [_quoted("", dialect)]
    if dialect.trailing_delimiter:
        written.append("")
    return dialect.delimiter.join(written)


def _read(
    data: Sequence[bytes], dialect: CsvDialect, columns: Sequence[str]
) -> list[tuple[str, ...] | None] | None:
    """Fields of texts that are one record each; None if one is not, or more is wrong with it."""
    text = b"".join(data)
    records = judge_records(
        text,
        dialect,
        width=len(physical_columns(columns, dialect)),
        last=True,
        record_bytes=len(text),
    )
    if (
        not records.plain
        or records.faults is not None
        or records.offsets.tolist() != [0, *accumulate(map(len, data))]
    ):
        return None
    ragged: set[int] = set()

    def note(row: Any) -> str:
        ragged.add(row.number - 1)
        return "skip"

    try:
        table = read_fields(text, dialect, columns, ragged=note)
    except (pa.ArrowException, UnicodeError):
        return None
    rows: Iterator[tuple[str, ...]] = zip(*(one.to_pylist() for one in table.columns), strict=True)
    read = [None if number in ragged else next(rows, None) for number in range(len(data))]
    return read if next(rows, None) is None else None


def _written(field: str, dialect: CsvDialect) -> str:
    marks = (dialect.delimiter, dialect.quote, dialect.escape, "\r", "\n")
    if any(mark is not None and mark in field for mark in marks):
        return _quoted(field, dialect)
    return field


def _quoted(field: str, dialect: CsvDialect) -> str:
    """A field with quotes, or with escapes where the dialect has no quotes."""
    quote, escape = dialect.quote, dialect.escape
    if escape is not None:
        field = field.replace(escape, escape * 2)
    if quote is not None:
        return f"{quote}{field.replace(quote, quote * 2)}{quote}"
    if escape is not None:
        for mark in (dialect.delimiter, dialect.comment, "\r", "\n"):
            field = field if mark is None else field.replace(mark, escape + mark)
    return field
