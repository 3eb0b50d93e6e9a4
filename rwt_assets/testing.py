# ruff: noqa: ARG002 - a stand-in takes what the real one needs
"""Test a feed without a server: `InMemoryFeed`, and what stands in for S3, SQS and Parquet.

What belongs here: what the tests of any project that has a feed need; docs/how-to/tests.md shows
it at work. What does not: what only this project's own tests need. Dagster documentation: "Testing
assets".

A step that fails raises an AssertionError with the reason, unless the test says that it expects it.
"""

import json
import warnings
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from hashlib import md5
from io import BytesIO
from itertools import count
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import BinaryIO, Literal, Self
from urllib.parse import quote_plus
from uuid import uuid4

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from rwt_assets.catalog import (
    Budget,
    CatalogMemory,
    FeedCatalog,
    archive_progress,
    take_messages,
    take_standing,
)
from rwt_assets.component import build_feed_definitions, declared_feeds
from rwt_assets.contract import QuarantineEntry
from rwt_assets.delivery import read_delivery
from rwt_assets.documents import (
    Delivery,
    EnrichedObject,
    Generation,
    Shard,
    ShardKey,
    archive_of_shard,
    archive_partition_key,
)
from rwt_assets.feed import Feed
from rwt_assets.orchestration.sensors import plan
from rwt_assets.orchestration.steps import (
    EnrichedShard,
    EnrichedShardIOManager,
    EnrichedShardStore,
    ShardPlace,
    Written,
    to_frame,
)
from rwt_assets.quarantine import read_entries
from rwt_assets.resources import (
    ObjectStoreResource,
    QueueResource,
    SecretsResource,
)
from rwt_assets.runtime import (
    REASON_TAG,
    ArchiveMissingError,
    FeedError,
    accept_beta_features,
)
from rwt_assets.storage import Message, ObjectHead, QueueDepth

ROUNDS = 50  # an archive takes three
AT_MOST = 1_000_000

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)  # when what no request put was written


class InMemoryObjects:
    """An object store in a dictionary, with S3's rules for ETags and missing objects."""

    def __init__(self) -> None:
        self.contents: dict[tuple[str, str], bytes] = {}
        self.modified: dict[tuple[str, str], datetime] = {}
        self.puts: list[str] = []
        self._lock = RLock()

    def etag(self, bucket: str, key: str) -> str:
        """MD5 of an object, as S3 has it for one put."""
        return md5(self._get(bucket, key), usedforsecurity=False).hexdigest()

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectHead:
        """Size, ETag and time."""
        body = self._get(bucket, key)
        modified = self.modified.get((bucket, key), BEGINNING)
        return ObjectHead(key, len(body), self.etag(bucket, key), modified, version_id)

    def read(
        self, bucket: str, key: str, start: int = 0, end: int | None = None, *, etag: str = ""
    ) -> bytes:
        """Bytes of an object."""
        body = self._get(bucket, key)
        if etag and etag != self.etag(bucket, key):
            raise ArchiveMissingError("the object was replaced", where=f"s3://{bucket}/{key}")
        return body[start:end]

    def read_tagged(self, bucket: str, key: str) -> tuple[bytes, str]:
        """An object and its ETag."""
        return self._get(bucket, key), self.etag(bucket, key)

    def tail(self, bucket: str, key: str, length: int) -> tuple[bytes, int]:
        """The last bytes of an object and its size."""
        body = self._get(bucket, key)
        return body[-length:], len(body)

    def stream(
        self, bucket: str, key: str, start: int, end: int, *, etag: str = ""
    ) -> Iterator[bytes]:
        """Bytes of an object."""
        yield self.read(bucket, key, start, end, etag=etag)

    def put(self, bucket: str, key: str, body: bytes | memoryview | BinaryIO) -> None:
        """Write an object."""
        self._write(bucket, key, body)

    def put_if(
        self, bucket: str, key: str, body: bytes | memoryview | BinaryIO, *, etag: str
    ) -> str:
        """Write an object if the one there has this ETag."""
        with self._lock:
            there = (bucket, key) in self.contents
            if (there and etag != self.etag(bucket, key)) or (etag and not there):
                return ""
            self._write(bucket, key, body)
            return self.etag(bucket, key)

    def _write(self, bucket: str, key: str, body: bytes | memoryview | BinaryIO) -> None:
        self.puts.append(key)
        self.modified[bucket, key] = datetime.now(UTC).replace(microsecond=0)
        self.contents[bucket, key] = (
            bytes(body) if isinstance(body, bytes | memoryview) else body.read()
        )

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """Folders below a prefix."""
        below = {
            prefix + key.removeprefix(prefix).partition("/")[0] + "/"
            for own_bucket, key in self.contents
            if own_bucket == bucket and key.startswith(prefix) and "/" in key.removeprefix(prefix)
        }
        yield from sorted(below)

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[ObjectHead]:
        """Objects below a prefix."""
        for own_bucket, key in sorted(self.contents):
            if own_bucket == bucket and key.startswith(prefix) and key > start_after:
                yield self.head(bucket, key)

    def now(self, bucket: str, prefix: str) -> datetime:
        """The time."""
        return datetime.now(UTC)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Delete objects."""
        for key in keys:
            self.contents.pop((bucket, key), None)

    def delete_if(self, bucket: str, key: str, *, etag: str) -> bool:
        """Delete an object if it has this ETag."""
        with self._lock:
            if (bucket, key) not in self.contents or self.etag(bucket, key) != etag:
                return False
            del self.contents[bucket, key]
            return True

    def _get(self, bucket: str, key: str) -> bytes:
        try:
            return self.contents[bucket, key]
        except KeyError as error:
            raise ArchiveMissingError("no such object", where=f"s3://{bucket}/{key}") from error


class InMemoryQueue:
    """A queue in a list: what is not deleted is received again."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.deleted: list[str] = []
        self.waits: list[int] = []
        self.hidden: list[str] = []
        self._sent = 0
        self._given: set[str] = set()

    def put(self, body: str) -> str:
        """Put a message into the queue; its id."""
        name = f"message-{self._sent}"
        self._sent += 1
        self.messages.append(Message(name, name, body, datetime.now(UTC), 1))
        return name

    def send(self, queue: str, body: str) -> None:
        """Put a message into the queue."""
        self.put(body)

    def redeliver(self) -> None:
        """Give out again what was not deleted."""
        self._given.clear()

    def receive(
        self, queue: str, *, wait_seconds: int, visibility_seconds: int | None = None
    ) -> Sequence[Message]:
        """Up to ten messages that were not given out."""
        self.waits.append(wait_seconds)
        batch = [m for m in self.messages if m.message_id not in self._given][:10]
        self._given |= {message.message_id for message in batch}
        return batch

    def hide(self, queue: str, messages: Sequence[Message], seconds: int) -> None:
        """Note which messages were hidden."""
        self.hidden += [message.message_id for message in messages]

    def depth(self, queue: str) -> QueueDepth:
        """How many messages wait and how many are given out."""
        given = sum(message.message_id in self._given for message in self.messages)
        return QueueDepth(len(self.messages) - given, given)

    def delete(
        self,
        queue: str,
        messages: Sequence[Message],
    ) -> Sequence[Message]:
        """Delete messages."""
        names = {message.message_id for message in messages}
        self.deleted += sorted(names)
        self.messages = [m for m in self.messages if m.message_id not in names]
        return []

    def start_move(self, dead_letter_queue: str) -> bool:
        """It moves nothing by itself."""
        return False


# Dagster makes copies of a resource by its settings; the name in them leads all copies here.
_OBJECTS: defaultdict[str, InMemoryObjects] = defaultdict(InMemoryObjects)
_QUEUES: defaultdict[str, InMemoryQueue] = defaultdict(InMemoryQueue)


def _new_name() -> str:
    return uuid4().hex


class InMemoryObjectStore(ObjectStoreResource):
    """Gives assets an `InMemoryObjects`."""

    name: str = Field(default_factory=_new_name)

    def objects(self) -> InMemoryObjects:
        """The store."""
        return _OBJECTS[self.name]


class InMemoryQueueClient(QueueResource):
    """Gives sensors an `InMemoryQueue`."""

    name: str = Field(default_factory=_new_name)

    def queue(self) -> InMemoryQueue:
        """The queue."""
        return _QUEUES[self.name]


@dataclass(slots=True)
class _KeptShards:
    """What an `InMemoryIOManager` keeps: objects by generation, frames by object and by shard."""

    objects: dict[tuple[Generation, str, str], EnrichedObject] = field(default_factory=dict)
    frames: dict[str, pd.DataFrame] = field(default_factory=dict)
    newest: dict[str, pd.DataFrame] = field(default_factory=dict)


_SHARDS: defaultdict[str, _KeptShards] = defaultdict(_KeptShards)


class InMemoryIOManager(EnrichedShardIOManager, EnrichedShardStore):
    """Keeps enriched shards as DataFrames.

    A generation that was kept is never changed, as on S3; `frames` has the newest of each shard.
    """

    name: str = Field(default_factory=_new_name)

    def of(self, place: ShardPlace) -> Self:
        """All that is kept here, whatever the feed: partition keys name their archive."""
        return self

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The newest frame of each shard, by partition key."""
        return _SHARDS[self.name].newest

    def frame_of(self, kept: EnrichedObject) -> pd.DataFrame | None:
        """The rows of an object that a delivery names; None if it was not kept here."""
        return _SHARDS[self.name].frames.get(kept.key)

    def write(self, shard: EnrichedShard) -> Written:
        """Keep a shard, unless its generation has it already."""
        frame = pd.concat(list(shard.frames()), ignore_index=True)
        key = ShardKey.parse(shard.partition_key)
        place = (shard.generation, shard.partition_key, shard.checksum)
        generation = shard.generation
        kept = EnrichedObject(
            partition_key=shard.partition_key,
            member=key.member,
            split_by=key.split_by,
            value=key.value,
            key="/".join(["memory", generation.revision, generation.name, *place[1:]]),
            rows=len(frame),
            bytes=0,
            rows_quarantined=shard.rows_quarantined,
            quarantine_key=shard.quarantine_key,
            rows_by_rule=shard.rows_by_rule,
            nulls={str(name): int(count) for name, count in frame.isna().sum().items() if count},
        )
        shards = _SHARDS[self.name]
        kept = shards.objects.setdefault(place, kept)
        frame = shards.frames.setdefault(kept.key, frame)
        shards.newest[shard.partition_key] = frame
        return Written(
            partition_key=shard.partition_key,
            revision=generation.revision,
            uri=kept.key,
            rows=len(frame),
            bytes=0,
            rows_quarantined=kept.rows_quarantined,
            schema=pa.Schema.from_pandas(frame),
            rule=shard.rule,
        )

    def stored(self, generation: Generation, shard: Shard) -> EnrichedObject | None:
        """What is kept of a shard in a generation."""
        place = (generation, shard.partition_key, shard.checksum)
        return _SHARDS[self.name].objects.get(place)

    def copy_rows(self, kept: EnrichedObject, file: Path) -> None:
        """Write the frame of an object to a file."""
        _SHARDS[self.name].frames[kept.key].to_parquet(file)

    def read(self, partition_key: str) -> pd.DataFrame:
        """The newest frame of a shard."""
        return self.frames[partition_key]


def make_archive(members: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive of these members; texts are written in UTF-8."""
    body = BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            # A ZipInfo has a constant time, so the same members are the same revision.
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return body.getvalue()


def run_request(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    request: dg.RunRequest,
    *,
    may_fail: bool = False,
) -> dg.ExecuteInProcessResult:
    """Carry out what a sensor asked for, in this process.

    Args:
        definitions: that have the job.
        instance: where the run is recorded.
        request: the sensor's.
        may_fail: return the result of a run that failed.

    Raises:
        AssertionError: the run failed and `may_fail` is false.
    """
    job = definitions.resolve_job_def(str(request.job_name))
    with _beta_features_accepted():
        result = job.execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            tags=dict(request.tags),
            raise_on_error=False,
        )
    if not (may_fail or result.success):
        raise AssertionError(_why_failed(instance, result))
    return result


@contextmanager
def _beta_features_accepted() -> Iterator[None]:
    """In a test, the warning filters are those of pytest and not those that a process has."""
    with warnings.catch_warnings():
        accept_beta_features()
        yield


def _why_failed(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> str:
    """The reason that our code left in the run's tags, or else the error that Dagster recorded."""
    run = instance.get_run_by_id(result.run_id)
    reason = run.tags.get(REASON_TAG) if run is not None else None
    errors = [
        str(event.step_failure_data.error)
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.STEP_FAILURE
    ] or [  # of a run that ends before or after its steps, such as by a signal
        str(event.job_failure_data.error or event.message)
        for event in result.all_events
        if event.event_type is dg.DagsterEventType.RUN_FAILURE
    ]
    return f"a run of {result.job_def.name} failed: {reason or ' '.join(errors) or 'no reason'}"


def carry_out(
    catalog: FeedCatalog, definitions: dg.Definitions, *, expect_failure: bool = False
) -> list[dg.ExecuteInProcessResult]:
    """Carry out what the dispatch sensor would ask for, in this process, until nothing is.

    Args:
        catalog: of the feed.
        definitions: that have its jobs.
        expect_failure: at least one run has to fail.

    Returns:
        The results of all runs, in their order.

    Raises:
        AssertionError: a run failed that was not expected to, or none that was, or there is no
            end.
    """
    results: list[dg.ExecuteInProcessResult] = []
    for _ in range(ROUNDS):
        requests = plan(catalog)
        if not requests:
            break
        results += [
            run_request(definitions, catalog.instance, one, may_fail=expect_failure)
            for one in requests
        ]
    else:
        raise AssertionError(f"after {ROUNDS} rounds there is more to do: {plan(catalog)}")
    if expect_failure and all(result.success for result in results):
        raise AssertionError(f"none of {len(results)} runs failed")
    return results


class InMemoryFeed:
    """A feed and everything that it needs, in memory; use it in a `with` statement.

    At the end of the `with` statement it is an error if an archive has failed, or if one is
    forgotten, and the test has not said that it expects that.

    Args:
        feed: the declaration.
        instance: where Dagster records events; a new one if None, which is closed at the end.
        secrets: where the password of encrypted archives is read.
    """

    def __init__(
        self,
        feed: Feed,
        *,
        instance: dg.DagsterInstance | None = None,
        secrets: SecretsResource | None = None,
    ) -> None:
        self.feed = feed
        self._open = ExitStack()
        self.instance = instance or self._open.enter_context(dg.DagsterInstance.ephemeral())
        self.secrets = secrets
        self.store = InMemoryObjectStore()
        self.client = InMemoryQueueClient()
        self.io_manager = InMemoryIOManager()
        self._expected: set[str] = set()
        self._memory = CatalogMemory()
        self._sequencers = count(1)

    @classmethod
    def declared(cls, name: str = "") -> Self:
        """A feed that a `defs.yaml` of the current project declares.

        Args:
            name: of the feed; it may be left out if there is only one.

        Raises:
            FeedError: there is no project or no such feed.
        """
        feeds = declared_feeds()
        found = [feed for feed in feeds if name in ("", feed.name)]
        if len(found) != 1:
            names = ", ".join(sorted(feed.name for feed in feeds)) or "none"
            raise FeedError(
                f"there is no feed {name!r}" if name else "it is not clear which feed is meant",
                where=f"declared are: {names}",
                fix="Give the name of one of them.",
            )
        return cls(found[0])

    def redeclared(self, feed: Feed) -> Self:
        """The same stores, catalog and expectations under another declaration of the feed."""
        other = copy(self)
        other.feed = feed
        other.__dict__.pop("definitions", None)
        return other

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._open:
            if kind is None:
                self.assert_nothing_unexpected()

    @cached_property
    def definitions(self) -> dg.Definitions:
        """The feed's definitions with the stand-ins as resources."""
        with _beta_features_accepted():
            return build_feed_definitions(
                self.feed,
                object_store=self.store,
                queue_client=self.client,
                io_manager=self.io_manager,
                secrets=self.secrets,
            )

    @property
    def catalog(self) -> FeedCatalog:
        """What is on record."""
        return FeedCatalog(self.instance, self.feed, self._memory)

    @property
    def objects(self) -> InMemoryObjects:
        """What lies in the buckets."""
        return self.store.objects()

    @property
    def queue(self) -> InMemoryQueue:
        """The queue to which S3 sends its notifications."""
        return self.client.queue()

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The newest frame of each enriched shard, by partition key."""
        return self.io_manager.frames

    def upload(self, name: str, content: bytes | Mapping[str, str | bytes]) -> str:
        """Put an archive into the feed's bucket; S3's notification goes into the queue.

        Args:
            name: of the object, below the feed's prefix.
            content: of the object, or the members of a ZIP archive.

        Returns:
            The object key. It is also the archive's name in every other method.

        Raises:
            ValueError: the feed does not read an object of this name.
        """
        bucket, key = self.feed.source.bucket, f"{self.feed.source.prefix}{name}"
        if not self.feed.reads(bucket, key):
            raise ValueError(
                f"{key}: the feed reads only keys that end in {self.feed.source.suffix}"
            )
        body = make_archive(content) if isinstance(content, Mapping) else content
        self.objects.put(bucket, key, body)
        described = {
            "key": quote_plus(key, safe="/"),
            "size": len(body),
            "eTag": self.objects.etag(bucket, key),
            "sequencer": f"{next(self._sequencers):016X}",
        }
        record = {
            "eventName": "ObjectCreated:Put",
            "eventTime": datetime.now(UTC).isoformat(),
            "s3": {"bucket": {"name": bucket}, "object": described},
        }
        self.queue.put(json.dumps({"Records": [record]}))
        return key

    def take_in(self) -> None:
        """Record what the queue announces, as the queue sensor does.

        Raises:
            AssertionError: a message was refused.
        """
        report = take_messages([self.catalog], self.queue, Budget(), wait_seconds=0)
        if report.refused:
            raise AssertionError("; ".join(report.refused))

    def dispatch(self, *, expect_failure: bool = False) -> list[dg.ExecuteInProcessResult]:
        """Carry out what is asked for, as the dispatch sensor does, until nothing is.

        Args:
            expect_failure: a run is expected to fail, and so may an archive.

        Returns:
            The results of all runs, in their order.

        Raises:
            AssertionError: a run failed that was not expected to, or none that was, or there is
                no end.
        """
        results = carry_out(self.catalog, self.definitions, expect_failure=expect_failure)
        if expect_failure:
            standing = take_standing(self.catalog)
            self.expect_failed(*(one.partition_key for one in standing.failed))
        return results

    def deliver(
        self,
        name: str,
        content: bytes | Mapping[str, str | bytes],
        *,
        ends: Literal["delivered", "failed"] = "delivered",
    ) -> str:
        """Take an archive all the way: upload, intake, split, enrich, deliver.

        Args:
            name: of the object, below the feed's prefix.
            content: of the object, or the members of a ZIP archive.
            ends: how it is expected to end.

        Returns:
            The object key.

        Raises:
            AssertionError: it ended in another way, with the reason.
            ValueError: the feed does not read an object of this name.
        """
        archive = self.upload(name, content)
        self.take_in()
        self.dispatch(expect_failure=ends == "failed")
        if ends == "delivered":
            self.assert_delivered(archive)
        else:
            self.assert_failed(archive)
        return archive

    def assert_delivered(self, archive: str) -> None:
        """Assert that the newest revision of an archive is delivered and that its rows add up.

        Raises:
            AssertionError: it is not, with the reason.
        """
        progress = archive_progress(self.catalog, archive_partition_key(archive))
        if progress.stage != "delivered":
            raise AssertionError(
                f"{archive} is not delivered, it is {progress.stage}: "
                f"{progress.reason or 'no reason is on record'}"
            )
        delivery = self.delivery(archive)
        kept = sum(len(self._frame_of(one)) for one in delivery.objects)
        told = (
            f"{delivery.rows_read} rows were read, {delivery.rows_enriched} enriched, "
            f"{delivery.rows_quarantined} quarantined; the objects have {kept}"
        )
        if delivery.revision != progress.revision:
            raise AssertionError(f"{archive}: the delivery is of revision {delivery.revision}")
        if kept != delivery.rows_enriched or (
            delivery.rows_read != delivery.rows_enriched + delivery.rows_quarantined
        ):
            raise AssertionError(f"{archive} does not add up: {told}")

    def assert_failed(self, archive: str) -> None:
        """Assert that the newest revision of an archive failed and was not delivered.

        Raises:
            AssertionError: it has not failed, or there is a delivery of it.
        """
        progress = archive_progress(self.catalog, archive_partition_key(archive))
        if progress.stage != "failed":
            raise AssertionError(f"{archive} has not failed, it is {progress.stage}")
        try:
            delivered = self.delivery(archive).revision
        except ArchiveMissingError:
            delivered = ""
        if delivered == progress.revision:
            raise AssertionError(f"{archive} failed, and there is a delivery of it")
        self.expect_failed(archive_partition_key(archive))

    def assert_nothing_unexpected(self) -> None:
        """Assert that no archive has failed or is forgotten, but for those that are expected to.

        Raises:
            AssertionError: one has or is, with the reason.
        """
        standing = take_standing(self.catalog)
        found = [
            f"{one.partition_key} {verdict}: {one.reason}"
            for verdict, entries in (
                ("failed", standing.failed),
                ("is forgotten", standing.forgotten),
            )
            for one in entries
            if not {one.partition_key, archive_of_shard(one.partition_key)} & self._expected
        ]
        if found:
            raise AssertionError("the test expects none of this: " + "; ".join(found))

    def expect_failed(self, *partition_keys: str) -> None:
        """Say that these archives or shards may have failed, or may be forgotten, at the end."""
        self._expected |= set(partition_keys)

    def delivery(self, archive: str) -> Delivery:
        """The delivery document of an archive.

        Raises:
            ArchiveMissingError: it was never delivered.
        """
        return read_delivery(self.objects, self.feed.target, archive)

    def rows(self, archive: str, member: str = "") -> pd.DataFrame:
        """The delivered rows of an archive, or of one of its members, as a consumer reads them.

        Raises:
            ArchiveMissingError: it was never delivered.
        """
        named = [one for one in self.delivery(archive).objects if member in ("", one.member)]
        frames = [self._frame_of(one) for one in named]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def quarantined(self, archive: str) -> list[QuarantineEntry]:
        """What of a delivered archive is quarantined, each with its rule and reason.

        Raises:
            ArchiveMissingError: it was never delivered.
        """
        keys = self.delivery(archive).quarantine_keys
        return read_entries(self.objects, self.feed.target.bucket, keys, limit=AT_MOST)

    def reason(self, archive: str) -> str:
        """Why an archive failed; "" if it has not."""
        return archive_progress(self.catalog, archive_partition_key(archive)).reason

    def _frame_of(self, kept: EnrichedObject) -> pd.DataFrame:
        frame = self.io_manager.frame_of(kept)
        if frame is None:  # an IO manager that writes Parquet has it in the bucket
            body = self.objects.read(self.feed.target.bucket, kept.key)
            frame = to_frame(pq.read_table(BytesIO(body)))
        return frame
