"""Readings of a whole installation, as monitoring takes them every few seconds.

What belongs here: taking one, cheaply. What does not: judging it (`health.py`), and how it is told
(`metrics.py`, `server.py`). Dagster documentation: "Dagster instance" (internals), "Dagster
daemon"; Amazon SQS Developer Guide, "Available CloudWatch metrics for Amazon SQS".

A reading costs one look at the catalog, in which settled archives cost nothing, the deliveries that
came since the last reading, a count for each status of runs, and two requests to SQS for each feed.
S3 and the webserver are asked once a minute.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from http.client import HTTPException
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import dagster as dg
from botocore.exceptions import BotoCoreError, ClientError

from rwt_assets.catalog import FeedCatalog, StageCounts, count_stages, latest_figures
from rwt_assets.graph import unloaded
from rwt_assets.runtime import RwtError
from rwt_assets.status import Heartbeat, Problem, silent_daemons

if TYPE_CHECKING:
    from rwt_assets.feed import Feed
    from rwt_assets.storage import ObjectStore, Queue

Found = TypeVar("Found")
BUCKETS: Final = (2.5, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400)
PAGE: Final = 500
SETTLES_SECONDS: Final = 10.0  # a transaction that has begun has ended by then
SELDOM_SECONDS: Final = 60.0
HEARTBEAT_SECONDS: Final = 300.0
SECONDS_AT_MOST: Final = 1e9  # thirty years: its message told another time than that of the upload


@dataclass(slots=True)
class DeliveryTally:
    """What all deliveries on record come to, read once and then added to.

    `seconds` has a count for each of `BUCKETS` and one for what took longer.
    """

    deliveries: int = 0
    rows: int = 0
    rows_quarantined: int = 0
    bytes: int = 0
    newest: float | None = None
    seconds: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds_sum: float = 0.0
    read_up_to: int | None = None

    def add(self, catalog: FeedCatalog, *, settled_before: float) -> None:
        """Add the deliveries that were put on record since, up to this time.

        The newest seconds are left for the next time: a transaction of PostgreSQL can make an event
        visible after one with a higher number.
        """
        while True:
            wanted = dg.AssetRecordsFilter(
                asset_key=catalog.graph.delivery, after_storage_id=self.read_up_to
            )
            page = catalog.instance.fetch_materializations(
                wanted, limit=PAGE, ascending=True
            ).records
            for record in page:
                if record.timestamp > settled_before:
                    return
                self._add_one(record)
            if len(page) < PAGE:
                return

    def _add_one(self, record: dg.EventLogRecord) -> None:
        event = record.asset_materialization
        said = {} if event is None else {name: one.value for name, one in event.metadata.items()}
        self.read_up_to = record.storage_id
        self.newest = record.timestamp
        self.deliveries += 1
        self.rows += _number(said, "dagster/row_count")
        self.rows_quarantined += _number(said, "rows_quarantined")
        self.bytes += _number(said, "bytes")
        waited = said.get("seconds_from_upload")
        if isinstance(waited, int | float) and waited < SECONDS_AT_MOST:
            self.seconds[bisect_left(BUCKETS, waited)] += 1
            self.seconds_sum += max(0.0, waited)


@dataclass(frozen=True, slots=True)
class QueueReading:
    """How full a feed's queue and dead-letter queue are; see `figures.Figures`."""

    messages_waiting: int
    messages_in_flight: int
    oldest_message_seconds: int
    dead_letters: int


@dataclass(frozen=True, slots=True)
class FeedReading:
    """What was found of one feed; `queue` is None if it could not be reached."""

    counts: StageCounts
    deliveries: DeliveryTally
    newest_arrival: float | None
    expected_every_hours: float | None
    queue: QueueReading | None


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found, when (seconds since 1970) and how long it took."""

    at: float
    seconds: float
    feeds: Mapping[str, FeedReading]
    runs: Mapping[str, int]
    oldest_queued_run_seconds: float
    heartbeats: Mapping[str, Heartbeat]
    problems: tuple[Problem, ...]


class Readings:
    """Takes one reading after the other, remembering what need not be read again.

    Args:
        instance: Dagster's.
        feeds: all that are declared.
        queue: of all feeds.
        store: of all feeds.
        webserver: address of Dagster's webserver, which is asked whether code locations load; it is
            not asked if this is "".
        heartbeat_seconds: how old the heartbeat of a daemon may be.
        settles_seconds: how old a delivery has to be before it is counted.
    """

    def __init__(  # noqa: PLR0913 - what an installation consists of
        self,
        instance: dg.DagsterInstance,
        feeds: Sequence["Feed"],
        queue: "Queue",
        store: "ObjectStore",
        *,
        webserver: str = "",
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        settles_seconds: float = SETTLES_SECONDS,
    ) -> None:
        self._instance = instance
        self._catalogs = [FeedCatalog(instance, feed) for feed in feeds]
        self._tallies = {feed.name: DeliveryTally() for feed in feeds}
        self._queue = queue
        self._store = store
        self._webserver = webserver.rstrip("/")
        self._heartbeat_seconds = heartbeat_seconds
        self._settles_seconds = settles_seconds
        self._seldom: tuple[float, tuple[Problem, ...]] = (float("-inf"), ())

    def take(self) -> Reading:
        """Check everything.

        Raises:
            Exception: whatever Dagster's storage raises if it cannot be read.
        """
        began, now = monotonic(), time()
        problems: list[Problem] = []
        feeds: dict[str, FeedReading] = {}
        for catalog in self._catalogs:
            tally = self._tallies[catalog.feed.name]
            tally.add(catalog, settled_before=now - self._settles_seconds)
            queue, found = _tried(
                f"queue {catalog.feed.source.queue}", partial(self._queue_of, catalog)
            )
            problems += found
            feeds[catalog.feed.name] = FeedReading(
                counts=count_stages(catalog),
                deliveries=replace(tally, seconds=list(tally.seconds)),
                newest_arrival=catalog.newest_arrival(),
                expected_every_hours=catalog.feed.expected_every_hours,
                queue=queue,
            )
        heartbeats = self._heartbeats()
        problems += silent_daemons(heartbeats, now=now, stale_after=self._heartbeat_seconds)
        return Reading(
            at=now,
            seconds=monotonic() - began,
            feeds=feeds,
            runs=self._runs(),
            oldest_queued_run_seconds=self._oldest_queued(now),
            heartbeats=heartbeats,
            problems=(*problems, *self._asked_seldom()),
        )

    def _queue_of(self, catalog: FeedCatalog) -> QueueReading:
        source = catalog.feed.source
        depth = self._queue.depth(source.queue)
        dead = self._queue.depth(source.dead_letter_queue)
        oldest = latest_figures(catalog).get("oldest_message_seconds", 0) if depth.waiting else 0
        return QueueReading(
            depth.waiting, depth.in_flight, int(oldest), dead.waiting + dead.in_flight
        )

    def _runs(self) -> dict[str, int]:
        return {
            status.value: self._instance.get_runs_count(dg.RunsFilter(statuses=[status]))
            for status in dg.DagsterRunStatus
            if status is not dg.DagsterRunStatus.MANAGED
        }

    def _oldest_queued(self, now: float) -> float:
        queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
        found = self._instance.get_run_records(queued, limit=1, ascending=True)
        return max(0.0, now - found[0].create_timestamp.timestamp()) if found else 0.0

    def _heartbeats(self) -> dict[str, Heartbeat]:
        found: dict[str, Heartbeat] = {}
        for name, status in self._instance.get_daemon_statuses().items():
            last = status.last_heartbeat
            found[name] = (
                Heartbeat(None)
                if last is None
                else Heartbeat(last.timestamp, len(last.errors or ()))
            )
        return found

    def _first(self, bucket: str, prefix: str) -> object:
        return next(iter(self._store.list(bucket, prefix)), None)

    def _asked_seldom(self) -> tuple[Problem, ...]:
        """What costs money or somebody else's time, once a minute."""
        asked_at, problems = self._seldom
        if monotonic() - asked_at >= SELDOM_SECONDS:
            found: list[Problem] = []
            places = {
                (feed.source.bucket, feed.source.prefix)
                for feed in (catalog.feed for catalog in self._catalogs)
            }
            for bucket, prefix in sorted(places):
                found += _tried(f"s3://{bucket}/{prefix}", partial(self._first, bucket, prefix))[1]
            problems = (*found, *(_unloaded(self._webserver) if self._webserver else ()))
            self._seldom = (monotonic(), problems)
        return problems


def _tried(what: str, ask: Callable[[], Found]) -> tuple[Found | None, list[Problem]]:
    """What the endpoint answered, or the problem that it did not."""
    try:
        return ask(), []
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        return None, [Problem("endpoint", f"{what}: {error.operation_name} is answered by {code}")]
    except (BotoCoreError, RwtError) as error:
        return None, [Problem("endpoint", f"{what}: {type(error).__name__}")]


def _unloaded(webserver: str) -> Iterator[Problem]:
    """A problem for each code location that the webserver could not load, or for no answer."""
    try:
        for name, _ in unloaded(webserver):
            yield Problem("code_location", f"{name} does not load")
    except (OSError, HTTPException, ValueError) as error:
        yield Problem("code_location", f"the webserver does not answer: {type(error).__name__}")


def _number(said: Mapping[str, Any], name: str) -> int:
    value = said.get(name, 0)
    return value if isinstance(value, int) else 0
