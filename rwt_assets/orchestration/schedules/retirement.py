"""Job and schedule `<feed>_retire`: old archives leave the catalog every night.

What belongs here: when, and what a run of it says. What does not: which archives and how
(`retirement.py` of the package). Dagster documentation: "Schedules", "Ops".
"""

from datetime import timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from rwt_assets.catalog import FeedCatalog
from rwt_assets.feed import DAYS_AT_MOST, Feed, Retirement, accesses
from rwt_assets.orchestration.steps import fit_errors
from rwt_assets.resources import ObjectStoreResource
from rwt_assets.retention import find_old, retire
from rwt_assets.runtime import FEED_TAG
from rwt_assets.text import visible

EVERY_NIGHT = "30 3 * * *"


class RetirementConfig(dg.Config):
    """What a person may set who starts the job by hand."""

    older_than_days: float = Field(ge=0, le=DAYS_AT_MOST)
    keep_data: bool = True


def retirement_job(feed: Feed, retirement: Retirement) -> Any:
    """A run of it retires what is older than the feed says, or than its config does."""

    @dg.op(name=f"{feed.name}_retire_archives")
    @fit_errors()
    def retire_archives(
        context: dg.OpExecutionContext, config: RetirementConfig, object_store: ObjectStoreResource
    ) -> None:
        catalog = FeedCatalog(context.instance, feed)
        old = find_old(catalog, timedelta(days=config.older_than_days))
        context.log.info(
            "%d archives were delivered more than %g days ago", len(old), config.older_than_days
        )
        store = object_store.objects_at(accesses(feed))
        for one in retire(catalog, store, old, keep_data=config.keep_data):
            context.log.info(visible(one))

    @dg.job(
        name=f"{feed.name}_retire",
        description="Take archives out of the catalog that were delivered long ago.",
        tags={FEED_TAG: feed.name},
        executor_def=dg.in_process_executor,
        config=dg.RunConfig(
            ops={
                f"{feed.name}_retire_archives": RetirementConfig(
                    older_than_days=retirement.after_days, keep_data=retirement.keep_data
                )
            }
        ),
    )
    def retire_job() -> None:
        retire_archives()

    return retire_job


def retirement_schedule(feed: Feed, job: Any) -> dg.ScheduleDefinition:
    """Runs the job every night."""
    return dg.ScheduleDefinition(
        name=f"{feed.name}_retire_nightly",
        job=job,
        cron_schedule=EVERY_NIGHT,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
