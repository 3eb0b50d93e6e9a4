"""The rows of one member, batch by batch: records, fields, and what is no row.

What belongs here: from a member's bytes to good records. What does not: how a member is
written (`dialect.py`), which rows go together (`splitting.py`) and types (`contract.py`).
Rule: RFC 4180, "Common Format and MIME Type for Comma-Separated Values (CSV) Files"; where it
is silent, Python's `csv` module is the judge.

Nothing here looks at one row at a time, except where a batch has quotes in odd places.
Records keep their bytes, line ends included. This differs from the member: the encoding is
UTF-8 and a byte order mark is dropped, the last record gets a line end if it has none, and
blank lines, comments and lines before the header are left out.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.concurrency import read_ahead
from rwt_assets.contract import check_columns
from rwt_assets.dialect import (
    SAMPLE_BYTES,
    CsvDialect,
    find_dialect,
    find_encoding,
    to_utf8,
)
from rwt_assets.errors import LimitError, MemberHeaderError, MemberNotTextError
from rwt_assets.feed import Limits, MemberRule
from rwt_assets.fields import TRAILING, parse_record, read_fields, read_names
from rwt_assets.records import Records, count_lines, find_records, shown_record
from rwt_assets.signatures import not_text

BATCH_BYTES: Final = 8 << 20
HEADER_BYTES: Final = 64 << 10
CHUNKS_AHEAD: Final = 4  # of about a MiB
ZERO_BYTE: Final = "zero_byte"
UNCLOSED: Final = "unclosed_quote"
LINE: Final = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some good rows of a member, one after another.

    `records` are their bytes (large binary), `fields` the columns that were asked for as text,
    `row_numbers` (int64) their ordinals in the member, from 1, rising.
    """

    records: Any
    fields: pa.Table
    row_numbers: np.ndarray


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A record that is no row: its physical line (header = 1), its ordinal, and why."""

    line: int | None
    row: int | None
    rows: int
    rule: str
    reason: str
    text: str


class MemberRows:
    """Reads one member.

    `dialect`, `columns`, `header`, `rows_read` and `rejected` fill while it is consumed. After
    that `first_row_line` is the line of the first row, if every row has exactly one line.

    Args:
        rule: by which column, which columns must be there, what is known of the dialect.
        limits: on columns, record and field length.
        where: named in errors.
        all_fields: read all columns and not the split column alone.
    """

    def __init__(
        self, rule: MemberRule, limits: Limits, *, where: str, all_fields: bool = False
    ) -> None:
        self.columns: tuple[str, ...] = ()
        self.header = b""
        self.dialect = CsvDialect()
        self.first_row_line: int | None = None
        self.rows_read = 0
        self.rejected: list[RejectedRow] = []
        self._rule = rule
        self._limits = limits
        self._where = where
        self._all_fields = all_fields
        self._begun = False
        self._body_line = 1
        self._lines = 1  # lines before the batch

    def batches(self, chunks: Iterable[bytes]) -> Iterator[RowBatch]:
        """Read the member.

        Args:
            chunks: its bytes, of any length, in its own encoding.

        Yields:
            Its good rows, some MiB at a time.

        Raises:
            MemberHeaderError: no header, a needed column missing or there twice.
            MemberSchemaError, ArchiveSchemaError: columns that the feed's evolution refuses.
            LimitError: too many columns, or a record too long.
        """
        for text, records in self._batches(self._in_dialect(chunks)):
            yield self._good_rows(text, records)
        self.rejected.sort(key=lambda one: one.row or 0)
        unclosed = sum(one.rule == UNCLOSED for one in self.rejected)
        if self._lines - self._body_line == self.rows_read - unclosed:
            self.first_row_line = self._body_line
        if not self._begun:
            raise self._header_error("the member is empty: it has no header line")

    def batches_ahead(self, chunks: Iterable[bytes]) -> Iterator[RowBatch]:
        """The same batches, made in threads.

        While one is worked on the next is parsed, and what follows is fetched and unpacked.
        """
        return read_ahead(self.batches(read_ahead(chunks, ahead=CHUNKS_AHEAD)), ahead=1)

    def _in_dialect(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The member in UTF-8, its dialect found out from the beginning, skipped lines left out."""
        head, rest = _beginning(chunks)
        encoding = find_encoding(head, self._rule.dialect.encoding)
        self._hold_to_text(head, encoding)
        text, rest = _beginning(to_utf8(chain([head], rest), encoding))
        self.dialect = find_dialect(
            text,
            self._rule.dialect,
            [*self._rule.required_columns, *self._rule.columns],
            encoding=encoding,
            whole=len(text) < SAMPLE_BYTES,
        )
        for _ in range(self.dialect.skip_lines):
            found = LINE.search(text)
            cut = found.end() if found else len(text)
            self._lines += count_lines(text[:cut])
            text = text[cut:]
        return chain([text], rest)

    def _hold_to_text(self, head: bytes, encoding: str) -> None:
        """Refuse a file of another format under the name of a table."""
        what = not_text(head, encoding)
        if what is not None:
            raise MemberNotTextError(
                f"the member is no text but {what}",
                where=self._where,
                fate="The whole member was set aside; the others were processed.",
                remedy="Ask the sender for CSV, or let no rule of the feed take the member.",
            )

    def _batches(self, chunks: Iterable[bytes]) -> Iterator[tuple[bytes, Records]]:
        """Whole records, some MiB at a time."""
        gathered: list[bytes] = []
        size = 0
        for chunk in chunks:
            gathered.append(chunk)
            size += len(chunk)
            if size < BATCH_BYTES:
                continue
            data = self._after_header(b"".join(gathered), last=False)
            if not self._begun:
                gathered, size = [data], len(data)
                continue
            records = find_records(data, self.dialect, last=False)
            rest = data[records.end :]
            if len(rest) > self._limits.record_bytes:
                raise self._too_long()
            if len(records):
                yield data, records
            else:
                self._lines += records.lines
            gathered, size = [rest], len(rest)
        data = self._after_header(b"".join(gathered), last=True)
        if data and not data.endswith((b"\n", b"\r")):
            data += b"\n"
        records = find_records(data, self.dialect, last=True)
        if len(records):
            yield data, records
        else:
            self._lines += records.lines
        self._reject_unclosed(data[records.end :])

    def _after_header(self, data: bytes, *, last: bool) -> bytes:
        """Read the header off the member's first bytes; what is left of them.

        Without a whole first record yet, the bytes come back as they are.
        """
        if self._begun:
            return data
        unread = data
        if last and data and not data.endswith((b"\n", b"\r")):
            data += b"\n"
        whole = last and len(data) <= HEADER_BYTES
        found = find_records(data[:HEADER_BYTES], self.dialect, last=whole)
        if len(found) == 0:
            found = find_records(data, self.dialect, last=last)
        if len(found) == 0:
            if last and not data[found.end :].strip():
                return b""
            if last or len(data) > self._limits.record_bytes:
                raise self._too_long()
            return unread
        start, end = found.span(0)
        self._begin(data[start:end])
        if self.dialect.header:
            self.header = data[start:end]
            self._lines += count_lines(data[:end])
            data = data[end:]
        self._body_line = self._lines
        return data

    def _begin(self, first: bytes) -> None:
        """Name the columns after the first record, or after the rule if it is no header."""
        self._begun = True
        try:
            first.decode()
        except UnicodeDecodeError as error:
            raise self._header_error(f"the header is no UTF-8: {error}") from error
        if b"\0" in first:
            raise self._header_error("the header has a NUL byte")
        names = read_names(first, self.dialect)
        trails = self.dialect.trailing_delimiter and len(names) > 1
        if trails and (not self.dialect.header or names[-1] == ""):
            names = names[:-1]
        if not self.dialect.header:
            names = (*[*self._rule.columns][: len(names)], *[""] * len(names))[: len(names)]
        if len(names) > self._limits.columns:
            raise LimitError(
                f"the member has {len(names)} columns, the feed's limit is {self._limits.columns}",
                where=self._where,
                fate="The whole member was set aside; the others were processed.",
                remedy="If it is right, raise limits.columns of the feed.",
            )
        named = {*self._rule.columns, *self._rule.required_columns}
        for name in named:
            if names.count(name) > 1:
                self.columns = names
                raise self._header_error(f"the header has the column {name!r} twice")
        self.columns = _distinct(names)
        check_columns(self.columns, self._rule, where=f"{self._where}, line {self._lines}")

    def _reject_unclosed(self, rest: bytes) -> None:
        """What follows the last record: a quote that is never closed."""
        if not rest.strip():
            return
        self.rows_read += 1
        self.rejected.append(
            RejectedRow(
                line=self._lines,
                row=self.rows_read,
                rows=1,
                rule=UNCLOSED,
                reason="a quote is opened and never closed",
                text=shown_record(rest),
            )
        )

    def _good_rows(self, batch: bytes, records: Records) -> RowBatch:
        fields, good = self._read_fields(batch, records)
        kept = np.flatnonzero(good)
        row_numbers = kept + (self.rows_read + 1)
        self.rows_read += len(records)
        self._lines += records.lines
        return RowBatch(_records(batch, records, kept), fields, row_numbers)

    def _read_fields(self, batch: bytes, records: Records) -> tuple[pa.Table, np.ndarray]:
        """Fields of good records, and which records are good.

        Arrow's reader splits fields. It is given the records that were found here, without
        those that are no text or too long; ragged ones are handed back by it one by one.
        """
        good = np.ones(len(records), np.bool_)
        self._reject_unreadable(batch, records, good)
        self._reject_zero_bytes(batch, records, good)
        self._reject_long_fields(batch, records, good)
        readable = np.flatnonzero(good)
        text = _joined(batch, records, readable)
        ragged: list[tuple[int, int, int]] = []

        def note(row: Any) -> str:
            ragged.append((row.number - 1, row.expected_columns, row.actual_columns))
            return "skip"

        wanted = self.columns if self._all_fields else (self._rule.split_by or self.columns[0],)
        if len(readable) == 0:
            return pa.table({name: pa.array([], pa.string()) for name in wanted}), good
        only = [*wanted, TRAILING] if self.dialect.trailing_delimiter else [*wanted]
        table = read_fields(text, self.dialect, self.columns, only=only, ragged=note)
        for position, expected, actual in ragged:
            reason = f"{expected} fields expected, {actual} found"
            self._reject(batch, records, int(readable[position]), "ragged_row", reason)
            good[readable[position]] = False
        if table.num_rows + len(ragged) != len(readable):
            msg = f"{len(readable)} records were found, {table.num_rows} read"
            raise AssertionError(msg)
        if self.dialect.trailing_delimiter:
            table = self._reject_trailing(batch, records, good, table)
        return table, good

    def _reject_unreadable(self, batch: bytes, records: Records, good: np.ndarray) -> None:
        """Set records aside that are no UTF-8: no text in the member's encoding."""
        if _is_utf8(batch):
            return
        for index in range(len(records)):
            start, end = records.span(index)
            try:
                batch[start:end].decode()
            except UnicodeDecodeError as error:
                good[index] = False
                reason = (
                    f"it is no text in {self.dialect.encoding}, from byte {error.start} of the "
                    "record on; if the member is right, declare dialect.encoding of the feed"
                )
                self._reject(batch, records, index, "encoding", reason)

    def _reject_zero_bytes(self, batch: bytes, records: Records, good: np.ndarray) -> None:
        """Set records aside that have a NUL: no text has one, and other readers end there."""
        if b"\0" not in batch:
            return
        places = np.flatnonzero(np.frombuffer(batch, np.uint8)[: records.end] == 0)
        raw = np.unique(np.searchsorted(records.offsets, places, side="right") - 1)
        for index in np.flatnonzero(np.isin(records.filled, raw) & good).tolist():
            good[index] = False
            start, _ = records.span(index)
            reason = f"it has a NUL byte, as byte {batch.index(0, start) - start} of the record"
            self._reject(batch, records, index, ZERO_BYTE, reason)

    def _reject_long_fields(self, batch: bytes, records: Records, good: np.ndarray) -> None:
        """Set records aside that have a field over the limit; few records are long enough."""
        limit = self._limits.field_bytes
        lengths = np.diff(records.offsets)[records.filled]
        for index in np.flatnonzero(good & (lengths > limit)).tolist():
            start, end = records.span(index)
            longest = max(map(len, parse_record(batch[start:end], self.dialect)), default=0)
            if longest > limit:
                good[index] = False
                reason = (
                    f"a field has {longest} bytes, the feed's limit is {limit}; if it is right, "
                    "raise limits.field_bytes of the feed"
                )
                self._reject(batch, records, index, "field_bytes", reason)

    def _reject_trailing(
        self, batch: bytes, records: Records, good: np.ndarray, table: pa.Table
    ) -> pa.Table:
        """Set records aside that have something after the trailing delimiter."""
        empty = np.asarray(pc.equal(table.column(TRAILING), ""))
        indices = np.flatnonzero(good)
        for position in np.flatnonzero(~empty).tolist():
            good[indices[position]] = False
            reason = f"there is a field after the last of {len(self.columns)} columns"
            self._reject(batch, records, int(indices[position]), "ragged_row", reason)
        return table.drop_columns([TRAILING]).filter(pa.array(empty))

    def _reject(self, batch: bytes, records: Records, index: int, rule: str, reason: str) -> None:
        start, end = records.span(index)
        self.rejected.append(
            RejectedRow(
                line=self._lines + count_lines(batch[:start]),
                row=self.rows_read + index + 1,
                rows=1,
                rule=rule,
                reason=reason,
                text=shown_record(batch[start:end]),
            )
        )

    def _header_error(self, what: str) -> MemberHeaderError:
        found = f"; it has {', '.join(map(repr, self.columns))}" if self.columns else ""
        return MemberHeaderError(
            f"{what}{found}",
            where=f"{self._where}, line {self._lines}",
            fate="The whole member was set aside; the others were processed.",
            remedy="Ask the sender, or mend the feed's dialect, split_by, key_column or columns.",
        )

    def _too_long(self) -> LimitError:
        return LimitError(
            f"a record is longer than {self._limits.record_bytes} bytes",
            where=f"{self._where}, after line {self._lines}",
            fate="The whole member was set aside; the others were processed.",
            remedy="Look for a quote that is never closed, or raise limits.record_bytes.",
        )


def _beginning(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first `SAMPLE_BYTES` or a little more, and what follows."""
    rest = iter(chunks)
    gathered: list[bytes] = []
    size = 0
    for chunk in rest:
        gathered.append(chunk)
        size += len(chunk)
        if size >= SAMPLE_BYTES:
            break
    return b"".join(gathered), rest


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """A name for every column: `column_3` for an empty one, `name_2` for a second `name`."""
    taken = set(names)
    given: list[str] = []
    for position, name in enumerate(names, 1):
        own = name or f"column_{position}"
        if own in given or (not name and own in taken):
            number = 2
            while f"{own}_{number}" in taken or f"{own}_{number}" in given:
                number += 1
            own = f"{own}_{number}"
        given.append(own)
    return tuple(given)


def _is_utf8(text: bytes) -> bool:
    offsets = np.array([0, len(text)], np.int64)
    whole = pa.LargeStringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(text))
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _records(batch: bytes, records: Records, kept: np.ndarray) -> Any:
    """The kept records in their own order as large binary, without a copy if all are kept."""
    whole = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(),
        len(records.offsets) - 1,
        [None, pa.py_buffer(records.offsets), pa.py_buffer(batch)],
    )
    if records.plain and len(kept) == len(records):
        return whole
    return whole.take(pa.array(records.filled[kept]))


def _joined(batch: bytes, records: Records, kept: np.ndarray) -> Any:
    """The bytes of the kept records in their own order."""
    if records.plain and len(kept) == len(records):
        return pa.py_buffer(batch).slice(0, records.end)
    return record_bytes(_records(batch, records, kept))


def record_bytes(records: Any) -> Any:
    """The bytes of records that follow one another, as one buffer over the same memory."""
    _, offsets, data = records.buffers()
    bounds = np.frombuffer(offsets, np.int64)[records.offset : records.offset + len(records) + 1]
    return data.slice(int(bounds[0]), int(bounds[-1] - bounds[0]))
