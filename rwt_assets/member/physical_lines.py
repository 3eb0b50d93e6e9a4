"""The physical lines of a member, before anything is known of its records.

What belongs here: counting lines in chunks, and the lines at the end that are a trailer. What does
not: records (`records.py`). LF, CRLF and a lone CR end a line.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.member.records import count_lines

LINE: Final = re.compile(rb"\r\n|\r|\n")
TRAILER_BYTES: Final = 64 << 10  # at the end of a member, in which trailer lines are looked for


class LineCounter:
    """Counts the lines of a text that comes in chunks; the last needs no line end."""

    def __init__(self) -> None:
        self._ended = 0
        self._last = b"\n"

    @property
    def lines(self) -> int:
        """Lines of what was taken."""
        return self._ended + (self._last not in b"\r\n")

    def taken_of(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks."""
        for chunk in chunks:
            if chunk:
                # A CR and an LF in two chunks are one line end.
                self._ended += count_lines(chunk) - (self._last == b"\r" and chunk[:1] == b"\n")
                self._last = chunk[-1:]
            yield chunk


def cut_trailer(
    data: bytes, pattern: str, records: Collection[int] | None = None
) -> tuple[bytes, list[bytes]]:
    """The end of a member without its last lines, as far as a pattern is found in each.

    Args:
        data: the member from some line on to its end.
        pattern: a regular expression of RE2.
        records: where records begin; a line within one is none of the trailer. None if each line
            is one.

    Returns:
        What is left, and the lines that were cut off. Blank lines among them are left.
    """
    begin = max(0, len(data) - TRAILER_BYTES)
    ends = [begin + found.end() for found in LINE.finditer(data[begin:])]
    if not ends or ends[-1] < len(data):
        ends.append(len(data))
    # What lies before the first line end in reach may be the rest of a line.
    whole = begin == 0 or LINE.fullmatch(data[begin - 1 : begin + 1][:1]) is not None
    whole = whole and data[begin - 1 : begin + 1] != b"\r\n"
    starts = [*([begin] if whole else []), *ends[:-1]]
    if not starts:
        return data, []
    lines = [data[start:end] for start, end in zip(starts, ends[-len(starts) :], strict=True)]
    trailer: list[bytes] = []
    kept: list[bytes] = []
    texts = pa.array([line.decode(errors="replace").rstrip("\r\n") for line in lines], pa.string())
    found = pc.match_substring_regex(texts, pattern).to_pylist()
    if records is not None:
        found = [one and start in records for one, start in zip(found, starts, strict=True)]
    while lines and (found[-1] or not lines[-1].strip()):
        (trailer if found.pop() else kept).append(lines.pop())
    if not trailer:
        return data, []
    cut = starts[len(lines)]
    return data[:cut] + b"".join(reversed(kept)), trailer[::-1]
