"""The facts of a feed's archives, read so that those settled cost nothing.

What belongs here: which partitions are read again at each poll. What does not: the queries
(`catalog.py`) and what the facts mean (`progress.py`). Dagster documentation: "Dagster
instance" (internals).

An archive is settled when it is delivered and needs nothing. It leaves that state only by an
event on one of its partitions: so each process remembers the facts of settled archives, asks
for the events that came since, and reads again the archives that these are about. Everything is
read again after some minutes, in case a partition was removed by hand, or an event became
visible later than one with a higher number, as two transactions of PostgreSQL can have it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

import dagster as dg

from rwt_assets.documents import archive_of_shard
from rwt_assets.status import ArchiveFacts, ShardFacts, Stage, locate

if TYPE_CHECKING:
    from rwt_assets.catalog.catalog import FeedCatalog

REMEMBERED_SECONDS: Final = 600.0
OVERLAP: Final = 10_000  # events that may have been under way when everything was read
SETTLES_SECONDS: Final = 10.0  # a transaction that has begun has ended by then
OBSERVATION: Final = dg.DagsterEventType.ASSET_OBSERVATION


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The facts of all archives: those `at_rest` need nothing, and no run works on them."""

    at_rest: Mapping[str, ArchiveFacts]
    others: Mapping[str, ArchiveFacts]


def read_all_facts(catalog: "FeedCatalog") -> Snapshot:
    """The facts of all archives."""
    _, found, at_rest = _look(catalog)
    others = {key: facts for key, facts in found.items() if key not in at_rest or facts.running}
    return Snapshot({key: one for key, one in at_rest.items() if key not in others}, others)


def read_facts(catalog: "FeedCatalog") -> list[ArchiveFacts]:
    """The facts of all archives, in the order of their registration."""
    archives, found, at_rest = _look(catalog)
    return [found[key] if key in found else at_rest[key] for key in archives]


def read_open_facts(catalog: "FeedCatalog") -> list[ArchiveFacts]:
    """The facts of the archives that are not settled, in the order of their registration.

    Those that a run of dispatch works on are without their shards: while it works they need
    nothing, and reading thousands of shards at each poll would slow it down.
    """
    archives, found, at_rest = _look(catalog, shards_in_work=False)
    return [found[key] for key in archives if key in found and key not in at_rest]


def _look(
    catalog: "FeedCatalog", *, shards_in_work: bool = True
) -> tuple[Sequence[str], dict[str, ArchiveFacts], Mapping[str, ArchiveFacts]]:
    """All archives, the facts of those that were read now, and of those settled."""
    memory = catalog.memory.archives_of(catalog.storage_name(), catalog.feed.name)
    with memory.lock:
        now = monotonic()
        newest = catalog.newest_event()
        removed = newest < memory.marks[-1][1]
        if removed:
            catalog.memory.forget_events()
        if removed or now - memory.read_at > REMEMBERED_SECONDS:
            memory.at_rest, memory.read_at = {}, now
            memory.marks = [(now, max(0, newest - OVERLAP)), (now, newest)]
        else:
            while len(memory.marks) > 1 and memory.marks[1][0] <= now - SETTLES_SECONDS:
                del memory.marks[0]
            settled = memory.marks[0][1]
            for key in _changed(catalog, settled) if newest > settled else ():
                memory.at_rest.pop(key, None)
            if newest > memory.marks[-1][1]:
                memory.marks.append((now, newest))
        # Who is at work is read first: a run that ends meanwhile is then still taken to be at
        # work, and never its results to be missing.
        busy, others = catalog.runs_under_way()
        archives = catalog.archives()
        known = set(archives)
        memory.at_rest = {key: facts for key, facts in memory.at_rest.items() if key in known}
        opened = [key for key in archives if key not in memory.at_rest or key in busy]
        detailed = [key for key in opened if shards_in_work or key not in busy]
        found = _read(catalog, opened, detailed, busy, others=others) if opened else {}
        for key, facts in found.items():
            if _is_at_rest(facts):
                memory.at_rest[key] = facts
            else:
                memory.at_rest.pop(key, None)
        return archives, found, dict(memory.at_rest)


def _is_at_rest(facts: ArchiveFacts) -> bool:
    position = locate(facts)
    done = position.stage is Stage.DELIVERED and position.open_need is None
    return done and not facts.being_retired


def _changed(catalog: "FeedCatalog", since: int) -> set[str]:
    """The archives with an event since."""
    graph = catalog.graph
    changed: set[str] = set()
    for key in (graph.zip_archive, graph.archive_manifest, graph.delivery):
        changed.update(catalog.partitions_since(key, since))
    for key in (graph.csv_shard, graph.enriched_shard):
        changed.update(map(archive_of_shard, catalog.partitions_since(key, since)))
    for key in (graph.archive_manifest, graph.zip_archive):  # replays, retirements
        changed.update(catalog.partitions_since(key, since, OBSERVATION))
    return changed


def _read(
    catalog: "FeedCatalog",
    archives: Sequence[str],
    detailed: Sequence[str],
    busy: Mapping[str, tuple[Stage, str]],
    *,
    others: bool,
) -> dict[str, ArchiveFacts]:
    """The facts of these archives, of the detailed ones with their shards.

    What dispatch asked for is known by `busy`. Only if there are `others` at work, such as a
    person's backfill, the assets are asked, which takes a while in a large catalog.
    """
    graph, wanted, with_shards = catalog.graph, set(archives), set(detailed)
    by_archive: dict[str, list[str]] = {}
    for key in catalog.shards() if with_shards else ():
        if (archive := archive_of_shard(key)) in with_shards:
            by_archive.setdefault(archive, []).append(key)
    keys = [key for own in by_archive.values() for key in own]
    splitting = delivering = enriching = _NOTHING
    if others:
        splitting = catalog.statuses(graph.archive_manifest, archives, graph.zip_archives)
        delivering = catalog.statuses(graph.delivery, archives, graph.zip_archives)
        enriching = catalog.statuses(graph.enriched_shard, keys, graph.csv_shards)
    arrived, manifest, delivery = (
        catalog.latest_events(key, wanted)
        for key in (graph.zip_archive, graph.archive_manifest, graph.delivery)
    )
    replay = catalog.latest_events(graph.archive_manifest, wanted, OBSERVATION)
    retired = catalog.latest_events(graph.zip_archive, wanted, OBSERVATION)
    reported, enriched = (
        catalog.latest_ids(key, set(keys)) if keys else {}
        for key in (graph.csv_shard, graph.enriched_shard)
    )
    in_progress, failed = dg.AssetPartitionStatus.IN_PROGRESS, dg.AssetPartitionStatus.FAILED
    facts: dict[str, ArchiveFacts] = {}
    for key in archives:
        shards = [
            ShardFacts(
                partition_key=shard,
                reported=reported.get(shard),
                enriched=enriched.get(shard),
                running=enriching.get(shard) == in_progress,
                failed=enriching.get(shard) == failed,
            )
            for shard in by_archive.get(key, ())
        ]
        running: Stage | None = None
        if splitting.get(key) == in_progress:
            running = Stage.SPLITTING
        elif delivering.get(key) == in_progress:
            running = Stage.DELIVERING
        elif any(shard.running for shard in shards):
            running = Stage.ENRICHING
        else:
            running = busy[key][0] if key in busy else None
        facts[key] = ArchiveFacts(
            partition_key=key,
            arrived=arrived.get(key),
            manifest=manifest.get(key),
            delivery=delivery.get(key),
            running=running,
            shards=shards,
            replay=replay.get(key),
            retired=retired.get(key),
            run_id=busy[key][1] if key in busy else "",
        )
    return facts


_NOTHING: Final[Mapping[str, dg.AssetPartitionStatus | None]] = {}
