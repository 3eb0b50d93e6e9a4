"""Sensor `<feed>_sweep`: finds in the bucket what was never announced.

Dagster documentation: "Sensors". A sensor rather than a schedule, because it asks for no run.
"""

import dagster as dg

from rwt_assets.catalog import Budget, CatalogMemory, FeedCatalog, available_capacity, sweep
from rwt_assets.feed import Feed, accesses
from rwt_assets.graph import FeedGraph
from rwt_assets.orchestration.steps import fit_errors
from rwt_assets.resources import ObjectStoreResource
from rwt_assets.text import visible

INTERVAL_SECONDS = 300
BUDGET_SECONDS = 20.0


def sweep_sensor(feed: Feed, memory: CatalogMemory | None = None) -> dg.SensorDefinition:
    """Compares the bucket with the catalog every five minutes, as far as the time goes.

    What is left of a large bucket is looked at by the next tick, from the cursor on.

    Args:
        feed: the declaration.
        memory: of the code location; an empty one for each tick if None.
    """

    @dg.sensor(
        name=f"{feed.name}_sweep",
        target=dg.AssetSelection.assets(FeedGraph(feed.name).archive_manifest),
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Records archives in {feed.source.bucket} that no message announced.",
    )
    @fit_errors()
    def sweep_bucket(
        context: dg.SensorEvaluationContext, object_store: ObjectStoreResource
    ) -> dg.SensorResult:
        catalog = FeedCatalog(context.instance, feed, memory)
        budget = Budget(archives=available_capacity(catalog), seconds=BUDGET_SECONDS)
        report = sweep(
            catalog,
            object_store.objects_at(accesses(feed)),
            budget,
            start_after=context.cursor or "",
        )
        found = f": {', '.join(report.recorded[:10])}" if report.recorded else ""
        more = f"; goes on after {report.next_after}" if report.next_after else ""
        return dg.SensorResult(
            skip_reason=dg.SkipReason(
                visible(
                    f"{len(report.recorded)} archives were never announced{found}; "
                    f"{report.unchanged} are on record{more}"
                )
            ),
            cursor=report.next_after,
        )

    return sweep_bucket
