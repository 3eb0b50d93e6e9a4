"""Where the rows of a shard were in their member, kept beside the shards.

What belongs here: writing and reading ordinals that are not consecutive. What does not: what
they are needed for (`processing.py`). Numbers are little-endian int64.

Shards are many and small, and a request costs more than its bytes: so the numbers of shards
that follow one another share an object, and those of a large shard have one for each part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
from isal import isal_zlib

from rwt_assets.documents.manifest import Part
from rwt_assets.runtime import SPLIT_AGAIN, ArchiveMissingError, ShardDamagedError
from rwt_assets.storage import ObjectStore

ROW_NUMBER: Final = np.dtype("<i8")
OBJECT_BYTES: Final = 4 << 20  # about; what is more begins a new object
OBJECTS_HELD: Final = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where the row numbers of a part are: object, first byte, CRC-32 of its bytes."""

    key: str
    offset: int
    crc32: int


def consecutive(row_numbers: np.ndarray) -> bool:
    """Whether there is no gap between rising numbers."""
    return len(row_numbers) == 0 or int(row_numbers[-1] - row_numbers[0]) == len(row_numbers) - 1


class RowNumberWriter:
    """Writes the numbers of a member's shards, a few objects for all.

    Args:
        store: where objects are put.
        bucket: the bucket.
        key_of: the key of the object of this index.
    """

    def __init__(self, store: ObjectStore, bucket: str, key_of: Callable[[int], str]) -> None:
        self._store = store
        self._bucket = bucket
        self._key_of = key_of
        self._index = 0
        self._held: list[bytes] = []
        self._bytes = 0

    def add(self, row_numbers: np.ndarray) -> Place:
        """Take the numbers of one part; where they will be."""
        if self._bytes >= OBJECT_BYTES:
            self.flush()
        data = row_numbers.astype(ROW_NUMBER).tobytes()
        place = Place(self._key_of(self._index), self._bytes, isal_zlib.crc32(data))
        self._held.append(data)
        self._bytes += len(data)
        return place

    def flush(self) -> None:
        """Put up what is held."""
        if not self._held:
            return
        self._store.put(self._bucket, self._key_of(self._index), b"".join(self._held))
        self._index, self._held, self._bytes = self._index + 1, [], 0


class RowNumbers:
    """Reads the numbers of the parts of one run.

    An object is read by range for the first of the parts that share it and as a whole for the
    second, since the others will follow.
    """

    def __init__(self, store: ObjectStore, bucket: str) -> None:
        self._store = store
        self._bucket = bucket
        self._lock = Lock()
        self._asked: set[str] = set()
        self._held: dict[str, bytes] = {}

    def of(self, part: Part) -> np.ndarray:
        """The ordinals of a part's rows in their member, from 1, rising (int64).

        Raises:
            ShardDamagedError: they are not on the store as they were written.
        """
        key, start = part.row_numbers_key, part.row_numbers_offset
        if key is None:
            return np.arange(part.first_row, part.first_row + part.rows, dtype=ROW_NUMBER)
        end = start + part.rows * ROW_NUMBER.itemsize
        try:
            data = self._bytes_of(key, start, end)
        except ArchiveMissingError as error:
            raise damaged(self._bucket, key, "it is gone") from error
        if len(data) != end - start:
            raise damaged(self._bucket, key, f"it ends before byte {end}")
        if part.row_numbers_crc32 not in (None, isal_zlib.crc32(data)):
            raise damaged(self._bucket, key, f"the CRC-32 of bytes {start} to {end} is another")
        return np.frombuffer(data, ROW_NUMBER)

    def _bytes_of(self, key: str, start: int, end: int) -> bytes | memoryview:
        with self._lock:
            first = key not in self._asked
            self._asked.add(key)
            if not first and key not in self._held:
                while len(self._held) >= OBJECTS_HELD:
                    self._held.pop(next(iter(self._held)))
                self._held[key] = self._store.read(self._bucket, key)
            body = self._held.get(key)
        if body is None:
            return self._store.read(self._bucket, key, start, end)
        return memoryview(body)[start:end]


def damaged(bucket: str, key: str, found: str) -> ShardDamagedError:
    """The error of an object of a shard that is not as it was written."""
    return ShardDamagedError(
        f"an object of the shard is not as it was written: {found}",
        where=f"s3://{bucket}/{key}",
        effect="Nothing was made of it; what was delivered is as it was.",
        fix=SPLIT_AGAIN,
    )
