"""Which records of a batch are no rows, and why, without looking at one at a time.

What belongs here: what can be said of a record before its fields are split. What does not: where
records are (`records.py`, `quoting.py`), their fields (`fields.py`) and their values
(`contract.py`). A record that breaks several rules is rejected by the first.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.member.dialect import CsvDialect
from rwt_assets.member.encodings import in_utf8_by_itself
from rwt_assets.member.fields import parse_record
from rwt_assets.member.quoting import ROWS_WITHIN, STRAY, UNCLOSED
from rwt_assets.member.records import Records, not_utf8, shown_records
from rwt_assets.member.rejections import REJECTED_ROWS, SLICE_ROWS

STRAY_QUOTE: Final = "stray_quote"
UNCLOSED_QUOTE: Final = "unclosed_quote"
ZERO_BYTE: Final = "zero_byte"
_LENIENT: Final = "dialect.quotes: lenient of the feed takes quotes as they come"
_QUOTES: Final = (
    (
        STRAY,
        STRAY_QUOTE,
        (
            "a quote stands where none can, within a field that is not quoted or before more of a "
            f"field that it closes; the next line was read as another record; {_LENIENT}"
        ),
    ),
    (
        UNCLOSED,
        UNCLOSED_QUOTE,
        "a quote is opened and never closed; the next line was read as another record",
    ),
    (
        ROWS_WITHIN,
        UNCLOSED_QUOTE,
        (
            "a quote is opened and not closed before lines that are rows by themselves; the next "
            f"line was read as another record; {_LENIENT}"
        ),
    ),
)


class RowFaults:
    """What is wrong with the records of one batch. `good` has those that nothing is wrong with."""

    def __init__(self, text: bytes, records: Records, dialect: CsvDialect) -> None:
        self.good = np.ones(len(records), np.bool_)
        self._text = text
        self._records = records
        self._dialect = dialect
        self._found: list[tuple[np.ndarray, str, Any]] = []

    def reject(self, indices: np.ndarray, rule: str, reasons: Any) -> None:
        """Reject records; `reasons` is one text, or an Arrow array of one for each."""
        still = self.good[indices]
        if not still.any():
            return
        if not isinstance(reasons, str):
            reasons = reasons.filter(pa.array(still))
        self.good[indices] = False
        self._found.append((indices[still], rule, reasons))

    def tables(self, *, first_line: int, first_row: int) -> Iterator[pa.Table]:
        """The rejected rows in their order, tables of `REJECTED_ROWS`.

        Args:
            first_line: physical line on which the batch begins.
            first_row: ordinal of its first record.
        """
        if not self._found:
            return
        told = [pa.array([one]) if isinstance(one, str) else one for _, _, one in self._found]
        reasons = pa.concat_arrays(told)
        rules = pa.array([rule for _, rule, _ in self._found])
        size = [len(indices) for indices, _, _ in self._found]
        starts = np.cumsum([0, *map(len, told)])
        reason = np.concatenate(
            [
                np.full(count, start) if len(own) == 1 else np.arange(start, start + count)
                for own, count, start in zip(told, size, starts[:-1].tolist(), strict=True)
            ]
        )
        rule = np.repeat(np.arange(len(size)), size)
        indices = np.concatenate([indices for indices, _, _ in self._found])
        order = np.argsort(indices, kind="stable")
        bounds = self._records.line_bounds(self._text)
        offsets = self._records.offsets
        for start in range(0, len(order), SLICE_ROWS):
            own = order[start : start + SLICE_ROWS]
            raw = self._records.filled[indices[own]]
            columns = [
                pa.array(bounds[raw] + first_line),
                pa.array(indices[own] + first_row),
                pa.repeat(pa.scalar(1, pa.int64()), len(own)),
                pa.array(bounds[raw + 1] - bounds[raw]),
                rules.take(pa.array(rule[own])),
                reasons.take(pa.array(reason[own])),
                shown_records(self._text, offsets[raw], offsets[raw + 1]),
            ]
            yield pa.table(columns, schema=REJECTED_ROWS)

    def broken_quotes(self) -> None:
        """Reject what is broken by a quote."""
        if self._records.faults is None:
            return
        faults = self._records.faults[self._records.filled]
        for fault, rule, reason in _QUOTES:
            self.reject(np.flatnonzero(faults == fault), rule, reason)

    def not_text(self) -> None:
        """Reject what is no UTF-8: no text in the member's encoding."""
        records = self._records
        if is_utf8(self._text):
            return
        places: list[np.ndarray] = []
        for start in range(0, len(records.offsets) - 1, SLICE_ROWS):
            bounds = records.offsets[start : start + SLICE_ROWS + 1]
            begin, end = int(bounds[0]), int(bounds[-1])
            places.append(not_utf8(self._text[begin:end], bounds - begin) + begin)
        self._reject_first(
            np.sort(np.concatenate(places)) if places else np.zeros(0, np.int64),
            "encoding",
            f"it is no text in {self._dialect.encoding}, from byte ",
            " of the record on; if the member is right, declare dialect.encoding of the feed",
        )

    def other_encoding(self) -> None:
        """Reject what is UTF-8 by itself, in a member of which another encoding was guessed."""
        if not self._dialect.encoding_guessed:
            return
        within = in_utf8_by_itself(self._text, self._dialect.encoding)
        if within is None:
            return
        high = np.frombuffer(self._text, np.uint8) >= 0x80  # noqa: PLR2004
        offsets = self._records.offsets
        places = np.flatnonzero(within)
        others = np.searchsorted(offsets, np.flatnonzero(high & ~within), side="right")
        own = np.searchsorted(offsets, places, side="right")
        self._reject_first(
            places[~np.isin(own, others)],
            "encoding",
            f"it is UTF-8 in a member that was read as {self._dialect.encoding}, from byte ",
            " of the record on; if the member is right, declare dialect.encoding of the feed",
        )

    def zero_bytes(self) -> None:
        """Reject what has a NUL: no text has one, and other readers end there."""
        if b"\0" not in self._text:
            return
        view = np.frombuffer(self._text, np.uint8)[: self._records.end]
        places = np.flatnonzero(view == 0)
        self._reject_first(places, ZERO_BYTE, "it has a NUL byte, as byte ", " of the record")

    def long_fields(self, limit: int) -> None:
        """Reject what has a field over the limit; few records are long enough."""
        records = self._records
        lengths = np.diff(records.offsets)[records.filled]
        for index in np.flatnonzero(self.good & (lengths > limit)).tolist():
            start, end = records.span(index)
            fields = parse_record(self._text[start:end], self._dialect)
            longest = max(map(len, fields), default=0)
            if longest > limit:
                reason = (
                    f"a field has {longest} bytes, the feed's limit is {limit}; if it is right, "
                    "raise limits.field_bytes of the feed"
                )
                self.reject(np.array([index]), "field_bytes", reason)

    def _reject_first(self, places: np.ndarray, rule: str, before: str, after: str) -> None:
        """Reject the records that these bytes are in; the reason names the first of each."""
        records = self._records
        raw = np.searchsorted(records.offsets, places, side="right") - 1
        raw, first = np.unique(raw, return_index=True)
        index = np.searchsorted(records.filled, raw)
        index[index == len(records)] = 0
        rows = records.filled[index] == raw if len(records) else np.zeros(len(raw), np.bool_)
        within = (places[first] - records.offsets[raw])[rows]
        reasons = pc.binary_join_element_wise(before, pa.array(within).cast(pa.string()), after, "")
        self.reject(index[rows], rule, reasons)


def is_utf8(text: bytes) -> bool:
    """Whether all of a text is UTF-8."""
    offsets = np.array([0, len(text)], np.int64)
    whole = pa.LargeStringArray.from_buffers(1, pa.py_buffer(offsets), pa.py_buffer(text))
    try:
        whole.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
