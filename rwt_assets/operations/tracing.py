"""The way of one archive: message, revision, members, shards, objects, runs, checks.

What belongs here: finding all of it in the catalog and on the store. What does not: showing it
(`trace.py`). Dagster documentation: "Dagster instance" (internals), "Asset checks".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from rwt_assets.catalog import ArchiveProgress, FeedCatalog, archive_progress, archive_status
from rwt_assets.delivery import read_delivery
from rwt_assets.documents import (
    ArchiveManifest,
    Delivery,
    ShardKey,
    archive_partition_key,
    parse_archive_partition_key,
)
from rwt_assets.runtime import (
    ARCHIVE_TAG,
    FEED_TAG,
    REASON_TAG,
    STEP_TAG,
    ArchiveMissingError,
    PartitionKeyError,
)
from rwt_assets.shard import read_manifest
from rwt_assets.status import Step
from rwt_assets.storage import ObjectStore

ARRIVALS_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class TracedArrival:
    """A revision as it was put on record. Times are ISO 8601 in UTC; "" where not known."""

    revision: str
    recorded_at: str
    event_time: str
    bytes: int
    via: str
    message_id: str


@dataclass(frozen=True, slots=True)
class TracedMember:
    """A member of the revision that was split last."""

    member: str
    outcome: str
    reason: str
    rows_read: int
    rows_quarantined: int
    shards: int


@dataclass(frozen=True, slots=True)
class TracedShard:
    """A shard of it. `parquet` is "" until the delivery names it."""

    partition_key: str
    member: str
    split_by: str | None
    value: str | None
    rows: int
    csv: tuple[str, ...]
    parquet: str
    rows_enriched: int | None
    rows_quarantined: int | None
    quarantine: str


@dataclass(frozen=True, slots=True)
class TracedCheck:
    """The result of an asset check in a run of the archive; `reason` is what it tells."""

    asset: str
    check: str
    passed: bool
    severity: str
    run_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TracedRun:
    """A run that was asked for the archive, the newest first."""

    run_id: str
    step: str
    status: str
    began: str
    seconds: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class TracedStage:
    """When the newest revision came to a stage, and how long after the stage before it."""

    stage: str
    at: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known of one archive.

    `revision` is the one that was split last. `delivered` is the one that was delivered last,
    another if a person made a former delivery current again (`delivered_because`).
    """

    feed: str
    archive: str
    progress: ArchiveProgress
    waits_for: str
    arrivals: tuple[TracedArrival, ...]
    stages: tuple[TracedStage, ...]
    revision: str
    members: tuple[TracedMember, ...]
    shards: tuple[TracedShard, ...]
    delivered_at: str
    delivered: str
    delivered_generation: str
    delivered_because: str
    runs: tuple[TracedRun, ...]
    checks: tuple[TracedCheck, ...]


def archive_of(key: str) -> tuple[str, str]:
    """The archive that a person means, and the shard if it is one.

    Args:
        key: an archive's object key, partition key or S3 URI, or a shard's partition key.

    Returns:
        The archive's object key, and the shard's partition key or "".
    """
    key = key.removeprefix("s3://").partition("/")[2] if key.startswith("s3://") else key
    try:
        return ShardKey.parse(key).archive, key
    except PartitionKeyError:
        pass
    try:
        return parse_archive_partition_key(key), ""
    except PartitionKeyError:
        return key, ""


def trace_archive(
    catalog: FeedCatalog, store: ObjectStore, archive: str, *, shard: str = ""
) -> Trace | None:
    """Everything about one archive.

    Args:
        catalog: of the feed.
        store: where manifest and delivery lie.
        archive: object key.
        shard: partition key of the only shard that is wanted; all without it.

    Returns:
        None if the feed has never seen this archive.
    """
    partition_key = archive_partition_key(archive)
    arrivals = _arrivals(catalog, partition_key)
    if not arrivals and not catalog.is_registered(partition_key):
        return None
    manifest = _manifest(catalog, store, archive)
    delivery = _delivery(catalog, store, archive)
    runs = catalog.instance.get_run_records(
        dg.RunsFilter(tags={FEED_TAG: catalog.feed.name, ARCHIVE_TAG: partition_key})
    )
    status = archive_status(catalog, partition_key)
    return Trace(
        feed=catalog.feed.name,
        archive=archive,
        progress=archive_progress(catalog, partition_key),
        waits_for="" if status is None else status.explanation,
        arrivals=arrivals,
        stages=_stages(catalog, partition_key, arrivals, runs),
        revision="" if manifest is None else manifest.revision,
        members=() if manifest is None else _members(manifest),
        shards=() if manifest is None else _shards(catalog, manifest, delivery, shard),
        delivered_at="" if delivery is None else delivery.delivered_at.isoformat(),
        delivered="" if delivery is None else delivery.revision,
        delivered_generation="" if delivery is None else delivery.generation,
        delivered_because="" if delivery is None else delivery.reason,
        runs=tuple(_run(record) for record in runs),
        checks=tuple(
            check for record in runs for check in _checks(catalog.instance, record.dagster_run)
        ),
    )


def _manifest(catalog: FeedCatalog, store: ObjectStore, archive: str) -> ArchiveManifest | None:
    try:
        return read_manifest(store, catalog.feed.target, archive)
    except ArchiveMissingError:
        return None


def _delivery(catalog: FeedCatalog, store: ObjectStore, archive: str) -> Delivery | None:
    try:
        return read_delivery(store, catalog.feed.target, archive)
    except ArchiveMissingError:
        return None


def _arrivals(catalog: FeedCatalog, partition_key: str) -> tuple[TracedArrival, ...]:
    records = catalog.instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=catalog.graph.zip_archive, asset_partitions=[partition_key]
        ),
        limit=ARRIVALS_AT_MOST,
    ).records
    found: list[TracedArrival] = []
    for record in records:
        event = record.asset_materialization
        said = {} if event is None else {name: one.value for name, one in event.metadata.items()}
        found.append(
            TracedArrival(
                revision=str(said.get("revision", "")),
                recorded_at=_time(record.timestamp),
                event_time=str(said.get("event_time", "")),
                bytes=int(str(said.get("bytes", 0))),
                via=str(said.get("via", "a person")),
                message_id=str(said.get("message_id", "")),
            )
        )
    return tuple(found)


def _stages(
    catalog: FeedCatalog,
    partition_key: str,
    arrivals: Sequence[TracedArrival],
    runs: Sequence[dg.RunRecord],
) -> tuple[TracedStage, ...]:
    """Uploaded, recorded, split, enriched, delivered: those that the newest revision has reached.

    If a person made a former delivery current again, the last is that. What a run of the revision
    before left behind is older than the record of this one.
    """
    if not arrivals:
        return ()
    graph, known = catalog.graph, {partition_key}
    recorded = datetime.fromisoformat(arrivals[0].recorded_at).timestamp()
    uploaded = arrivals[0].event_time
    split = catalog.latest_events(graph.archive_manifest, known).get(partition_key)
    delivery = catalog.latest_events(graph.delivery, known).get(partition_key)
    enriched = [
        record.end_time
        for record in runs
        if record.dagster_run.tags.get(STEP_TAG) == Step.ENRICH.value
        and record.dagster_run.status == dg.DagsterRunStatus.SUCCESS
        and record.end_time is not None
    ]
    reached = [
        ("uploaded", datetime.fromisoformat(uploaded).timestamp() if uploaded else None),
        ("recorded", recorded),
        ("split", split.timestamp if split else None),
        ("enriched", max(enriched, default=None)),
        (
            "rolled back" if delivery and delivery.rolled_back else "delivered",
            delivery.timestamp if delivery else None,
        ),
    ]
    stages: list[TracedStage] = []
    before: float | None = None
    for name, at in reached:
        if at is None or (name not in ("uploaded", "recorded") and at < recorded):
            continue
        seconds = None if before is None else round(max(0.0, at - before), 1)
        stages.append(TracedStage(name, _time(at), seconds))
        before = at
    return tuple(stages)


def _members(manifest: ArchiveManifest) -> tuple[TracedMember, ...]:
    shards = [shard.member for shard in manifest.shards]
    return tuple(
        TracedMember(
            member=one.name,
            outcome=one.outcome,
            reason=one.reason,
            rows_read=one.rows_read,
            rows_quarantined=one.rows_quarantined,
            shards=shards.count(one.name),
        )
        for one in manifest.members
    )


def _shards(
    catalog: FeedCatalog, manifest: ArchiveManifest, delivery: Delivery | None, only: str
) -> tuple[TracedShard, ...]:
    bucket = catalog.feed.target.bucket
    current = delivery is not None and delivery.revision == manifest.revision
    enriched = {one.partition_key: one for one in delivery.objects} if delivery and current else {}
    found: list[TracedShard] = []
    for shard in manifest.shards:
        if only and shard.partition_key != only:
            continue
        own = enriched.get(shard.partition_key)
        quarantine = None if own is None else own.quarantine_key
        found.append(
            TracedShard(
                partition_key=shard.partition_key,
                member=shard.member,
                split_by=shard.split_by,
                value=shard.value,
                rows=shard.rows,
                csv=tuple(
                    f"s3://{bucket}/{part.key}" for part in shard.parts if part.key is not None
                ),
                parquet="" if own is None else f"s3://{bucket}/{own.key}",
                rows_enriched=None if own is None else own.rows,
                rows_quarantined=None if own is None else own.rows_quarantined,
                quarantine="" if quarantine is None else f"s3://{bucket}/{quarantine}",
            )
        )
    return tuple(found)


def _run(record: dg.RunRecord) -> TracedRun:
    run = record.dagster_run
    began, ended = record.start_time, record.end_time
    return TracedRun(
        run_id=run.run_id,
        step=run.tags.get(STEP_TAG, ""),
        status=run.status.value,
        began="" if began is None else _time(began),
        seconds=None if began is None or ended is None else round(ended - began, 1),
        reason=run.tags.get(REASON_TAG, ""),
    )


def _checks(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Sequence[TracedCheck]:
    entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found: list[TracedCheck] = []
    for entry in entries:
        if entry.dagster_event is None:
            continue
        result = entry.dagster_event.asset_check_evaluation_data
        found.append(
            TracedCheck(
                asset=result.asset_key.to_user_string(),
                check=result.check_name,
                passed=result.passed,
                severity=result.severity.value,
                run_id=run.run_id,
                reason=result.description or "",
            )
        )
    return found


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
