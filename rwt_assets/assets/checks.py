"""The standing check: no partition of a feed is forgotten.

Dagster documentation: "Asset checks".
"""

from typing import Any

import dagster as dg

from rwt_assets.catalog import FeedCatalog
from rwt_assets.feed import Feed
from rwt_assets.feed_graph import FeedGraph
from rwt_assets.standing import Standing, take_standing

NOTHING_FORGOTTEN = "nothing_forgotten"
SAMPLE = 20


def nothing_forgotten_check(feed: Feed) -> dg.AssetChecksDefinition:
    """Counts partitions that are neither done, nor waiting, nor failed with a reason.

    The dispatch sensor reports it whenever the counts change; it can be run from the UI too.
    """
    graph = FeedGraph(feed.name)

    @dg.asset_check(
        asset=graph.zip_archive,
        name=NOTHING_FORGOTTEN,
        description="No archive and no shard is neither done, waiting nor failed with a reason.",
    )
    def nothing_forgotten(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        standing = take_standing(FeedCatalog(context.instance, feed))
        return dg.AssetCheckResult(
            passed=not standing.forgotten, metadata=standing_metadata(standing)
        )

    return nothing_forgotten


def standing_evaluation(feed: Feed, standing: Standing) -> dg.AssetCheckEvaluation:
    """The same result, for a sensor to report outside a run."""
    return dg.AssetCheckEvaluation(
        check_name=NOTHING_FORGOTTEN,
        asset_key=FeedGraph(feed.name).zip_archive,
        passed=not standing.forgotten,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=standing_metadata(standing),
    )


def standing_metadata(standing: Standing) -> dict[str, Any]:
    """Exact counts, and a sample of what failed or was forgotten with the reasons."""
    metadata: dict[str, Any] = {
        name: dg.MetadataValue.int(len(getattr(standing, name)))
        for name in ("done", "waiting", "failed", "forgotten")
    }
    told = [*standing.forgotten, *standing.failed][:SAMPLE]
    if told:
        lines = [f"- `{entry.partition_key}`: {entry.reason}" for entry in told]
        metadata["forgotten_or_failed"] = dg.MetadataValue.md("\n".join(lines))
    return metadata
