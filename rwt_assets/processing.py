"""From a shard on the object store to its enriched table, part by part.

What belongs here: the order of things: fetch, parse, hold to the contract, enrich. What does
not: the rules themselves (`contract.py`, `enrichment.py`) and where the result goes
(`resources/parquet_io_manager.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rwt_assets.contract import (
    QuarantineEntry,
    RejectedValue,
    ShardContract,
    count_by_rule,
    quarantine_table,
)
from rwt_assets.enrichment import enrich
from rwt_assets.errors import ArchiveMissingError
from rwt_assets.feed import Feed, MemberRule, Target
from rwt_assets.fields import parse_shard
from rwt_assets.layout import Layout
from rwt_assets.manifest import ArchiveManifest, MemberReport, Part, Shard
from rwt_assets.object_store import ObjectStore
from rwt_assets.partitions import ShardKey
from rwt_assets.records import find_records, header_end, shown_record

ROW_NUMBER = np.dtype("<i8")
ROW_NUMBER_OBJECTS_HELD = 3


class RowNumbers:
    """Row numbers of the parts of one run.

    Parts that were cut at one time have theirs in one object. It is read by range for the
    first of them and as a whole for the second, since the others will follow.
    """

    def __init__(self, store: ObjectStore, bucket: str) -> None:
        self._store = store
        self._bucket = bucket
        self._lock = Lock()
        self._asked: set[str] = set()
        self._held: dict[str, bytes] = {}

    def of(self, part: Part) -> np.ndarray:
        """The ordinals of a part's rows in their member, from 1, rising (int64)."""
        key, start = part.row_numbers_key, part.row_numbers_offset
        if key is None:
            return np.arange(part.first_row, part.first_row + part.rows, dtype=ROW_NUMBER)
        end = start + part.rows * ROW_NUMBER.itemsize
        with self._lock:
            first = key not in self._asked
            self._asked.add(key)
            if not first and key not in self._held:
                while len(self._held) >= ROW_NUMBER_OBJECTS_HELD:
                    self._held.pop(next(iter(self._held)))
                self._held[key] = self._store.read(self._bucket, key)
            body = self._held.get(key)
        if body is None:
            return np.frombuffer(self._store.read(self._bucket, key, start, end), ROW_NUMBER)
        return np.frombuffer(body, ROW_NUMBER, count=part.rows, offset=start)


@dataclass(slots=True)
class ShardRun:
    """One shard on its way from CSV to enriched tables.

    `tables` may be consumed once; `rows_quarantined`, `rows_by_rule` and `quarantine_key` are
    right after.
    """

    store: ObjectStore
    feed: Feed
    rule: MemberRule
    manifest: ArchiveManifest
    shard: Shard
    member: MemberReport
    row_numbers: RowNumbers
    rows_quarantined: int = 0
    rows_by_rule: dict[str, int] = field(default_factory=dict)
    quarantine_key: str | None = None
    _rejected: list[QuarantineEntry] = field(default_factory=list)

    @property
    def key(self) -> ShardKey:
        """Which shard."""
        return ShardKey.parse(self.shard.partition_key)

    def tables(self) -> Iterator[pa.Table]:
        """One enriched table for each part of the shard, in order.

        Yields:
            The columns of the contract with their types, other columns as text (unless the
            evolution has them otherwise), `_rescued` if the evolution rescues, then `crc32`
            (uint32), `_archive`, `_member` (dictionary of string) and `_row` (int64, ordinal of
            the row in its member from 1).
        """
        where = f"{self.manifest.key}, member {self.shard.member!r}"
        contract = ShardContract(self.rule, where=where)
        for part in self.shard.parts:
            data = self.store.read(self.feed.target.bucket, part.key)
            table = parse_shard(data, self.member.dialect, self.member.columns)
            row_numbers = self.row_numbers.of(part)
            result = contract.apply(table, row_numbers)
            self._rejected += self._entries(result.rejected, data, row_numbers)
            yield enrich(
                result.valid,
                key_column=self.rule.key_column,
                archive=self.manifest.key,
                member=self.shard.member,
                row_numbers=result.row_numbers,
            )
        self._write_quarantine()

    def _entries(
        self, rejected: Sequence[RejectedValue], data: bytes, row_numbers: np.ndarray
    ) -> Iterator[QuarantineEntry]:
        """Rejected rows of a part with their raw text, and their line where that is known."""
        if not rejected:
            return
        begin = header_end(data, self.member.dialect)
        records = find_records(data[begin:], self.member.dialect, last=True)
        places = np.searchsorted(row_numbers, [one.row for one in rejected]).tolist()
        first = self.member.first_row_line
        for one, place in zip(rejected, places, strict=True):
            start, end = records.span(place)
            yield QuarantineEntry(
                member=self.shard.member,
                line=None if first is None else first + one.row - 1,
                row=one.row,
                rows=1,
                rule=one.rule,
                reason=one.reason,
                text=shown_record(data[begin + start : begin + end]),
            )

    def _write_quarantine(self) -> None:
        self.rows_quarantined = sum(entry.rows for entry in self._rejected)
        self.rows_by_rule = count_by_rule(self._rejected)
        if not self._rejected:
            return
        self.quarantine_key = Layout(self.feed.target.prefix).shard_quarantine(
            self.manifest.revision, self.key
        )
        body = BytesIO()
        table = quarantine_table(
            self._rejected, archive=self.manifest.key, revision=self.manifest.revision
        )
        pq.write_table(table, body, compression="zstd")
        self.store.put(self.feed.target.bucket, self.quarantine_key, body.getvalue())


def read_manifest(store: ObjectStore, target: Target, archive: str) -> ArchiveManifest:
    """The manifest of the archive's revision that was split last.

    Raises:
        ArchiveMissingError: the archive was never split, or its manifest was removed.
    """
    key = Layout(target.prefix).manifest(archive)
    try:
        body = store.read(target.bucket, key)
    except ArchiveMissingError as error:
        raise ArchiveMissingError(
            "the archive has no manifest",
            where=f"s3://{target.bucket}/{key}",
            fate="Nothing was processed.",
            remedy="Materialize archive_manifest for this archive first.",
        ) from error
    return ArchiveManifest.model_validate_json(body)


def write_manifest(store: ObjectStore, target: Target, manifest: ArchiveManifest) -> str:
    """Store a manifest in the place of the one before; its key."""
    key = Layout(target.prefix).manifest(manifest.key)
    store.put(target.bucket, key, manifest.model_dump_json().encode())
    return key


def shard_runs(store: ObjectStore, feed: Feed, partition_keys: Iterable[str]) -> Iterator[ShardRun]:
    """The shards of these partitions, each ready to be processed.

    Raises:
        ArchiveMissingError: a partition that the current manifest of its archive lacks.
    """
    row_numbers = RowNumbers(store, feed.target.bucket)
    known: dict[str, tuple[ArchiveManifest, dict[str, Shard], dict[str, MemberReport]]] = {}
    for partition_key in partition_keys:
        archive = ShardKey.parse(partition_key).archive
        if archive not in known:
            manifest = read_manifest(store, feed.target, archive)
            known[archive] = (
                manifest,
                {shard.partition_key: shard for shard in manifest.shards},
                {member.name: member for member in manifest.members},
            )
        manifest, shards, members = known[archive]
        shard = shards.get(partition_key)
        rule = feed.rule_for(members[shard.member].rule_name) if shard is not None else None
        if shard is None or rule is None:
            raise ArchiveMissingError(
                f"revision {manifest.revision} of the archive has no such shard",
                where=partition_key,
                fate="No shard of this run after it was processed.",
                remedy="Materialize archive_manifest for its archive again.",
            )
        yield ShardRun(store, feed, rule, manifest, shard, members[shard.member], row_numbers)
