"""Fills a catalog with archives that were delivered, as quickly as the event log takes them.

What belongs here: partitions, events and runs as the stack leaves them behind. What does not:
objects, which no look at the catalog reads. Dagster documentation: "Dagster instance".
"""

import time
from collections.abc import Iterator, Sequence
from uuid import uuid4

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData, StepMaterializationData
from dagster._core.events.log import EventLogEntry

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.documents.partitions import ShardKey
from rwt_assets.feed.feed import Feed
from rwt_assets.orchestration.sensors.dispatch import step_jobs
from rwt_assets.runtime.run_tags import (
    ARCHIVE_TAG,
    ATTEMPT_TAG,
    CAUSE_TAG,
    FEED_TAG,
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    STEP_TAG,
)
from rwt_assets.status.progress import Step

KEYS_AT_ONCE = 10_000
EVENTS_AT_ONCE = 10_000


def fill(instance: dg.DagsterInstance, feed: Feed, archives: int, shards: int) -> float:
    """Put so many delivered archives on record, with so many shards in all; seconds it took.

    Arrivals, manifests, reports, planned and enriched shards and deliveries, each in the order
    in which they happen, and the three runs of each archive.
    """
    began = time.monotonic()
    catalog = FeedCatalog(instance, feed)
    graph = catalog.graph
    each = max(1, shards // archives)
    split = {
        f"{feed.source.prefix}full/{number:06d}.zip": [
            ShardKey(
                f"{feed.source.prefix}full/{number:06d}.zip",
                "stop_times.txt",
                "stop_sequence",
                str(value),
            ).partition_key
            for value in range(each)
        ]
        for number in range(archives)
    }
    _register(instance, graph.zip_archives_name, list(split))
    _register(instance, graph.csv_shards_name, [key for keys in split.values() for key in keys])
    _store(instance, _events(catalog, split))
    _add_runs(instance, feed, split)
    return time.monotonic() - began


def _register(instance: dg.DagsterInstance, name: str, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), KEYS_AT_ONCE):
        instance.add_dynamic_partitions(name, keys[start : start + KEYS_AT_ONCE])


def _events(
    catalog: FeedCatalog, split: dict[str, list[str]]
) -> Iterator[dg.AssetMaterialization | tuple[dg.AssetKey, str]]:
    """Of all archives, one archive after the other; a pair is a planned materialization."""
    graph, bucket = catalog.graph, catalog.feed.target.bucket
    for archive, keys in split.items():
        revision = {"revision": f"{abs(hash(archive)):032x}"}
        yield dg.AssetMaterialization(
            graph.zip_archive,
            partition=archive,
            metadata={
                **revision,
                "bucket": catalog.feed.source.bucket,
                "key": archive,
                "bytes": 1_000_000,
                "dagster/uri": f"s3://{catalog.feed.source.bucket}/{archive}",
                "via": "notification",
                "message_id": str(uuid4()),
            },
            tags={"dagster/data_version": revision["revision"]},
        )
        yield graph.archive_manifest, archive
        for key in keys:
            yield dg.AssetMaterialization(
                graph.csv_shard,
                partition=key,
                metadata={
                    **revision,
                    "archive": archive,
                    "member": "stop_times.txt",
                    "value": "7",
                    "dagster/row_count": 7_500,
                    "bytes": 400_000,
                    "dagster/uri": f"s3://{bucket}/shards/{key}/part-00000.csv",
                    "via": "split",
                },
                tags={"dagster/data_version": f"{abs(hash(key)):032x}"},
            )
        counts = {"rows_quarantined": 0, "members_quarantined": 0, "shards": len(keys)}
        yield dg.AssetMaterialization(
            graph.archive_manifest, partition=archive, metadata={**revision, **counts}
        )
        for key in keys:
            yield graph.enriched_shard, key
        for key in keys:
            yield dg.AssetMaterialization(
                graph.enriched_shard,
                partition=key,
                metadata={
                    "dagster/row_count": 7_500,
                    "bytes": 90_000,
                    "dagster/uri": f"s3://{bucket}/enriched/{key}/rows.parquet",
                },
                tags={"dagster/data_version": f"{abs(hash(key)):032x}"},
            )
        yield graph.delivery, archive
        yield dg.AssetMaterialization(
            graph.delivery, partition=archive, metadata={**revision, **counts}
        )


def _store(
    instance: dg.DagsterInstance,
    events: Iterator[dg.AssetMaterialization | tuple[dg.AssetKey, str]],
) -> None:
    """In transactions of thousands; all as of one run, so that there is one file for them."""
    run_id, batch = str(uuid4()), []
    for one in events:
        batch.append(_entry(run_id, one))
        if len(batch) == EVENTS_AT_ONCE:
            instance.event_log_storage.store_event_batch(batch)
            batch = []
    instance.event_log_storage.store_event_batch(batch)


def _entry(run_id: str, one: dg.AssetMaterialization | tuple[dg.AssetKey, str]) -> EventLogEntry:
    job = "full"
    if isinstance(one, dg.AssetMaterialization):
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
            event_specific_data=StepMaterializationData(one),
            job_name=job,
        )
    else:
        event = dg.DagsterEvent(
            event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
            event_specific_data=AssetMaterializationPlannedData(one[0], partition=one[1]),
            job_name=job,
        )
    return EventLogEntry(
        error_info=None,
        level="debug",
        user_message="",
        run_id=run_id,
        timestamp=time.time(),
        step_key=None,
        job_name=job,
        dagster_event=event,
    )


def _add_runs(instance: dg.DagsterInstance, feed: Feed, split: dict[str, list[str]]) -> None:
    """Three runs an archive, ended well, with the tags that dispatch gives them."""
    jobs = {step: job.name for step, job in zip(Step, step_jobs(feed), strict=True)}
    for number, (archive, keys) in enumerate(split.items()):
        for step, job in jobs.items():
            where = {PARTITION_TAG: archive}
            if step is Step.ENRICH:
                where = {RANGE_START_TAG: keys[0], RANGE_END_TAG: keys[-1]}
            instance.add_run(
                dg.DagsterRun(
                    job_name=job,
                    run_id=str(uuid4()),
                    status=dg.DagsterRunStatus.SUCCESS,
                    tags={
                        **where,
                        FEED_TAG: feed.name,
                        ARCHIVE_TAG: archive,
                        STEP_TAG: step.value,
                        CAUSE_TAG: str(number),
                        ATTEMPT_TAG: "1",
                    },
                )
            )
