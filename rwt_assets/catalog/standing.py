"""The standing of a feed: what is done, what waits, what failed and what was forgotten.

What belongs here: the account of every partition, for the check in the UI and for
`rwt status`. What does not: the rules of progress (`progress.py`).

A partition is *forgotten* if it is neither done nor waiting nor failed with a reason. There
should never be one; the check exists to prove it.
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from time import time
from typing import Literal, get_args

from rwt_assets.catalog.archive_facts import Snapshot
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.status import (
    RUNS_UNDER_WAY,
    ArchiveFacts,
    ArchiveStatus,
    Capacity,
    Need,
    Stage,
    WaitKind,
    arrival_of,
    locate,
    priority_of,
    status_of,
)

PATIENCE_SECONDS = 900.0
StageName = Literal[
    "unknown", "arrived", "splitting", "enriching", "delivering", "delivered", "failed"
]
Verdict = Literal["done", "waiting", "failed", "forgotten"]
CountedStage = Literal[
    "arrived", "splitting", "enriching", "delivering", "delivered", "failed", "forgotten"
]
ShardState = Literal["enriched", "waiting", "failed", "forgotten"]
# What a waiting archive waits for; `dispatch` if its next poll asks for a run.
CountedWait = Literal[WaitKind, "dispatch"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One partition of one asset, and why it stands where it stands."""

    asset: str
    partition_key: str
    reason: str
    waits_for: WaitKind | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """All partitions of a feed, each in exactly one of four lists."""

    done: tuple[Entry, ...]
    waiting: tuple[Entry, ...]
    failed: tuple[Entry, ...]
    forgotten: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class StandingCounts:
    """How many partitions are in each list, what archives wait for, and what a person must see."""

    counts: Counter[Verdict]
    failed: tuple[Entry, ...]
    forgotten: tuple[Entry, ...]
    waits: Counter[WaitKind]

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[verdict]} {verdict}" for verdict in get_args(Verdict))


@dataclass(frozen=True, slots=True)
class StageCounts:
    """How many archives are at each stage, how many wait for what, and the states of shards."""

    archives: Counter[CountedStage]
    waits: Counter[CountedWait]
    shards: Counter[ShardState]


@dataclass(frozen=True, slots=True)
class ArchiveProgress:
    """How far one archive has come."""

    stage: StageName
    revision: str | None = None
    shards_found: int = 0
    shards_done: int = 0
    reason: str = ""


def take_standing(catalog: FeedCatalog, *, patience: float = PATIENCE_SECONDS) -> Standing:
    """Account for every partition of a feed.

    Args:
        catalog: the feed's facts.
        patience: seconds after which a step that nobody asked for, while no run of the feed
            is at work, counts as forgotten.

    Returns:
        The standing. Every archive and every shard is in exactly one list.
    """
    snapshot = catalog.snapshot()
    lists = _lists(catalog, snapshot, patience)
    for archive in snapshot.at_rest.values():
        lists["done"].append(Entry("zip_archive", archive.partition_key, "delivered"))
        lists["done"] += [
            Entry("csv_shard", shard.partition_key, "enriched") for shard in archive.shards
        ]
    return Standing(**{name: tuple(entries) for name, entries in lists.items()})


def count_standing(catalog: FeedCatalog) -> StandingCounts:
    """The same in numbers; settled archives are counted and not listed."""
    snapshot = catalog.snapshot()
    lists = _lists(catalog, snapshot, PATIENCE_SECONDS)
    counts = Counter[Verdict]({verdict: len(entries) for verdict, entries in lists.items()})
    counts["done"] += sum(1 + len(archive.shards) for archive in snapshot.at_rest.values())
    waits = Counter(
        entry.waits_for
        for entry in lists["waiting"]
        if entry.waits_for is not None and entry.asset == "zip_archive"
    )
    return StandingCounts(counts, tuple(lists["failed"]), tuple(lists["forgotten"]), waits)


def count_stages(catalog: FeedCatalog) -> StageCounts:
    """How many archives are at each stage and wait for what, and the states of shards.

    Shards whose archive is not in the catalog are not counted; `count_standing` tells them.
    """
    snapshot = catalog.snapshot()
    busy = any(archive.running for archive in snapshot.others.values())
    archives = Counter[CountedStage]({"delivered": len(snapshot.at_rest)})
    waits = Counter[CountedWait]()
    shards = Counter[ShardState](
        {"enriched": sum(len(archive.shards) for archive in snapshot.at_rest.values())}
    )
    for archive, status in statuses(catalog, snapshot):
        verdict, _ = _judge(catalog, archive, status, PATIENCE_SECONDS, busy=busy)
        stuck = verdict if verdict in ("failed", "forgotten") else None
        archives[stuck or locate(archive).stage.value] += 1
        if verdict == "waiting":
            waits[status.waits_for.kind if status.waits_for else "dispatch"] += 1
        for shard in archive.shards:
            enriched = shard.enriched is not None and not shard.stale
            shards["enriched" if enriched else stuck or "waiting"] += 1
    return StageCounts(archives, waits, shards)


def count_archives(catalog: FeedCatalog) -> Counter[Verdict]:
    """How many archives are done, wait (or are in work), failed, and were forgotten."""
    snapshot = catalog.snapshot()
    busy = any(archive.running for archive in snapshot.others.values())
    counts = Counter(
        _judge(catalog, archive, status, PATIENCE_SECONDS, busy=busy)[0]
        for archive, status in statuses(catalog, snapshot)
    )
    counts["done"] += len(snapshot.at_rest)
    return counts


def _lists(catalog: FeedCatalog, snapshot: Snapshot, patience: float) -> dict[Verdict, list[Entry]]:
    """The lists of a standing, without the settled archives."""
    lists: dict[Verdict, list[Entry]] = {"done": [], "waiting": [], "failed": [], "forgotten": []}
    busy = any(archive.running for archive in snapshot.others.values())
    for archive, status in statuses(catalog, snapshot):
        verdict, reason = _judge(catalog, archive, status, patience, busy=busy)
        kind = status.waits_for.kind if status.waits_for is not None else None
        lists[verdict].append(Entry("zip_archive", archive.partition_key, reason, kind))
        for shard in archive.shards:
            if shard.enriched is not None and not shard.stale:
                lists["done"].append(Entry("csv_shard", shard.partition_key, "enriched"))
            elif shard.running:
                lists["waiting"].append(
                    Entry("csv_shard", shard.partition_key, "a run works on it")
                )
            else:
                lists[verdict].append(Entry("csv_shard", shard.partition_key, reason))
    archives = (*snapshot.at_rest.values(), *snapshot.others.values())
    accounted = {shard.partition_key for archive in archives for shard in archive.shards}
    lists["forgotten"] += [
        Entry("csv_shard", key, "its archive is not in the catalog")
        for key in catalog.shards()
        if key not in accounted
    ]
    return lists


def available_capacity(catalog: FeedCatalog) -> int:
    """How many archives may be taken in before as many are in work as the feed allows."""
    return max(0, catalog.feed.archives_in_work - count_archives(catalog)["waiting"])


def retry_failed(catalog: FeedCatalog, partition_keys: Container[str] | None = None) -> list[str]:
    """Have the failed step of archives asked for again, as if it had never been tried.

    Where that step found what was split damaged, the archive is split again.

    Args:
        catalog: the feed's facts.
        partition_keys: of the archives; None for all that failed.

    Returns:
        Partition keys of the archives whose step is asked for again.
    """
    retried: list[str] = []
    for archive in catalog.snapshot().others.values():
        if partition_keys is not None and archive.partition_key not in partition_keys:
            continue
        position = locate(archive)
        need = position.open_need
        if need is None:
            continue
        attempts = catalog.attempts(archive.partition_key, need)
        if attempts.exhausted(catalog.feed.attempts):
            catalog.reset_attempts(archive.partition_key, need)
            if attempts.damaged and archive.arrived is not None:
                catalog.ask_replay(archive.partition_key, archive.arrived.revision)
            retried.append(archive.partition_key)
    return retried


def failed_archives(catalog: FeedCatalog) -> set[str]:
    """Partition keys of the archives whose next step has failed for good."""
    return {key for key, facts in catalog.snapshot().others.items() if is_failed(catalog, facts)}


def has_failed(catalog: FeedCatalog, partition_key: str) -> bool:
    """Whether the next step of this archive has failed for good."""
    facts = catalog.snapshot().others.get(partition_key)
    return facts is not None and is_failed(catalog, facts)


def left_out(catalog: FeedCatalog) -> dict[str, float]:
    """By partition key, the archives whose newest content is left out; see `left_out_since`."""
    snapshot = catalog.snapshot()
    found = {
        key: _left_out_since(catalog, facts)
        for key, facts in (*snapshot.at_rest.items(), *snapshot.others.items())
    }
    return {key: since for key, since in found.items() if since is not None}


def left_out_since(catalog: FeedCatalog, partition_key: str) -> float | None:
    """Since when consumers do not get the newest content of an archive, with nothing under way.

    Then anyone who uploads that content again, later than this, asks for it.

    Returns:
        When a person rolled back to another revision or began to retire the archive, in seconds
        since 1970; 0 if it failed, since the upload that failed is older than any other; None if
        consumers get it, or a run will see to it.
    """
    snapshot = catalog.snapshot()
    facts = snapshot.others.get(partition_key) or snapshot.at_rest.get(partition_key)
    return None if facts is None else _left_out_since(catalog, facts)


def _left_out_since(catalog: FeedCatalog, facts: ArchiveFacts) -> float | None:
    if facts.running is not None:
        return None
    if locate(facts).open_need is not None:
        return 0.0 if is_failed(catalog, facts) else None
    event = facts.retired if facts.being_retired else facts.delivery if facts.rolled_back else None
    return None if event is None else event.timestamp


def is_failed(catalog: FeedCatalog, facts: ArchiveFacts) -> bool:
    """Whether the next step of an archive has failed for good, by facts that were read."""
    return _status(catalog, facts, Capacity([])).stage == "failed"


def archive_progress(catalog: FeedCatalog, partition_key: str) -> ArchiveProgress:
    """Say how far the archive of this partition has come."""
    return archives_progress(catalog, [partition_key])[partition_key]


def archives_progress(
    catalog: FeedCatalog, partition_keys: Iterable[str]
) -> dict[str, ArchiveProgress]:
    """Say how far the archives of these partitions have come, with one snapshot of the catalog."""
    snapshot = catalog.snapshot()
    found = {key: snapshot.others.get(key) or snapshot.at_rest.get(key) for key in partition_keys}
    return {
        key: ArchiveProgress("unknown") if facts is None else _progress(catalog, facts)
        for key, facts in found.items()
    }


def _progress(catalog: FeedCatalog, facts: ArchiveFacts) -> ArchiveProgress:
    status = _status(catalog, facts, Capacity([]))
    failed = status.stage == "failed"
    return ArchiveProgress(
        stage="failed" if failed else locate(facts).stage.value,
        revision=facts.arrived.revision if facts.arrived else None,
        shards_found=len(facts.shards),
        shards_done=sum(not shard.stale and shard.enriched is not None for shard in facts.shards),
        reason=status.reason if failed else "",
    )


def due_steps(
    catalog: FeedCatalog, *, at_most: int = RUNS_UNDER_WAY
) -> Iterator[tuple[ArchiveFacts, Need, int]]:
    """What dispatch asks for now: archives by arrival, each with its step and which try it is.

    None while `at_most` archives of the feed have a run under way or waiting, fewer for larger
    ones, and none that is smaller than one that has waited too long (`priority.py`).
    """
    facts = catalog.open_facts()
    capacity = _capacity(catalog, facts, at_most)
    for archive in sorted(facts, key=arrival_of):
        if capacity.full:
            return
        status = _status(catalog, archive, capacity, explain=False)
        if status.is_due and status.need is not None:
            yield archive, status.need, status.tried + 1


def statuses(
    catalog: FeedCatalog, snapshot: Snapshot
) -> Iterator[tuple[ArchiveFacts, ArchiveStatus]]:
    """The status of each archive that is not settled, in the order of arrival."""
    capacity = _capacity(catalog, snapshot.others.values(), RUNS_UNDER_WAY)
    for archive in sorted(snapshot.others.values(), key=arrival_of):
        yield archive, _status(catalog, archive, capacity)


def archive_status(catalog: FeedCatalog, partition_key: str) -> ArchiveStatus | None:
    """The status of one archive among all others; None if nothing is known of it."""
    snapshot = catalog.snapshot()
    if partition_key in snapshot.at_rest:
        return ArchiveStatus(Stage.DELIVERED)
    return next(
        (s for one, s in statuses(catalog, snapshot) if one.partition_key == partition_key), None
    )


def _capacity(catalog: FeedCatalog, facts: Iterable[ArchiveFacts], at_most: int) -> Capacity:
    taken = [priority_of(archive) for archive in facts if archive.running is not None]
    return Capacity(taken, catalog.held_back, at_most)


def _status(
    catalog: FeedCatalog, facts: ArchiveFacts, capacity: Capacity, *, explain: bool = True
) -> ArchiveStatus:
    return status_of(
        facts,
        lambda need: catalog.attempts(facts.partition_key, need),
        capacity,
        attempts_at_most=catalog.feed.attempts,
        age_of=catalog.age_of,
        changed=lambda need: needs_something_else(catalog, facts, need),
        now=time(),
        explain=explain,
    )


def _judge(
    catalog: FeedCatalog, facts: ArchiveFacts, status: ArchiveStatus, patience: float, *, busy: bool
) -> tuple[Verdict, str]:
    """The list that an archive is in, and why. A step that nobody asked for is forgotten."""
    need, wait = status.need, status.waits_for
    if status.stage == "failed":
        return "failed", status.reason
    if need is None and wait is None:
        if facts.arrived is None:
            return "forgotten", "registered, but no revision of it is on record"
        return "done", "delivered"
    asks = need if wait is None or wait.kind == "automation" else None
    if asks is not None and not (status.outage or busy or catalog.age_of(asks) < patience):
        return "forgotten", f"nobody asked to {asks.step.value} it"
    return "waiting", status.explanation


def needs_something_else(catalog: FeedCatalog, facts: ArchiveFacts, need: Need) -> bool:
    """Whether an archive's next step is another one by now.

    A run that finds damage asks for a split and then fails. By a snapshot taken before both, with
    attempts read after both, it would seem to have failed for good.
    """
    now = catalog.snapshot().others.get(facts.partition_key)
    return now is not None and locate(now).open_need != need
