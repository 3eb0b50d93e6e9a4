# ruff: noqa: ARG002 - a stand-in takes what the real one needs
"""What takes the place of S3, SQS and the Parquet IO manager in tests without a server.

What belongs here: stand-ins for the tests of any project that has a feed; docs/how-to/tests.md
shows them at work. What does not: the harness of this project's own tests. Dagster documentation:
"Testing assets".
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import md5
from threading import RLock
from typing import BinaryIO
from uuid import uuid4

import dagster as dg
import pandas as pd
import pyarrow as pa
from pydantic import Field

from rwt_assets.enriched import EnrichedShard
from rwt_assets.errors import ArchiveMissingError
from rwt_assets.layout import Generation
from rwt_assets.manifest import EnrichedObject, Shard
from rwt_assets.object_store import ObjectHead, ObjectStore
from rwt_assets.partitions import ShardKey
from rwt_assets.resources.object_store import ObjectStoreResource
from rwt_assets.resources.parquet_io_manager import EnrichedShardIOManager, Written
from rwt_assets.resources.queue import Message, Queue, QueueDepth, QueueResource

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
        self.puts.append(key)
        self.modified[bucket, key] = datetime.now(UTC).replace(microsecond=0)
        self.contents[bucket, key] = (
            bytes(body) if isinstance(body, bytes | memoryview) else body.read()
        )

    def put_if(
        self, bucket: str, key: str, body: bytes | memoryview | BinaryIO, *, etag: str
    ) -> str:
        """Write an object if the one there has this ETag."""
        with self._lock:
            there = (bucket, key) in self.contents
            if (there and etag != self.etag(bucket, key)) or (etag and not there):
                return ""
            self.put(bucket, key, body)
            return self.etag(bucket, key)

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

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Delete objects."""
        for key in keys:
            self.contents.pop((bucket, key), None)

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


# Dagster makes copies of a resource by its settings; the name in them leads all copies here.
_OBJECTS: defaultdict[str, InMemoryObjects] = defaultdict(InMemoryObjects)
_QUEUES: defaultdict[str, InMemoryQueue] = defaultdict(InMemoryQueue)


def _new_name() -> str:
    return uuid4().hex


class InMemoryObjectStore(ObjectStoreResource):
    """Gives assets an `InMemoryObjects`."""

    name: str = Field(default_factory=_new_name)

    def objects(self) -> ObjectStore:
        """The store."""
        return _OBJECTS[self.name]


class InMemoryQueueClient(QueueResource):
    """Gives sensors an `InMemoryQueue`."""

    name: str = Field(default_factory=_new_name)

    def queue(self) -> Queue:
        """The queue."""
        return _QUEUES[self.name]


@dataclass(slots=True)
class _KeptShards:
    """What an `InMemoryIOManager` keeps: the objects by generation, the newest frame by key."""

    objects: dict[tuple[Generation, str, str], tuple[EnrichedObject, pd.DataFrame]] = field(
        default_factory=dict
    )
    newest: dict[str, pd.DataFrame] = field(default_factory=dict)


_SHARDS: defaultdict[str, _KeptShards] = defaultdict(_KeptShards)


class InMemoryIOManager(EnrichedShardIOManager):
    """Keeps enriched shards as DataFrames.

    A generation that was kept is never changed, as on S3; `frames` has the newest of each shard.
    """

    name: str = Field(default_factory=_new_name)

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        """The newest frame of each shard, by partition key."""
        return _SHARDS[self.name].newest

    def write(self, shard: EnrichedShard) -> Written:
        """Keep a shard, unless its generation has it already."""
        frame = pd.concat(list(shard.frames()), ignore_index=True)
        key = ShardKey.parse(shard.partition_key)
        place = (shard.generation, shard.partition_key, shard.checksum)
        kept = EnrichedObject(
            partition_key=shard.partition_key,
            member=key.member,
            split_by=key.split_by,
            value=key.value,
            key=f"memory/{shard.generation.revision}/{shard.generation.name}/{shard.partition_key}",
            rows=len(frame),
            bytes=0,
            rows_quarantined=shard.rows_quarantined,
            quarantine_key=shard.quarantine_key,
            rows_by_rule=shard.rows_by_rule,
        )
        kept, frame = _SHARDS[self.name].objects.setdefault(place, (kept, frame))
        self.frames[shard.partition_key] = frame
        return Written(
            partition_key=shard.partition_key,
            revision=shard.generation.revision,
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
        found = _SHARDS[self.name].objects.get(place)
        return None if found is None else found[0]

    def read(self, partition_key: str) -> pd.DataFrame:
        """The newest frame of a shard."""
        return self.frames[partition_key]


def run_request(
    definitions: dg.Definitions, instance: dg.DagsterInstance, request: dg.RunRequest
) -> dg.ExecuteInProcessResult:
    """Carry out what a sensor asked for, in this process; failures are in the result."""
    job = definitions.resolve_job_def(str(request.job_name))
    return job.execute_in_process(
        instance=instance,
        partition_key=request.partition_key,
        tags=dict(request.tags),
        raise_on_error=False,
    )
