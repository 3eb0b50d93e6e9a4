"""Where CSV records begin and end, without looking at one at a time.

What belongs here: record boundaries in bytes, of records whose quotes are taken as they come. What
does not: which quotes are at fault (`quoting.py`) and fields (`fields.py`). Rule: RFC 4180, section
2, rules 5 to 7 (quotes); a quote within an unquoted field is an ordinary character, as for Python's
`csv` module and for Arrow. LF, CRLF and a lone CR end a record. A dialect may name other
characters; the rules are the same.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.member.dialect import CsvDialect

LF: Final = ord("\n")
CR: Final = ord("\r")
_ORDINARY: Final = ord("x")
_HEADER_BYTES: Final = 64 << 10
SHOWN_BYTES: Final = 64 << 10
CUT: Final = f" ... [cut after {SHOWN_BYTES:,} bytes]"  # ends the text of a record that is longer


@dataclass(frozen=True, slots=True)
class Records:
    """Complete records of a text, as `offsets` of all and the indices of those that are rows.

    The others are blank lines and comments. `lines` counts the physical lines that all take,
    `comments` are the indices of those that are comments. `faults` says of each of `offsets` what
    is wrong with its quotes (see `quoting.py`), 0 for nothing; None if nothing is wrong with any.
    `sent_on` are the line bounds as they were sent, where records were corrected.

    Record `i` is `text[offsets[filled[i]] : offsets[filled[i] + 1]]`, line end included.
    """

    offsets: np.ndarray
    filled: np.ndarray
    lines: int
    comments: np.ndarray
    faults: np.ndarray | None = None
    sent_on: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.filled)

    @property
    def end(self) -> int:
        """Where the last complete record ends."""
        return int(self.offsets[-1])

    @property
    def plain(self) -> bool:
        """There are no blank lines and no comments."""
        return len(self.filled) == len(self.offsets) - 1

    @property
    def blank(self) -> int:
        """How many blank lines are left out."""
        return len(self.offsets) - 1 - len(self.filled) - len(self.comments)

    @property
    def joined(self) -> int:
        """How many line ends lie within records."""
        return self.lines - (len(self.offsets) - 1)

    def line_bounds(self, text: bytes) -> np.ndarray:
        """The physical line on which each of `offsets` lies, the first of the text being 0."""
        if self.sent_on is not None:
            return self.sent_on
        if self.joined == 0:
            return np.arange(len(self.offsets))
        ends = line_ends(text, np.frombuffer(text, np.uint8), last=True)
        lines: np.ndarray = np.searchsorted(ends, self.offsets, side="right")
        return lines

    def up_to(self, text: bytes, end: int) -> "Records":
        """Those that end here or before."""
        count = int(np.searchsorted(self.offsets, end, side="right")) - 1
        offsets = self.offsets[: max(count, 0) + 1]
        return Records(
            offsets,
            self.filled[self.filled < count],
            count_lines(text, int(offsets[-1])) if self.joined else len(offsets) - 1,
            self.comments[self.comments < count],
            None if self.faults is None else self.faults[: len(offsets) - 1],
        )

    def span(self, index: int) -> tuple[int, int]:
        """Where a record begins and ends."""
        raw = int(self.filled[index])
        return int(self.offsets[raw]), int(self.offsets[raw + 1])


def find_records(text: bytes, dialect: CsvDialect, *, last: bool) -> Records:
    """Find the complete records of a text that begins at a record.

    Args:
        text: the bytes, UTF-8; what comes after the last complete record is left alone.
        dialect: which characters quote, escape, delimit and begin comments.
        last: nothing comes after the text, so a CR at its end is a line end.

    Returns:
        The records.
    """
    marks = Marks.of(dialect)
    view = np.frombuffer(text, np.uint8)
    ends = _ends(text, view, marks, last=last)
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    blank, comment = left_out(view, offsets, marks, blank_rows=dialect.blank_rows)
    # Where nothing can hide a line end, each record is a line.
    plain = not marks.quotes(text) and not marks.escapes(text)
    lines = len(ends) if plain else count_lines(text, int(offsets[-1]))
    return Records(offsets, np.flatnonzero(~(blank | comment)), lines, np.flatnonzero(comment))


def left_out(
    view: np.ndarray, offsets: np.ndarray, marks: "Marks", *, blank_rows: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Which records are blank lines that are no rows, and which are comments."""
    first = view[offsets[:-1]]
    blank = (np.diff(offsets) <= 2) & ((first == LF) | (first == CR))  # noqa: PLR2004
    if blank_rows:
        blank = np.zeros(len(first), np.bool_)
    comment = np.zeros(len(first), np.bool_) if marks.comment is None else first == marks.comment
    return blank, comment


def count_lines(text: bytes, end: int | None = None) -> int:
    """Physical lines in the beginning of a text: LF, CRLF and lone CR end one."""
    lines = int(np.count_nonzero(np.frombuffer(text, np.uint8)[:end] == LF))
    if b"\r" not in text:
        return lines
    return lines + text.count(b"\r", 0, end) - text.count(b"\r\n", 0, end)


def header_end(text: bytes, dialect: CsvDialect) -> int:
    """Where the first record that is a row ends in a text that has one; 0 without a header."""
    if not dialect.header:
        return 0
    found = find_records(text[:_HEADER_BYTES], dialect, last=len(text) <= _HEADER_BYTES)
    if len(found) == 0:
        found = find_records(text, dialect, last=True)
    return found.span(0)[1]


def shown_record(record: bytes) -> str:
    """A record as text: without its line end; its beginning and `CUT` if it is too long."""
    text = record[:SHOWN_BYTES].decode(errors="backslashreplace").rstrip("\r\n")
    return text if len(record) <= SHOWN_BYTES else f"{text}{CUT}"


def shown_records(text: bytes | memoryview, starts: np.ndarray, ends: np.ndarray) -> Any:
    """Records as texts for a report, as `shown_record` has one; an Arrow array."""
    cut = ends - starts > SHOWN_BYTES
    ends = np.minimum(ends, starts + SHOWN_BYTES)
    data, bounds = _picked(text, starts, ends)
    if not data.isascii():
        data, bounds = escaped(data, bounds)
    texts = pa.LargeStringArray.from_buffers(
        len(starts), pa.py_buffer(bounds.astype(np.int64)), pa.py_buffer(data)
    )
    texts = pc.ascii_rtrim(texts, "\r\n").cast(pa.string())
    if not cut.any():
        return texts
    return pc.if_else(pa.array(cut), pc.binary_join_element_wise(texts, CUT, ""), texts)


def _picked(
    text: bytes | memoryview, starts: np.ndarray, ends: np.ndarray
) -> tuple[bytes, np.ndarray]:
    """Pieces of a text one after the other, and their bounds."""
    bounds = np.concatenate([[0], np.cumsum(ends - starts)])
    if len(starts) == 0 or (starts[1:] == ends[:-1]).all():
        return bytes(text[starts[0] : ends[-1]]) if len(starts) else b"", bounds
    # Every second of these is a piece, the others are what lies between.
    offsets = np.stack([starts, ends], axis=1).ravel().astype(np.int64)
    if (np.diff(offsets) < 0).any():
        return b"".join(text[a:b] for a, b in zip(starts, ends, strict=True)), bounds
    all_of_it = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(text)]
    )
    pieces = all_of_it.take(pa.array(np.arange(0, len(offsets) - 1, 2)))
    return pieces.buffers()[2].to_pybytes()[: bounds[-1]], bounds


def shown_binary(records: Any) -> Any:
    """Records in an Arrow array as texts for a report."""
    _, offsets, data = records.buffers()
    bounds = np.frombuffer(offsets, np.int64)[records.offset : records.offset + len(records) + 1]
    return shown_records(memoryview(data), bounds[:-1], bounds[1:])


def escaped(data: bytes, bounds: np.ndarray) -> tuple[bytes, np.ndarray]:
    r"""Texts with `\xff` for every byte that is no UTF-8, and the bounds that they have then."""
    wrong = np.sort(not_utf8(data, bounds))
    if len(wrong) == 0:
        return data, bounds
    room = np.ones(len(data), np.int64)
    room[wrong] = 4
    places = np.concatenate([[0], np.cumsum(room)])
    view = np.frombuffer(data, np.uint8)
    made = np.repeat(view, room)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    for place, byte in enumerate((ord("\\"), ord("x"))):
        made[places[wrong] + place] = byte
    made[places[wrong] + 2] = digits[view[wrong] >> 4]
    made[places[wrong] + 3] = digits[view[wrong] & 15]
    return made.tobytes(), places[bounds]


def not_utf8(data: bytes, bounds: np.ndarray) -> np.ndarray:
    """Where bytes stand that are no part of a character in UTF-8 (RFC 3629, section 4).

    Args:
        data: texts, one after another.
        bounds: where they begin and end; a character does not go on in the next.
    """
    view = np.frombuffer(data, np.uint8)
    high = np.flatnonzero(view >= 0x80)  # noqa: PLR2004
    byte = view[high]
    after = np.concatenate([view, np.zeros(3, np.uint8)])
    # Where every text ends with ASCII, as a line does, no character can go on in the next.
    apart = len(high) == 0 or (view[bounds[1:][np.diff(bounds) > 0] - 1] < 0x80).all()  # noqa: PLR2004
    ends = len(view) if apart else bounds[np.searchsorted(bounds, high, side="right")]
    good = np.zeros(len(view) + 3, np.bool_)
    counts = np.bincount(byte, minlength=256)
    for least, most, length, low, top in _SEQUENCES:
        if not counts[least : most + 1].any():
            continue
        leads = (byte >= least) & (byte <= most) & (high + length <= ends)
        start = high[leads]
        fits = (after[start + 1] >= low) & (after[start + 1] <= top)
        for more in range(2, length):
            fits &= (after[start + more] & 0xC0) == 0x80  # noqa: PLR2004
        start = start[fits]
        for more in range(length):
            good[start + more] = True
    return high[~good[high]]


# First byte from and to, length, second byte from and to.
_SEQUENCES: Final = (
    (0xC2, 0xDF, 2, 0x80, 0xBF),
    (0xE0, 0xE0, 3, 0xA0, 0xBF),
    (0xE1, 0xEC, 3, 0x80, 0xBF),
    (0xED, 0xED, 3, 0x80, 0x9F),
    (0xEE, 0xEF, 3, 0x80, 0xBF),
    (0xF0, 0xF0, 4, 0x90, 0xBF),
    (0xF1, 0xF3, 4, 0x80, 0xBF),
    (0xF4, 0xF4, 4, 0x80, 0x8F),
)


@dataclass(frozen=True, slots=True)
class Marks:
    """A dialect as bytes."""

    delimiter: int
    quote: int | None
    escape: int | None
    comment: int | None

    def quotes(self, text: bytes) -> bool:
        """Whether a text has quotes."""
        return self.quote is not None and self.quote in text

    def escapes(self, text: bytes) -> bool:
        """Whether a text has escapes."""
        return self.escape is not None and self.escape in text

    @property
    def pattern(self) -> re.Pattern[bytes]:
        """Every character that may end a field or a record."""
        bytes_ = [self.delimiter, self.quote, self.escape, LF, CR]
        special = bytes(byte for byte in bytes_ if byte is not None)
        return re.compile(b"[" + re.escape(special) + b"]")

    @classmethod
    def of(cls, dialect: CsvDialect) -> "Marks":
        """The marks of a dialect."""
        return cls(
            delimiter=ord(dialect.delimiter),
            quote=None if dialect.quote is None else ord(dialect.quote),
            escape=None if dialect.escape is None else ord(dialect.escape),
            comment=None if dialect.comment is None else ord(dialect.comment),
        )


def _ends(text: bytes, view: np.ndarray, marks: Marks, *, last: bool) -> np.ndarray:
    """Where records end, comments being records too."""
    has_quotes, has_escapes = marks.quotes(text), marks.escapes(text)
    if not has_quotes and not has_escapes:
        return line_ends(text, view, last=last)
    if _has_comment(text, marks):
        return _ends_one_by_one(text, marks, last=last)
    if has_escapes:
        view = without_escaped(view, marks.escape)
        text = view.tobytes()
    if not has_quotes:
        return line_ends(text, view, last=last)
    quotes = np.flatnonzero(view == marks.quote)
    if not regular(view, quotes, marks):
        return _ends_one_by_one(text, marks, last=last)
    lines = line_ends(text, view, last=last)
    # Regular quotes come in pairs: a line end among an odd number is within a field.
    outside: np.ndarray = lines[np.searchsorted(quotes, lines) % 2 == 0]
    return outside


def _has_comment(text: bytes, marks: Marks) -> bool:
    """Whether a line begins as a comment does; its quotes would not count."""
    if marks.comment is None:
        return False
    mark = bytes([marks.comment])
    return text.startswith(mark) or b"\n" + mark in text or b"\r" + mark in text


def active_escapes(view: np.ndarray, escape: int | None) -> np.ndarray:
    """Where characters stand that escape the next one, and are not escaped themselves."""
    escapes = np.flatnonzero(view == escape)
    if len(escapes) == 0:
        return escapes
    run_starts = np.concatenate([[True], np.diff(escapes) > 1])
    first_of_run = np.maximum.accumulate(np.where(run_starts, np.arange(len(escapes)), 0))
    # Within a run every second one is escaped by the one before.
    active: np.ndarray = escapes[(np.arange(len(escapes)) - first_of_run) % 2 == 0]
    return active


def without_escaped(view: np.ndarray, escape: int | None) -> np.ndarray:
    """The text with every escape, and what it escapes, as an ordinary character."""
    active = active_escapes(view, escape)
    masked = view.copy()
    masked[view == escape] = _ORDINARY
    masked[active[active + 1 < len(view)] + 1] = _ORDINARY
    return masked


def line_ends(text: bytes, view: np.ndarray, *, last: bool) -> np.ndarray:
    """Where physical lines end; a CR at the end of the text is one only if nothing follows."""
    ends = np.flatnonzero(view == LF) + 1
    if b"\r" not in text:
        return ends
    returns = np.flatnonzero(view == CR) + 1
    if len(returns) and returns[-1] == len(text):
        alone_at_end = returns[-1:] if last else returns[:0]
        returns = returns[:-1]
    else:
        alone_at_end = returns[:0]
    alone = returns[view[returns] != LF]
    return np.sort(np.concatenate([ends, alone, alone_at_end]))


def regular(view: np.ndarray, quotes: np.ndarray, marks: Marks) -> bool:
    """Whether quotes only open fields, close fields, or are doubled within."""
    opening, closing = quotes[::2], quotes[1::2]
    neighbours = [byte for byte in (marks.delimiter, LF, CR, marks.quote) if byte is not None]
    before = view[np.maximum(opening - 1, 0)]
    opens = (opening == 0) | np.isin(before, neighbours)
    within = closing[closing + 1 < len(view)]
    closes = np.isin(view[within + 1], neighbours)
    return bool(
        opens.all() and closes.all() and _doubled_is_inside(view, opening, closing, marks.quote)
    )


def _doubled_is_inside(
    view: np.ndarray, opening: np.ndarray, closing: np.ndarray, quote: int | None
) -> bool:
    """A quote that opens right after a quote continues a field that one had closed."""
    after_quote = (opening > 0) & (view[np.maximum(opening - 1, 0)] == quote)
    index = np.flatnonzero(after_quote)
    return bool((index > 0).all() and (closing[index - 1] == opening[index] - 1).all())


def _ends_one_by_one(  # noqa: C901, PLR0912 - one branch for each special byte
    text: bytes, marks: Marks, *, last: bool
) -> np.ndarray:
    """The exact way, for texts with quotes in odd places or in comments."""
    ends: list[int] = []
    field_start = record_start = 0
    quoted = False
    skip_to = 0
    for match in marks.pattern.finditer(text):
        position = match.start()
        if position < skip_to:
            continue
        byte = text[position]
        commented = text[record_start] == marks.comment and not quoted
        if byte == marks.escape and not commented:
            skip_to = position + 2
        elif quoted:
            if byte == marks.quote:
                if text[position + 1 : position + 2] == match.group():
                    skip_to = position + 2
                else:
                    quoted = False
        elif byte in (LF, CR):
            end = position + 1
            if byte == CR:
                if end == len(text) and not last:
                    break
                if text[end : end + 1] == b"\n":
                    end += 1
            skip_to = field_start = record_start = end
            ends.append(end)
        elif byte == marks.quote and not commented:
            quoted = position == field_start
        else:
            field_start = position + 1
    return np.array(ends, np.int64)
