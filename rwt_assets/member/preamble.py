"""What stands before a table or between its rows and is none of it: titles, statements, comments.

What belongs here: whether lines may be left out. What does not: how a row is split (`dialect.py`).
A line is left out only where it can be no row: what is doubtful stays, and is quarantined as a row
that does not fit.
"""

import re
from collections.abc import Sequence
from io import StringIO
from itertools import islice
from typing import Final

from rwt_assets.member.delimiters import DELIMITERS
from rwt_assets.member.first_records import are_names, is_evident

COMMENT_MARK: Final = "#"
_MOSTLY: Final = 0.5
_LEAST_BELOW: Final = 2  # lines that are no comments: a header and a row
# What Excel writes as a first line for itself: the delimiter of the lines below. Saved once more,
# it ends in the delimiters of empty cells.
_STATEMENT: Final = re.compile(r'(?i)[ \t\r\n]*"?sep=(\\t|[^"\r\n])"?[,;\t| ]*(?:\r\n|\r|\n|\Z)')


def stated_delimiter(text: str) -> tuple[str, int]:
    """The delimiter that a first line `sep=;` states, and how many lines that and blank ones are.

    Without such a line it is the empty text, and none.
    """
    found = _STATEMENT.match(text)
    if found is None:
        return "", 0
    lines = len(re.findall(r"\r\n|\r|\n", found.group()))
    ended = found.group().endswith(("\r", "\n"))
    return found.group(1).replace("\\t", "\t"), lines + (not ended)


def may_have_comments(text: str) -> bool:
    """Whether a line begins as a comment does."""
    return any(line.startswith(COMMENT_MARK) for line in StringIO(text, newline=""))


def are_comments(marked: Sequence[tuple[str, int]], plain: Sequence[int], *, leading: bool) -> bool:
    """Whether lines that begin with `#` are comments, and not rows.

    Each of them must be prose (a blank follows the mark), or have another number of fields than
    most of the others; and they are both, or fewer than those, or all at the beginning.

    Args:
        marked: the lines, and how many fields each would have.
        plain: how many fields the other lines have.
        leading: no other line is before or among them.
    """
    if not marked or not plain:
        return False
    width = max(set(plain), key=plain.count)
    prose = [_is_prose(line) for line, _ in marked]
    apart = [width > 1 and fields != width for _, fields in marked]
    if not all(one or other for one, other in zip(prose, apart, strict=True)):
        return False
    if leading or all(one and other for one, other in zip(prose, apart, strict=True)):
        return len(plain) >= _LEAST_BELOW
    return len(plain) > len(marked)


def _is_prose(line: str) -> bool:
    return not line[1:2].strip() or line[1:2] in (COMMENT_MARK, "!")


def may_skip(
    before: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], *, found: bool, fitting: float
) -> bool:
    """Whether lines are few, narrower than the table below, and no table themselves.

    A title that a spreadsheet has saved ends in the delimiters of empty cells. It is as narrow as
    what it says, if the table below has numbers or days under its names.

    Args:
        before: the lines, as rows.
        rows: those below, of which the first would be the header.
        found: the header has columns that the feed needs.
        fitting: the share of the others that are as wide as it.
    """
    below = len(rows) - 1
    padded = any(len(row) >= len(rows[0]) for row in before)
    before = [filled_cells(row) for row in before]
    if below < 1 or any(len(row) >= len(rows[0]) for row in before):
        return False
    if found:
        return True
    if not (are_names(rows[0]) and fitting > _MOSTLY and below * fitting > len(before)):
        return False
    if padded and not is_evident(rows):
        return False
    wide = [row for row in before if len(row) > 1]
    if wide:  # a header above rows with a field too many, unless it has values
        return is_evident(rows) and not are_names(wide[0])
    return is_evident(rows) or any(" " in row[0].strip() for row in before if row)


def filled_cells(row: Sequence[str]) -> Sequence[str]:
    """The cells of a row up to the last one that is not empty."""
    last = next((place for place in range(len(row), 0, -1) if row[place - 1].strip()), 0)
    return row[:last]


def is_split_alike(before: str, below: str, delimiter: str) -> bool:
    """Whether a line has another delimiter as often as the first one below: both may be rows."""
    first = next((line for line in StringIO(below, newline="") if line.strip()), "")
    others = [one for one in DELIMITERS if one != delimiter and one in first]
    return any(
        line.count(one) == first.count(one) for line in before.splitlines() for one in others
    )


def first_lines(text: str, count: int) -> str:
    """The first lines of a text."""
    return "".join(islice(StringIO(text, newline=""), count))
