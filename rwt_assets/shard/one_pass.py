"""A member to enriched shards in one pass: each record is parsed once.

What belongs here: the order of things for one batch: contract, enrichment, grouping. What does
not: the rules (`contract.py`, `enrichment.py`), reading records (`member_rows.py`) and storing
what comes out (`unpacking.py`, `resources/`).

The other way is shard by shard: `splitting.py` cuts a member, `processing.py` reads each shard
back. Both give the same rows, in the same order, and quarantine the same rows.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from isal import isal_zlib

from rwt_assets.contract import EnrichmentChain, ShardContract, enrich
from rwt_assets.feed import Limits, MemberRule
from rwt_assets.member import shown_binary
from rwt_assets.quarantine import NO_CORRECTIONS, MemberCorrections
from rwt_assets.shard.grouping import GroupedRows
from rwt_assets.shard.member_rows import MemberRows, RowBatch, record_bytes
from rwt_assets.shard.split_values import SplitValues
from rwt_assets.shard.splitting import SplitPart, parts, record_table
from rwt_assets.text import INSENSITIVE, Case
from rwt_assets.values import REJECTED_VALUES, SLICE_ROWS, RejectedValues

REJECTED_SCHEMA: Final = REJECTED_VALUES.append(pa.field("text", pa.string()))
ROW_GROUP_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class ShardSum:
    """What is known of a shard as CSV whose bytes are not kept."""

    rows: int
    bytes: int
    crc32: int
    first_row: int

    @property
    def checksum(self) -> str:
        """As `manifest.Shard.checksum`."""
        return f"{self.crc32:08x}"


@dataclass(frozen=True, slots=True)
class OnePassShard:
    """One shard. Each iterator may be consumed once, by any thread.

    `bytes` is about what its rows take in memory, as records and as enriched rows.
    `parts` is None, and `sum` is not, if shards are not kept as CSV. `tables` are as
    `processing.ShardRun.tables` has them, `rejected` of `REJECTED_SCHEMA`.
    """

    value: str | None
    bytes: int
    parts: Iterator[SplitPart] | None
    sum: ShardSum | None
    tables: Iterator[pa.Table]
    rejected: Iterator[pa.Table]


class OnePass:
    """Splits and enriches one member.

    `rows` has what is known of the member while it is consumed and afterwards, `values` the rows
    that have no shard.

    Args:
        rule: by which column to split, and the contract.
        limits: on columns, record and field length, split values and bytes held back.
        archive: object key of the archive.
        member: name of the member.
        where: named in errors.
        check: called with each enriched batch; raises if it is not as it must be.
        keep_shards: whether the records are wanted as CSV, too.
        only: the values whose shards are wanted; None for all.
        case: how column names are compared, unless the rule says it.
        corrections: rows that take the place of those that were sent.
    """

    def __init__(  # noqa: PLR0913 - each says one thing about the member
        self,
        rule: MemberRule,
        limits: Limits,
        *,
        archive: str,
        member: str,
        where: str,
        check: Callable[[pa.Table], None],
        keep_shards: bool = True,
        only: Collection[str | None] | None = None,
        case: Case = INSENSITIVE,
        corrections: MemberCorrections = NO_CORRECTIONS,
    ) -> None:
        self.rows = MemberRows(
            rule, limits, where=where, all_fields=True, case=case, corrections=corrections
        )
        self.values = SplitValues(
            rule, limits, archive=archive, member=member, where=where, only=only
        )
        self._contract = ShardContract(rule, where=f"{archive}, member {member!r}")
        self._rule = rule
        self._archive = archive
        self._member = member
        self._check = check
        self._named = EnrichmentChain(rule.enrichments, where=f"{archive}, member {member!r}")
        self._sums = _Sums()
        self._held_bytes = limits.buffer_bytes
        self._enriched = GroupedRows()
        self._records = GroupedRows() if keep_shards else None
        self._rejected = GroupedRows()

    def shards(self, chunks: Iterable[bytes]) -> Iterator[OnePassShard]:
        """Read the member.

        Args:
            chunks: its bytes, of any length, in its own encoding.

        Yields:
            The shards in the order in which their values appear, after the member was read as
            a whole; see `splitting.MemberSplitter.shards`.

        Raises:
            MemberHeaderError: no header, a needed column missing or there twice.
            MemberSchemaError, ArchiveSchemaError: columns or values that the feed's evolution
                refuses.
            LimitError: too many columns, a record too long, or too many values.
        """
        grouped = [self._enriched, self._rejected]
        grouped += [] if self._records is None else [self._records]
        for batch in self.rows.batches_ahead(chunks):
            self._take(batch)
            if sum(one.held_bytes for one in grouped) >= self._held_bytes:
                for one in grouped:
                    one.spill()
        if self._enriched.schema is None:
            self._take(_no_rows(self.rows))
        for one in grouped:
            one.finish()
        header = self.rows.header
        for number, value in enumerate(self.values):
            records = self._records
            yield OnePassShard(
                value=value,
                bytes=sum(one.bytes(number) for one in grouped),
                parts=None if records is None else parts(records.tables(number), header),
                sum=self._sums.of(number, header) if records is None else None,
                tables=self._tables(number),
                rejected=self._rejected.tables(number),
            )

    def _tables(self, number: int) -> Iterator[pa.Table]:
        schema = self._enriched.schema
        if self._enriched.rows(number) == 0 and schema is not None:
            return iter([schema.empty_table()])
        return _joined(self._enriched.tables(number))

    def _take(self, batch: RowBatch) -> None:
        numbers, batch = self.values.take(batch)
        if self._records is not None:
            self._records.add(numbers, record_table(batch))
        else:
            self._sums.add(numbers, batch, self.rows.header)
        result = self._contract.apply(
            batch.fields, batch.row_numbers, within=pa.array(numbers) if self._rule.unique else None
        )
        if result.rejected:
            self._reject(batch, numbers, result.rejected)
            numbers = numbers[np.searchsorted(batch.row_numbers, result.row_numbers)]
        table = enrich(
            result.valid,
            key_column=self._rule.key_column,
            archive=self._archive,
            member=self._member,
            row_numbers=result.row_numbers,
        )
        self._check(table)
        self._enriched.add(numbers, self._named.apply(table))

    def _reject(self, batch: RowBatch, numbers: np.ndarray, rejected: RejectedValues) -> None:
        places = np.searchsorted(batch.row_numbers, rejected.rows)
        for start in range(0, len(places), SLICE_ROWS):
            own = places[start : start + SLICE_ROWS]
            texts = shown_binary(batch.records.take(pa.array(own)))
            table = rejected.table.slice(start, SLICE_ROWS)
            self._rejected.add(
                numbers[own], table.append_column(REJECTED_SCHEMA.field("text"), texts)
            )


class _Sums:
    """Rows, bytes and CRC-32 of each shard as CSV, taken batch by batch."""

    def __init__(self) -> None:
        self._rows = np.zeros(0, np.int64)
        self._bytes = np.zeros(0, np.int64)
        self._first = np.zeros(0, np.int64)
        self._crcs: list[int] = []

    def add(self, numbers: np.ndarray, batch: RowBatch, header: bytes) -> None:
        """Take the records of a batch."""
        if len(numbers) == 0:
            return
        highest = int(numbers.max())
        more = highest + 1 - len(self._rows)
        if more > 0:
            self._rows = np.pad(self._rows, (0, more))
            self._bytes = np.pad(self._bytes, (0, more), constant_values=len(header))
            self._first = np.pad(self._first, (0, more))
            self._crcs += [isal_zlib.crc32(header)] * more
        order = np.argsort(numbers.astype(np.min_scalar_type(highest)), kind="stable")
        counts = np.bincount(numbers)
        found = np.flatnonzero(counts)
        bounds = np.concatenate([[0], np.cumsum(counts[found])])
        records = batch.records.take(pa.array(order.astype(np.int32)))
        new = self._rows[found] == 0
        self._first[found[new]] = batch.row_numbers[order[bounds[:-1][new]]]
        self._rows[found] += counts[found]
        for number, start, end in zip(found.tolist(), bounds[:-1], bounds[1:], strict=True):
            data = record_bytes(records.slice(start, end - start))
            self._bytes[number] += data.size
            self._crcs[number] = isal_zlib.crc32(data, self._crcs[number])

    def of(self, number: int, header: bytes) -> ShardSum:
        """The sum of one shard, its header included."""
        if number >= len(self._rows):
            return ShardSum(0, len(header), isal_zlib.crc32(header), 0)
        return ShardSum(
            rows=int(self._rows[number]),
            bytes=int(self._bytes[number]),
            crc32=self._crcs[number],
            first_row=int(self._first[number]),
        )


def _no_rows(rows: MemberRows) -> RowBatch:
    fields = pa.table({name: pa.array([], pa.string()) for name in rows.columns})
    return RowBatch(pa.array([], pa.large_binary()), fields, np.zeros(0, np.int64))


def _joined(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Small tables put together, since each becomes a row group."""
    held: list[pa.Table] = []
    size = 0
    for table in tables:
        if held and size + table.nbytes > ROW_GROUP_BYTES:
            yield pa.concat_tables(held)
            held, size = [], 0
        held.append(table)
        size += table.nbytes
    if held:
        yield pa.concat_tables(held)
