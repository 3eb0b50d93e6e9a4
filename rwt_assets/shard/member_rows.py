"""The rows of one member, batch by batch: records, fields, and what is no row.

What belongs here: from a member's bytes to good records. What does not: how a member is
written (`dialect.py`), which rows go together (`splitting.py`) and types (`contract.py`).
Rule: RFC 4180, "Common Format and MIME Type for Comma-Separated Values (CSV) Files"; where it
is silent, Python's `csv` module is the judge.

Nothing here looks at one row at a time, except in a member with lenient quotes.
Records keep their bytes, line ends included. This differs from the member: the encoding is
UTF-8 and a byte order mark is dropped, the last record gets a line end if it has none, and
blank lines, comments and lines before the header are left out.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.contract import check_columns
from rwt_assets.documents import LineCounts
from rwt_assets.feed import Limits, MemberRule
from rwt_assets.member import (
    LINE,
    LOOK_AHEAD,
    REJECTED_ROWS,
    SAMPLE_BYTES,
    TRAILER_BYTES,
    TRAILING,
    UNCLOSED_QUOTE,
    CsvDialect,
    GuessEvidence,
    LineCounter,
    Records,
    Rejections,
    RowFaults,
    count_fields,
    count_lines,
    cut_trailer,
    declared_names,
    find_dialect,
    find_encoding,
    find_records,
    is_guess,
    judge_records,
    physical_columns,
    read_fields,
    read_names,
    shown_record,
    to_utf8,
    usual_width,
    why_no_table,
    without_end_mark,
)
from rwt_assets.quarantine import NO_CORRECTIONS, MemberCorrections
from rwt_assets.runtime import (
    EncodingGuessError,
    LimitError,
    MemberHeaderError,
    MemberNotTextError,
    read_ahead,
)
from rwt_assets.text import INSENSITIVE, Case
from rwt_assets.values import distinct_names, same_but_for_case, told_renamed

BATCH_BYTES: Final = 8 << 20
HEADER_BYTES: Final = 64 << 10
TRAILER_AT_MOST: Final = 5  # lines, where no row is left
# What other formats end lines or records with.
_NO_LINE_END: Final = re.compile("[\x0b\x0c\x1c-\x1f\x85\u2028\u2029]")
CHUNKS_AHEAD: Final = 4  # of about a MiB


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some good rows of a member, one after another.

    `records` are their bytes (large binary), `fields` the columns that were asked for as text,
    `row_numbers` (int64) their ordinals in the member, from 1, rising.
    """

    records: Any
    fields: pa.Table
    row_numbers: np.ndarray


class MemberRows:
    """Reads one member.

    `dialect`, `columns`, `note` (which columns had to be renamed), `header`, `rows_read` and
    `rejected` fill while it is consumed. After that `first_row_line` is the line of the first row,
    if every row has exactly one line, `lines` accounts for every line of the text, and `trailer`
    has those that the rule's trailer found.

    Args:
        rule: by which column, which columns must be there, what is known of the dialect.
        limits: on columns, record and field length.
        where: named in errors.
        all_fields: read all columns and not the split column alone.
        case: how column names are compared, unless the rule says it.
        corrections: rows that take the place of those that were sent; `rows_corrected` counts them.
    """

    def __init__(  # noqa: PLR0913 - each says one thing about the member
        self,
        rule: MemberRule,
        limits: Limits,
        *,
        where: str,
        all_fields: bool = False,
        case: Case = INSENSITIVE,
        corrections: MemberCorrections = NO_CORRECTIONS,
    ) -> None:
        self.columns: tuple[str, ...] = ()
        self.note = ""
        self.header = b""
        self.dialect = CsvDialect()
        self.first_row_line: int | None = None
        self.rows_read = 0
        self.rows_corrected = 0
        self.rejected = Rejections()
        self.trailer: tuple[str, ...] = ()
        self._rule = rule
        self._limits = limits
        self._where = where
        self._all_fields = all_fields
        self._case: Case = rule.case or case
        self._corrections = corrections
        self._begun = False
        self._body_line = 1
        self._lines = 1  # lines before the batch
        self._counter = LineCounter()
        self._counts: Counter[str] = Counter()  # lines that are no rows
        self._rest_rows = 0
        self._usual: int | None = (
            None  # fields of most records, if declared columns are without a header
        )

    @property
    def lines(self) -> LineCounts:
        """The lines of the text and what became of those that are no rows."""
        return LineCounts(physical=self._counter.lines, **self._counts)

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
            EncodingGuessError: the encoding was guessed, and the whole member says otherwise.
        """
        evidence = GuessEvidence()
        for text, records in self._batches(self._in_dialect(evidence.taken_of(chunks))):
            yield self._good_rows(text, records)
        if self.dialect.encoding_guessed and evidence.says_utf8:
            raise EncodingGuessError(
                f"it begins as {self.dialect.encoding} and goes on in UTF-8",
                where=self._where,
                effect="The whole member was quarantined; the others were processed.",
                fix="Declare dialect.encoding of the feed.",
            )
        if self._lines - self._body_line == self.rows_read - self._rest_rows:
            self.first_row_line = self._body_line
        if not self._begun:
            raise self._header_error("the member is empty: it has no header line")
        self._refuse_nothing_read()

    def _refuse_nothing_read(self) -> None:
        """A member of which nothing is read though there is more than a header is not silent."""
        if self.rows_read:
            return
        inner = _NO_LINE_END.search(self.header.decode(errors="replace").rstrip("\r\n"))
        if inner:
            told = f"no row, and in the header the character U+{ord(inner.group()):04X}"
            raise self._header_error(f"the member has {told}, which ends no line in CSV")
        if len(self.trailer) > TRAILER_AT_MOST:
            told = f"all {len(self.trailer)} lines below the header"
            raise self._header_error(f"the rule's trailer takes {told}; no row is left")

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
        utf8 = without_end_mark(to_utf8(chain([head], rest), encoding))
        text, rest = _beginning(self._counter.taken_of(utf8))
        self.dialect = find_dialect(
            text,
            self._rule.dialect,
            [*self._rule.required_columns, *self._rule.columns],
            encoding=encoding,
            whole=len(text) < SAMPLE_BYTES,
            case=self._case,
            decimal_comma=any(
                self._rule.notation(name).decimal_mark == "," for name in self._rule.columns
            ),
        )
        guessed = is_guess(encoding, self._rule.dialect.encoding)
        self.dialect = self.dialect.model_copy(update={"encoding_guessed": guessed})
        for _ in range(self.dialect.skip_lines):
            found = LINE.search(text)
            cut = found.end() if found else len(text)
            self._counts["skipped"] += bool(text)
            self._lines += count_lines(text[:cut])
            text = text[cut:]
        if self._rule.columns and not self.dialect.header:
            named, whole = len(self._rule.columns), len(text) < SAMPLE_BYTES
            self._usual = usual_width(text, self.dialect, named, whole=whole)
        return chain([text], rest)

    def _hold_to_text(self, head: bytes, encoding: str) -> None:
        """Refuse a file of another format under the name of a table."""
        told, fix = why_no_table(head, encoding, self._rule.dialect)
        if told:
            raise MemberNotTextError(
                f"the member is {told}",
                where=self._where,
                effect="The whole member was quarantined; the others were processed.",
                fix=fix,
            )

    @property
    def _held(self) -> int:
        """How many bytes at the end are held back, because they may be of the trailer."""
        return TRAILER_BYTES + 1 if self._rule.trailer is not None else 0

    @property
    def _width(self) -> int:
        """How many fields a record has."""
        return len(physical_columns(self.columns, self.dialect))

    def _find(self, text: bytes, *, last: bool) -> Records:
        width = self._width if self._begun else None
        return judge_records(
            text, self.dialect, width=width, last=last, record_bytes=self._limits.record_bytes
        )

    def _batches(self, chunks: Iterable[bytes]) -> Iterator[tuple[bytes, Records]]:
        """Whole records, some MiB at a time."""
        gathered: list[bytes] = []
        size, wanted = 0, BATCH_BYTES
        held = self._held
        for chunk in chunks:
            gathered.append(chunk)
            size += len(chunk)
            if size < wanted:
                continue
            data = self._after_header(b"".join(gathered), last=False)
            if not self._begun:
                gathered, size, wanted = [data], len(data), len(data) + BATCH_BYTES
                continue
            records = self._find(data, last=False)
            if held:
                records = records.up_to(data, len(data) - held)
            rest = data[records.end :]
            if len(rest) > self._limits.record_bytes + LOOK_AHEAD + held:
                raise self._too_long()
            yield from self._taken(data, records)
            gathered, size, wanted = [rest], len(rest), len(rest) + BATCH_BYTES
        data = b"".join(gathered)
        if not self.dialect.header:
            data = self._without_trailer(data)
        data = self._after_header(data, last=True)
        if self.dialect.header:
            data = self._without_trailer(data)
        if data and not data.endswith((b"\n", b"\r")):
            data += b"\n"
        records = self._find(data, last=True)
        yield from self._taken(data, records)
        rest = data[records.end :]
        corrected = self._corrections.in_place_of(
            rest, self.rows_read + 1, self.dialect, self.columns
        )
        if corrected is None:
            self._reject_rest(rest)
        else:
            self.rows_corrected += 1
            yield corrected, find_records(corrected, self.dialect, last=True)

    def _taken(self, data: bytes, records: Records) -> Iterator[tuple[bytes, Records]]:
        """A batch, if it has rows; its lines are counted."""
        limit = self._limits.record_bytes
        if records.end > limit and (np.diff(records.offsets) > limit).any():
            raise self._too_long()
        self._counts["blank"] += records.blank
        self._counts["comments"] += len(records.comments)
        self._counts["joined"] += records.joined
        if len(records):
            yield data, records
        else:
            self._lines += records.lines

    def _without_trailer(self, data: bytes) -> bytes:
        """The end of the member without the lines that the rule says are its trailer."""
        if self._rule.trailer is None or self.trailer:
            return data
        ended = data if data.endswith((b"\n", b"\r")) else data + b"\n"
        offsets = self._find(ended, last=True).offsets
        records = {*offsets[offsets >= len(data) - self._held].tolist()}
        data, trailer = cut_trailer(data, self._rule.trailer, records)
        self._counts["trailer"] += len(trailer)
        self.trailer = tuple(shown_record(line) for line in trailer)
        return data

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
        found = self._find(data[:HEADER_BYTES], last=whole)
        if self._first_of(found, last=False) is None:
            found = self._find(data, last=last)
        if not last and not self.dialect.header:
            found = found.up_to(data, len(data) - self._held)  # what follows may be the trailer
        place = self._first_of(found, last=last)
        if place is None:
            room = self._limits.record_bytes + LOOK_AHEAD + self._held
            return self._nothing(data, found) if last or len(data) > room else unread
        start, end = found.span(place)
        broken = found.faults is not None and bool(found.faults[found.filled[place]])
        if self.dialect.header:
            self._take_header(data, found, place, broken=broken)
        self._begin(data[start:end], quoted=not broken)
        if self.dialect.header:
            self._lines += count_lines(data[:end])
            data = data[end:]
        self._body_line = self._lines
        return data

    def _take_header(self, data: bytes, found: Records, place: int, *, broken: bool) -> None:
        if broken:
            raise self._header_error(
                "the header has a quote where none can be, or one that is never closed"
            )
        start, end = found.span(place)
        self.header = data[start:end]
        self._count_before(data, found, int(found.filled[place]))
        self._counts["header"] += count_lines(self.header)

    def _nothing(self, data: bytes, found: Records) -> bytes:
        """What is left of a member without a single record."""
        if len(found) or data[found.end :].strip():
            raise self._too_long()
        self._count_before(data, found, len(found.offsets) - 1)
        return b""

    def _first_of(self, found: Records, *, last: bool) -> int | None:
        """The header, or without one the first record that nothing is wrong with, if one is."""
        if len(found) == 0 or self.dialect.header or found.faults is None:
            return 0 if len(found) else None
        good = np.flatnonzero(found.faults[found.filled] == 0)
        if len(good) == 0:
            return 0 if last else None
        return int(good[0])

    def _count_before(self, data: bytes, found: Records, end: int) -> None:
        """Count the blank lines and comments before a record."""
        comments = int((found.comments < end).sum())
        self._counts["comments"] += comments
        self._counts["blank"] += count_lines(data, int(found.offsets[end])) - comments

    def _begin(self, first: bytes, *, quoted: bool = True) -> None:
        """Name the columns after the first record, or after the rule if it is no header."""
        self._begun = True
        try:
            first.decode()
        except UnicodeDecodeError as error:
            raise self._header_error(f"the header is no UTF-8: {error}") from error
        if b"\0" in first:
            raise self._header_error("the header has a NUL byte")
        dialect = self.dialect if quoted else self.dialect.model_copy(update={"quote": None})
        try:
            names = read_names(first, dialect)
        except pa.ArrowInvalid as error:
            raise self._header_error(f"the first record cannot be read: {error}") from error
        if self._usual is not None:
            names = (*names, *[""] * self._usual)[: self._usual]
        trails = self.dialect.trailing_delimiter and len(names) > 1
        if trails and (not self.dialect.header or names[-1] == ""):
            names = names[:-1]
        if not self.dialect.header:
            names = (*[*self._rule.columns][: len(names)], *[""] * len(names))[: len(names)]
        if len(names) > self._limits.columns:
            raise LimitError(
                f"the member has {len(names)} columns, the feed's limit is {self._limits.columns}",
                where=self._where,
                effect="The whole member was quarantined; the others were processed.",
                fix="If it is right, raise limits.columns of the feed.",
            )
        where = f"{self._where}, line {self._lines}"
        names = declared_names(names, self._rule, self._case, where=where)
        named = {*self._rule.columns, *self._rule.required_columns}
        if alike := same_but_for_case(names, named):
            self.columns = names
            told = f"the header has the columns {alike[0]!r} and {alike[1]!r}"
            raise self._header_error(f"{told}, which differ by their case alone")
        self.columns = distinct_names(names, named)
        self.note = told_renamed(names, self.columns)
        blank_rows = self._rule.dialect.blank_lines == "row" and self._width == 1
        self.dialect = self.dialect.model_copy(update={"blank_rows": blank_rows})
        check_columns(self.columns, self._rule, where=f"{self._where}, line {self._lines}")

    def _reject_rest(self, rest: bytes) -> None:
        """What follows the last record: a quote or an escape that takes in the end."""
        if not rest:
            return
        rows = self._rest_rows = count_lines(rest)
        table = {
            "line": [self._lines],
            "row": [self.rows_read + 1],
            "rows": [rows],
            "lines": [rows],
            "rule": [UNCLOSED_QUOTE],
            "reason": [f"a quote or an escape takes in the end of the member, lines: {rows}"],
            "text": [shown_record(rest)],
        }
        self.rejected.add(pa.table(table, schema=REJECTED_ROWS))
        self.rows_read += rows

    def _good_rows(self, batch: bytes, records: Records) -> RowBatch:
        batch, records, corrected = self._corrections.apply(
            batch, records, self.rows_read + 1, self.dialect, self.columns
        )
        self.rows_corrected += corrected
        faults = RowFaults(batch, records, self.dialect)
        fields = self._read_fields(batch, records, faults)
        for table in faults.tables(first_line=self._lines, first_row=self.rows_read + 1):
            self.rejected.add(table)
        kept = np.flatnonzero(faults.good)
        row_numbers = kept + (self.rows_read + 1)
        self.rows_read += len(records)
        self._lines += records.lines
        return RowBatch(_records(batch, records, kept), fields, row_numbers)

    def _read_fields(self, batch: bytes, records: Records, faults: RowFaults) -> pa.Table:
        """Fields of good records; the others are noted.

        Arrow's reader splits fields. It is given the records that were found here, without
        those that are broken, no text or too long. Where it finds one of another number of fields,
        they are counted here and the rest is read again.
        """
        faults.broken_quotes()
        faults.not_text()
        faults.other_encoding()
        faults.zero_bytes()
        faults.long_fields(self._limits.field_bytes)
        wanted = self.columns if self._all_fields else (self._rule.split_by or self.columns[0],)
        only = [*wanted, TRAILING] if self.dialect.trailing_delimiter else [*wanted]
        table = None
        if not self.dialect.lenient_quotes:
            table = self._all_at_once(batch, records, faults, only)
        if table is None:
            table = self._one_by_one(batch, records, faults, only)
        if self.dialect.trailing_delimiter:
            table = self._reject_trailing(faults, table)
        return table

    def _all_at_once(
        self, batch: bytes, records: Records, faults: RowFaults, only: Sequence[str]
    ) -> pa.Table | None:
        """The fields if every record has the right number of them; else others are rejected."""
        readable = np.flatnonzero(faults.good)
        if len(readable) == 0:
            return None
        text = _joined(batch, records, readable)
        try:
            return read_fields(text, self.dialect, self.columns, only=only)
        except pa.ArrowInvalid:
            lengths = np.diff(records.offsets)[records.filled[readable]]
            bounds = np.concatenate([[0], np.cumsum(lengths)])
            found = count_fields(text, bounds, self.dialect)
        width = self._width
        wrong = found != width
        reasons = pc.binary_join_element_wise(
            f"{width} fields expected, ", pa.array(found[wrong]).cast(pa.string()), " found", ""
        )
        faults.reject(readable[wrong], "ragged_row", reasons)
        return None

    def _one_by_one(
        self, batch: bytes, records: Records, faults: RowFaults, only: Sequence[str]
    ) -> pa.Table:
        """The fields; Arrow hands each record back that has another number of them."""
        readable = np.flatnonzero(faults.good)
        if len(readable) == 0:
            return pa.table({name: pa.array([], pa.string()) for name in only})
        ragged: list[tuple[int, int, int]] = []

        def note(row: Any) -> str:
            ragged.append((row.number - 1, row.expected_columns, row.actual_columns))
            return "skip"

        text = _joined(batch, records, readable)
        table = read_fields(text, self.dialect, self.columns, only=only, ragged=note)
        for position, expected, actual in ragged:
            reason = f"{expected} fields expected, {actual} found"
            faults.reject(readable[[position]], "ragged_row", reason)
        if table.num_rows + len(ragged) != len(readable):
            msg = f"{len(readable)} records were found, {table.num_rows} read"
            raise AssertionError(msg)
        return table

    def _reject_trailing(self, faults: RowFaults, table: pa.Table) -> pa.Table:
        """Quarantine records that have something after the trailing delimiter."""
        empty = np.asarray(pc.equal(table.column(TRAILING), ""))
        reason = f"there is a field after the last of {len(self.columns)} columns"
        faults.reject(np.flatnonzero(faults.good)[~empty], "ragged_row", reason)
        return table.drop_columns([TRAILING]).filter(pa.array(empty))

    def _header_error(self, what: str) -> MemberHeaderError:
        found = f"; it has {', '.join(map(repr, self.columns))}" if self.columns else ""
        return MemberHeaderError(
            f"{what}{found}",
            where=f"{self._where}, line {self._lines}",
            effect="The whole member was quarantined; the others were processed.",
            fix="Ask the sender, or fix the feed's dialect, split_by, key_column or columns.",
        )

    def _too_long(self) -> LimitError:
        return LimitError(
            f"a record is longer than {self._limits.record_bytes} bytes",
            where=f"{self._where}, after line {self._lines}",
            effect="The whole member was quarantined; the others were processed.",
            fix="Look for a quote that is never closed, or raise limits.record_bytes.",
        )


def in_utf8(rule: MemberRule) -> MemberRule:
    """The rule, for a member of which a guess at its encoding was refuted by the rest of it."""
    dialect = rule.dialect.model_copy(update={"encoding": "utf-8"})
    return rule.model_copy(update={"dialect": dialect})


def _beginning(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first `SAMPLE_BYTES`, whatever the chunks are, and what follows."""
    rest = iter(chunks)
    gathered: list[bytes] = []
    size = 0
    for chunk in rest:
        gathered.append(chunk)
        size += len(chunk)
        if size >= SAMPLE_BYTES:
            break
    head = b"".join(gathered)
    return head[:SAMPLE_BYTES], chain([head[SAMPLE_BYTES:]], rest)


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
