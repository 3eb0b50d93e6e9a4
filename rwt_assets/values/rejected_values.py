"""Rows that break a contract: which, by which rule, and why, as columns.

What belongs here: the first rule that each row breaks, and the words that say so. What does not:
finding the rows (`contract.py`) and keeping them (`quarantine_file.py`). Rows are not looked at
one by one, except those whose text has characters that are shown escaped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NOT_NULL: Final = "not null"
BOUNDS: Final = ("minimum", "maximum")
SHOWN: Final = 100  # characters of a value in a reason
SLICE_ROWS: Final = 16 << 10  # that many are looked at together
REJECTED_VALUES: Final = pa.schema(
    [("row", pa.int64()), ("rule", pa.string()), ("reason", pa.string())]
)
_SHOWN_ESCAPED: Final = r"['\\]"


@dataclass(frozen=True, slots=True)
class RejectedValue:
    """A row that breaks the contract: its ordinal, and the first rule it breaks."""

    row: int
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class RejectedValues:
    """Rows that break the contract, in their order; `table` is one of `REJECTED_VALUES`."""

    table: pa.Table

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[RejectedValue]:
        return (RejectedValue(**one) for one in self.table.to_pylist())

    @property
    def rows(self) -> np.ndarray:
        """Their ordinals."""
        return np.asarray(self.table.column("row"))


NONE_REJECTED: Final = RejectedValues(REJECTED_VALUES.empty_table())


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that some rows break: `mask` has them, `words` follow the text in the reason."""

    column: str
    rule: str
    mask: np.ndarray
    words: str

    def reasons(self, texts: Any) -> Any:
        """Why rows with these texts break the rule; an array of string."""
        if self.rule == NOT_NULL:
            return pa.repeat(f"{self.column} {self.words}", len(texts))
        shown = _cut(texts) if self.rule in BOUNDS else _quoted(texts)
        return pc.binary_join_element_wise(shown, self.words, " ")


def rejected_by(
    faults: Sequence[Fault], table: pa.Table, row_numbers: np.ndarray, bad: np.ndarray
) -> RejectedValues:
    """The bad rows, each with the first rule that it breaks.

    Args:
        faults: the rules that rows break, in the order in which they count.
        table: the texts of all rows.
        row_numbers: the ordinals of all rows.
        bad: which rows break a rule.
    """
    indices = np.flatnonzero(bad)
    slices = [
        _rejected(faults, table, row_numbers, indices[start : start + SLICE_ROWS])
        for start in range(0, len(indices), SLICE_ROWS)
    ]
    return RejectedValues(pa.concat_tables(slices)) if slices else NONE_REJECTED


def _rejected(
    faults: Sequence[Fault], table: pa.Table, row_numbers: np.ndarray, indices: np.ndarray
) -> pa.Table:
    first = np.argmax(np.stack([fault.mask[indices] for fault in faults]), axis=0)
    places, rules, reasons = list[np.ndarray](), list[Any](), list[Any]()
    for number, fault in enumerate(faults):
        found = np.flatnonzero(first == number)
        if len(found):
            texts = table.column(fault.column).take(pa.array(indices[found])).combine_chunks()
            places.append(found)
            rules.append(pa.repeat(f"{fault.column}: {fault.rule}", len(found)))
            reasons.append(fault.reasons(texts))
    order = pa.array(np.argsort(np.concatenate(places), kind="stable"))
    return pa.table(
        [
            pa.array(row_numbers[indices], pa.int64()),
            pa.concat_arrays(rules).take(order),
            pa.concat_arrays(reasons).take(order),
        ],
        schema=REJECTED_VALUES,
    )


def in_order(*parts: RejectedValues) -> RejectedValues:
    """Rejected rows put together, in the order of their ordinals."""
    table = pa.concat_tables([one.table for one in parts])
    order = np.argsort(np.asarray(table.column("row")), kind="stable")
    return RejectedValues(table.take(pa.array(order)).combine_chunks())


def _cut(texts: Any) -> Any:
    """Texts of numbers and times, whose beginning is enough."""
    long = pc.greater(pc.utf8_length(texts), SHOWN)
    if not pc.any(long).as_py():
        return texts
    beginning = pc.utf8_slice_codeunits(texts, 0, SHOWN)
    return pc.if_else(long, pc.binary_join_element_wise(beginning, "...", ""), texts)


def _quoted(texts: Any) -> Any:
    """Texts as Python shows a string, and their beginning if they are long."""
    quoted = pc.binary_join_element_wise("'", texts, "'", "")
    plain = pc.and_(
        pc.and_not(pc.utf8_is_printable(texts), pc.match_substring_regex(texts, _SHOWN_ESCAPED)),
        pc.less_equal(pc.utf8_length(texts), SHOWN),
    )
    if pc.all(plain).as_py() in (True, None):
        return quoted
    others = pc.invert(plain)
    shown = [
        f"{text[:SHOWN]!r}..." if len(text) > SHOWN else repr(text)
        for text in texts.filter(others).to_pylist()
    ]
    return pc.replace_with_mask(quoted, others, pa.array(shown, pa.string()))
