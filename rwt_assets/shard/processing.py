"""From a shard to its enriched tables: fetched part by part, or as one pass hands it over.

What belongs here: the order of things: fetch, parse, hold to the contract, enrich, keep what
was quarantined. What does not: the rules themselves (`contract.py`, `enrichment.py`), reading an
archive in one pass (`one_pass.py`) and where the result goes (`parquet_io_manager.py`).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import isal_zlib

from rwt_assets.contract import EnrichmentChain, ShardContract, enrich
from rwt_assets.documents import (
    ArchiveManifest,
    Generation,
    Layout,
    MemberReport,
    Part,
    RowNumbers,
    Shard,
    ShardKey,
    damaged,
    enrichment_version,
    generation_of,
    write_document,
)
from rwt_assets.feed import Feed, MemberRule, Target
from rwt_assets.member import (
    REJECTED_ROWS,
    Rejections,
    find_records,
    header_end,
    parse_shard,
    shown_records,
)
from rwt_assets.quarantine import as_quarantine, put_quarantine
from rwt_assets.runtime import (
    SPLIT_AGAIN,
    ArchiveMissingError,
    DocumentDamagedError,
    EnrichmentError,
    ShardDamagedError,
    SupersededError,
)
from rwt_assets.shard.one_pass import OnePassShard
from rwt_assets.storage import ObjectStore
from rwt_assets.values import RejectedValues


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
    generation: Generation
    shard: Shard
    member: MemberReport
    row_numbers: RowNumbers
    rows_quarantined: int = 0
    rows_by_rule: dict[str, int] = field(default_factory=dict)
    quarantine_key: str | None = None
    _rejected: Rejections = field(default_factory=Rejections)

    @property
    def partition_key(self) -> str:
        """Which shard."""
        return self.shard.partition_key

    @property
    def checksum(self) -> str:
        """Of the shard's content."""
        return self.shard.checksum

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
            data, row_numbers = self._read_part(part)
            table = parse_shard(data, self.member.dialect, self.member.columns)
            result = contract.apply(table, row_numbers)
            self._reject(result.rejected, data, row_numbers)
            yield enrich(
                result.valid,
                key_column=self.rule.key_column,
                archive=self.manifest.key,
                member=self.shard.member,
                row_numbers=result.row_numbers,
            )
        self._write_quarantine()

    def _read_part(self, part: Part) -> tuple[bytes, np.ndarray]:
        """The CSV of a part and its row numbers.

        Raises:
            ShardDamagedError: they are not as the manifest has them.
        """
        try:
            return self._read(part), self.row_numbers.of(part)
        except ShardDamagedError as error:
            error.archive = self.manifest.key
            raise

    def _read(self, part: Part) -> bytes:
        """The CSV of a part, held to the length and the CRC-32 that the manifest has of it."""
        key = part.key
        if key is None:
            raise ShardDamagedError(
                "the shard is not kept as CSV, and the feed is no longer processed in one pass",
                where=self.partition_key,
                effect="Nothing of it was processed.",
                fix=SPLIT_AGAIN,
            )
        try:
            data = self.store.read(self.feed.target.bucket, key)
        except ArchiveMissingError as error:
            raise damaged(self.feed.target.bucket, key, "it is gone") from error
        if len(data) != part.bytes or isal_zlib.crc32(data) != part.crc32:
            found = f"{len(data)} bytes with CRC-32 {isal_zlib.crc32(data):08x}"
            raise damaged(
                self.feed.target.bucket,
                key,
                f"it has {found}, not {part.bytes} bytes with CRC-32 {part.crc32:08x}",
            )
        return data

    def _reject(self, rejected: RejectedValues, data: bytes, row_numbers: np.ndarray) -> None:
        """Hold rejected rows of a part back, with their raw text."""
        if not len(rejected):
            return
        begin = header_end(data, self.member.dialect)
        records = find_records(data[begin:], self.member.dialect, last=True)
        raw = records.filled[np.searchsorted(row_numbers, rejected.rows)]
        starts, ends = records.offsets[raw] + begin, records.offsets[raw + 1] + begin
        texts = shown_records(data, starts, ends)
        self._rejected.add(_with_lines(rejected.table, texts, self.member.first_row_line))

    def _write_quarantine(self) -> None:
        self.rows_quarantined = self._rejected.rows
        self.rows_by_rule = dict(self._rejected.by_rule)
        if self.rows_quarantined:
            self.quarantine_key = _put_quarantine(
                self, self.store, self.feed.target, self._rejected.tables
            )


@dataclass(slots=True)
class OnePassRun:
    """One shard on its way from its archive to enriched tables; see `ShardRun`."""

    store: ObjectStore
    target: Target
    rule: MemberRule
    generation: Generation
    partition_key: str
    first_row_line: int | None
    shard: OnePassShard
    checksum: str = ""
    rows_quarantined: int = 0
    rows_by_rule: dict[str, int] = field(default_factory=dict)
    quarantine_key: str | None = None

    def tables(self) -> Iterator[pa.Table]:
        """The tables of `ShardRun.tables`, in order; nothing is fetched."""
        yield from self.shard.tables
        rejected = Rejections()
        for table in self.shard.rejected:
            texts = table.column("text")
            rejected.add(_with_lines(table, texts, self.first_row_line))
        self.rows_quarantined, self.rows_by_rule = rejected.rows, dict(rejected.by_rule)
        if self.rows_quarantined:
            self.quarantine_key = _put_quarantine(self, self.store, self.target, rejected.tables)


def _with_lines(rejected: pa.Table, texts: Any, first_row_line: int | None) -> pa.Table:
    """Rejected values as a table of `REJECTED_ROWS`.

    Args:
        rejected: row, rule and reason.
        texts: of the rows.
        first_row_line: of the member, if every row has exactly one line.
    """
    rows = rejected.num_rows
    one = pa.repeat(pa.scalar(1, pa.int64()), rows)
    unknown = pa.nulls(rows, pa.int64())
    row = rejected.column("row")
    columns = {
        "line": unknown if first_row_line is None else pc.add(row, first_row_line - 1),
        "row": row,
        "rows": one,
        "lines": unknown if first_row_line is None else one,
        "rule": rejected.column("rule"),
        "reason": rejected.column("reason"),
        "text": texts,
    }
    return pa.table([columns[name] for name in REJECTED_ROWS.names], schema=REJECTED_ROWS)


def _put_quarantine(
    run: "ShardRun | OnePassRun",
    store: ObjectStore,
    target: Target,
    rejected: Callable[[], Iterable[pa.Table]],
) -> str:
    """Keep what a shard's contract rejected; the key of the object.

    Args:
        run: of the shard.
        store: where it is kept.
        target: of the feed.
        rejected: gives the rows, tables of `REJECTED_ROWS`, as often as it is asked.

    Raises:
        ShardDamagedError: another object is in its place. One that is there already should be of
            the same shard, held to the same contract, and a delivery may name it.
    """
    shard = ShardKey.parse(run.partition_key)
    key = Layout(target.prefix).shard_quarantine(run.generation, shard, run.checksum)
    revision = run.generation.revision

    def tables() -> Iterator[pa.Table]:
        for table in rejected():
            yield as_quarantine(
                table, archive=shard.archive, revision=revision, member=shard.member
            )

    written = put_quarantine(store, target.bucket, key, tables())
    if not written and not _holds(store.read(target.bucket, key), pa.concat_tables(tables())):
        error = damaged(target.bucket, key, "it is not the quarantine of this shard")
        error.archive = shard.archive
        raise error
    return key


def _holds(body: bytes, table: pa.Table) -> bool:
    """Whether a Parquet object has the rows of this table and no others."""
    try:
        return bool(pq.read_table(BytesIO(body), use_threads=False).equals(table))
    except (pa.ArrowException, OSError):
        return False


def table_without_rows(report: MemberReport, rule: MemberRule, *, archive: str) -> pa.Table:
    """The enriched table that a member has if none of its rows is good: its columns alone.

    Args:
        report: of a member that was read.
        rule: that took it.
        archive: object key of the archive.
    """
    where, none = f"{archive}, member {report.name!r}", np.zeros(0, np.int64)
    texts = pa.table({name: pa.array([], pa.string()) for name in report.columns})
    table = enrich(
        ShardContract(rule, where=where).apply(texts, none).valid,
        key_column=rule.key_column,
        archive=archive,
        member=report.name,
        row_numbers=none,
    )
    try:
        return EnrichmentChain(rule.enrichments, where=where).apply(table)
    except EnrichmentError:  # a person's function may want rows; nothing is asked of it
        return table


def read_manifest(store: ObjectStore, target: Target, archive: str) -> ArchiveManifest:
    """The manifest of the archive's revision that was split last.

    Raises:
        ShardDamagedError: the archive was never split, or its manifest is gone or not as it was
            written.
    """
    return read_tagged_manifest(store, target, archive)[0]


def read_tagged_manifest(
    store: ObjectStore, target: Target, archive: str
) -> tuple[ArchiveManifest, str]:
    """The same, and the ETag of the document."""
    key = Layout(target.prefix).manifest(archive)
    try:
        body, etag = store.read_tagged(target.bucket, key)
    except ArchiveMissingError as error:
        raise _no_manifest(target, archive, "the archive has no manifest") from error
    try:
        return ArchiveManifest.from_body(body, where=f"s3://{target.bucket}/{key}"), etag
    except DocumentDamagedError as error:
        raise _no_manifest(target, archive, f"the manifest: {error.what}") from error


def _no_manifest(target: Target, archive: str, what: str) -> ShardDamagedError:
    error = ShardDamagedError(
        what,
        where=f"s3://{target.bucket}/{Layout(target.prefix).manifest(archive)}",
        effect="Nothing was processed; what was delivered is as it was.",
        fix="A run that needs it has the archive split again, some times; or run `rwt replay`.",
    )
    error.archive = archive
    return error


def manifest_etag(store: ObjectStore, target: Target, archive: str) -> str:
    """ETag of an archive's manifest; "" if there is none."""
    try:
        return store.head(target.bucket, Layout(target.prefix).manifest(archive)).etag
    except ArchiveMissingError:
        return ""


def write_manifest(
    store: ObjectStore, target: Target, manifest: ArchiveManifest, *, replaces: str
) -> str:
    """Store a manifest in the place of the one that was there when its split began.

    Args:
        store: where it is stored.
        target: of the feed.
        manifest: what an archive was split into.
        replaces: ETag of the manifest that it replaces; "" if there was none.

    Returns:
        Its ETag.

    Raises:
        SupersededError: another manifest took that place meanwhile. Nothing was written.
    """
    key = Layout(target.prefix).manifest(manifest.key)
    body = manifest.to_body()
    etag = write_document(store, target.bucket, key, body, replaces=replaces)
    if not etag:
        raise SupersededError(
            "another split of this archive has ended meanwhile",
            where=f"s3://{target.bucket}/{key}",
            effect="This one gave up: no manifest was written, no shard was reported.",
            fix="Nothing to do: the archive goes on from the newer split.",
        )
    return etag


def shard_runs(store: ObjectStore, feed: Feed, partition_keys: Iterable[str]) -> Iterator[ShardRun]:
    """The shards of these partitions, each ready to be processed.

    Raises:
        ShardDamagedError: a partition that the current manifest of its archive lacks.
    """
    row_numbers = RowNumbers(store, feed.target.bucket)
    enrichment = enrichment_version(feed)
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
            raise no_such_shard(manifest, partition_key)
        yield ShardRun(
            store,
            feed,
            rule,
            manifest,
            generation_of(manifest, enrichment),
            shard,
            members[shard.member],
            row_numbers,
        )


def no_such_shard(manifest: ArchiveManifest, partition_key: str) -> ShardDamagedError:
    """The error of a partition that the current manifest of its archive lacks."""
    error = ShardDamagedError(
        f"revision {manifest.revision} of the archive has no such shard",
        where=partition_key,
        effect="No shard of this run after it was processed.",
        fix=SPLIT_AGAIN,
    )
    error.archive = manifest.key
    return error
