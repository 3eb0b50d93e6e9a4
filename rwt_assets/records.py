"""Where CSV records begin and end, without looking at one at a time.

What belongs here: record boundaries in bytes. What does not: fields (`splitting.py` leaves
them to Arrow). Rule: RFC 4180, section 2, rules 5 to 7 (quotes); a quote within an unquoted
field is an ordinary character, as for Python's `csv` module and for Arrow. LF, CRLF and a
lone CR end a record. A dialect may name other characters; the rules are the same.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

from rwt_assets.dialect import CsvDialect

LF: Final = ord("\n")
CR: Final = ord("\r")
_ORDINARY: Final = ord("x")
_HEADER_BYTES: Final = 64 << 10
SHOWN_BYTES: Final = 500


@dataclass(frozen=True, slots=True)
class Records:
    """Complete records of a text, as `offsets` of all and the indices of those that are rows.

    The others are blank lines and comments. `lines` counts the physical lines that they take.

    Record `i` is `text[offsets[filled[i]] : offsets[filled[i] + 1]]`, line end included.
    """

    offsets: np.ndarray
    filled: np.ndarray
    lines: int

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
    marks = _Marks.of(dialect)
    view = np.frombuffer(text, np.uint8)
    ends = _ends(text, view, marks, last=last)
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    lengths = np.diff(offsets)
    first = view[offsets[:-1]] if len(ends) else view[:0]
    left_out = (lengths <= 2) & ((first == LF) | (first == CR))  # noqa: PLR2004
    if marks.comment is not None:
        left_out |= first == marks.comment
    # Where nothing can hide a line end, each record is a line.
    plain = not marks.quotes(text) and not marks.escapes(text)
    lines = len(ends) if plain else count_lines(text, int(offsets[-1]))
    return Records(offsets, np.flatnonzero(~left_out), lines)


def count_lines(text: bytes, end: int | None = None) -> int:
    """Physical lines in the beginning of a text: LF, CRLF and lone CR end one."""
    lines = text.count(b"\n", 0, end)
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
    """A record as text for a report: without its line end, its beginning if it is long."""
    return record[:SHOWN_BYTES].decode(errors="backslashreplace").rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class _Marks:
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
    def of(cls, dialect: CsvDialect) -> "_Marks":
        return cls(
            delimiter=ord(dialect.delimiter),
            quote=None if dialect.quote is None else ord(dialect.quote),
            escape=None if dialect.escape is None else ord(dialect.escape),
            comment=None if dialect.comment is None else ord(dialect.comment),
        )


def _ends(text: bytes, view: np.ndarray, marks: _Marks, *, last: bool) -> np.ndarray:
    """Where records end, comments being records too."""
    has_quotes, has_escapes = marks.quotes(text), marks.escapes(text)
    if not has_quotes and not has_escapes:
        return _line_ends(text, view, last=last)
    if _has_comment(text, marks):
        return _ends_one_by_one(text, marks, last=last)
    if has_escapes:
        view = _without_escaped(view, marks.escape)
        text = view.tobytes()
    if not has_quotes:
        return _line_ends(text, view, last=last)
    quotes = np.flatnonzero(view == marks.quote)
    if not _regular(view, quotes, marks):
        return _ends_one_by_one(text, marks, last=last)
    lines = _line_ends(text, view, last=last)
    # Regular quotes come in pairs: a line end among an odd number is within a field.
    outside: np.ndarray = lines[np.searchsorted(quotes, lines) % 2 == 0]
    return outside


def _has_comment(text: bytes, marks: _Marks) -> bool:
    """Whether a line begins as a comment does; its quotes would not count."""
    if marks.comment is None:
        return False
    mark = bytes([marks.comment])
    return text.startswith(mark) or b"\n" + mark in text or b"\r" + mark in text


def _without_escaped(view: np.ndarray, escape: int | None) -> np.ndarray:
    """The text with every escape, and what it escapes, as an ordinary character."""
    escapes = np.flatnonzero(view == escape)
    run_starts = np.concatenate([[True], np.diff(escapes) > 1])
    first_of_run = np.maximum.accumulate(np.where(run_starts, np.arange(len(escapes)), 0))
    # Within a run every second one is escaped by the one before.
    active = escapes[(np.arange(len(escapes)) - first_of_run) % 2 == 0]
    masked = view.copy()
    masked[escapes] = _ORDINARY
    masked[active[active + 1 < len(view)] + 1] = _ORDINARY
    return masked


def _line_ends(text: bytes, view: np.ndarray, *, last: bool) -> np.ndarray:
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


def _regular(view: np.ndarray, quotes: np.ndarray, marks: _Marks) -> bool:
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
    text: bytes, marks: _Marks, *, last: bool
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
