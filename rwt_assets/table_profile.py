"""What the columns of a table are, as far as its rows tell.

What belongs here: types, empty fields, values that repeat, for one table or several of the same
columns. What does not: reading members and writing a declaration (`inference.py`). A type is
proposed only if every value keeps it by the contract's own code (`contract.py`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.contract import fitting
from rwt_assets.feed import ColumnRule
from rwt_assets.uniqueness import SeenKeys

# In the order of preference: eight digits that are days all through are days.
CANDIDATES: Final[tuple[str, ...]] = ("boolean", "date", "timestamp", "integer", "number")
# Texts that would keep a type and lose something, or that chance makes look like it.
REFUSED: Final[Mapping[str, str]] = {
    "boolean": "^[01]$",  # as likely a number
    "date": "^([013-9]|1[0-8]|2[1-9])[0-9]+$",  # eight digits, but no year from 1900 to 2099
    "timestamp": "^$",
    "integer": "^([+]|-?0[0-9])",  # a number loses the plus of a telephone, the 0 of a postcode
    "number": "^([+]|-?0[0-9]|-?[0-9]{16,}$)",  # likewise, and the digits of a long identifier
}
MISFITS_AT_MOST: Final = 3  # different texts, and
MISFIT_ROWS_AT_MOST: Final = 0.1  # of the rows: beyond it they are no exceptions
SPLIT_VALUES_AT_MOST: Final = 1_000
FEW_VALUES: Final = 100
SPLIT_ROWS_AT_LEAST: Final = 5  # rows of a value, on average
SPLIT_EMPTY_AT_MOST: Final = 0.01


@dataclass(slots=True)
class ColumnProfile:
    """One column.

    `misfits` has, for each type that it may nearly be, the texts that are not of it.
    `counts` is None if there are too many values to split by.
    """

    name: str
    rows: int = 0
    empty: int = 0
    unique: bool = True
    misfits: dict[str, Counter[str]] = field(
        default_factory=lambda: {kind: Counter() for kind in CANDIDATES}
    )
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
        filled = np.asarray(pc.not_equal(values, ""))
        self.empty += int(counts[~filled].sum())
        present, counts = values.filter(pa.array(filled)), counts[filled]
        for kind in [*self.misfits]:
            unfit = np.flatnonzero(~_of_type(present, kind))
            if len(unfit) <= MISFITS_AT_MOST:
                texts = present.take(pa.array(unfit)).to_pylist()
                self.misfits[kind].update(dict(zip(texts, counts[unfit].tolist(), strict=True)))
            if len(unfit) > MISFITS_AT_MOST or len(self.misfits[kind]) > MISFITS_AT_MOST:
                del self.misfits[kind]

    def join(self, other: "ColumnProfile") -> None:
        """Take the same column of another member."""
        self.rows += other.rows
        self.empty += other.empty
        self.unique = self.unique and other.unique
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
    def type(self) -> str:
        """The type that all values keep; text if there is no value."""
        kinds = [kind for kind, misfits in self.misfits.items() if not misfits]
        return kinds[0] if kinds and self.empty < self.rows else "string"

    @property
    def nearly(self) -> tuple[str, Counter[str]] | None:
        """The type that a text column has but for a few texts, and these with their rows."""
        if self.type != "string":
            return None
        most = MISFIT_ROWS_AT_MOST * (self.rows - self.empty)
        near = [one for one in self.misfits.items() if 0 < one[1].total() <= most]
        return near[0] if near else None

    @property
    def nullable(self) -> bool:
        """Whether a field was empty, or no row told."""
        return self.empty > 0 or self.rows == 0

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


def keeps(text: str, kind: str) -> bool:
    """Whether a text by itself would be proposed to be of this type."""
    return bool(_of_type(pa.array([text], pa.string()), kind)[0])


def _of_type(values: Any, kind: str) -> np.ndarray:
    """Which values may be of a type."""
    refused = np.asarray(pc.match_substring_regex(values, REFUSED[kind]))
    fit: np.ndarray = ~refused & fitting(values, ColumnRule(type=kind))
    return fit


def _splits(column: ColumnProfile) -> bool:
    if column.counts is None or column.type in ("number", "timestamp"):
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
