"""As what the texts of a column may be read: types, each with a notation.

What belongs here: which reading is proposed of those that fit. What does not: the readings that are
tried (`values/readings.py`), counting what fits (`table_profile.py`) and reading itself
(`values/column_types.py`). Nothing is
guessed: where texts fit two readings that give different values, and nothing else decides, they
stay text. A time of a day is not proposed, since a duration looks the same.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc

from rwt_assets.contract import fitting
from rwt_assets.values import (
    DAY_FIRST,
    DECIMAL_COMMA,
    MONTH_FIRST,
    TYPES,
    ColumnRule,
    Notation,
    notation_of,
)

# Words for null beside values of another type; in a column of text only those that mean nothing
# else.
NULL_WORDS: Final = (
    *("NULL", "null", "Null", "\\N", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "None"),
    *("-", "--", "?"),
    *("(null)", "<NA>", "NaT", "#NULL!", "."),  # Oracle, R and pandas, SQL Server, SAS and Stata
)
NEVER_TEXT: Final = ("NULL", "\\N")
DECIMAL_DIGITS: Final = 18  # of a proposed decimal, so that larger values than the sample's fit
_INFERRED: Final = {one.name: one.infer for one in TYPES.values() if one.infer is not None}


@dataclass(frozen=True, slots=True)
class Guess:
    """A type, and the settings of a notation as a declaration has them."""

    type: str
    settings: tuple[tuple[str, Any], ...] = ()

    @property
    def marks(self) -> tuple[str, str]:
        """Decimal and thousands mark of a number."""
        marks = notation_of(self.type, dict(self.settings)).marks
        return marks.decimal, marks.thousands

    @property
    def words(self) -> tuple[str, ...]:
        """Both words of a boolean that has its own, in small letters."""
        given = dict(self.settings)
        return tuple(
            one.lower() for name in ("true_values", "false_values") for one in given.get(name, ())
        )

    def fits(self, texts: Any) -> np.ndarray:
        """Which texts may be read so."""
        refused = np.asarray(pc.match_substring_regex(texts, _INFERRED[self.type].refused))
        fit: np.ndarray = ~refused & fitting(texts, *_read_as(self))
        return fit

    def may_fit(self, text: str) -> bool:
        """Whether a text has the characters that a reading with settings needs: a cheap look."""
        given = dict(self.settings)
        if self.words:
            return text.lower() in self.words
        if "formats" in given:
            needed = {*re.sub("%.", "", given["formats"][0])}
            return needed <= {*text} and any(map(str.isdigit, text))
        return not given or {*text} <= {*"0123456789+-eE", *self.marks}


@cache
def _read_as(guess: Guess) -> tuple[ColumnRule, Notation]:
    rule = ColumnRule.model_validate({"type": guess.type, **dict(guess.settings)})
    return rule, notation_of(guess.type, dict(guess.settings))


TEXT: Final = Guess("string")
INTEGER: Final = Guess("integer")
NUMBER: Final = Guess("number")
COMMA_NUMBER: Final = Guess("number", (DECIMAL_COMMA,))


GUESSES: Final = tuple(  # in the order of preference
    Guess(name, settings)
    for name, infer in sorted(_INFERRED.items(), key=lambda one: one[1].rank)
    for settings in infer.readings
)


def proposed(
    fit: Collection[Guess],
    seen: Collection[str] | None,
    *,
    comma: bool | None = None,
    all_marked: bool = False,
) -> Guess:
    """The reading of a column, of those that fit all of its texts.

    Args:
        fit: these, in the order of `GUESSES`.
        seen: the different texts; None if there are too many.
        comma: whether other columns of the table have a decimal comma, or a decimal point; None if
            they have neither.
        all_marked: whether every text has a comma or a point.
    """
    kinds = [one for one in fit if not one.words or _both_seen(one, seen)]
    first = next(iter(kinds), TEXT)
    if first.type in ("date", "timestamp"):
        return first if not _other_order(first, kinds) else TEXT
    if first.type not in ("integer", "number"):
        return first
    if first == INTEGER:
        return first
    numbers = [one for one in kinds if one.type in ("integer", "number")]
    return _number(numbers, comma=comma, all_marked=all_marked)


def _both_seen(guess: Guess, seen: Collection[str] | None) -> bool:
    """Whether both words are there: a column of N alone may be anything."""
    return seen is not None and {one.lower() for one in seen} >= {*guess.words}


def _other_order(guess: Guess, kinds: Collection[Guess]) -> bool:
    """Whether days and months may be the other way round as well."""
    (text,) = dict(guess.settings).get("formats", ("",))
    for day, month in zip(DAY_FIRST, MONTH_FIRST, strict=True):
        other = text.replace(day, month)
        if other != text:
            return any(dict(one.settings).get("formats") == (other,) for one in kinds)
    return False


def point_of(fit: Collection[Guess]) -> str:
    """The decimal mark that a column has for sure; nothing if it has none, or may have either."""
    numbers = [one for one in fit if one.type in ("integer", "number")]
    marks = {one.marks[0] for one in numbers}
    sure = len(marks) == 1 and all(one.type == "number" for one in numbers)
    return marks.pop() if sure else ""


def _number(kinds: list[Guess], *, comma: bool | None, all_marked: bool) -> Guess:
    """A number: whole if all are, with the marks that are needed.

    Texts like 1.234 and 1,234 may be read with a decimal mark and with a thousands mark; then other
    columns decide, and without them 1.234 is what programs write, and 1,234 stays text. Where every
    text is like 52.123 beside decimal commas, they may be thousands or coordinates, and stay text.
    """
    whole = next((one for one in kinds if one.type == "integer"), None)
    if whole is None:
        wanted = "," if comma else "."
        return next((one for one in kinds if one.marks[0] == wanted), kinds[0])
    thousands = whole.marks[1]
    fraction = {".": NUMBER, ",": COMMA_NUMBER}.get(thousands)
    if fraction not in kinds:
        return whole
    if comma is None:
        return NUMBER if fraction == NUMBER else TEXT
    if comma and all_marked and fraction == NUMBER:
        return TEXT
    return whole if comma == (thousands == ".") else fraction
