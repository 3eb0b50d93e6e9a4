"""Names of a feed's assets and partition sets, in one place.

What belongs here: asset keys, partition sets and run tags. What does not: what the assets do
(`assets/`). Dagster documentation: "Asset key", "Partitioning assets" (dynamic partitions).
"""

from dataclasses import dataclass

import dagster as dg

FEED_TAG = "rwt/feed"
ARCHIVE_TAG = "rwt/archive"
STEP_TAG = "rwt/step"
CAUSE_TAG = "rwt/cause"
ATTEMPT_TAG = "rwt/attempt"
REASON_TAG = "rwt/reason"
TERMINAL_TAG = "rwt/terminal"
INTERRUPTED_TAG = "rwt/interrupted"
OUTAGE_TAG = "rwt/outage"
RETRIED_TAG = "rwt/retried"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
PARTITION_TAG = "dagster/partition"


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
        return dg.DynamicPartitionsDefinition(name=f"{self.feed}_csv_shards")

    @property
    def zip_archives_name(self) -> str:
        """Name under which the instance keeps the archives' partition keys."""
        return f"{self.feed}_zip_archives"

    @property
    def csv_shards_name(self) -> str:
        """Name under which the instance keeps the shards' partition keys."""
        return f"{self.feed}_csv_shards"
