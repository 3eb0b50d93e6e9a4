"""Which shard a row belongs to: the value of its split column, as its type has it.

What belongs here: from the text of the split column to the identity of a shard, and why a row has
none. What does not: types (`contract.py`) and holding records back (`grouping.py`,
`splitting.py`).

The identity of a shard is the typed value, written in one way: `1`, `01` and `+1` of an integer
column are one shard. An empty field is no value, whatever the type. A row whose value breaks the
rule of the column, or is too long, is quarantined here, so that it never makes a partition, a
folder or an object. Every way of an archive (shards kept, one pass, made again) comes through here.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.contract import ShardContract
from rwt_assets.documents import ShardKey
from rwt_assets.feed import Limits, MemberRule
from rwt_assets.member import REJECTED_ROWS, SLICE_ROWS, Rejections, shown_binary
from rwt_assets.runtime import LimitError
from rwt_assets.shard.member_rows import RowBatch

TOO_LONG: Final = "split_value_too_long"
# Dagster keeps a partition key in index rows, which in PostgreSQL have at most 2,704 bytes (its
# documentation: "B-Tree Indexes") together with the key of the asset and the type of the event.
PARTITION_KEY_BYTES: Final = 2_400
NO_SHARD: Final = -1


@dataclass(frozen=True, slots=True)
class _Broken:
    """Texts that have no shard: their places among all texts, by which rule, and why."""

    places: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    rules: Any = field(default_factory=lambda: pa.array([], pa.string()))
    reasons: Any = field(default_factory=lambda: pa.array([], pa.string()))

    def and_also(self, other: "_Broken") -> "_Broken":
        """These and others."""
        return _Broken(
            np.concatenate([self.places, other.places]),
            pa.concat_arrays([self.rules, other.rules]),
            pa.concat_arrays([self.reasons, other.reasons]),
        )


class SplitValues:
    """The values of a member's split column, numbered in the order of their appearance.

    Args:
        rule: names the split column, or none.
        limits: on the number of values and on their length.
        archive: object key of the archive.
        member: name of the member.
        where: named in errors.
        only: the values that are wanted; None for all. Rows of others are left out.
    """

    def __init__(  # noqa: PLR0913 - each says one thing about the member
        self,
        rule: MemberRule,
        limits: Limits,
        *,
        archive: str = "",
        member: str = "",
        where: str,
        only: Collection[str | None] | None = None,
    ) -> None:
        self._column = rule.split_by
        self._limits = limits
        self._where = where
        self._only = only
        self._numbers: dict[str | None, int] = {}
        self._rejected = Rejections()
        own = None if self._column is None else rule.columns.get(self._column)
        self._rule = (
            None
            if own is None or self._column is None
            else rule.model_copy(
                update={"columns": {self._column: own}, "unique": (), "enrichments": ()}
            )
        )
        key = ShardKey(archive, member, self._column or "", "").partition_key
        self._room = PARTITION_KEY_BYTES - len(key.encode("utf-8", "surrogatepass"))

    def take(self, batch: RowBatch) -> tuple[np.ndarray, RowBatch]:
        """The rows of a batch that belong to a shard, and the number of the value of each.

        Raises:
            LimitError: there are too many values.
            ArchiveSchemaError: a value does not fit, and the feed's evolution fails the archive.
        """
        rows = len(batch.row_numbers)
        if self._column is None:
            return np.zeros(rows, np.int64), batch
        coded = batch.fields.column(self._column).combine_chunks().dictionary_encode()
        indices = np.asarray(coded.indices)
        texts = coded.dictionary
        first = np.zeros(len(texts), np.int64)
        first[indices[::-1]] = batch.row_numbers[::-1]
        values, broken = self._values(texts, first)
        numbers: np.ndarray = self._numbered(values, len(texts))[indices]
        if not (numbers == NO_SHARD).any():
            return numbers, batch
        self._reject(batch, indices, broken, len(texts))
        kept = numbers != NO_SHARD
        mask = pa.array(kept)
        return numbers[kept], RowBatch(
            batch.records.filter(mask), batch.fields.filter(mask), batch.row_numbers[kept]
        )

    def rejected(self, first_row_line: int | None) -> Iterator[pa.Table]:
        """The rows without a shard, tables of `REJECTED_ROWS`.

        Args:
            first_row_line: of the member, if every row has exactly one line.
        """
        for table in self._rejected.tables():
            if first_row_line is None:
                yield table
            else:
                line = pc.add(table.column("row"), first_row_line - 1)
                place = table.schema.get_field_index("line")
                lined = table.set_column(place, "line", line)
                lines = pa.repeat(pa.scalar(1, pa.int64()), table.num_rows)
                yield lined.set_column(table.schema.get_field_index("lines"), "lines", lines)

    def __iter__(self) -> Iterator[str | None]:
        """The values by number. A member that is not split has one, also without rows."""
        return iter([None] if self._column is None else self._numbers)

    def _values(self, texts: Any, first: np.ndarray) -> tuple[dict[int, str | None], _Broken]:
        """The value of each text that has a shard, by its place, and what is wrong with others."""
        canonical, kept, broken = self._typed(texts, first)
        values = dict(zip(kept, canonical, strict=True))
        long = {
            place: told
            for place, value in values.items()
            if value is not None and (told := self._too_long(value))
        }
        if not long:
            return values, broken
        for place in long:
            del values[place]
        more = _Broken(
            np.fromiter(long, np.int64),
            pa.repeat(TOO_LONG, len(long)),
            pa.array(long.values(), pa.string()),
        )
        return values, broken.and_also(more)

    def _typed(self, texts: Any, first: np.ndarray) -> tuple[list[str | None], list[int], _Broken]:
        """The values of texts that keep the rule of their column, their places, and the others."""
        if self._rule is None:
            return [text or None for text in texts.to_pylist()], [*range(len(texts))], _Broken()
        # Rows are told apart by their numbers, of which those of different texts differ.
        order = np.argsort(first)
        rows = first[order]
        table = pa.table({self._column: texts.take(pa.array(order))})
        result = ShardContract(self._rule, where=self._where).apply(table, rows)
        typed = _written(result.valid.column(self._column))
        kept = order[np.searchsorted(rows, result.row_numbers)]
        told = result.rejected.table.combine_chunks()
        broken = _Broken(
            order[np.searchsorted(rows, result.rejected.rows)],
            told.column("rule").combine_chunks(),
            told.column("reason").combine_chunks(),
        )
        return typed, kept.tolist(), broken

    def _too_long(self, value: str) -> str:
        size, limit = len(value.encode("utf-8", "surrogatepass")), self._limits.split_value_bytes
        if size > limit:
            return (
                f"the value of {self._column!r} has {size} bytes, the feed's limit is {limit} "
                "(limits.split_value_bytes)"
            )
        escaped = ShardKey("", "", "", value).partition_key
        if len(escaped.encode("utf-8", "surrogatepass")) > self._room:
            return (
                f"the value of {self._column!r} has {size} bytes, too many for a partition key of "
                f"{PARTITION_KEY_BYTES} bytes together with the names of archive and member"
            )
        return ""

    def _numbered(self, values: dict[int, str | None], count: int) -> np.ndarray:
        """The number of the value in each place; new ones get the next."""
        known = self._numbers
        numbers = np.full(count, NO_SHARD, np.int64)
        for place, value in values.items():
            if self._only is None or value in self._only:
                numbers[place] = known.setdefault(value, len(known))
        if len(known) > self._limits.split_values:
            raise LimitError(
                f"the column {self._column!r} has more than "
                f"{self._limits.split_values} different values",
                where=self._where,
                effect="The whole member was quarantined; the others were processed.",
                fix="Split by another column, or raise limits.split_values of the feed.",
            )
        return numbers

    def _reject(self, batch: RowBatch, indices: np.ndarray, broken: _Broken, count: int) -> None:
        """Note the rows of a batch whose value has no shard for a reason."""
        codes = np.full(count, NO_SHARD, np.int64)
        codes[broken.places] = np.arange(len(broken.places))
        codes = codes[indices]
        places = np.flatnonzero(codes != NO_SHARD)
        for start in range(0, len(places), SLICE_ROWS):
            own = places[start : start + SLICE_ROWS]
            which = pa.array(codes[own])
            columns = [
                pa.nulls(len(own), pa.int64()),
                pa.array(batch.row_numbers[own]),
                pa.repeat(pa.scalar(1, pa.int64()), len(own)),
                pa.nulls(len(own), pa.int64()),
                broken.rules.take(which),
                broken.reasons.take(which),
                shown_binary(batch.records.take(pa.array(own))),
            ]
            self._rejected.add(pa.table(columns, schema=REJECTED_ROWS))


def _written(values: Any) -> list[str | None]:
    """Typed values as texts, of which equal values have the same and others another."""
    if pa.types.is_floating(values.type):
        values = pc.add(values, 0.0)  # there is one zero
    texts: list[str | None] = values.cast(pa.string()).to_pylist()
    return [text or None for text in texts]
