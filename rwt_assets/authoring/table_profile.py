"""What the columns of a table are, as far as its rows tell.

What belongs here: types, empty fields, values that repeat, for one table or several of the same
columns. What does not: reading members and writing a declaration (`inference.py`), and which types
and notations are tried (`value_guesses.py`). A type is proposed only if every value keeps it by the
contract's own code (`contract.py`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.authoring.value_guesses import (
    DECIMAL_DIGITS,
    GUESSES,
    NEVER_TEXT,
    NULL_WORDS,
    TEXT,
    Guess,
    point_of,
    proposed,
)
from rwt_assets.values import MARKS, FractionDigits, SeenKeys, column_type, differ_as_numbers

MISFITS_AT_MOST: Final = 3  # different texts, and
MISFIT_ROWS_AT_MOST: Final = 0.1  # of the rows: beyond it they are no exceptions
VERY_FIRST: Final = 10
FIRST_LOOK: Final = 1_000  # values by which most guesses are given up
SPLIT_VALUES_AT_MOST: Final = 1_000
FEW_VALUES: Final = 100
SPLIT_ROWS_AT_LEAST: Final = 5  # rows of a value, on average
SPLIT_EMPTY_AT_MOST: Final = 0.01


@dataclass(slots=True)
class ColumnProfile:
    """One column.

    `misfits` has, for each reading that it may nearly have, the texts that do not fit.
    `counts` is None if there are too many values to split by. `null_words` counts the rows of words
    that may stand for null. `fractions` has the numbers of digits after the last comma or point.
    `padded` says that some values have white space at their ends; those of nothing else are empty.
    `written` tells, for each decimal mark, whether numbers would lose zeros at their ends.
    `comma` says whether the table has a decimal comma, or a decimal point; None if it has neither.
    `settled` is a reading that other tables have a part in.
    """

    name: str
    rows: int = 0
    empty: int = 0
    unique: bool = True
    misfits: dict[Guess, Counter[str]] = field(
        default_factory=lambda: {guess: Counter() for guess in GUESSES}
    )
    null_words: Counter[str] = field(default_factory=Counter)
    fractions: set[int] = field(default_factory=set)
    written: dict[str, FractionDigits] = field(
        default_factory=lambda: {mark: FractionDigits(mark) for mark in MARKS}
    )
    comma: bool | None = None
    padded: bool = False
    settled: Guess | None = None
    counts: Counter[str] | None = field(default_factory=Counter)
    _seen: SeenKeys = field(default_factory=SeenKeys)

    def add(self, texts: Any, row_numbers: np.ndarray) -> None:
        """Take some more values of one member."""
        coded = pc.value_counts(texts)
        values, counts = coded.field("values"), coded.field("counts").to_numpy()
        self.rows += len(texts)
        if self.unique:
            self.unique = len(values) == len(texts) and not np.any(
                self._seen.first_rows(texts, row_numbers) >= 0
            )
        if self.counts is not None:
            self.counts.update(dict(zip(values.to_pylist(), counts.tolist(), strict=True)))
            if len(self.counts) > SPLIT_VALUES_AT_MOST:
                self.counts = None
        inner = pc.utf8_trim_whitespace(values)
        self.padded = self.padded or not inner.equals(values)
        filled = np.asarray(pc.not_equal(inner, ""))
        self.empty += int(counts[~filled].sum())
        words = np.asarray(pc.is_in(values, value_set=pa.array(NULL_WORDS)))
        if words.any():
            found = values.filter(pa.array(words)).to_pylist()
            self.null_words.update(dict(zip(found, counts[words].tolist(), strict=True)))
        filled &= ~words
        self._try(inner.filter(pa.array(filled)), counts[filled])

    def _try(self, present: Any, counts: np.ndarray) -> None:
        """Read values, without white space at their ends, in all ways that are left."""
        few = present.slice(0, FIRST_LOOK)
        first = few.slice(0, VERY_FIRST).to_pylist()
        for guess in [*self.misfits]:
            if not all(map(guess.may_fit, first)):
                del self.misfits[guess]
        for guess in [*self.misfits]:
            unfit = np.flatnonzero(~guess.fits(few))
            if len(unfit) <= MISFITS_AT_MOST and len(present) > len(few):
                unfit = np.flatnonzero(~guess.fits(present))
            if len(unfit) <= MISFITS_AT_MOST:
                texts = present.take(pa.array(unfit)).to_pylist()
                self.misfits[guess].update(dict(zip(texts, counts[unfit].tolist(), strict=True)))
            if len(unfit) > MISFITS_AT_MOST or len(self.misfits[guess]) > MISFITS_AT_MOST:
                del self.misfits[guess]
        if any(guess.type == "number" for guess in self.misfits):
            after = pc.replace_substring_regex(present, "^[^.,]*$|^.*[.,]", "")
            self.fractions.update(pc.unique(pc.binary_length(after)).to_pylist())
            for mark in {guess.marks[0] for guess in self.misfits if guess.type == "number"}:
                self.written[mark].add(present)

    def join(self, other: "ColumnProfile") -> None:
        """Take the same column of another member."""
        self.rows += other.rows
        self.empty += other.empty
        self.unique = self.unique and other.unique
        self.null_words += other.null_words
        self.fractions |= other.fractions
        self.padded = self.padded or other.padded
        for mark, own in self.written.items():
            own.join(other.written[mark])
        both = {
            kind: own + other.misfits[kind]
            for kind, own in self.misfits.items()
            if kind in other.misfits
        }
        self.misfits = {kind: own for kind, own in both.items() if len(own) <= MISFITS_AT_MOST}
        if self.counts is not None:
            self.counts = None if other.counts is None else self.counts + other.counts
        if self.counts is not None and len(self.counts) > SPLIT_VALUES_AT_MOST:
            self.counts = None

    @property
    def fit(self) -> list[Guess]:
        """The readings that all values have; none if there is no value."""
        there = self.empty + self.null_words.total() < self.rows
        return [guess for guess, misfits in self.misfits.items() if not misfits] if there else []

    @property
    def reading(self) -> Guess:
        """How the values are proposed to be read: text if there are none, or nothing else is sure.

        Numbers with marks, all of which have the same digits after the decimal mark or none, are
        decimals: amounts, most likely.
        """
        if self.settled is not None:
            return self.settled
        marked = 0 not in self.fractions
        found = proposed(self.fit, self.counts, comma=self.comma, all_marked=marked)
        if found.type == "number" and self._would_be_one(found):
            return TEXT
        digits = {*self.fractions} - {0}
        if found.type == "number" and found.settings and len(digits) == 1:
            found = Guess(f"decimal({DECIMAL_DIGITS}, {digits.pop()})", found.settings)
        if self.padded and found != TEXT:
            return Guess(found.type, (*found.settings, ("trim", True)))
        return found

    def _would_be_one(self, guess: Guess) -> bool:
        """Whether different texts may be the same number, such as 1.1 and 1.10, and be versions."""
        if self.written[guess.marks[0]].may_be_one:
            return True
        words = {"", *self.null_words}
        texts = [text for text in self.counts or () if text not in words]
        return not differ_as_numbers(texts, *guess.marks)

    @property
    def type(self) -> str:
        """The type that all values keep; text if there is no value."""
        return self.reading.type

    @property
    def null_values(self) -> list[str]:
        """The words that stand for null: in text those that mean nothing else."""
        known = NEVER_TEXT if self.reading == TEXT else NULL_WORDS
        return [word for word in known if self.null_words[word]]

    @property
    def nearly(self) -> tuple[str, Counter[str]] | None:
        """The type that a text column has but for a few texts, and these with their rows."""
        if self.type != "string":
            return None
        words = self.null_words.total()
        most = MISFIT_ROWS_AT_MOST * (self.rows - self.empty - words)
        for guess, misfits in self.misfits.items():
            # Of readings with settings of their own, chance makes some fit most of any texts.
            if not guess.settings and 0 < misfits.total() <= most:
                return guess.type, misfits
        return None

    @property
    def nullable(self) -> bool:
        """Whether a field was empty or null, or no row told."""
        return self.empty > 0 or self.rows == 0 or bool(self.null_values)

    @property
    def is_key(self) -> bool:
        """Whether every row has a value of its own."""
        return self.unique and not self.nullable and self.rows > 1


@dataclass(slots=True)
class TableProfile:
    """The columns of one table."""

    columns: dict[str, ColumnProfile]

    @classmethod
    def of(cls, names: Sequence[str]) -> "TableProfile":
        """A table with no rows yet."""
        return cls({name: ColumnProfile(name) for name in names})

    def add(self, table: pa.Table, row_numbers: np.ndarray) -> None:
        """Take some more rows, as text."""
        for name, column in self.columns.items():
            column.add(table.column(name).combine_chunks(), row_numbers)

    def join(self, other: "TableProfile") -> None:
        """Take the rows of another table with the same columns."""
        for name, column in self.columns.items():
            column.join(other.columns[name])

    def settle(self) -> None:
        """Let columns that have a decimal mark for sure decide on those that may have either."""
        points = {point_of(column.fit) for column in self.columns.values()} - {""}
        if len(points) == 1:
            for column in self.columns.values():
                column.comma = points == {","}

    def key_column(self) -> ColumnProfile | None:
        """The first column whose values tell all rows apart."""
        return next((column for column in self.columns.values() if column.is_key), None)

    def split_column(self) -> ColumnProfile | None:
        """The column that would make the best shards: few values, repeated, hardly ever empty.

        A date is what archives are most often split by; else the values should be few, and as
        even as can be, so that no shard has most of the rows.
        """
        fit = [column for column in self.columns.values() if _splits(column)]
        return max(fit, key=_split_merit, default=None)


def keeps(text: str, guess: Guess) -> bool:
    """Whether a text by itself would be proposed to be read so."""
    plain = Guess("number", guess.settings) if guess.type.startswith("decimal") else guess
    return bool(plain.fits(pa.array([text], pa.string()))[0])


def settle_together(columns: Sequence[ColumnProfile]) -> None:
    """Give columns of several tables one reading: the one that fits all of their values.

    Args:
        columns: of one name, such as a key and what refers to it.
    """
    joined = ColumnProfile(columns[0].name)
    for column in columns:
        joined.join(column)
    commas = {column.comma for column in columns}
    joined.comma = commas.pop() if len(commas) == 1 else None
    for column in columns:
        column.settled = joined.reading


def _splits(column: ColumnProfile) -> bool:
    if column.counts is None or column_type(column.type).fine:
        return False
    values = len(column.counts)
    return (
        values > 1
        and column.rows >= SPLIT_ROWS_AT_LEAST * values
        and column.empty <= SPLIT_EMPTY_AT_MOST * column.rows
    )


def _split_merit(column: ColumnProfile) -> tuple[bool, bool, float]:
    counts: Mapping[str, int] = column.counts or {}
    largest = max(counts.values(), default=0) / max(column.rows, 1)
    return column.type == "date", len(counts) <= FEW_VALUES, -largest
