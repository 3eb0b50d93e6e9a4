"""What `archive_manifest` does of `enriched_shard` where a feed is processed in one pass.

What belongs here: writing enriched shards by the feed's IO manager while an archive is split,
and reporting them. What does not: how they are made (`one_pass.py` of the package). Dagster
documentation: "External assets" (reported materializations).

A run has partitions of one set, so the run over an archive cannot materialize its shards. It
reports them, as it reports `csv_shard`; `enriched_shard` itself makes them again when a person,
a backfill or a changed declaration asks.
"""

from collections.abc import Callable, Iterator, Mapping

import dagster as dg
import pyarrow as pa

from rwt_assets.documents import ArchiveManifest
from rwt_assets.feed import Feed, MemberRule
from rwt_assets.graph import FeedGraph
from rwt_assets.orchestration.steps import (
    EnrichedShard,
    EnrichedShardStore,
    ShardMetadata,
    Written,
    check_frame,
    member_frame_type,
    to_frame,
)
from rwt_assets.shard import OnePassRun, OnePassWriter


def batch_check(feed: Feed) -> Callable[[MemberRule, pa.Table], None]:
    """Holds batches of several shards to the types of their frames.

    Rows that repeat are allowed, since they may be of different shards; the contract has looked
    for those of one.
    """
    kinds = {
        rule.patterns: member_frame_type(
            f"{feed.name}_batch_{number}", rule.model_copy(update={"unique": ()})
        )
        for number, rule in enumerate(feed.members, 1)
    }
    return lambda rule, table: check_frame(kinds[rule.patterns], to_frame(table))


class EnrichedWhileSplitting:
    """Keeps the enriched shards of one archive, and knows what to report.

    Args:
        feed: the declaration.
        shards: where those of `enriched_shard` are kept.
        code_version: that of `enriched_shard`.
    """

    def __init__(self, feed: Feed, shards: EnrichedShardStore, code_version: str) -> None:
        self._graph = FeedGraph(feed.name)
        self._shards = shards
        self._code_version = code_version
        self._written: dict[str, Written] = {}
        self.writer = OnePassWriter(check=batch_check(feed), write=self._write)

    def _write(self, run: OnePassRun) -> None:
        written = self._shards.write(
            EnrichedShard(run, frame_type=None, version=self._code_version)
        )
        self._written[written.partition_key] = written

    def materializations(
        self, manifest: ArchiveManifest, reported: Mapping[str, int]
    ) -> Iterator[dg.AssetMaterialization]:
        """The events of the shards of a manifest, in its order.

        Args:
            manifest: of the archive.
            reported: the number of the event by which each shard was reported before, by
                partition. What a run would say of its input is said here, or the UI would take
                every shard for older than its input.
        """
        metadata = ShardMetadata(
            self._graph.enriched_shard,
            last=manifest.shards[-1].partition_key if manifest.shards else "",
        )
        source = self._graph.csv_shard.to_user_string()
        for shard in manifest.shards:
            yield dg.AssetMaterialization(
                asset_key=self._graph.enriched_shard,
                partition=shard.partition_key,
                metadata=metadata.of(self._written[shard.partition_key]),
                tags={
                    "dagster/code_version": self._code_version,
                    "dagster/data_version": f"{shard.checksum}:{self._code_version}",
                    f"dagster/input_data_version/{source}": shard.checksum,
                    f"dagster/input_event_pointer/{source}": str(reported[shard.partition_key]),
                },
            )
