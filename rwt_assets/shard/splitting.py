"""Members to shards: every record goes, byte for byte, to the shard of its value.

What belongs here: grouping records by the value of the split column. What does not: reading
records (`member_rows.py`), what that value is (`split_values.py`), holding them back
(`grouping.py`), types (`contract.py`) and uploading (`unpacking.py`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.feed import Limits, MemberRule
from rwt_assets.quarantine import NO_CORRECTIONS, MemberCorrections
from rwt_assets.shard.grouping import GroupedRows
from rwt_assets.shard.member_rows import MemberRows, RowBatch, record_bytes
from rwt_assets.shard.split_values import SplitValues
from rwt_assets.text import INSENSITIVE, Case

PART_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class SplitPart:
    """Some records of one value, as CSV with the member's header.

    `row_numbers` (int64) are the records' ordinals in the member, from 1, rising.
    """

    data: bytes
    rows: int
    row_numbers: np.ndarray


@dataclass(frozen=True, slots=True)
class SplitShard:
    """All records of one value (None if the member is not split), in one part or several.

    `bytes` is about what they take in memory.
    """

    value: str | None
    bytes: int
    parts: Iterator[SplitPart]


class MemberSplitter:
    """Splits one member.

    `rows` has what is known of the member while it is consumed and afterwards, `values` the rows
    that have no shard.

    Args:
        rule: by which column, which columns must be there, what is known of the dialect.
        limits: on columns, record and field length, split values and bytes held back.
        archive: object key of the archive.
        member: name of the member.
        where: named in errors.
        case: how column names are compared, unless the rule says it.
        corrections: rows that take the place of those that were sent.
    """

    def __init__(  # noqa: PLR0913 - each says one thing about the member
        self,
        rule: MemberRule,
        limits: Limits,
        *,
        archive: str = "",
        member: str = "",
        where: str,
        case: Case = INSENSITIVE,
        corrections: MemberCorrections = NO_CORRECTIONS,
    ) -> None:
        self.rows = MemberRows(rule, limits, where=where, case=case, corrections=corrections)
        self.values = SplitValues(rule, limits, archive=archive, member=member, where=where)
        self._held_bytes = limits.buffer_bytes

    def shards(self, chunks: Iterable[bytes]) -> Iterator[SplitShard]:
        """Split the member.

        Args:
            chunks: its bytes, of any length, in its own encoding.

        Yields:
            The shards in the order in which their values appear, after the member was read as
            a whole. Each has the header; one part unless it is larger than 16 MiB. A member
            without rows gives no shard if it is split, and one without rows if it is not.

        Raises:
            MemberHeaderError: no header, a needed column missing or there twice.
            MemberSchemaError, ArchiveSchemaError: columns that the feed's evolution refuses.
            LimitError: too many columns, a record too long, or too many values.
        """
        grouped = GroupedRows()
        for batch in self.rows.batches_ahead(chunks):
            numbers, kept = self.values.take(batch)
            grouped.add(numbers, record_table(kept))
            if grouped.held_bytes >= self._held_bytes:
                grouped.spill()
        grouped.finish()
        for number, value in enumerate(self.values):
            cut = parts(grouped.tables(number), self.rows.header)
            yield SplitShard(value, grouped.bytes(number), cut)


def record_table(batch: RowBatch) -> pa.Table:
    """Records with their ordinals: what a shard as CSV is made of."""
    return pa.table({"record": batch.records, "row": batch.row_numbers})


def parts(tables: Iterable[pa.Table], header: bytes) -> Iterator[SplitPart]:
    """Cut the records of a shard into parts, where the bytes say and nothing else.

    Args:
        tables: what `record_table` gave, for one shard, in its order.
        header: comes first in each part.
    """
    pieces: list[pa.Table] = []
    room = PART_BYTES
    for table in tables:
        rest = table
        while rest.num_rows:
            ends = np.cumsum(_lengths(rest))
            fit = int(np.searchsorted(ends, room, side="right"))
            if fit == 0 and not pieces:
                fit = 1
            pieces.append(rest.slice(0, fit))
            room -= int(ends[fit - 1]) if fit else 0
            rest = rest.slice(fit)
            if rest.num_rows:
                yield _part(pieces, header)
                pieces, room = [], PART_BYTES
    yield _part(pieces, header)


def _part(pieces: list[pa.Table], header: bytes) -> SplitPart:
    records = [chunk for piece in pieces for chunk in piece.column("record").chunks]
    rows = [np.zeros(0, np.int64), *(piece.column("row").to_numpy() for piece in pieces)]
    row_numbers = np.concatenate(rows)
    data = b"".join([header, *map(record_bytes, records)])
    return SplitPart(data, len(row_numbers), row_numbers)


def _lengths(table: pa.Table) -> np.ndarray:
    lengths: np.ndarray = pc.binary_length(table.column("record")).to_numpy()
    return lengths
