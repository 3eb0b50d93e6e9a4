"""What takes the place of S3, SQS and the Parquet IO manager in tests without a server."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from hashlib import md5
from typing import BinaryIO
from uuid import uuid4

import dagster as dg
import pandas as pd
import pyarrow as pa
from pydantic import Field

from rwt_assets.enriched import EnrichedShard
from rwt_assets.errors import ArchiveMissingError
from rwt_assets.object_store import ObjectHead, ObjectStore
from rwt_assets.resources.object_store import ObjectStoreResource
from rwt_assets.resources.parquet_io_manager import EnrichedShardIOManager, Written
from rwt_assets.resources.queue import Message, Queue, QueueDepth, QueueResource


class InMemoryObjects:
    """An object store in a dictionary, with S3's rules for ETags and missing objects."""

    def __init__(self) -> None:
        self.contents: dict[tuple[str, str], bytes] = {}
        self.puts: list[str] = []

    def etag(self, bucket: str, key: str) -> str:
        return md5(self._get(bucket, key), usedforsecurity=False).hexdigest()

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectHead:
        body = self._get(bucket, key)
        return ObjectHead(key, len(body), self.etag(bucket, key), datetime.now(UTC), version_id)

    def read(
        self, bucket: str, key: str, start: int = 0, end: int | None = None, *, etag: str = ""
    ) -> bytes:
        body = self._get(bucket, key)
        if etag and etag != self.etag(bucket, key):
            raise ArchiveMissingError("the object was replaced", where=f"s3://{bucket}/{key}")
        return body[start:end]

    def tail(self, bucket: str, key: str, length: int) -> tuple[bytes, int]:
        body = self._get(bucket, key)
        return body[-length:], len(body)

    def stream(
        self, bucket: str, key: str, start: int, end: int, *, etag: str = ""
    ) -> Iterator[bytes]:
        yield self.read(bucket, key, start, end, etag=etag)

    def put(self, bucket: str, key: str, body: bytes | memoryview | BinaryIO) -> None:
        self.puts.append(key)
        self.contents[bucket, key] = (
            bytes(body) if isinstance(body, bytes | memoryview) else body.read()
        )

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[ObjectHead]:
        for own_bucket, key in sorted(self.contents):
            if own_bucket == bucket and key.startswith(prefix) and key > start_after:
                yield self.head(bucket, key)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
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
        self.put(body)

    def redeliver(self) -> None:
        self._given.clear()

    def receive(
        self, queue: str, *, wait_seconds: int, visibility_seconds: int | None = None
    ) -> Sequence[Message]:
        self.waits.append(wait_seconds)
        batch = [m for m in self.messages if m.message_id not in self._given][:10]
        self._given |= {message.message_id for message in batch}
        return batch

    def hide(self, queue: str, messages: Sequence[Message], seconds: int) -> None:
        self.hidden += [message.message_id for message in messages]

    def depth(self, queue: str) -> QueueDepth:
        given = sum(message.message_id in self._given for message in self.messages)
        return QueueDepth(len(self.messages) - given, given)

    def delete(
        self,
        queue: str,
        messages: Sequence[Message],
    ) -> Sequence[Message]:
        names = {message.message_id for message in messages}
        self.deleted += sorted(names)
        self.messages = [m for m in self.messages if m.message_id not in names]
        return []


# Dagster makes copies of a resource by its settings; the name in them leads all copies here.
_OBJECTS: defaultdict[str, InMemoryObjects] = defaultdict(InMemoryObjects)
_QUEUES: defaultdict[str, InMemoryQueue] = defaultdict(InMemoryQueue)
_FRAMES: defaultdict[str, dict[str, pd.DataFrame]] = defaultdict(dict)


def _new_name() -> str:
    return uuid4().hex


class InMemoryObjectStore(ObjectStoreResource):
    """Gives assets an `InMemoryObjects`."""

    name: str = Field(default_factory=_new_name)

    def objects(self) -> ObjectStore:
        return _OBJECTS[self.name]


class InMemoryQueueClient(QueueResource):
    """Gives sensors an `InMemoryQueue`."""

    name: str = Field(default_factory=_new_name)

    def queue(self) -> Queue:
        return _QUEUES[self.name]


class InMemoryIOManager(EnrichedShardIOManager):
    """Keeps enriched shards as DataFrames."""

    name: str = Field(default_factory=_new_name)

    @property
    def frames(self) -> dict[str, pd.DataFrame]:
        return _FRAMES[self.name]

    def write(self, shard: EnrichedShard) -> Written:
        frame = pd.concat(list(shard.frames()), ignore_index=True)
        self.frames[shard.partition_key] = frame
        schema = pa.Schema.from_pandas(frame)
        return Written(
            partition_key=shard.partition_key,
            revision=shard.revision,
            uri="memory",
            rows=len(frame),
            bytes=0,
            rows_quarantined=shard.rows_quarantined,
            schema=schema,
            rule=shard.rule,
            head="",
            seconds=0.0,
        )

    def read(self, partition_key: str) -> pd.DataFrame:
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
