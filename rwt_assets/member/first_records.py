"""Whether the first record of a table is a header, by the records below it.

What belongs here: what cells say. What does not: which delimiter split them and which lines are
skipped (`dialect.py`), nor which columns a feed declares (`headers.py`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from typing import Final

_LOOKED_AT: Final = 100  # records
_MOSTLY: Final = 0.8
_TWO: Final = 2
_NULL_WORDS: Final = frozenset({"na", "n/a", "null", "none", "nan", "-", "--", "\\n", "#n/a"})
# Numbers, days and times of day: no names.
_VALUE: Final = re.compile(r"[+-]?[.,]?\d[\d.,:/'\u2019% T+-]*Z?")
_PERIOD: Final = re.compile(
    r"(?:19|20)\d\d(?:[-/.](?:0?[1-9]|1[0-2]))?|(?:0?[1-9]|1[0-2])[/.](?:19|20)\d\d"
)


def is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of some records has names.

    Names are no numbers and no days, except for years and months above other values. Names that
    are left empty or are there twice are names if the records below say so.
    """
    names = [cell.strip() for cell in rows[0]]
    named = [name for name in names if name]
    periods = {place for place, name in enumerate(names) if _PERIOD.fullmatch(name)}
    if not named or any(
        _is_value(name) for place, name in enumerate(names) if place not in periods
    ):
        return False
    if periods:
        # The names of rows are often without a name.
        words = len(named) > len(periods) or bool(not names[0] and _column(rows[1:], 0))
        distinct = len({names[place] for place in periods}) == len(periods)
        return words and distinct and len(rows) > 1 and not _has_periods(rows[1:], periods)
    if len(named) == len(names) and len(set(names)) == len(names):
        return True
    return is_evident(rows) or (len(named) == len(names) and _are_apart(rows))


def is_evident(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the records below have numbers or days where the first one has a name."""
    names = [cell.strip() for cell in rows[0]]
    if any(_is_value(name) or name.lower() in _NULL_WORDS for name in names):
        return False
    for place, name in enumerate(names):
        below = _column(rows[1:], place)
        if name and below and sum(map(_is_value, below)) >= _MOSTLY * len(below):
            return True
    return False


def are_names(cells: Sequence[str]) -> bool:
    """Whether cells are texts that differ."""
    names = [cell.strip() for cell in cells]
    return all(names) and len(set(names)) == len(names) and not any(map(_is_value, names))


def _are_apart(rows: Sequence[Sequence[str]]) -> bool:
    """Whether no name that is there twice is a value below."""
    names = [cell.strip() for cell in rows[0]]
    again = {name for name, times in Counter(names).items() if times > 1}
    places = [place for place, name in enumerate(names) if name in again]
    return len(rows) > _TWO and not any(
        again.intersection(_column(rows[1:], place)) for place in places
    )


def _has_periods(rows: Sequence[Sequence[str]], places: set[int]) -> bool:
    for place in places:
        below = _column(rows, place)
        if below and sum(bool(_PERIOD.fullmatch(cell)) for cell in below) > len(below) / 2:
            return True
    return False


def _column(rows: Sequence[Sequence[str]], place: int) -> list[str]:
    cells = (row[place].strip() for row in islice(rows, _LOOKED_AT) if len(row) > place)
    return [cell for cell in cells if cell]


def _is_value(cell: str) -> bool:
    return _VALUE.fullmatch(cell) is not None
