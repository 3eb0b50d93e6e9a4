"""Rejected rows as a CSV file that a person corrects, and back.

What belongs here: the columns of the file and how its cells are written. What does not: which rows
these are and what is done with them (`correcting.py`). Rule: RFC 4180; OWASP, "CSV Injection", for
what a spreadsheet takes for a formula.

The first columns say where a row is from and why it was rejected; then follow the columns of its
member. They begin with `rwt_`, with more underscores before it where a member has such a column.

A cell that begins with one of `= + - @`, a tab, CR or LF has an apostrophe before it, and so has
one that begins with apostrophes and one of these, and what follows a separator within a cell
(`foreign_text.py`). These apostrophes are taken off when the file is read, so every text comes back
as it was.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO
from typing import Final, TextIO

from rwt_assets.runtime import CorrectionError
from rwt_assets.text import spreadsheet_cell, spreadsheet_text

PLACE: Final = ("archive", "revision", "member", "row", "line", "rule", "reason", "text")
PREFIX: Final = "rwt_"
FIELD_CHARACTERS: Final = 8 << 20
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row of the file.

    Attributes:
        archive: object key.
        revision: of the archive.
        member: in which the row is.
        row: its ordinal in the member; None for what is no single row.
        line: its physical line; None if that is not known.
        rule: that rejected it.
        reason: of that.
        text: the whole record where it has no fields, else "".
        fields: by the column of the member.
        place: line of the file on which it ends; 0 if it is not from a file.
    """

    archive: str
    revision: str
    member: str
    row: int | None
    line: int | None
    rule: str
    reason: str
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)
    place: int = 0


def write_file(file: TextIO, columns: Sequence[str], rows: Iterable[FileRow]) -> int:
    """Write rows.

    Args:
        file: opened with `newline=""`.
        columns: of all members whose rows are written, each once.
        rows: to write.

    Returns:
        How many there were.
    """
    writer = csv.writer(file)
    prefix = _prefix(columns)
    writer.writerow([*(prefix + name for name in PLACE), *map(spreadsheet_cell, columns)])
    count = 0
    for one in rows:
        place = [one.archive, one.revision, one.member, one.row, one.line]
        place += [one.rule, one.reason, one.text]
        cells = ["" if cell is None else str(cell) for cell in place]
        writer.writerow(
            map(spreadsheet_cell, [*cells, *(one.fields.get(name, "") for name in columns)])
        )
        count += 1
    return count


def read_file(body: bytes, where: str) -> list[FileRow]:
    """Read a file, as `write_file` or a spreadsheet has written it.

    Args:
        body: UTF-8, with or without a byte order mark, or UTF-16 with one, as Excel saves "Unicode
            text"; cells end at commas, semicolons or tabs.
        where: named in errors.

    Returns:
        Its rows. Each has a field for every column of the file that is not about its place.

    Raises:
        CorrectionError: it is no such file, with the line.
    """
    encoding, name = ("utf-16", "UTF-16") if body.startswith(_UTF_16) else ("utf-8-sig", "UTF-8")
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        raise refused(
            f"the file is no {name} ({error.reason} at byte {error.start})",
            where=where,
            fix="Save it as CSV in UTF-8.",
        ) from error
    with _long_cells():
        try:
            return list(_rows(text, where))
        except csv.Error as error:
            raise refused(f"the file is no CSV: {error}", where=where) from error


def refused(what: str, *, where: str, fix: str = "") -> CorrectionError:
    """The error of a file that cannot be taken."""
    return CorrectionError(
        what,
        where=where,
        effect="Nothing was imported.",
        fix=fix or "Correct the file that `rwt quarantine export` wrote, and no other.",
    )


def _prefix(columns: Iterable[str]) -> str:
    prefix, names = PREFIX, {name.casefold() for name in columns}
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    return prefix


def _rows(text: str, where: str) -> Iterator[FileRow]:
    first = re.match(rf"\"?(_*{PREFIX}){PLACE[0]}\"?([,;\t])", text)
    if first is None:
        raise refused(f"the file does not begin with the column {PREFIX}{PLACE[0]}", where=where)
    prefix, delimiter = first[1], first[2]
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names = [spreadsheet_text(name) for name in next(reader)]
    place = [prefix + name for name in PLACE]
    for name in place:
        if name not in names:
            raise refused(f"the file has no column {name!r}", where=f"{where}, line 1")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise refused(f"the file has the column {twice!r} twice", where=f"{where}, line 1")
    for cells in reader:
        if not any(cells):
            continue
        at = f"{where}, line {reader.line_num}"
        if len(cells) != len(names):
            raise refused(f"{len(names)} cells expected, {len(cells)} found", where=at)
        values = dict(zip(names, map(spreadsheet_text, cells), strict=True))
        archive, revision, member, row, line, rule, reason, raw = (
            values.pop(name) for name in place
        )
        yield FileRow(
            archive=archive,
            revision=revision,
            member=member,
            row=_number(row, prefix + "row", at),
            line=_number(line, prefix + "line", at),
            rule=rule,
            reason=reason,
            text=raw,
            fields=values,
            place=reader.line_num,
        )


def _number(cell: str, column: str, where: str) -> int | None:
    if not cell:
        return None
    if _NUMBER.fullmatch(cell) is None:
        raise refused(f"{column} is no number: {cell[:100]!r}", where=where)
    return int(cell)


@contextmanager
def _long_cells() -> Iterator[None]:
    """The texts of records are longer than cells that Python's `csv` takes otherwise."""
    before = csv.field_size_limit(FIELD_CHARACTERS)
    try:
        yield
    finally:
        csv.field_size_limit(before)
