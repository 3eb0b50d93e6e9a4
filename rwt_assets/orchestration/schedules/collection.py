"""Job and schedule `<feed>_collect`: what no delivery needs any more is removed every night.

What belongs here: when, and what a run of it says; retirements that were cut short are finished
first. What does not: what is removed (`collection.py` and `retirement.py` of the package). Dagster
documentation: "Schedules", "Ops".
"""

from typing import Any

import dagster as dg

from rwt_assets.catalog import FeedCatalog
from rwt_assets.feed import Feed, accesses
from rwt_assets.orchestration.steps import fit_errors
from rwt_assets.resources import ObjectStoreResource
from rwt_assets.retention import collect, find_begun, retire
from rwt_assets.runtime import FEED_TAG
from rwt_assets.text import visible

EVERY_NIGHT = "45 3 * * *"


class CollectionConfig(dg.Config):
    """What a person may set who starts the job by hand."""

    dry_run: bool = False


def collection_job(feed: Feed) -> Any:
    """A run of it removes what no delivery of the feed needs any more."""

    @dg.op(name=f"{feed.name}_collect_objects")
    @fit_errors()
    def collect_objects(
        context: dg.OpExecutionContext, config: CollectionConfig, object_store: ObjectStoreResource
    ) -> None:
        catalog, store = (
            FeedCatalog(context.instance, feed),
            object_store.objects_at(accesses(feed)),
        )
        if not config.dry_run:
            for begun in retire(catalog, store, find_begun(catalog), keep_data=True):
                context.log.info(visible(begun))
        objects = size = archives = 0
        now = store.now(feed.target.bucket, f"{feed.target.prefix}/")
        for one in collect(catalog, store, now=now, dry_run=config.dry_run):
            context.log.info(visible(one))
            objects, size = objects + one.objects, size + one.bytes
            archives += not one.left
        context.log.info(
            "%d objects with %d bytes of %d archives %s",
            objects,
            size,
            archives,
            "would be removed" if config.dry_run else "removed",
        )

    @dg.job(
        name=f"{feed.name}_collect",
        description="Remove what no delivery needs any more.",
        tags={FEED_TAG: feed.name},
        executor_def=dg.in_process_executor,
    )
    def collect_job() -> None:
        collect_objects()

    return collect_job


def collection_schedule(feed: Feed, job: Any) -> dg.ScheduleDefinition:
    """Runs the job every night."""
    return dg.ScheduleDefinition(
        name=f"{feed.name}_collect_nightly",
        job=job,
        cron_schedule=EVERY_NIGHT,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
