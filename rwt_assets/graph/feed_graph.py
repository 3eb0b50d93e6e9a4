"""Names of a feed's assets and partition sets, in one place.

What belongs here: asset keys and partition sets. What does not: what the assets do
(`assets/`). Dagster documentation: "Asset key", "Partitioning assets" (dynamic partitions).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import dagster as dg

_RANGE_IN_WORK: ContextVar[Sequence[str]] = ContextVar("range_in_work", default=())


class ShardPartitions(dg.DynamicPartitionsDefinition):
    """Dynamic partitions of which a run that knows its own range need not ask again.

    Dagster reads all partition keys of the set whenever metadata are added for one of them: with
    n shards in a catalog of m that is n times m keys.
    """

    def get_partition_keys_in_range(
        self, partition_key_range: dg.PartitionKeyRange
    ) -> Sequence[str]:
        """The keys of a range, in the order of their registration."""
        keys = _RANGE_IN_WORK.get()
        if keys and (keys[0], keys[-1]) == (partition_key_range.start, partition_key_range.end):
            return keys
        return super().get_partition_keys_in_range(partition_key_range)


@contextmanager
def range_in_work(partition_keys: Sequence[str]) -> Iterator[None]:
    """Within this, the range from the first to the last of these keys is known to be them."""
    token = _RANGE_IN_WORK.set(partition_keys)
    try:
        yield
    finally:
        _RANGE_IN_WORK.reset(token)


@dataclass(frozen=True, slots=True)
class FeedGraph:
    """Asset keys and partition sets of the feed of this name."""

    feed: str

    @property
    def zip_archive(self) -> dg.AssetKey:
        """External: a revision of an archive arrived."""
        return dg.AssetKey([self.feed, "zip_archive"])

    @property
    def archive_manifest(self) -> dg.AssetKey:
        """The archive was inspected, unpacked and split."""
        return dg.AssetKey([self.feed, "archive_manifest"])

    @property
    def csv_shard(self) -> dg.AssetKey:
        """External: a shard was written."""
        return dg.AssetKey([self.feed, "csv_shard"])

    @property
    def enriched_shard(self) -> dg.AssetKey:
        """The shard's Parquet."""
        return dg.AssetKey([self.feed, "enriched_shard"])

    @property
    def delivery(self) -> dg.AssetKey:
        """The archive as a whole, reconciled."""
        return dg.AssetKey([self.feed, "delivery"])

    @property
    def zip_archives(self) -> dg.DynamicPartitionsDefinition:
        """One partition an archive; see `partitions.archive_partition_key`."""
        return dg.DynamicPartitionsDefinition(name=f"{self.feed}_zip_archives")

    @property
    def csv_shards(self) -> dg.DynamicPartitionsDefinition:
        """One partition a shard; see `partitions.ShardKey`."""
        return ShardPartitions(name=f"{self.feed}_csv_shards")

    @property
    def zip_archives_name(self) -> str:
        """Name under which the instance keeps the archives' partition keys."""
        return f"{self.feed}_zip_archives"

    @property
    def csv_shards_name(self) -> str:
        """Name under which the instance keeps the shards' partition keys."""
        return f"{self.feed}_csv_shards"
