"""Where an archive stands on its way to its delivery, and what has to happen next.

What belongs here: the decision, made from facts alone, so that it can be tested without
Dagster. What does not: gathering the facts (`catalog.py`) and acting on them
(`dispatch.py`).

The decision is level-triggered: it looks at what is there, never at what has just happened,
so a lost event cannot lose an archive. It is bounded by `Need.cause`: the newest event that
made the step necessary. Runs are counted for one cause; a new cause starts a new count.

Events are compared by their storage id, which grows with time (Dagster documentation: "Asset
sensors", cursors). Archives are compared by revision, because a new revision may arrive
while the old one is being processed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Step(Enum):
    """What is asked for, one run or a few ranges of shards at a time."""

    SPLIT = "split"
    ENRICH = "enrich"
    DELIVER = "deliver"


class Stage(Enum):
    """Where an archive stands."""

    ARRIVED = "arrived"
    SPLITTING = "splitting"
    ENRICHING = "enriching"
    DELIVERING = "delivering"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Event:
    """The latest event of a partition.

    `set_aside` counts rows and members in quarantine; `timestamp` is in seconds since 1970;
    `bytes` are those that the event tells, of an arrival the archive's. `rolled_back` says of a
    delivery that a person made a former one current again: it stays until something newer comes.
    `as_of` is the newest event that a split or a delivery knew of; 0 if the event does not say it.
    `keeps_data` says of a retirement whether what was written stays; None of all other events.
    `uri` is where the document of a delivery was written.
    """

    storage_id: int
    revision: str
    set_aside: int = 0
    timestamp: float = 0.0
    bytes: int = 0
    rolled_back: bool = False
    as_of: int = 0
    keeps_data: bool | None = None
    uri: str = ""

    @property
    def knows_until(self) -> int:
        """The newest event that its run knew of; its own event may come much later."""
        return self.as_of or self.storage_id

    def delivers(self, manifest: "Event") -> bool:
        """Whether a delivery is of what a manifest is of, or takes its place by a person's wish."""
        return self.rolled_back or self.revision == manifest.revision


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """One shard: storage ids of its latest report and of its latest enrichment."""

    partition_key: str
    reported: int | None
    enriched: int | None
    running: bool = False
    failed: bool = False

    @property
    def stale(self) -> bool:
        """Reported, but not enriched since."""
        return self.reported is not None and (
            self.enriched is None or self.enriched < self.reported
        )


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """One archive: its latest events, whether a run works on it, and its shards in order.

    `replay` is that a person asked for a revision to be processed again; `retired` that somebody
    began to retire it; `run_id` is of a run that dispatch asked for, while it works.
    """

    partition_key: str
    arrived: Event | None
    manifest: Event | None
    delivery: Event | None
    running: Stage | None = None
    shards: Sequence[ShardFacts] = ()
    replay: Event | None = None
    retired: Event | None = None
    run_id: str = ""

    @property
    def stale(self) -> list[ShardFacts]:
        """The shards that were reported and not enriched since."""
        return [shard for shard in self.shards if shard.stale]

    @property
    def replay_asked(self) -> bool:
        """A person asked for the newest revision again, and no split has begun since that ended.

        A split that was under way when the person asked has not seen what they asked for.
        """
        return (
            self.replay is not None
            and self.arrived is not None
            and self.replay.revision == self.arrived.revision
            and (self.manifest is None or self.manifest.knows_until < self.replay.storage_id)
        )

    @property
    def being_retired(self) -> bool:
        """Retiring it has begun, and nothing has come in for it since: it goes on some time."""
        if self.retired is None or self.retired.keeps_data is None or self.running is not None:
            return False
        events = (self.arrived, self.manifest, self.replay, self.delivery)
        return all(one is None or one.storage_id < self.retired.storage_id for one in events)

    @property
    def rolled_back(self) -> bool:
        """A person made a delivery of another revision current than the newest that arrived."""
        return (
            self.arrived is not None
            and self.delivery is not None
            and self.delivery.rolled_back
            and self.delivery.revision != self.arrived.revision
        )

    @property
    def delivered(self) -> bool:
        """The revision that was split last has been delivered since."""
        return (
            self.delivery is not None
            and self.manifest is not None
            and self.delivery.delivers(self.manifest)
            and self.delivery.knows_until >= self.manifest.storage_id
        )


@dataclass(frozen=True, slots=True)
class Need:
    """A step that an archive needs, and the storage id of the event that made it needed."""

    step: Step
    cause: int
    shards: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Position:
    """Where an archive stands; `need` is None while a run works or nothing is left to do.

    `left_to_automation` is the step that the shards of a delivered archive need which were
    reported again. Declarative automation asks for it (see `automation.py`); since its
    conditions see changes and not states, dispatch does if that has not happened in time.
    """

    stage: Stage
    need: Need | None = None
    left_to_automation: Need | None = None

    @property
    def open_need(self) -> Need | None:
        """What is not done yet, no matter who asks for it."""
        return self.need or self.left_to_automation


def locate(facts: ArchiveFacts) -> Position:  # noqa: PLR0911 - one return for each place
    """Say where an archive stands and what it needs next.

    At most one step of an archive is asked for at a time, and none while a run works on it:
    so the shards of two revisions are never processed side by side.
    """
    arrived, manifest, delivery = facts.arrived, facts.manifest, facts.delivery
    if facts.running is not None:
        return Position(facts.running)
    if arrived is None:
        return Position(Stage.ARRIVED)
    unreported = any(shard.reported is None for shard in facts.shards)
    if facts.replay is not None and facts.replay_asked:
        return Position(Stage.ARRIVED, Need(Step.SPLIT, facts.replay.storage_id))
    if manifest is None or manifest.revision != arrived.revision or unreported:
        return Position(Stage.ARRIVED, Need(Step.SPLIT, arrived.storage_id))
    stale = facts.stale
    if stale:
        cause = max(shard.reported or 0 for shard in stale)
        enrich = Need(Step.ENRICH, cause, tuple(shard.partition_key for shard in stale))
        if facts.delivered:
            return Position(Stage.DELIVERED, left_to_automation=enrich)
        return Position(Stage.ENRICHING, enrich)
    newest = max([manifest.storage_id, *(shard.enriched or 0 for shard in facts.shards)])
    if delivery is None or not delivery.delivers(manifest) or delivery.knows_until < newest:
        return Position(Stage.DELIVERING, Need(Step.DELIVER, newest))
    return Position(Stage.DELIVERED)


def contiguous_ranges(
    wanted: Iterable[str], order: Sequence[str], at_most: int
) -> list[tuple[str, ...]]:
    """Cut the wanted partitions into runs of neighbours.

    A run over a range of dynamic partitions covers what lies between its two ends in the
    order of registration (Dagster documentation: "Partitioning assets", dynamic partitions;
    tags `dagster/asset_partition_range_start` and `_end`).

    Args:
        wanted: partition keys.
        order: all partition keys of the set, in the order of their registration.
        at_most: the largest number of partitions in one range.

    Returns:
        Ranges in order; together exactly the wanted keys that are in `order`.
    """
    wanted = set(wanted)
    ranges: list[list[str]] = [[]]
    for key in order:
        if key not in wanted:
            if ranges[-1]:
                ranges.append([])
        elif len(ranges[-1]) == at_most:
            ranges.append([key])
        else:
            ranges[-1].append(key)
    return [tuple(keys) for keys in ranges if keys]
