"""A feed's facts as Dagster's instance has them.

What belongs here: reading events, partitions and runs of one feed, and the few writes that
intake and unpacking make to the catalog. What does not: deciding what they mean
(`progress.py`). Dagster documentation: "Dagster instance" (internals), "External assets".

`get_latest_storage_id_by_partition` is a method of `DagsterInstance` without a page of its
own; it is the one query that answers for all partitions of an asset at once. Nor has
`get_backfills`, whose filter has no public name; nothing else says that a backfill is under way.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING

import dagster as dg

from rwt_assets.catalog.archive_facts import Snapshot, read_all_facts, read_facts, read_open_facts
from rwt_assets.catalog.catalog_events import arrival_metadata, revision_from, shard_materialization
from rwt_assets.catalog.memory import CatalogMemory
from rwt_assets.dagster_internals.events import BulkActionsFilter, BulkActionStatus
from rwt_assets.documents import (
    archive_partition_key,
    parse_archive_partition_key,
    shard_partition_prefix,
)
from rwt_assets.graph import (
    FeedGraph,
    add_partitions,
    described,
    forget_evaluations,
    remove_partitions,
    report_materializations,
)
from rwt_assets.runtime import (
    ARCHIVE_TAG,
    ATTEMPT_TAG,
    CAUSE_TAG,
    DAMAGE_TAG,
    FEED_TAG,
    INTERRUPTED_TAG,
    OUTAGE_TAG,
    PARTITION_TAG,
    POOL_TAG,
    PRIORITY_TAG,
    RANGE_START_TAG,
    REASON_TAG,
    RETRIED_TAG,
    STEP_TAG,
    TERMINAL_TAG,
    says_shortage,
)
from rwt_assets.status import ArchiveFacts, Event, Need, Stage, Step, patience_seconds
from rwt_assets.storage import ArchiveRevision
from rwt_assets.text import command, visible

if TYPE_CHECKING:
    from rwt_assets.documents import ArchiveManifest
    from rwt_assets.feed import Feed

_REASON_LENGTH = 1_000
CODE_VERSION_TAG = "dagster/code_version"
REPLAY = "a person asked for it"
AS_OF = "as_of"
KEEP_DATA = "keep_data"
DAMAGE = "damage"
DAMAGE_AT_MOST = 3
AT_ONCE = 5_000  # keys in one query
REPORTED_BY_HAND_AT_MOST = 20  # events that say nothing, one after the other
INTERRUPTIONS_AT_MOST = 20  # such as a pod that is evicted each time for the disk it takes
OUTAGES_AT_MOST = 100  # with the pauses between them, some eight hours
SUCCESSES_AT_MOST = 10  # whose effect was undone, such as by a run that was taken for lost
MATERIALIZATION = dg.DagsterEventType.ASSET_MATERIALIZATION
OBSERVATION = dg.DagsterEventType.ASSET_OBSERVATION
NOT_COUNTED = {INTERRUPTED_TAG, RETRIED_TAG, OUTAGE_TAG}
BACKFILL_UNDER_WAY = (
    BulkActionStatus.REQUESTED,
    BulkActionStatus.CANCELING,
    BulkActionStatus.FAILING,
)
UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


@dataclass(frozen=True, slots=True)
class Attempts:
    """The runs asked for one need so far. `reason` is that of the latest.

    `not_counted` of them succeeded, were cut short from outside or failed with the endpoint, or a
    person asked again after them. `outages` failed with the endpoint, the latest at `outage_at`
    (seconds since 1970; 0 if the latest run did not); `interruptions` were cut short; `successes`
    did what they were asked for, and something came later that made it needed again. `damaged`
    says that the latest found a shard that is not as it was written.
    """

    count: int
    terminal: bool
    reason: str
    not_counted: int = 0
    outages: int = 0
    outage_at: float = 0.0
    interruptions: int = 0
    successes: int = 0
    damaged: bool = False

    def exhausted(self, at_most: int) -> bool:
        """Whether nothing more is asked until a person or a new event asks."""
        return (
            self.terminal
            or self.count - self.not_counted >= at_most
            or self.outages >= OUTAGES_AT_MOST
            or self.interruptions >= INTERRUPTIONS_AT_MOST
            or self.successes >= SUCCESSES_AT_MOST
        )


class FeedCatalog:
    """What the catalog says about one feed.

    Args:
        instance: Dagster's.
        feed: the declaration.
        memory: of what was read before; an empty one if None.
    """

    def __init__(
        self, instance: dg.DagsterInstance, feed: "Feed", memory: CatalogMemory | None = None
    ) -> None:
        self.instance = instance
        self.feed = feed
        self.memory = memory or CatalogMemory()
        self.graph = FeedGraph(feed.name)

    def archives(self) -> Sequence[str]:
        """Partition keys of all archives, in the order of registration."""
        return self.instance.get_dynamic_partitions(self.graph.zip_archives_name)

    def shards(self) -> Sequence[str]:
        """Partition keys of all shards, in the order of registration."""
        return self.instance.get_dynamic_partitions(self.graph.csv_shards_name)

    def shards_of(self, object_key: str) -> list[str]:
        """Partition keys of one archive's shards, in the order of registration."""
        prefix = shard_partition_prefix(object_key)
        return [key for key in self.shards() if key.startswith(prefix)]

    def arrivals(self) -> Mapping[str, Event]:
        """The newest recorded revision of every archive, by partition key."""
        return self.latest_events(self.graph.zip_archive)

    def arrivals_of(self, partition_keys: Iterable[str]) -> Mapping[str, Event]:
        """The newest recorded revision of these archives, as far as there is one."""
        return self.latest_events(self.graph.zip_archive, set(partition_keys))

    def latest_revision(self, object_key: str) -> ArchiveRevision | None:
        """The newest revision of an archive that was recorded, or None.

        An event that a person reported by hand ("Report materialization events") names none: it
        does not hide what was recorded before it.
        """
        found = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=self.graph.zip_archive,
                asset_partitions=[archive_partition_key(object_key)],
            ),
            limit=REPORTED_BY_HAND_AT_MOST,
        ).records
        events = (record.asset_materialization for record in found)
        told = (revision_from(event.metadata) for event in events if event is not None)
        return next((revision for revision in told if revision is not None), None)

    def record_arrival(self, revision: ArchiveRevision, *, via: str, message_id: str = "") -> None:
        """Put a revision on record: its partition first, then its event.

        Both are durable when this returns; repeating it does no harm.
        """
        partition = archive_partition_key(revision.key)
        add_partitions(self.instance, self.graph.zip_archives_name, [partition])
        self.instance.report_runless_asset_event(
            dg.AssetMaterialization(
                asset_key=self.graph.zip_archive,
                partition=partition,
                metadata=arrival_metadata(revision, via=via, message_id=message_id),
                tags={"dagster/data_version": revision.revision},
            )
        )

    def newest_arrival(self) -> float | None:
        """When an archive was last put on record, in seconds since 1970; None if never."""
        found = self.instance.fetch_materializations(self.graph.zip_archive, limit=1).records
        return found[0].timestamp if found else None

    def ask_replay(self, partition_key: str, revision: str, because: str = REPLAY) -> None:
        """Put on record that a revision of an archive is to be processed again."""
        self.instance.report_runless_asset_event(
            dg.AssetObservation(
                asset_key=self.graph.archive_manifest,
                partition=partition_key,
                metadata={"revision": revision, "because": because},
                description=described(f"This revision is to be processed again: {because}."),
            )
        )

    def ask_split_again(self, archive: str, because: str) -> bool:
        """Ask for a split of the newest revision after damage, some times at most.

        Args:
            archive: object key.
            because: what was found; at most `DAMAGE_AT_MOST` requests of this kind follow one
                another for one arrival, until a person asks.

        Returns:
            Whether a split is asked for, by this or by an earlier request.
        """
        key, newest = archive_partition_key(archive), self.latest_revision(archive)
        if newest is None:
            return False
        arrived = self.latest_ids(self.graph.zip_archive, {key})[key]
        split = self._split_knows_until(key)
        found = self.instance.fetch_observations(
            dg.AssetRecordsFilter(
                asset_key=self.graph.archive_manifest,
                asset_partitions=[key],
                after_storage_id=arrived,
            ),
            limit=DAMAGE_AT_MOST,
        ).records
        own = list(takewhile(_is_damage, found))
        if found and found[0].storage_id > split:
            return True
        if len(own) >= DAMAGE_AT_MOST:
            return False
        self.ask_replay(key, newest.revision, f"{DAMAGE}: {because}")
        return True

    def asked_because(self, archive: str) -> str:
        """Why the split of an archive was asked for that is under way; "" for a new revision."""
        key = archive_partition_key(archive)
        found = self.instance.fetch_observations(
            dg.AssetRecordsFilter(
                asset_key=self.graph.archive_manifest,
                asset_partitions=[key],
                after_storage_id=self._split_knows_until(key),
            ),
            limit=1,
        ).records
        return _because(found[0]) if found else ""

    def _split_knows_until(self, key: str) -> int:
        """The newest event that the last split of an archive knew of; 0 if it was never split."""
        split = self.latest_events(self.graph.archive_manifest, {key}).get(key)
        return split.knows_until if split is not None else 0

    def register_shards(self, manifest: "ArchiveManifest") -> None:
        """Register the partitions of a manifest's shards, before they are reported."""
        keys = (shard.partition_key for shard in manifest.shards)
        add_partitions(self.instance, self.graph.csv_shards_name, keys)

    def report_shards(
        self, manifest: "ArchiveManifest", *, only: Iterable[str] | None = None, via: str = "split"
    ) -> None:
        """Report one materialization for each shard of a manifest (or of `only` these)."""
        wanted = None if only is None else set(only)
        self.report(
            shard_materialization(self.graph, self.feed.target, manifest, shard, via)
            for shard in manifest.shards
            if wanted is None or shard.partition_key in wanted
        )

    def report(self, materializations: Iterable[dg.AssetMaterialization]) -> None:
        """Report materializations that no run made, many in one transaction.

        All are durable when this returns. If it raises, some that came first may be on record;
        reporting all of them again does no harm.
        """
        report_materializations(self.instance, materializations)

    def retire_shards(self, partition_keys: Iterable[str]) -> None:
        """Take shards that the newest revision no longer has out of the catalog."""
        gone = [*partition_keys]
        remove_partitions(self.instance, self.graph.csv_shards_name, gone)
        forget_evaluations(self.instance, [self.graph.enriched_shard], gone)

    def mark_retired(self, archive: ArchiveFacts, *, keep_data: bool) -> None:
        """Put on record that it goes, first: the sweep sees its ZIP, and it was not forgotten.

        Until a newer event of the archive, every run that works on it gives up.
        """
        self.instance.report_runless_asset_event(
            dg.AssetObservation(
                asset_key=self.graph.zip_archive,
                partition=archive.partition_key,
                metadata={
                    "revision": archive.arrived.revision if archive.arrived else "",
                    KEEP_DATA: keep_data,
                },
                description="Retired: it is taken out of the catalog.",
            )
        )

    def withdraw_retirement(self, archive: ArchiveFacts) -> None:
        """Put on record that an archive stays: something came in for it just before it was marked.

        Otherwise what came in would be given up, since the mark is newer.
        """
        self.instance.report_runless_asset_event(
            dg.AssetObservation(
                asset_key=self.graph.zip_archive,
                partition=archive.partition_key,
                description="It is not retired: something came in for it.",
            )
        )

    def retirement_of(self, partition_key: str) -> Event | None:
        """The retirement that an archive has begun to go by or is gone by; None if there is none.

        An archive that came in again since, or of which something else is on record since, has
        none.
        """
        return self.retirements_of({partition_key}).get(partition_key)

    def retirements_of(self, partition_keys: set[str]) -> dict[str, Event]:
        """The retirements of these archives, as far as they have one; see `retirement_of`."""
        graph = self.graph
        found = self.latest_events(graph.zip_archive, partition_keys, OBSERVATION)
        begun = {key: one for key, one in found.items() if one.keeps_data is not None}
        for asset, kind in (
            (graph.zip_archive, MATERIALIZATION),
            (graph.archive_manifest, MATERIALIZATION),
            (graph.archive_manifest, OBSERVATION),
            (graph.delivery, MATERIALIZATION),
        ):
            ids = self.latest_ids(asset, set(begun), kind)
            begun = {key: one for key, one in begun.items() if ids.get(key, 0) < one.storage_id}
        return begun

    def retire_archive(self, archive: ArchiveFacts) -> bool:
        """Take an archive out of the catalog, unless something has happened to it meanwhile.

        Repeating it finishes what was cut short. Returns whether it is out of the catalog.
        """
        key = archive.partition_key
        if not self.is_untouched(archive):
            return False
        self.retire_shards(shard.partition_key for shard in archive.shards)
        self.instance.delete_dynamic_partition(self.graph.zip_archives_name, key)
        if not self._is_as_seen(archive):  # such as an arrival, or a replay that was asked for
            add_partitions(self.instance, self.graph.zip_archives_name, [key])
            return False
        automated = [self.graph.archive_manifest, self.graph.delivery]
        forget_evaluations(self.instance, automated, [key])
        return True

    def is_untouched(self, archive: ArchiveFacts) -> bool:
        """Whether an archive is as these facts say: no newer event, and no run at work on it."""
        return not self._is_at_work(archive) and self._is_as_seen(archive)

    def _is_as_seen(self, archive: ArchiveFacts) -> bool:
        """Whether there is no newer event of an archive than these facts say."""
        key, graph = archive.partition_key, self.graph
        seen = (
            (graph.zip_archive, MATERIALIZATION, archive.arrived),
            (graph.archive_manifest, MATERIALIZATION, archive.manifest),
            (graph.archive_manifest, OBSERVATION, archive.replay),
            (graph.delivery, MATERIALIZATION, archive.delivery),
        )
        return all(
            self.latest_ids(asset, {key}, kind).get(key) == (event and event.storage_id)
            for asset, kind, event in seen
        )

    def backfill_under_way(self) -> str:
        """Id of a backfill of this feed's assets that has not ended; "" if there is none.

        A backfill fails as a whole if one of its partitions is removed meanwhile.
        """
        graph = self.graph
        own = {graph.zip_archive, graph.archive_manifest, graph.csv_shard}
        own |= {graph.enriched_shard, graph.delivery}
        wanted = BulkActionsFilter(statuses=BACKFILL_UNDER_WAY)
        for backfill in self.instance.get_backfills(filters=wanted):
            if own & set(backfill.asset_selection or ()):
                return backfill.backfill_id
        return ""

    def _is_at_work(self, archive: ArchiveFacts) -> bool:
        """Whether an unfinished run may work on an archive; a person's range may be on any."""
        own = {archive.partition_key, *(shard.partition_key for shard in archive.shards)}
        key = archive.partition_key, self.feed.name
        return any(
            (run.tags[ARCHIVE_TAG], run.tags.get(FEED_TAG)) == key
            if ARCHIVE_TAG in run.tags
            else RANGE_START_TAG in run.tags or run.tags.get(PARTITION_TAG) in own
            for run in self.instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED)))
        )

    def is_registered(self, partition_key: str) -> bool:
        """Whether the catalog has this archive."""
        return self.instance.has_dynamic_partition(self.graph.zip_archives_name, partition_key)

    def registered(self, partition_keys: set[str]) -> set[str]:
        """Those of these archives that the catalog has."""
        if len(partition_keys) > 1:
            return partition_keys & set(self.archives())
        return {key for key in partition_keys if self.is_registered(key)}

    def retired(self, arrivals: Mapping[str, Event]) -> dict[str, Event]:
        """Those of these archives that were retired after they arrived, by partition key."""
        found = self.latest_events(self.graph.zip_archive, set(arrivals), OBSERVATION)
        return {
            key: found[key]
            for key, event in arrivals.items()
            if key in found and found[key].storage_id > event.storage_id
        }

    def reports_of(self, shard: str, *, after: int, at_most: int) -> list[tuple[int, str]]:
        """The newest reports of a shard that came after this event, newest first.

        Returns:
            The number of each event and what reported it: "split", "heal", or "" for a person.
        """
        found = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=self.graph.csv_shard, asset_partitions=[shard], after_storage_id=after
            ),
            limit=at_most,
        ).records
        return [(record.storage_id, _via(record)) for record in found]

    def enriched_by(self, shard: str, *, after: int = 0) -> str | None:
        """The enrichment version that made a shard last; "" if a person reported it by hand.

        Dagster keeps it as a tag of the event (Dagster documentation: "Asset versioning and
        caching").

        Args:
            shard: its partition key.
            after: only if it was made after this event.

        Returns:
            The version, or None if nothing made the shard.
        """
        found = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=self.graph.enriched_shard,
                asset_partitions=[shard],
                after_storage_id=after,
            ),
            limit=1,
        ).records
        event = found[0].asset_materialization if found else None
        return None if event is None else (event.tags or {}).get(CODE_VERSION_TAG, "")

    def facts(self) -> list[ArchiveFacts]:
        """The facts of all archives, from which `progress.locate` decides."""
        return read_facts(self)

    def snapshot(self) -> Snapshot:
        """The same, those settled apart from the others."""
        return read_all_facts(self)

    def open_facts(self) -> list[ArchiveFacts]:
        """The facts of the archives that are not settled; those settled need nothing."""
        return read_open_facts(self)

    def storage_name(self) -> str:
        """What tells apart the instances that one process may see."""
        return storage_name(self.instance)

    def newest_event(self) -> int:
        """The number of the newest event of all assets; 0 if there is none."""
        return self.instance.event_log_storage.get_maximum_record_id() or 0

    def partitions_since(
        self, key: dg.AssetKey, number: int, kind: dg.DagsterEventType = MATERIALIZATION
    ) -> Collection[str]:
        """The partitions of an asset with an event after this one."""
        return self.instance.get_latest_storage_id_by_partition(key, kind, None, number).keys()

    def runs_under_way(self) -> tuple[dict[str, tuple[Stage, str]], bool]:
        """What the unfinished runs that dispatch asked for do, and which they are, by archive.

        Returns:
            That, and whether there are others, of which only their assets know what they do.
        """
        stages = {
            Step.SPLIT.value: Stage.SPLITTING,
            Step.ENRICH.value: Stage.ENRICHING,
            Step.DELIVER.value: Stage.DELIVERING,
        }
        busy: dict[str, tuple[Stage, str]] = {}
        others = False
        for run in self.instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED))):
            asked = run.tags.get(STEP_TAG) in stages and ARCHIVE_TAG in run.tags
            if asked and run.tags.get(FEED_TAG) == self.feed.name:
                busy[run.tags[ARCHIVE_TAG]] = stages[run.tags[STEP_TAG]], run.run_id
            others |= not asked
        return busy, others

    def held_back(self) -> int:
        """The lowest priority of a run that has waited too long to begin; 0 if there is none.

        It is of an archive in this feed's pool none of whose runs is at work; see `priority.py`.
        """
        records = self.instance.get_run_records(
            dg.RunsFilter(statuses=list(UNFINISHED), tags={POOL_TAG: self.feed.pool})
        )
        at_work = {
            _whose(one.dagster_run)
            for one in records
            if one.dagster_run.status == dg.DagsterRunStatus.STARTED
        }
        now = datetime.now(UTC)
        waiting = [
            (int(one.dagster_run.tags.get(PRIORITY_TAG, "0")), now - one.create_timestamp)
            for one in records
            if _whose(one.dagster_run) not in at_work
        ]
        return min(
            (
                priority
                for priority, waited in waiting
                if priority < 0 and waited.total_seconds() > patience_seconds(priority)
            ),
            default=0,
        )

    def attempts(self, archive: str, need: Need) -> Attempts:
        """The runs that were asked for this need of this archive, newest first."""
        records = self._runs_for(archive, need)
        if not records:
            return Attempts(0, terminal=False, reason="")
        runs = [self._marked(record.dagster_run) for record in records]
        outages = [run for run in runs if OUTAGE_TAG in run.tags and RETRIED_TAG not in run.tags]
        interruptions = [
            run for run in runs if INTERRUPTED_TAG in run.tags and RETRIED_TAG not in run.tags
        ]
        others = [run for run in runs if run.status != dg.DagsterRunStatus.SUCCESS]
        succeeded = _numbers(runs) - _numbers(others)
        cut_short = [run for run in others if NOT_COUNTED & run.tags.keys()]
        successes = _numbers(run for run in runs if RETRIED_TAG not in run.tags) - _numbers(
            run for run in others if RETRIED_TAG not in run.tags
        )
        tags = next((run.tags for run in runs if REASON_TAG in run.tags), {})
        return Attempts(
            count=_numbers(runs),
            terminal=any(TERMINAL_TAG in run.tags and RETRIED_TAG not in run.tags for run in runs),
            reason=tags.get(REASON_TAG) or self._told_by_dagster(runs[0]),
            not_counted=succeeded + _numbers(cut_short),
            outages=_numbers(outages),
            interruptions=_numbers(interruptions),
            successes=successes,
            damaged=DAMAGE_TAG in runs[0].tags,
            outage_at=(records[0].end_time or 0.0) if runs[0] in outages else 0.0,
        )

    def _marked(self, run: dg.DagsterRun) -> dg.DagsterRun:
        """The run, marked as interrupted or as an outage if that is why it failed.

        Its process was told to end (SIGTERM, as when a node is drained), wherever in the run it
        came; a person who cancels a run has it end as canceled. Or its machine ran short where our
        code could not say it, such as when an event is written. Only failures without a reason are
        looked into.
        """
        known = {INTERRUPTED_TAG, REASON_TAG} & run.tags.keys()
        if run.status != dg.DagsterRunStatus.FAILURE or known:
            return run
        failures = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.STEP_FAILURE}
        for entry in self.instance.all_logs(run.run_id, of_type=failures):
            event = entry.dagster_event
            # What run monitoring reports of a lost process has no data at all.
            error = getattr(event and event.event_specific_data, "error", None)
            tags: dict[str, str] = {}
            if error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
                tags = {INTERRUPTED_TAG: "true"}
            elif error and says_shortage(error.to_string()):
                reason = visible(error.message.strip())
                tags = {OUTAGE_TAG: "true", REASON_TAG: reason[:_REASON_LENGTH]}
            if tags:
                self.instance.add_run_tags(run.run_id, tags)
                return run.with_tags({**run.tags, **tags})
        return run

    def _told_by_dagster(self, run: dg.DagsterRun) -> str:
        """Why a run ended where our code could not say it, as when its worker was lost."""
        if run.status == dg.DagsterRunStatus.SUCCESS:
            archive = parse_archive_partition_key(run.tags.get(ARCHIVE_TAG, ""))
            return (
                f"run {run.run_id} succeeded, and something came later that undid its work, such "
                f"as an event reported by hand; `{command('rwt retry', archive)}` has it done again"
            )
        told = f"run {run.run_id} ended as {run.status.value}"
        if run.status != dg.DagsterRunStatus.FAILURE:
            return told
        logs = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        events = [entry.dagster_event for entry in logs if entry.dagster_event is not None]
        return visible(f"{told}: {events[-1].message}") if events else told

    def reset_attempts(self, archive: str, need: Need) -> None:
        """Count the runs that were asked for this need so far no longer: a person asks again."""
        for record in self._runs_for(archive, need):
            self.instance.add_run_tags(record.dagster_run.run_id, {RETRIED_TAG: "true"})

    def _runs_for(self, archive: str, need: Need) -> Sequence[dg.RunRecord]:
        tags = {
            FEED_TAG: self.feed.name,
            ARCHIVE_TAG: archive,
            STEP_TAG: need.step.value,
            CAUSE_TAG: str(need.cause),
        }
        return self.instance.get_run_records(dg.RunsFilter(tags=tags))

    def age_of(self, need: Need) -> float:
        """Seconds since the event that made a step necessary."""
        graph = self.graph
        for key in (
            graph.zip_archive,
            graph.csv_shard,
            graph.archive_manifest,
            graph.enriched_shard,
        ):
            found = self.instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=key, storage_ids=[need.cause]), limit=1
            ).records
            if found:
                return datetime.now(UTC).timestamp() - found[0].timestamp
        asked = self.instance.fetch_observations(
            dg.AssetRecordsFilter(asset_key=graph.archive_manifest, storage_ids=[need.cause]),
            limit=1,
        ).records
        return datetime.now(UTC).timestamp() - asked[0].timestamp if asked else 0.0

    def latest_ids(
        self,
        key: dg.AssetKey,
        partitions: set[str] | None = None,
        event_type: dg.DagsterEventType = MATERIALIZATION,
    ) -> Mapping[str, int]:
        """Storage ids of the latest events, by partition; of these partitions or of all.

        Many are not named in the query: SQLite takes 32,766 variables ("Implementation Limits").
        """
        if partitions is not None and not partitions:
            return {}  # which would be all to Dagster
        named = partitions if partitions and len(partitions) <= AT_ONCE else None
        found = self.instance.get_latest_storage_id_by_partition(key, event_type, named)
        return {one: found[one] for one in partitions & found.keys()} if partitions else found

    def latest_events(
        self,
        key: dg.AssetKey,
        partitions: set[str] | None = None,
        event_type: dg.DagsterEventType = MATERIALIZATION,
    ) -> dict[str, Event]:
        """Latest events by partition. What an event says never changes, so it is read once."""
        ids = self.latest_ids(key, partitions, event_type)
        storage = storage_name(self.instance)
        unknown = self.memory.unknown(storage, ids.values())
        fetch = (
            self.instance.fetch_observations
            if event_type == OBSERVATION
            else self.instance.fetch_materializations
        )
        for start in range(0, len(unknown), 500):
            batch = unknown[start : start + 500]
            wanted = dg.AssetRecordsFilter(asset_key=key, storage_ids=batch)
            for record in fetch(wanted, limit=len(batch)).records:
                event = self._named(key, record.partition_key, _event_from(record))
                self.memory.keep(storage, event)
        return {
            partition: self.memory.event(storage, number) or Event(number, "")
            for partition, number in ids.items()
        }

    def _named(self, key: dg.AssetKey, partition: str | None, event: Event) -> Event:
        """An arrival that a person reported by hand is of the revision that was recorded last."""
        if event.revision or key != self.graph.zip_archive or partition is None:
            return event
        known = self.latest_revision(parse_archive_partition_key(partition))
        return event if known is None else replace(event, revision=known.revision, bytes=known.size)

    def statuses(
        self, key: dg.AssetKey, partitions: Sequence[str], definition: dg.PartitionsDefinition[str]
    ) -> Mapping[str, dg.AssetPartitionStatus | None]:
        """Whether the partitions are materialized, in progress or failed."""
        if not partitions:
            return {}
        return self.instance.get_status_by_partition(key, partitions, definition) or {}


def _via(record: dg.EventLogRecord) -> str:
    event = record.asset_materialization
    value = None if event is None else event.metadata.get("via")
    return "" if value is None else str(value.value)


def _because(record: dg.EventLogRecord) -> str:
    event = record.asset_observation
    value = None if event is None else event.metadata.get("because")
    return REPLAY if value is None else str(value.value)


def _is_damage(record: dg.EventLogRecord) -> bool:
    return _because(record).startswith(DAMAGE)


def _event_from(record: dg.EventLogRecord) -> Event:
    event = record.asset_materialization or record.asset_observation
    values = {} if event is None else {name: one.value for name, one in event.metadata.items()}
    set_aside = [values.get(name) for name in ("rows_quarantined", "members_quarantined")]
    size, as_of, keeps = values.get("bytes"), values.get(AS_OF), values.get(KEEP_DATA)
    uri = str(values.get("dagster/uri", ""))
    return Event(
        record.storage_id,
        str(values.get("revision", "")),
        sum(number for number in set_aside if isinstance(number, int)),
        record.timestamp,
        size if isinstance(size, int) else 0,
        values.get("rolled_back") is True,
        as_of if isinstance(as_of, int) else 0,
        keeps if isinstance(keeps, bool) else None,
        uri if uri.endswith("/delivery.json") else "",
    )


def _whose(run: dg.DagsterRun) -> tuple[str, str]:
    return run.tags.get(FEED_TAG, ""), run.tags.get(ARCHIVE_TAG, "")


def storage_name(instance: dg.DagsterInstance) -> str:
    """What tells apart the instances that one process may see: tests make many."""
    ask = getattr(instance.run_storage, "get_run_storage_id", None)  # storages in SQL have it
    return "" if ask is None else str(ask())


def _numbers(runs: Iterable[dg.DagsterRun]) -> int:
    """How many attempts these runs are: one attempt may be several ranges of shards."""
    return len({run.tags.get(ATTEMPT_TAG, "1") for run in runs})
