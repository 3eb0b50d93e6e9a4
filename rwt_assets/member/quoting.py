"""Which records are whole, where quotes may stand in the wrong place.

What belongs here: where a record begins and ends if quotes are held to RFC 4180, section 2, rules 5
to 7, and which records break them. What does not: records whose quotes are taken as they come
(`records.py`), fields (`fields.py`) and what is told of a broken record (`member_rows.py`).

A physical line is read in one of two ways: *afresh*, as the beginning of a record, or *within* a
quoted field that an earlier line opened. Read either way it is closed at its end, open, or has a
*stray* quote: one within an unquoted field, or one that closes a field and is followed by more of
it. A record of one line is whole if it is closed. One that is open goes on to the first line that
closes it, unless a stray quote, the end of the member or `record_bytes` comes first: then only its
first line is at fault, and the next is read afresh. So a line is never lost to a quote in another.

A closed record of several lines may still be two records with a broken quote each and whole rows
between them. It is held against the other reading, in which its second line begins a record. At the
end of every line just one of the two is within a quoted field, so one of them will be contradicted:
by a stray quote, by a record of another number of fields than the header has, or by the end of the
member. The reading that is contradicted first is wrong. A text in which people wrote a few lines
is contradicted by its own closing quote. If neither is within `LOOK_AHEAD`, the record stands.

Nothing here depends on where a batch ends: what cannot be decided yet is left for the next.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from rwt_assets.member.dialect import CsvDialect
from rwt_assets.member.records import (
    CR,
    LF,
    Marks,
    Records,
    count_lines,
    find_records,
    left_out,
    line_ends,
    regular,
    without_escaped,
)

LOOK_AHEAD: Final = 64 << 10
STRAY: Final = 1
UNCLOSED: Final = 2
ROWS_WITHIN: Final = 3
_CLOSED, _OPEN, _STRAY = 0, 1, 2  # what a line is at its end
_NEVER: Final = np.iinfo(np.int64).max
_UNKNOWN: Final = -1


def judge_records(
    text: bytes, dialect: CsvDialect, *, width: int | None, last: bool, record_bytes: int
) -> Records:
    """Find the complete records of a text that begins at a record, and those that are broken.

    Args:
        text: the bytes, UTF-8; what comes after the last record that is decided is left alone.
        dialect: which characters quote, escape, delimit and begin comments.
        width: how many fields a record has; None if that is not known yet, then a closed record
            of several lines stands.
        last: nothing comes after the text, which ends in a line end.
        record_bytes: a quoted field that makes its record longer is taken for one never closed.

    Returns:
        The records. Those with a fault have one line each.
    """
    marks = Marks.of(dialect)
    if dialect.lenient_quotes or not marks.quotes(text):
        return find_records(text, dialect, last=last)
    view = np.frombuffer(text, np.uint8)
    masked = text
    if marks.escapes(text):
        view = _masked(text, view, marks)
        masked = view.tobytes()
    lines = _Lines.of(masked, view, marks, dialect, last=last)
    records = None
    if lines.regular:
        records = _undoubted(lines, width, last=last, record_bytes=record_bytes)
    if records is None:
        records = _Judge(lines, width, last=last, record_bytes=record_bytes).records()
    if marks.escapes(text):  # which may hide line ends
        physical = count_lines(text, records.end)
    else:
        physical = int(np.searchsorted(lines.ends, records.end, side="right"))
    return Records(records.offsets, records.filled, physical, records.comments, records.faults)


def _masked(text: bytes, view: np.ndarray, marks: Marks) -> np.ndarray:
    """The text with what is escaped as ordinary characters; comments escape nothing."""
    masked = without_escaped(view, marks.escape)
    if marks.comment is None:
        return masked
    ends = line_ends(text, view, last=True)
    starts = np.concatenate([[0], ends])
    starts = starts[starts < len(view)]
    for place in np.flatnonzero(view[starts] == marks.comment).tolist():
        end = int(ends[place]) if place < len(ends) else len(view)
        masked[starts[place] : end] = view[starts[place] : end]
    return masked


def _undoubted(
    lines: "_Lines", width: int | None, *, last: bool, record_bytes: int
) -> Records | None:
    """The records of lines of which no quote is stray; None if one may be two of them or more.

    It is what `_Judge` would say, in a fraction of the time.
    """
    ends, quotes = lines.ends, lines.quotes
    outside = np.searchsorted(quotes, ends) % 2 == 0
    final = np.flatnonzero(outside)
    offsets = np.append(0, ends[final]).astype(np.int64)
    open_bytes = len(lines.text) - int(offsets[-1])
    if (last and len(final) < len(ends) and not outside[-1]) or open_bytes > record_bytes:
        return None
    if (np.diff(offsets) > record_bytes).any():
        return None
    first = np.append(0, final[:-1] + 1)[: len(final)]
    several = first < final
    if width is not None and _may_begin(lines, first[several], width).any():
        return None
    filled = np.flatnonzero(~lines.blank[first])
    return Records(offsets, filled, 0, np.zeros(0, np.int64))


def _may_begin(lines: "_Lines", opening: np.ndarray, width: int) -> np.ndarray:
    """Which of these lines are followed by one that could begin a record of this width.

    Blank lines and comments are passed over.
    """
    below = np.flatnonzero(~lines.left_out)
    place = np.searchsorted(below, opening + 1)
    found = place < len(below)
    second = np.where(found, below[np.minimum(place, len(below) - 1)], 0)
    starts, ends = lines.starts[second], lines.ends[second]
    place = np.searchsorted(lines.quotes, starts)
    quote = lines.quotes[np.minimum(place, len(lines.quotes) - 1)]
    quoted = (place < len(lines.quotes)) & (quote < ends)
    before = np.where(quote > starts, lines.view[np.maximum(quote - 1, 0)], LF)
    stray = quoted & ~np.isin(before, lines.edges)
    plain = ~quoted
    fits = np.ones(len(opening), np.bool_)
    if plain.any():
        delimiters = np.flatnonzero(lines.view == lines.marks.delimiter)
        fields = np.searchsorted(delimiters, ends) - np.searchsorted(delimiters, starts) + 1
        fits = fields == width
    may: np.ndarray = found & ~stray & (quoted | fits)
    return may


@dataclass(slots=True)
class _Lines:
    """The complete lines of a text, escapes masked, and what each is at its end.

    `afresh` and `within` are of the two ways to read a line. Comments are closed.
    """

    text: bytes
    view: np.ndarray
    marks: Marks
    offsets: np.ndarray
    blank: np.ndarray
    comment: np.ndarray
    left_out: np.ndarray  # blank or a comment
    quotes: np.ndarray
    regular: bool

    @classmethod
    def of(
        cls, text: bytes, view: np.ndarray, marks: Marks, dialect: CsvDialect, *, last: bool
    ) -> "_Lines":
        """Those of a text and its bytes."""
        ends = line_ends(text, view, last=last)
        offsets = np.concatenate([[0], ends]).astype(np.int64)
        blank, comment = left_out(view, offsets, marks, blank_rows=dialect.blank_rows)
        quotes = np.flatnonzero(view[: offsets[-1]] == marks.quote)
        is_regular = not comment.any() and regular(view, quotes, marks)
        neither = blank | comment
        return cls(text, view, marks, offsets, blank, comment, neither, quotes, is_regular)

    @property
    def ends(self) -> np.ndarray:
        return self.offsets[1:]

    @property
    def starts(self) -> np.ndarray:
        return self.offsets[:-1]

    @property
    def edges(self) -> np.ndarray:
        """What may stand beside a quote."""
        return np.array([self.marks.delimiter, LF, CR, self.marks.quote], np.uint8)

    def kinds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """How many quotes each line has, and what it is read afresh and read within a field."""
        count, quotes, view = len(self.ends), self.quotes, self.view
        bounds = np.append(np.searchsorted(quotes, self.starts), len(quotes))
        number = np.diff(bounds)
        line = np.repeat(np.arange(count), number)
        odd = (np.arange(len(quotes)) - bounds[line]) % 2 == 1
        edges = self.edges
        before = np.where(quotes > 0, view[np.maximum(quotes - 1, 0)], LF)
        cannot_open = ~np.isin(before, edges)
        cannot_close = ~np.isin(view[quotes + 1], edges)
        ends_open = number % 2 == 1
        kinds: list[np.ndarray] = []
        for opens in (~odd, odd):
            stray = np.bincount(line[np.where(opens, cannot_open, cannot_close)], minlength=count)
            kinds.append(np.where(stray > 0, _STRAY, np.where(ends_open, _OPEN, _CLOSED)))
        afresh, within = kinds
        # Within a field an odd number of quotes closes it.
        within = np.where(within == _STRAY, _STRAY, np.where(ends_open, _CLOSED, _OPEN))
        afresh[self.comment] = _CLOSED
        return number, afresh, within

    def delimiters(self) -> tuple[np.ndarray, np.ndarray]:
        """Delimiters before each of `offsets`, behind an even and behind an odd number of quotes.

        Those of a record that are not quoted are of one kind: that of the place where it begins.
        """
        places = np.flatnonzero(self.view[: self.offsets[-1]] == self.marks.delimiter)
        odd = np.searchsorted(self.quotes, places) % 2 == 1
        before = np.searchsorted(places, self.offsets)
        odds = np.concatenate([[0], np.cumsum(odd)])[before]
        return before - odds, odds


class _Judge:
    """Decides on lines of which not all are closed."""

    def __init__(self, lines: _Lines, width: int | None, *, last: bool, record_bytes: int) -> None:
        self.lines, self.width, self.last, self.record_bytes = lines, width, last, record_bytes
        self._numbers, self._afresh, self._within = lines.kinds()
        # Where a quoted field that is open cannot go on.
        self._stops = np.flatnonzero(self._within != _OPEN)

    def records(self) -> Records:
        """The records."""
        lines, count = self.lines, len(self.lines.ends)
        faults = np.zeros(count, np.uint8)
        faults[self._afresh == _STRAY] = STRAY
        opening = np.flatnonzero(self._afresh == _OPEN)
        stops, found = self._stop_of(opening)
        size = np.where(found, lines.ends[np.minimum(stops, count - 1)], len(lines.text))
        too_long = size - lines.starts[opening] > self.record_bytes
        closes = found & ~too_long & (self._within[np.minimum(stops, count - 1)] == _CLOSED)
        faults[opening[found & ~too_long & ~closes]] = STRAY
        faults[opening[too_long]] = UNCLOSED
        waiting = np.zeros(count, np.bool_)
        if self.last:
            faults[opening[~found]] = UNCLOSED
        else:
            waiting[opening[~found & ~too_long]] = True
        first, final, broken, undecided = self._decided(opening[closes], stops[closes])
        faults[broken] = ROWS_WITHIN
        waiting[undecided] = True
        inner = np.zeros(count + 1, np.int64)
        np.add.at(inner, first + 1, 1)
        np.add.at(inner, final + 1, -1)
        begins = np.cumsum(inner)[:-1] == 0
        cuts = np.flatnonzero(waiting & begins)
        if len(cuts):
            begins[cuts[0] :] = False
        end = int(lines.starts[cuts[0]]) if len(cuts) else int(lines.offsets[-1])
        offsets = np.append(lines.starts[begins], end)
        faults = faults[begins]
        comments = np.flatnonzero(lines.comment[begins])
        filled = np.flatnonzero(~lines.left_out[begins])
        return Records(offsets, filled, 0, comments, faults if faults.any() else None)

    def _stop_of(self, opening: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The line on which the field that each of these lines leaves open ends, if one does."""
        place = np.searchsorted(self._stops, opening, side="right")
        found = place < len(self._stops)
        stops = np.full(len(opening), len(self.lines.ends), np.int64)
        stops[found] = self._stops[place[found]]
        return stops, found

    def _decided(
        self, opening: np.ndarray, closing: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, Sequence[int], Sequence[int]]:
        """Of closed records of several lines those that stand, by their first and last line.

        And the first lines of those that do not stand, and of the one that is not decided yet.
        """
        doubtful = np.zeros(len(opening), np.bool_)
        if self.width is not None and len(opening):
            doubtful = _may_begin(self.lines, opening, self.width)
        if not doubtful.any() and not (opening[1:] <= closing[:-1]).any():
            return opening, closing, [], []
        stands: list[int] = []
        broken: list[int] = []
        reached = -1
        for place, (first, final) in enumerate(
            zip(opening.tolist(), closing.tolist(), strict=True)
        ):
            if first <= reached:  # within the record before
                continue
            verdict = self._stands(first, final) if doubtful[place] else True
            if verdict is None:
                kept = np.array(stands, np.int64)
                return opening[kept], closing[kept], broken, [first]
            if verdict:
                stands.append(place)
                reached = final
            else:
                broken.append(first)
        kept = np.array(stands, np.int64)
        return opening[kept], closing[kept], broken, []

    def _stands(self, first: int, final: int) -> bool | None:
        """Whether a closed record is one, or its second line begins one; None if it is open yet."""
        limit = int(self.lines.ends[final]) + LOOK_AHEAD
        other = self._contradicted(first + 1, limit)
        seen = self.last or len(self.lines.text) > limit
        if self._fields(first, final) != self.width:
            # It is at fault in both readings; where a row begins right after it, that is one.
            if other == _NEVER:
                return False if seen else None
            return other <= self._end_of_first(first + 1)
        if other <= final:
            return True
        own = self._contradicted(final + 1, limit)
        if own == other == _NEVER and not seen:
            return None
        return own >= other

    def _end_of_first(self, line: int) -> int:
        """The last line of the first record from this line on."""
        afresh, _, left_out = self._kinds
        while line < len(afresh) and left_out[line]:
            line += 1
        if line < len(afresh) and afresh[line] == _OPEN:
            return self._stop_after[line]
        return line

    def _contradicted(self, line: int, limit: int) -> int:
        """The line that contradicts a reading in which this one begins a record."""
        found = self._outcome(line)
        if found == _NEVER:
            return _NEVER
        count = len(self.lines.ends)
        end = int(self.lines.ends[found]) if found < count else len(self.lines.text)
        return found if end <= limit else _NEVER

    def _outcome(self, line: int) -> int:
        """The same without a limit. Each line is looked at once, whatever is asked."""
        (afresh, within, left_out), stop_after = self._kinds, self._stop_after
        outcomes, count, path = self._outcomes, len(afresh), list[int]()
        outcome = int(_NEVER)
        while line < count:
            if outcomes[line] != _UNKNOWN:
                outcome = outcomes[line]
                break
            path.append(line)
            kind, final = afresh[line], line
            if left_out[line]:
                line += 1
                continue
            if kind == _OPEN:
                final = stop_after[line]
                if final == count:
                    outcome = count if self.last else int(_NEVER)
                    break
                kind = within[final]
            if kind == _STRAY or self._fields(line, final) != self.width:
                outcome = final
                break
            line = final + 1
        for passed in path:
            outcomes[passed] = outcome
        return outcome

    def _fields(self, first: int, last: int) -> int:
        """How many fields the record on these lines has, if its quotes are right."""
        before = self._delimiters[self._is_odd[first]]
        return before[last + 1] - before[first] + 1

    # One line at a time is looked up in these, which are faster for that than arrays of numpy.
    @cached_property
    def _outcomes(self) -> "array[int]":
        return array("q", np.full(len(self.lines.ends), _UNKNOWN, np.int64).tobytes())

    @cached_property
    def _stop_after(self) -> "array[int]":
        stops, _ = self._stop_of(np.arange(len(self.lines.ends)))
        return array("q", stops.tobytes())

    @cached_property
    def _delimiters(self) -> "tuple[array[int], array[int]]":
        even, odd = self.lines.delimiters()
        kind = np.int64
        return array("q", even.astype(kind).tobytes()), array("q", odd.astype(kind).tobytes())

    @cached_property
    def _is_odd(self) -> bytes:
        """Whether the number of quotes before each line is odd."""
        before = np.searchsorted(self.lines.quotes, self.lines.starts) % 2
        return before.astype(np.uint8).tobytes()

    @cached_property
    def _kinds(self) -> tuple[bytes, bytes, bytes]:
        """What lines are, read afresh and within a field, and which are left out."""
        own = (self._afresh, self._within, self.lines.left_out)
        afresh, within, left_out = (one.astype(np.uint8).tobytes() for one in own)
        return afresh, within, left_out
