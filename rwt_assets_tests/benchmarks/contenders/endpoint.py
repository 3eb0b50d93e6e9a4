"""Where the archive lies, where results go, and how the scripts get and put them.

What belongs here: what is the same for all scripts. What does not: anything of a tool.
Uploads go side by side with the work, in threads, a bounded number ahead, as one who knows S3
would write it; plain pandas, as people write it, does without.
"""

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from types import TracebackType
from typing import Self

import boto3
from botocore.config import Config

SOURCE, TARGET, ARCHIVE = "incoming", "results", "bench/archive.zip"
SPLIT, KEY = "station", "ticket"
THREADS = 8
WAITING = 24


class Script:
    """One run of a script: reads the archive, writes below its own prefix."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._s3 = boto3.client("s3", config=Config(max_pool_connections=THREADS))
        self._pool = ThreadPoolExecutor(THREADS)
        self._room = BoundedSemaphore(WAITING)
        self._failed: list[BaseException] = []

    def members(self) -> Iterator[tuple[str, bytes]]:
        """The archive's members, one after the other, each whole."""
        body = self._s3.get_object(Bucket=SOURCE, Key=ARCHIVE)["Body"].read()
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)

    def put(self, kind: str, member: str, value: str, body: bytes | memoryview) -> None:
        """Put a result up, in a thread; it waits while too many are under way."""
        key = f"{self._name}/{kind}/{member}/{value}.{'csv' if kind == 'shards' else 'parquet'}"
        self._room.acquire()
        self._pool.submit(self._put, key, body)

    def _put(self, key: str, body: bytes | memoryview) -> None:
        try:
            self._s3.put_object(Bucket=TARGET, Key=key, Body=bytes(body))
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            self._failed.append(error)
        finally:
            self._room.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown()
        if self._failed:
            raise self._failed[0]
