"""Members to shards: every record goes, byte for byte, to the shard of its value.

What belongs here: finding records, reading the split column, grouping. What does not: types
(`contract.py`) and uploading (`unpacking.py`). Rule: RFC 4180, "Common Format and MIME Type
for Comma-Separated Values (CSV) Files"; where it is silent, Python's `csv` module is the judge.

Nothing here looks at one row at a time, except where a batch has quotes in odd places.
Records keep their bytes, line ends included. Three things differ from the member: a byte
order mark is dropped, the last record gets a line end if it has none, and blank lines are
left out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from rwt_assets.enrichment import ADDED
from rwt_assets.errors import LimitError, MemberHeaderError
from rwt_assets.feed import Limits, MemberRule
from rwt_assets.records import Records, find_records

BATCH_BYTES: Final = 8 << 20
BOM: Final = b"\xef\xbb\xbf"
SHOWN: Final = 500
HEADER_BYTES: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class SplitPart:
    """Some records of one value, as CSV with the member's header.

    `row_numbers` (int64) are the records' ordinals in the member, from 1, rising.
    """

    value: str | None
    data: bytes
    rows: int
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


@dataclass(slots=True)
class _Held:
    """What is held back of one value."""

    pieces: list[Any]
    row_numbers: list[np.ndarray]
    bytes: int = 0


class MemberSplitter:
    """Splits one member. `columns`, `rows_read` and `rejected` fill while it is consumed.

    Args:
        rule: by which column, and which columns must be there.
        limits: on record length, split values and bytes held back.
        where: named in errors.
    """

    def __init__(self, rule: MemberRule, limits: Limits, *, where: str) -> None:
        self.columns: tuple[str, ...] = ()
        self.rows_read = 0
        self.rejected: list[RejectedRow] = []
        self._rule = rule
        self._limits = limits
        self._where = where
        self._header = b""
        self._lines = 1  # lines before the batch
        self._held: dict[str, _Held] = {}
        self._held_bytes = 0
        self._values: set[str] = set()

    def parts(self, chunks: Iterable[bytes]) -> Iterator[tuple[SplitPart, ...]]:
        """Split the member.

        Args:
            chunks: its bytes, of any length, UTF-8.

        Yields:
            All parts that are cut at one time: whenever `limits.buffer_bytes` are held back,
            and at the end. A value may come in several parts, each with the header. A member
            without rows gives no part if it is split, and one without rows if it is not.

        Raises:
            MemberHeaderError: no header, double or empty names, or a needed column missing.
            LimitError: a record too long, or too many values.
        """
        for batch, records in self._batches(chunks):
            self._split(batch, records)
            if self._held_bytes >= self._limits.buffer_bytes:
                yield self._cut()
        if not self._header:
            raise self._header_error("the member is empty: it has no header line")
        if self._rule.split_by is None and not self._values:
            self._hold("", pa.py_buffer(b""), np.zeros(0, np.int64))
        if self._held:
            yield self._cut()

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
            if not self._header:
                gathered, size = [data], len(data)
                continue
            records = find_records(data, last=False)
            rest = data[records.end :]
            if len(rest) > self._limits.record_bytes:
                raise self._too_long()
            if len(records):
                yield data, records
            else:
                self._lines += _line_count(data[: records.end])
            gathered, size = [rest], len(rest)
        data = self._after_header(b"".join(gathered), last=True)
        if data and not data.endswith((b"\n", b"\r")):
            data += b"\n"
        records = find_records(data, last=True)
        if len(records):
            yield data, records
        else:
            self._lines += _line_count(data[: records.end])
        self._reject_unclosed(data[records.end :])

    def _after_header(self, data: bytes, *, last: bool) -> bytes:
        """Read the header off the member's first bytes; what is left of them.

        Without a whole header line yet, the bytes come back as they are.
        """
        if self._header:
            return data
        unread = data
        data = data.removeprefix(BOM)
        if last and data and not data.endswith((b"\n", b"\r")):
            data += b"\n"
        found = find_records(data[:HEADER_BYTES], last=last and len(data) <= HEADER_BYTES)
        if len(found) == 0:
            found = find_records(data, last=last)
        if len(found) == 0:
            if last and not data.strip():
                return b""
            if last or len(data) > self._limits.record_bytes:
                raise self._too_long()
            return unread
        start, end = found.span(0)
        self._header = data[start:end]
        self._lines = 1 + _line_count(data[:end])
        self._check_header()
        return data[end:]

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
                rule="unclosed_quote",
                reason="a quote is opened and never closed",
                text=rest[:SHOWN].decode(errors="replace"),
            )
        )

    def _check_header(self) -> None:
        try:
            self._header.decode()
        except UnicodeDecodeError as error:
            raise self._header_error(f"the header is no UTF-8: {error}") from error
        with arrow_csv.open_csv(pa.BufferReader(self._header), parse_options=_PARSE) as opened:
            self.columns = tuple(opened.schema.names)
        if "" in self.columns:
            raise self._header_error("a column of the header has no name")
        if len(set(self.columns)) < len(self.columns):
            double = next(name for name in self.columns if self.columns.count(name) > 1)
            raise self._header_error(f"the header has the column {double!r} twice")
        for name in self._rule.required_columns:
            if name not in self.columns:
                raise self._header_error(f"the column {name!r} is missing")
        for name in self.columns:
            if name in ADDED:
                raise self._header_error(f"the column {name!r} is one that enrichment adds")

    def _split(self, batch: bytes, records: Records) -> None:
        count = len(records)
        values, good = self._read_values(batch, records)
        row_numbers = np.arange(self.rows_read + 1, self.rows_read + count + 1, dtype=np.int64)
        self.rows_read += count
        kept = np.flatnonzero(good)
        if self._rule.split_by is None:
            self._hold("", _joined(batch, records, kept), row_numbers[kept])
        else:
            self._group(batch, records, kept, values, row_numbers[kept])
        self._lines += _line_count(batch[: records.end])

    def _group(
        self, batch: bytes, records: Records, kept: np.ndarray, values: Any, numbers: np.ndarray
    ) -> None:
        """Hold back the kept records by their value, in their order."""
        coded = values.dictionary_encode()
        codes = np.asarray(coded.indices)
        order = np.argsort(codes, kind="stable")
        data, offsets = _taken(batch, records, kept[order])
        bounds = np.searchsorted(codes[order], np.arange(len(coded.dictionary) + 1))
        numbers = numbers[order]
        for code, value in enumerate(coded.dictionary.to_pylist()):
            first, last = int(bounds[code]), int(bounds[code + 1])
            start, end = int(offsets[first]), int(offsets[last])
            self._hold(value, data.slice(start, end - start), numbers[first:last])

    def _read_values(self, batch: bytes, records: Records) -> tuple[Any, np.ndarray]:
        """Values of the split column of good records, and which records are good.

        Arrow's reader splits fields. It is given the records that were found here, blank
        lines left out; ragged ones are handed back by it one by one.
        """
        good = np.ones(len(records), np.bool_)
        text = _joined(batch, records, np.arange(len(records)))
        ragged: list[tuple[int, int, int]] = []

        def reject(row: Any) -> str:
            ragged.append((row.number - 1, row.expected_columns, row.actual_columns))
            return "skip"

        name = self._rule.split_by or self.columns[0]
        table = arrow_csv.read_csv(
            pa.BufferReader(text),
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=max(text.size, 1 << 16),
                column_names=list(self.columns),
            ),
            parse_options=arrow_csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=reject
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=[name],
                column_types={name: pa.binary()},
                strings_can_be_null=False,
            ),
        )
        for index, expected, actual in ragged:
            good[index] = False
            self._reject(
                batch, records, index, "ragged_row", (f"{expected} fields expected, {actual} found")
            )
        values = table.column(name).combine_chunks()
        if len(values) + len(ragged) != len(records):
            msg = f"{len(records)} records were found, {len(values)} read"
            raise AssertionError(msg)
        return self._as_text(batch, records, values, good)

    def _as_text(
        self, batch: bytes, records: Records, values: Any, good: np.ndarray
    ) -> tuple[Any, np.ndarray]:
        """Binary values as text; records whose value is no UTF-8 are set aside."""
        try:
            return values.cast(pa.string()), good
        except pa.ArrowInvalid:
            indices = np.flatnonzero(good)
            fits = np.ones(len(values), np.bool_)
            for position, value in enumerate(values.to_pylist()):
                try:
                    value.decode()
                except UnicodeDecodeError as error:
                    fits[position] = False
                    good[indices[position]] = False
                    reason = f"the value of {self._rule.split_by} is no UTF-8: {error}"
                    self._reject(batch, records, int(indices[position]), "encoding", reason)
            return values.filter(pa.array(fits)).cast(pa.string()), good

    def _reject(self, batch: bytes, records: Records, index: int, rule: str, reason: str) -> None:
        start, end = records.span(index)
        text = batch[start : min(end, start + SHOWN)].decode(errors="replace").rstrip("\r\n")
        self.rejected.append(
            RejectedRow(
                line=self._lines + _line_count(batch[:start]),
                row=self.rows_read + index + 1,
                rows=1,
                rule=rule,
                reason=reason,
                text=text,
            )
        )

    def _hold(self, value: str, data: Any, row_numbers: np.ndarray) -> None:
        if value not in self._values:
            self._values.add(value)
            if len(self._values) > self._limits.split_values:
                raise LimitError(
                    f"the column {self._rule.split_by!r} has more than "
                    f"{self._limits.split_values} different values",
                    where=self._where,
                    fate="The whole member was set aside; the others were processed.",
                    remedy="Split by another column, or raise limits.split_values of the feed.",
                )
        held = self._held.setdefault(value, _Held([], []))
        held.pieces.append(data)
        held.row_numbers.append(row_numbers)
        held.bytes += data.size
        self._held_bytes += data.size

    def _cut(self) -> tuple[SplitPart, ...]:
        """Everything that is held back, as parts."""
        parts = tuple(
            SplitPart(
                value=None if self._rule.split_by is None else value,
                data=b"".join([self._header, *held.pieces]),
                rows=sum(map(len, held.row_numbers)),
                row_numbers=np.concatenate(held.row_numbers),
            )
            for value, held in self._held.items()
        )
        self._held, self._held_bytes = {}, 0
        return parts

    def _header_error(self, what: str) -> MemberHeaderError:
        found = f"; it has {', '.join(map(repr, self.columns))}" if self.columns else ""
        return MemberHeaderError(
            f"{what}{found}",
            where=f"{self._where}, line 1",
            fate="The whole member was set aside; the others were processed.",
            remedy="Ask the sender, or mend the feed's split_by, key_column or columns.",
        )

    def _too_long(self) -> LimitError:
        return LimitError(
            f"a record is longer than {self._limits.record_bytes} bytes",
            where=f"{self._where}, after line {self._lines}",
            fate="The whole member was set aside; the others were processed.",
            remedy="Look for a quote that is never closed, or raise limits.record_bytes.",
        )


_PARSE: Final = arrow_csv.ParseOptions(newlines_in_values=True)


def _taken(batch: bytes, records: Records, order: np.ndarray) -> tuple[Any, np.ndarray]:
    """The records in this order in one buffer, and the offsets at which they begin and end."""
    whole = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(),
        len(records.offsets) - 1,
        [None, pa.py_buffer(records.offsets), pa.py_buffer(batch)],
    )
    array = whole.take(pa.array(records.filled[order]))
    _, offsets, data = array.buffers()
    return data, np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]


def _joined(batch: bytes, records: Records, kept: np.ndarray) -> Any:
    """The kept records in their own order."""
    if records.plain and len(kept) == len(records):
        return pa.py_buffer(batch).slice(0, records.end)
    data, offsets = _taken(batch, records, kept)
    return data.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def _line_count(text: bytes) -> int:
    """Physical lines in a text: LF, CRLF and lone CR end one."""
    lines = text.count(b"\n")
    return lines + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else lines
