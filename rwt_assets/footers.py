"""The end of a Parquet object: what it says of itself, and the CRC-32 of all its bytes.

What belongs here: reading footers, and the checksum that is kept in them. What does not: what the
figures are held to (`reconciliation.py`, `verification.py`). Rule: Parquet format specification,
"File format".

A footer is written last. So it can keep the CRC-32 of all bytes before it, and whoever has read
the footer goes on from there to the CRC-32 of the whole object, without having read the rest.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq
from isal import isal_zlib

from rwt_assets.errors import ArchiveMissingError
from rwt_assets.object_store import ObjectStore

FOOTER_BEFORE: Final = b"rwt.crc32_before_footer"
GUESS_BYTES: Final = 32 << 10
LENGTH_BYTES: Final = 8
MAGIC: Final = b"PAR1"
READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Footer:
    """A footer, and what it tells of its object.

    `own` is what was written into it beside the schema. `crc32` is that of the whole object as it
    was written: None if the footer does not keep it (it was written by an earlier version, or by
    somebody else), or if the object has other bytes before the footer than the footer counts.
    """

    facts: pq.FileMetaData
    size: int
    crc32: int | None
    miscounted: bool = False

    @property
    def own(self) -> dict[bytes, bytes]:
        """Key-value metadata."""
        return self.facts.metadata or {}


def read_footer(store: ObjectStore, bucket: str, key: str) -> Footer | None:
    """The footer of a Parquet object.

    None if there is no such object, or if what is there is no Parquet, such as one that was cut.
    """
    try:
        tail, size = store.tail(bucket, key, GUESS_BYTES)
        length = int.from_bytes(tail[-8:-4], "little") + LENGTH_BYTES
        if len(tail) < length <= size and tail.endswith(MAGIC):
            tail, size = store.tail(bucket, key, length)
    except ArchiveMissingError:
        return None
    try:
        facts = pq.read_metadata(BytesIO(tail))
    except (pa.ArrowException, OSError):
        return None
    count, _, crc = (facts.metadata or {}).get(FOOTER_BEFORE, b"").partition(b"-")
    if not (count.isdigit() and len(crc) == 2 * 4):
        return Footer(facts, size, None)
    if int(count) != size - length:
        return Footer(facts, size, None, miscounted=True)
    try:
        before = int(crc, 16)
    except ValueError:
        return Footer(facts, size, None)
    return Footer(facts, size, isal_zlib.crc32(tail[-length:], before))


def before_footer(body: IO[bytes]) -> dict[bytes, bytes]:
    """What a footer keeps of the bytes before it; to be asked for when all these are written."""
    size = body.tell()
    crc = crc32_of_file(body)
    body.seek(size)
    return {FOOTER_BEFORE: f"{size}-{crc:08x}".encode()}


def crc32_of_file(file: IO[bytes]) -> int:
    """The CRC-32 of a file from its beginning."""
    file.seek(0)
    crc = 0
    while data := file.read(READ_BYTES):
        crc = isal_zlib.crc32(data, crc)
    return crc
