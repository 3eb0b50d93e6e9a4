"""Where CSV records begin and end, without looking at one at a time.

What belongs here: record boundaries in bytes. What does not: fields (`splitting.py` leaves
them to Arrow). Rule: RFC 4180, section 2, rules 5 to 7 (quotes); a quote within an unquoted
field is an ordinary character, as for Python's `csv` module and for Arrow. LF, CRLF and a
lone CR end a record.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np

QUOTE: Final = ord('"')
COMMA: Final = ord(",")
LF: Final = ord("\n")
CR: Final = ord("\r")
_SPECIAL: Final = re.compile(rb'[",\r\n]')


@dataclass(frozen=True, slots=True)
class Records:
    """Complete records of a text, as `offsets` of all and the indices of those not blank.

    Record `i` is `text[offsets[filled[i]] : offsets[filled[i] + 1]]`, line end included.
    """

    offsets: np.ndarray
    filled: np.ndarray

    def __len__(self) -> int:
        return len(self.filled)

    @property
    def end(self) -> int:
        """Where the last complete record ends."""
        return int(self.offsets[-1])

    @property
    def plain(self) -> bool:
        """There are no blank lines."""
        return len(self.filled) == len(self.offsets) - 1

    def span(self, index: int) -> tuple[int, int]:
        """Where a record begins and ends."""
        raw = int(self.filled[index])
        return int(self.offsets[raw]), int(self.offsets[raw + 1])


def find_records(text: bytes, *, last: bool) -> Records:
    """Find the complete records of a text that begins at a record.

    Args:
        text: the bytes; what comes after the last complete record is left alone.
        last: nothing comes after the text, so a CR at its end is a line end.

    Returns:
        The records.
    """
    view = np.frombuffer(text, np.uint8)
    if b'"' not in text:
        ends = _line_ends(text, view, last=last)
    else:
        quotes = np.flatnonzero(view == QUOTE)
        if _regular(view, quotes):
            lines = _line_ends(text, view, last=last)
            # Regular quotes come in pairs: a line end among an odd number is within a field.
            ends = lines[np.searchsorted(quotes, lines) % 2 == 0]
        else:
            ends = _ends_one_by_one(text, last=last)
    offsets = np.concatenate([[0], ends]).astype(np.int64)
    lengths = np.diff(offsets)
    first = view[offsets[:-1]] if len(ends) else view[:0]
    blank = (lengths <= 2) & ((first == LF) | (first == CR))  # noqa: PLR2004
    return Records(offsets, np.flatnonzero(~blank))


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


def _regular(view: np.ndarray, quotes: np.ndarray) -> bool:
    """Whether quotes only open fields, close fields, or are doubled within."""
    opening, closing = quotes[::2], quotes[1::2]
    before = view[np.maximum(opening - 1, 0)]
    opens = (opening == 0) | _is_any(before, (COMMA, LF, CR, QUOTE))
    within = closing[closing + 1 < len(view)]
    closes = _is_any(view[within + 1], (COMMA, LF, CR, QUOTE))
    return bool(opens.all() and closes.all() and _doubled_is_inside(view, opening, closing))


def _doubled_is_inside(view: np.ndarray, opening: np.ndarray, closing: np.ndarray) -> bool:
    """A quote that opens right after a quote continues a field that one had closed."""
    after_quote = (opening > 0) & (view[np.maximum(opening - 1, 0)] == QUOTE)
    index = np.flatnonzero(after_quote)
    return bool((index > 0).all() and (closing[index - 1] == opening[index] - 1).all())


def _is_any(values: np.ndarray, these: tuple[int, ...]) -> np.ndarray:
    return np.isin(values, these)


def _ends_one_by_one(  # noqa: C901 - one branch for each special byte
    text: bytes, *, last: bool
) -> np.ndarray:
    """The exact way, for texts with quotes in odd places."""
    ends: list[int] = []
    field_start = 0
    quoted = False
    skip_to = 0
    for match in _SPECIAL.finditer(text):
        position = match.start()
        if position < skip_to:
            continue
        byte = text[position]
        if quoted:
            if byte == QUOTE:
                if text[position + 1 : position + 2] == b'"':
                    skip_to = position + 2
                else:
                    quoted = False
        elif byte == QUOTE:
            quoted = position == field_start
        elif byte == COMMA:
            field_start = position + 1
        else:
            end = position + 1
            if byte == CR:
                if end == len(text) and not last:
                    break
                if text[end : end + 1] == b"\n":
                    end += 1
            skip_to = end
            field_start = end
            ends.append(end)
    return np.array(ends, np.int64)
