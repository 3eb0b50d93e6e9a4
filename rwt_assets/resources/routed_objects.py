"""One object store of several: some keys are reached in a way of their own.

What belongs here: which store is asked. What does not: the stores (`s3_objects.py`) and
how they are reached (`account_access.py`).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import BinaryIO

from rwt_assets.feed import Access
from rwt_assets.storage import ObjectHead, ObjectStore

Body = bytes | memoryview | BinaryIO


class RoutedObjects:
    """`ObjectStore` that asks the store of the first access that covers a key, or the plain one.

    Args:
        plain: for all other keys.
        ways: accesses and their stores.
    """

    def __init__(self, plain: ObjectStore, ways: Sequence[tuple[Access, ObjectStore]]) -> None:
        self._plain = plain
        self._ways = tuple(ways)

    def _for(self, bucket: str, key: str) -> ObjectStore:
        ways = (store for access, store in self._ways if access.covers(bucket, key))
        return next(ways, self._plain)

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectHead:
        """See `ObjectStore.head`."""
        return self._for(bucket, key).head(bucket, key, version_id=version_id)

    def read(
        self, bucket: str, key: str, start: int = 0, end: int | None = None, *, etag: str = ""
    ) -> bytes:
        """See `ObjectStore.read`."""
        return self._for(bucket, key).read(bucket, key, start, end, etag=etag)

    def read_tagged(self, bucket: str, key: str) -> tuple[bytes, str]:
        """See `ObjectStore.read_tagged`."""
        return self._for(bucket, key).read_tagged(bucket, key)

    def tail(self, bucket: str, key: str, length: int) -> tuple[bytes, int]:
        """See `ObjectStore.tail`."""
        return self._for(bucket, key).tail(bucket, key, length)

    def stream(
        self, bucket: str, key: str, start: int, end: int, *, etag: str = ""
    ) -> Iterator[bytes]:
        """See `ObjectStore.stream`."""
        return self._for(bucket, key).stream(bucket, key, start, end, etag=etag)

    def put(self, bucket: str, key: str, body: Body) -> None:
        """See `ObjectStore.put`."""
        self._for(bucket, key).put(bucket, key, body)

    def put_if(self, bucket: str, key: str, body: Body, *, etag: str) -> str:
        """See `ObjectStore.put_if`."""
        return self._for(bucket, key).put_if(bucket, key, body, etag=etag)

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """See `ObjectStore.folders`."""
        return self._for(bucket, prefix).folders(bucket, prefix)

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[ObjectHead]:
        """See `ObjectStore.list`."""
        return self._for(bucket, prefix).list(bucket, prefix, start_after=start_after)

    def now(self, bucket: str, prefix: str) -> datetime:
        """See `ObjectStore.now`."""
        return self._for(bucket, prefix).now(bucket, prefix)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """See `ObjectStore.delete`."""
        for store, some in groupby(keys, lambda key: self._for(bucket, key)):
            store.delete(bucket, some)

    def delete_if(self, bucket: str, key: str, *, etag: str) -> bool:
        """See `ObjectStore.delete_if`."""
        return self._for(bucket, key).delete_if(bucket, key, etag=etag)
