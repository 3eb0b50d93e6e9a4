"""Asset check `deliveries_intact`: what was delivered lies where it was delivered, as it was.

What belongs here: the check, and the job that evaluates it every hour. What does not: what is held
to what, and which deliveries are looked at (`verification.py`). Dagster documentation: "Asset
checks", "Schedules".
"""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from rwt_assets.catalog import FeedCatalog, look_for_documents, other_on_record
from rwt_assets.delivery import Fault, Verified, verify_some
from rwt_assets.documents import parse_archive_partition_key
from rwt_assets.feed import Feed, accesses
from rwt_assets.graph import FeedGraph, described, markdown_metadata
from rwt_assets.orchestration.steps import fit_errors
from rwt_assets.resources import ObjectStoreResource
from rwt_assets.text import SafeMarkdown, decoration, markdown_table, sentence_in_markdown

DELIVERIES_INTACT = "deliveries_intact"
EVERY_HOUR = "23 * * * *"
SCHEDULED_TAG = "dagster/scheduled_execution_time"
SHOWN = 20


def intact_check(feed: Feed) -> dg.AssetChecksDefinition:
    """Looks at the footers of what was delivered; of very many deliveries, at others each hour.

    A schedule evaluates it; it can be run from the UI too.
    """
    graph = FeedGraph(feed.name)

    @dg.asset_check(
        asset=graph.delivery,
        name=DELIVERIES_INTACT,
        blocking=False,
        description=(
            "Every archive that was delivered has its delivery.json at the feed's target, and "
            "is the one on record, and every object that a current delivery names is there, with "
            "the bytes, the rows and the revision that the delivery says."
        ),
    )
    @fit_errors()
    def deliveries_intact(
        context: dg.AssetCheckExecutionContext, object_store: ObjectStoreResource
    ) -> dg.AssetCheckResult:
        store, catalog = (
            object_store.objects_at(accesses(feed)),
            FeedCatalog(context.instance, feed),
        )
        known = set(map(parse_archive_partition_key, catalog.archives()))
        heads, missing = look_for_documents(catalog, store)
        found = verify_some(
            store,
            feed,
            heads,
            known=known,
            now=_now(context.run),
            recorded=other_on_record(catalog),
        )
        found += Verified(faults=tuple(missing))
        return dg.AssetCheckResult(
            passed=not found.faults,
            severity=dg.AssetCheckSeverity.ERROR,
            description=described(_summary(found)),
            metadata=_metadata(found, len(heads)),
        )

    return deliveries_intact


def intact_job(feed: Feed) -> Any:
    """Evaluates the check and nothing else."""
    key = dg.AssetCheckKey(FeedGraph(feed.name).delivery, DELIVERIES_INTACT)
    return dg.define_asset_job(
        name=f"{feed.name}_verify",
        selection=dg.AssetSelection.checks(key),
        description="Check whether what was delivered lies as it was delivered.",
        executor_def=dg.in_process_executor,
    )


def intact_schedule(feed: Feed, job: Any) -> dg.ScheduleDefinition:
    """Runs the job every hour."""
    return dg.ScheduleDefinition(
        name=f"{feed.name}_verify_hourly",
        job=job,
        cron_schedule=EVERY_HOUR,
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )


def _now(run: dg.DagsterRun) -> datetime:
    """When the run was to begin, by its schedule; a person's begins now."""
    scheduled = run.tags.get(SCHEDULED_TAG)
    return datetime.now(UTC) if scheduled is None else datetime.fromisoformat(scheduled)


def _summary(found: Verified) -> str:
    counted = f"{found.deliveries} deliveries with {found.objects} objects"
    if not found.faults:
        return f"{counted} are as they were delivered"
    first = found.faults[0]
    more = f"; {len(found.faults) - 1} more faults" if len(found.faults) > 1 else ""
    return f"{counted} were looked at. {first}{more} `rwt verify` lists all faults."


def _metadata(found: Verified, deliveries: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "deliveries": deliveries,
        "deliveries_looked_at": found.deliveries,
        "objects_looked_at": found.objects,
        "faults": len(found.faults),
    }
    if found.elsewhere:
        metadata["objects_kept_elsewhere"] = found.elsewhere
    if found.faults:
        metadata["what_to_do"] = markdown_metadata(decoration(_table, found.faults))
    return metadata


def _table(faults: tuple[Fault, ...]) -> SafeMarkdown:
    rows: list[tuple[object, ...]] = [
        (one.archive, one.what, one.where, sentence_in_markdown(one.fix)) for one in faults[:SHOWN]
    ]
    if len(faults) > SHOWN:
        rows.append((f"{len(faults) - SHOWN} more", "", "", ""))
    return markdown_table(("archive", "fault", "object", "what to do"), rows)
