"""The end of a Parquet object: what it says of itself, and the CRC-32 of all its bytes.

What belongs here: reading footers, and the checksum that is kept in them. What does not: what the
figures are held to (`reconciliation.py`, `verification.py`). Rule: Parquet format specification,
"File format".

A footer is written last. So it can keep the CRC-32 of all bytes before it, and anyone who has read
the footer goes on from there to the CRC-32 of the whole object, without having read the rest.

What a footer says of itself has a seal: 32 binary digits, chosen so that the CRC-32 of the footer's
own bytes is one number, always the same. It is looked at before anything is parsed: one bit that
differs can rename a column, or end the process, since Arrow does not catch all of its exceptions.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from io import SEEK_END, BytesIO
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq
from isal import isal_zlib

from rwt_assets.runtime import ArchiveMissingError
from rwt_assets.storage import ObjectStore

FOOTER_BEFORE: Final = b"rwt.crc32_before_footer"
FOOTER_SEAL: Final = b"rwt.footer_seal"
SEALED_CRC32: Final = 0x72777431
DIGITS: Final = 32
# Apache Thrift, compact protocol: a field of bytes, and how many.
_SEAL: Final = re.compile(re.escape(FOOTER_SEAL + bytes([0x18, DIGITS])) + rb"([01]{32})")
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

    None if there is no such object, or if what is there is no Parquet, such as one that was cut, or
    has a footer that is not as it was written.
    """
    try:
        tail, size = store.tail(bucket, key, GUESS_BYTES)
        length = int.from_bytes(tail[-8:-4], "little") + LENGTH_BYTES
        if len(tail) < length <= size and tail.endswith(MAGIC):
            tail, size = store.tail(bucket, key, length)
    except ArchiveMissingError:
        return None
    facts = _parsed(tail, length)
    if facts is None:
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


def _parsed(tail: bytes, length: int) -> pq.FileMetaData | None:
    if FOOTER_SEAL in tail and isal_zlib.crc32(tail[-length:]) != SEALED_CRC32:
        return None
    try:
        return pq.read_metadata(BytesIO(tail))
    except (pa.ArrowException, OSError):
        return None


def before_footer(body: IO[bytes]) -> dict[bytes, bytes]:
    """What a footer keeps of the bytes before it; to be asked for when all these are written.

    The seal is a place for the one that `seal_footer` writes.
    """
    size = body.tell()
    crc = crc32_of_file(body)
    body.seek(size)
    return {FOOTER_BEFORE: f"{size}-{crc:08x}".encode(), FOOTER_SEAL: b"0" * DIGITS}


def seal_footer(body: IO[bytes]) -> None:
    """Seal the footer of a whole Parquet file that has a place for it; leaves the file at its end.

    The CRC-32 is linear: changing one digit changes the same of its bits, whatever the others are.
    So those digits are changed that together make the difference.
    """
    size = body.seek(0, SEEK_END)
    body.seek(size - LENGTH_BYTES)
    length = int.from_bytes(body.read(4), "little") + LENGTH_BYTES
    body.seek(size - length)
    footer = body.read(length)
    place = _SEAL.search(footer)
    if place is not None:
        left, chosen = isal_zlib.crc32(footer) ^ SEALED_CRC32, 0
        for bit, (changed, digits) in _differences(length - place.end(1)).items():
            if left >> bit & 1:
                left, chosen = left ^ changed, chosen ^ digits
        body.seek(size - length + place.start(1))
        body.write(b"".join(b"%d" % (chosen >> digit & 1) for digit in range(DIGITS)))
    body.seek(0, SEEK_END)


@lru_cache(maxsize=256)
def _differences(bytes_after: int) -> dict[int, tuple[int, int]]:
    """For each bit of a CRC-32, from the highest: what to change it, as bits and as digits.

    No bit above it is among these. There are digits for each of them, since x^8 has as many powers
    as x modulo a primitive polynomial of degree 32.
    """
    found: dict[int, tuple[int, int]] = {}
    for digit in range(DIGITS):
        rest = bytes(bytes_after + DIGITS - 1 - digit)
        changed, digits = (
            isal_zlib.crc32(b"\x01" + rest) ^ isal_zlib.crc32(b"\0" + rest),
            1 << digit,
        )
        while (bit := changed.bit_length() - 1) in found:
            changed, digits = changed ^ found[bit][0], digits ^ found[bit][1]
        found[bit] = changed, digits
    return dict(sorted(found.items(), reverse=True))


def crc32_of_file(file: IO[bytes]) -> int:
    """The CRC-32 of a file from its beginning."""
    file.seek(0)
    crc = 0
    while data := file.read(READ_BYTES):
        crc = isal_zlib.crc32(data, crc)
    return crc
