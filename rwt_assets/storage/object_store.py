"""What the pipeline asks of an object store, no matter who provides it.

What belongs here: the protocol, and the view of one object as byte ranges that the archive
reader works on. What does not: S3 (`object_store.py`) and the in-memory store of
the tests. Rules: Amazon S3 API Reference, "GetObject" (Range, VersionId, If-Match),
"PutObject" (If-Match, If-None-Match), "ListObjectsV2", "DeleteObjects", "DeleteObject" (If-Match);
Amazon S3 User Guide, "How to prevent object overwrites with conditional writes", "How to perform
conditional deletes".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol, Self

from rwt_assets.runtime import ArchiveMissingError


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What a store says of one object. `etag` has no quotes; `size` is in bytes."""

    key: str
    size: int
    etag: str
    last_modified: datetime
    version_id: str | None = None


class ObjectStore(Protocol):
    """Whole objects in buckets, read by range, written at once.

    All methods raise `ArchiveMissingError` for an object or version that is not there, and
    for an object whose ETag is not the one asked for.
    """

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectHead:
        """Size, ETag and time of an object."""
        ...

    def read(
        self, bucket: str, key: str, start: int = 0, end: int | None = None, *, etag: str = ""
    ) -> bytes:
        """Bytes `[start, end)` of an object, of the content with this ETag if one is given.

        Fewer, or none, where the object ends before.
        """
        ...

    def read_tagged(self, bucket: str, key: str) -> tuple[bytes, str]:
        """A whole object and its ETag, without quotes."""
        ...

    def tail(self, bucket: str, key: str, length: int) -> tuple[bytes, int]:
        """The last `length` bytes of an object (all of a shorter one), and its size."""
        ...

    def stream(
        self, bucket: str, key: str, start: int, end: int, *, etag: str = ""
    ) -> Iterator[bytes]:
        """Bytes `[start, end)` in chunks, by one request."""
        ...

    def put(self, bucket: str, key: str, body: bytes | memoryview | BinaryIO) -> None:
        """Write an object. It appears whole or not at all, and replaces one of the same key."""
        ...

    def put_if(
        self, bucket: str, key: str, body: bytes | memoryview | BinaryIO, *, etag: str
    ) -> str:
        """Write an object only if the one in its place has this ETag ("": if there is none).

        Returns:
            The ETag of what was written; "" if another content is there, which was left as it is.
        """
        ...

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """The folders directly below `prefix`, each as a prefix that ends in a slash."""
        ...

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[ObjectHead]:
        """The objects whose key starts with `prefix` and follows `start_after`, in key order."""
        ...

    def now(self, bucket: str, prefix: str) -> datetime:
        """The time by the clock that also gives `last_modified`; the prefix is one to list."""
        ...

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """Delete objects; a key that is not there is no error."""
        ...

    def delete_if(self, bucket: str, key: str, *, etag: str) -> bool:
        """Delete an object only if it has this ETag; whether it did, and was deleted."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectRanges:
    """One content of one object, as the byte ranges that `archive.read_directory` wants."""

    store: ObjectStore
    bucket: str
    key: str
    etag: str
    size: int

    @classmethod
    def pinned(cls, store: ObjectStore, bucket: str, key: str, etag: str) -> Self:
        """Pin the content that has this ETag, by one HEAD request.

        The size comes from the store: a queue message can state any size, and a ZIP file that
        is cut at the wrong place can be another valid ZIP file.

        Args:
            store: where the object is.
            bucket: its bucket.
            key: its key.
            etag: of the content to read.

        Returns:
            The byte ranges of the whole object.

        Raises:
            ArchiveMissingError: there is no such object, or it has another ETag.
        """
        head = store.head(bucket, key)
        if head.etag != etag:
            raise replaced(bucket, key)
        return cls(store, bucket, key, etag, head.size)

    def read(self, start: int, end: int) -> bytes:
        """Bytes `[start, end)`."""
        return self.store.read(self.bucket, self.key, start, end, etag=self.etag)

    def stream(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes `[start, end)` in chunks, by one request."""
        return self.store.stream(self.bucket, self.key, start, end, etag=self.etag)


def replaced(bucket: str, key: str) -> ArchiveMissingError:
    """The error of an object that has another content than the one asked for."""
    return ArchiveMissingError(
        "the object was replaced by another content while it was read",
        where=f"s3://{bucket}/{key}",
        effect="What was written for the old content is not delivered.",
        fix="Nothing to do: the new content is announced by itself, or found by the sweep.",
    )
