"""Sensor `<feed>_sweep`: finds in the bucket what was never announced.

Dagster documentation: "Sensors". A sensor rather than a schedule, because it asks for no run.
"""

import dagster as dg

from rwt_assets.catalog import FeedCatalog
from rwt_assets.feed import Feed
from rwt_assets.feed_graph import FeedGraph
from rwt_assets.intake import sweep
from rwt_assets.resources.object_store import ObjectStoreResource

INTERVAL_SECONDS = 300


def sweep_sensor(feed: Feed) -> dg.SensorDefinition:
    """Compares the bucket with the catalog every five minutes."""

    @dg.sensor(
        name=f"{feed.name}_sweep",
        target=dg.AssetSelection.assets(FeedGraph(feed.name).archive_manifest),
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Records archives in {feed.source.bucket} that no message announced.",
    )
    def sweep_bucket(
        context: dg.SensorEvaluationContext, object_store: ObjectStoreResource
    ) -> dg.SkipReason:
        report = sweep(FeedCatalog(context.instance, feed), object_store.objects())
        found = f": {', '.join(report.recorded[:10])}" if report.recorded else ""
        return dg.SkipReason(
            f"{len(report.recorded)} archives were never announced{found}; "
            f"{len(report.unchanged)} are on record"
        )

    return sweep_bucket
