"""Enriched shards as Parquet on the object store.

What belongs here: writing the value of `enriched_shard`, one partition or thousands, and
reading it back. What does not: how the value is computed (`processing.py`). Dagster
documentation: "I/O managers", "Partitions" (an output over a range of partitions).

The IO managers that Dagster and dagster-aws offer refuse an output that covers several
partitions; this one takes an iterable of shards and writes each while the next is computed.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from io import BytesIO
from json import dumps
from pathlib import Path
from tempfile import SpooledTemporaryFile
from threading import BoundedSemaphore
from time import monotonic
from typing import IO, Any, Final, Self, cast

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rwt_assets.catalog import archive_page
from rwt_assets.delivery import (
    FOOTER_CHECKSUM,
    FOOTER_QUARANTINED,
    FOOTER_REVISION,
    FOOTER_RULES,
    FOOTER_VERSION,
    is_of,
    read_delivery,
    stored_parquet,
)
from rwt_assets.documents import (
    EnrichedObject,
    Generation,
    Layout,
    Shard,
    ShardKey,
    before_footer,
    enrichment_version,
    generation_of,
    read_footer,
    seal_footer,
)
from rwt_assets.feed import Access, Feed, MemberRule, Target, session_name
from rwt_assets.graph import FeedGraph, markdown_metadata
from rwt_assets.orchestration.steps.columns import column_lineage
from rwt_assets.orchestration.steps.enriched import EnrichedShard, EnrichedShards
from rwt_assets.orchestration.steps.failures import fit_errors
from rwt_assets.orchestration.steps.frames import to_frame
from rwt_assets.resources import ObjectStoreResource, missing, page_of
from rwt_assets.runtime import SPLIT_AGAIN, DeliveryError, ShardDamagedError, map_ahead
from rwt_assets.shard import read_manifest
from rwt_assets.storage import ObjectStore
from rwt_assets.text import NO_MARKDOWN, SafeMarkdown, decoration, decorations, first_rows, visible
from rwt_assets.values import CRC32, ROW

IO_MANAGER_KEY: Final = "enriched_shards"
TARGET: Final = "target"
ENRICHMENT_VERSION: Final = "enrichment_version"
WORKERS = 3
AHEAD = 4
IN_MEMORY_BYTES = 64 << 20
SAMPLE_ROWS = 500
NEVER_REPETITIVE = {CRC32, ROW}
REPETITIVE_VALUES = 0.2  # a dictionary pays where at most this share of the values differ
# More threads than processors at work on the same thing only push one another out of the cache.
_ENCODING = BoundedSemaphore(os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Written:
    """What one shard came to on the store.

    `rule` is the one under which its member falls, `head` the first rows as a Markdown table.
    `seconds` are those of making its rows and keeping them (of keeping them alone, if they were
    made for all shards of a member together). `before` says that an earlier attempt has kept it:
    then only its footer was read, and `head` and `seconds` are nothing.
    """

    partition_key: str
    revision: str
    uri: str
    rows: int
    bytes: int
    rows_quarantined: int
    schema: pa.Schema
    rule: MemberRule
    head: SafeMarkdown = NO_MARKDOWN
    seconds: float = 0.0
    before: bool = False


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """Where a feed keeps its enriched shards, and by which declaration they are made.

    It is metadata of the asset's definition, so that one IO manager serves all feeds.
    """

    feed: str
    target: Target
    enrichment_version: str

    @classmethod
    def of_feed(cls, feed: Feed) -> Self:
        """That of a declaration."""
        return cls(feed.name, feed.target, enrichment_version(feed))

    @classmethod
    def of_asset(cls, asset: dg.AssetKey, metadata: Mapping[str, Any]) -> Self:
        """That of an asset `enriched_shard`, by the metadata of its definition."""
        target, version = (
            getattr(metadata[name], "value", metadata[name])
            for name in (TARGET, ENRICHMENT_VERSION)
        )
        return cls(asset.path[0], Target.model_validate(target), version)

    def metadata(self) -> dict[str, Any]:
        """What the definition of `enriched_shard` says of it."""
        target = self.target.model_dump(mode="json", exclude_none=True)
        return {TARGET: target, ENRICHMENT_VERSION: self.enrichment_version}


class EnrichedShardStore(ABC):
    """The enriched shards of one feed."""

    @abstractmethod
    def write(self, shard: EnrichedShard) -> Written:
        """Keep one shard, whole or not at all."""

    @abstractmethod
    def stored(self, generation: Generation, shard: Shard) -> EnrichedObject | None:
        """What is kept of a shard in a generation; None if there is nothing of its content.

        Reconciliation asks this of every shard, with several threads, and nothing else: so a
        delivery names what is kept, wherever that is.
        """

    def copy_rows(self, kept: EnrichedObject, file: Path) -> None:  # noqa: ARG002
        """Write what is kept of a shard to a file, as Parquet; called by several threads.

        It is asked for where a feed has `references`, sums in its `control` file or `checks`.
        """
        raise DeliveryError(
            f"{type(self).__name__} cannot copy rows, which the feed's references and checks need",
            where=kept.key,
            effect="No delivery was written; the one before, if any, is as it was.",
            fix="Give it a method copy_rows, or take references, control sums and checks out.",
        )

    @abstractmethod
    def read(self, partition_key: str) -> pd.DataFrame:
        """The enriched shard of the archive's current revision."""


class EnrichedShardIOManager(dg.ConfigurableIOManager, ABC):
    """Takes the value of `enriched_shard` and hands single shards to those downstream."""

    @abstractmethod
    def of(self, place: ShardPlace) -> EnrichedShardStore:
        """The enriched shards of a feed."""

    @fit_errors()
    def handle_output(self, context: dg.OutputContext, obj: EnrichedShards) -> None:
        """Write every shard of the value; metadata go to the event of each partition."""
        rows = 0
        # Dagster stores the events in this order, which is not that of registration.
        metadata = ShardMetadata(context.asset_key, last=context.asset_partition_keys[-1])
        place = ShardPlace.of_asset(context.asset_key, context.definition_metadata)
        with obj.failures_explained():
            store = self.of(place)
            for written in map_ahead(store.write, obj, workers=WORKERS, ahead=AHEAD):
                rows += written.rows
                obj.describe(written.partition_key, metadata.of(written))
        context.log.info("%d shards enriched, %d rows", len(obj), rows)

    @fit_errors()
    def load_input(self, context: dg.InputContext) -> pd.DataFrame | Mapping[str, pd.DataFrame]:
        """A DataFrame for one partition, a mapping of partition key to DataFrame for several."""
        output = cast("dg.OutputContext", context.upstream_output)
        store = self.of(ShardPlace.of_asset(context.asset_key, output.definition_metadata))
        frames = {key: store.read(key) for key in context.asset_partition_keys}
        return next(iter(frames.values())) if len(frames) == 1 else frames


class S3ParquetIOManager(EnrichedShardIOManager):
    """Zstandard Parquet below the feed's target prefix; see `layout.Layout.enriched`."""

    object_store: dg.ResourceDependency[ObjectStoreResource]

    def of(self, place: ShardPlace) -> "ParquetShards":
        """The enriched shards of a feed, reached by the role of its target if it has one."""
        target = place.target
        way = Access(target.bucket, target.folder, session_name(place.feed), target.role)
        resource = self.object_store
        store = resource.objects() if target.role is None else resource.objects_at([way])
        return ParquetShards(store, target, place.enrichment_version)


@dataclass(frozen=True, slots=True)
class ParquetShards(EnrichedShardStore):
    """The enriched shards of one feed as Parquet objects.

    `enrichment_version` is that of the feed (`generations.enrichment_version`).
    """

    objects: ObjectStore
    target: Target
    enrichment_version: str

    def write(self, shard: EnrichedShard) -> Written:
        """Encode a shard beside the others and put it up in one piece, unless it is there.

        What is there is of the same generation and of the same content, and a delivery may name
        it: it is never written over.

        Raises:
            ShardDamagedError: something else is there.
        """
        began = monotonic()
        parsed = ShardKey.parse(shard.partition_key)
        key = Layout(self.target.prefix).enriched(shard.generation, parsed, shard.checksum)
        if shard.tried_before and (kept := self._kept_before(shard, key)) is not None:
            return kept
        with SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as body:
            with _ENCODING if shard.at_hand else nullcontext():
                schema, rows, head = encode_shard(shard, cast("IO[bytes]", body))
            size = body.tell()
            body.seek(0)
            content = cast("bytes", body if size > IN_MEMORY_BYTES else body.read())
            written = self.objects.put_if(self.target.bucket, key, content, etag="")
        if not written:
            kept = self._kept_before(shard, key)
            if kept is None:
                raise _in_the_way(self.target.bucket, key, parsed.archive)
            return kept
        return Written(
            partition_key=shard.partition_key,
            revision=shard.generation.revision,
            uri=f"s3://{self.target.bucket}/{key}",
            rows=rows,
            bytes=size,
            rows_quarantined=shard.rows_quarantined,
            schema=schema,
            rule=shard.rule,
            head=head,
            seconds=monotonic() - began,
        )

    def _kept_before(self, shard: EnrichedShard, key: str) -> Written | None:
        """What an earlier attempt has kept of the same content, made in the same way.

        A shard is kept after its quarantine, so that is there as well.
        """
        footer = read_footer(self.objects, self.target.bucket, key)
        if footer is None or not is_of(footer, shard.generation, shard.checksum):
            return None
        facts = footer.facts
        return Written(
            partition_key=shard.partition_key,
            revision=shard.generation.revision,
            uri=f"s3://{self.target.bucket}/{key}",
            rows=facts.num_rows,
            bytes=footer.size,
            rows_quarantined=int(footer.own.get(FOOTER_QUARANTINED, b"0")),
            schema=facts.schema.to_arrow_schema(),
            rule=shard.rule,
            before=True,
        )

    def stored(self, generation: Generation, shard: Shard) -> EnrichedObject | None:
        """What lies in the bucket of a shard, by the footer of its Parquet."""
        return stored_parquet(self.objects, self.target, generation, shard)

    def copy_rows(self, kept: EnrichedObject, file: Path) -> None:
        """Write what is kept of a shard to a file."""
        with file.open("wb") as copy:
            for chunk in self.objects.stream(self.target.bucket, kept.key, 0, kept.bytes):
                copy.write(chunk)

    def read(self, partition_key: str) -> pd.DataFrame:
        """The enriched shard of the archive's newest split, as the declaration makes it now.

        Where that was not made yet, it is the one that was delivered.

        Raises:
            ArchiveMissingError: there is neither.
        """
        store, archive = self.objects, ShardKey.parse(partition_key).archive
        manifest = read_manifest(store, self.target, archive)
        generation = generation_of(manifest, self.enrichment_version)
        shards = {shard.partition_key: shard for shard in manifest.shards}
        found = self.stored(generation, shards[partition_key]) if partition_key in shards else None
        if found is None:
            delivered = read_delivery(store, self.target, archive).objects
            found = next((one for one in delivered if one.partition_key == partition_key), None)
        if found is None:
            raise missing(self.target.bucket, partition_key)
        return to_frame(pq.read_table(BytesIO(store.read(self.target.bucket, found.key))))


def _in_the_way(bucket: str, key: str, archive: str) -> ShardDamagedError:
    """The error of an object that is not what its key says; a new split has keys of its own."""
    error = ShardDamagedError(
        "an object of the shard is there and is not what was to be kept in its place",
        where=f"s3://{bucket}/{key}",
        effect="Nothing was written over it; what was delivered is as it was.",
        fix=SPLIT_AGAIN,
    )
    error.archive = archive
    return error


def encode_shard(shard: EnrichedShard, body: IO[bytes]) -> tuple[pa.Schema, int, SafeMarkdown]:
    """Write a shard's tables as one Parquet file; its schema, number of rows and first rows."""
    writer: Any = None
    rows = 0
    head = NO_MARKDOWN
    try:
        for table in shard.tables():
            if writer is None:
                repetitive = _repetitive(table)
                writer = pq.ParquetWriter(
                    body,
                    table.schema,
                    compression="zstd",
                    compression_level=1,
                    use_dictionary=repetitive,
                    # The least and greatest of texts that nearly all differ let a reader skip
                    # next to nothing, and take a tenth of the time.
                    write_statistics=[*repetitive, *_not_text(table.schema)],
                )
            writer.write_table(table)
            head = head or decoration(first_rows, table)
            rows += table.num_rows
        writer.add_key_value_metadata(
            {
                FOOTER_REVISION: shard.generation.revision.encode(),
                FOOTER_CHECKSUM: shard.checksum.encode(),
                FOOTER_QUARANTINED: str(shard.rows_quarantined).encode(),
                FOOTER_RULES: dumps(shard.rows_by_rule, sort_keys=True).encode(),
                FOOTER_VERSION: shard.version.encode(),
                **before_footer(body),
            }
        )
    finally:
        if writer is not None:
            writer.close()
    seal_footer(body)
    return writer.schema, rows, head


def _repetitive(table: pa.Table) -> list[str]:
    """Columns for which a dictionary is worth its cost, judged by their first rows."""
    head = table.slice(0, SAMPLE_ROWS)
    return [
        field.name
        for field in table.schema
        if pa.types.is_dictionary(field.type)
        or (
            field.name not in NEVER_REPETITIVE
            and len(head.column(field.name).unique()) <= max(1, head.num_rows * REPETITIVE_VALUES)
        )
    ]


def _not_text(schema: pa.Schema) -> list[str]:
    kept = (pa.types.is_string, pa.types.is_dictionary)
    return [field.name for field in schema if not any(kind(field.type) for kind in kept)]


class ShardMetadata:
    """What the events of the enriched shards of one output say, one shard after the other.

    Columns and where they came from are most of an event and the same in nearly all of them: so
    they are told by the first shard that has them and by the one whose event comes last, which is
    the one that the asset's page in the UI shows.

    Args:
        enriched_shard: key of the asset.
        last: partition whose event comes last.
    """

    def __init__(self, enriched_shard: dg.AssetKey, last: str) -> None:
        self._graph = FeedGraph(enriched_shard.path[0])
        self._last = last
        self._told: set[tuple[str, pa.Schema]] = set()

    def of(self, written: Written) -> dict[str, Any]:
        """Of the next shard."""
        columns = (written.rule.patterns, written.schema)
        metadata = self._own(written)
        if written.partition_key != self._last and columns in self._told:
            return metadata
        self._told.add(columns)
        return metadata | decorations(self._columns, written)

    def _own(self, written: Written) -> dict[str, Any]:
        archive = ShardKey.parse(written.partition_key).archive
        return {
            "revision": written.revision,
            "dagster/uri": written.uri,
            "dagster/row_count": written.rows,
            "bytes": written.bytes,
            "rows_quarantined": written.rows_quarantined,
            "quarantine_ratio": written.rows_quarantined
            / max(written.rows + written.rows_quarantined, 1),
            **_of_this_run(written),
            "object": dg.MetadataValue.url(page_of(written.uri)),
            "archive_page": archive_page(self._graph, archive),
        }

    def _columns(self, written: Written) -> dict[str, Any]:
        columns = [
            dg.TableColumn(name=visible(field.name), type=str(field.type))
            for field in written.schema
        ]
        return {
            "dagster/column_schema": dg.TableSchema(columns=columns),
            "dagster/column_lineage": column_lineage(
                written.schema.names, written.rule, self._graph.csv_shard
            ),
        }


def _of_this_run(written: Written) -> dict[str, Any]:
    """What only the run that makes a shard can say of it."""
    if written.before:
        return {"kept_by": "an earlier attempt"}
    return {
        "seconds": round(written.seconds, 4),
        "rows_per_second": round(written.rows / written.seconds) if written.seconds else 0,
        "head": markdown_metadata(written.head),
    }
