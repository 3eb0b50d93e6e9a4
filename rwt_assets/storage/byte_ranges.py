"""Bytes that are read by range: an object on a store, a part of one, a temporary file.

What belongs here: the protocol that the ZIP reader works on, and its two small forms for
archives within archives. What does not: objects on S3 (`object_store.py`) and what a ZIP is
(`zip_directory.py`). Rule: PKWARE APPNOTE.TXT 4.3.3, a ZIP file is read from its end.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final, Protocol

FILE_CHUNK_BYTES: Final = 1 << 20


class ByteRanges(Protocol):
    """An object on a store, or bytes in a test."""

    @property
    def size(self) -> int:
        """Bytes of the whole object."""
        ...

    def read(self, start: int, end: int) -> bytes:
        """Bytes `[start, end)`, by one request; fewer, or none, where they go past the end."""
        ...

    def stream(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes `[start, end)` in chunks, by one request; they do not go past the end."""
        ...


@dataclass(frozen=True, slots=True)
class Section:
    """Bytes `[start, start + size)` of other bytes: a nested archive that is only stored."""

    whole: ByteRanges
    start: int
    size: int

    def read(self, start: int, end: int) -> bytes:
        """Bytes `[start, end)` of the section, none of what lies behind it."""
        return self.whole.read(self.start + start, self.start + min(end, self.size))

    def stream(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes `[start, end)` of the section in chunks, by one request."""
        return self.whole.stream(self.start + start, self.start + end)


class FileRanges:
    """An open file: a nested archive that had to be unpacked before it can be read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size: int = file.seek(0, os.SEEK_END)

    def read(self, start: int, end: int) -> bytes:
        """Bytes `[start, end)`."""
        self._file.seek(start)
        return self._file.read(max(0, end - start))

    def stream(self, start: int, end: int) -> Iterator[bytes]:
        """Bytes `[start, end)` in chunks."""
        for offset in range(start, end, FILE_CHUNK_BYTES):
            yield self.read(offset, min(offset + FILE_CHUNK_BYTES, end))
