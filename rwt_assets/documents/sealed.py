"""JSON documents that say by themselves whether they are as they were written.

What belongs here: the seal. What does not: what is in a document (`manifest.py`).

The last field of a document is the CRC-32 of all bytes before its name. A document without it was
written by an earlier version. Parquet and rows are held to what documents say, so a bit of these
must not change unnoticed: a column's name or a delimiter in a manifest decides on every value.
"""

import re
from typing import Final
from zlib import crc32

SEAL: Final = b'"document_crc32"'
_VALUE: Final = re.compile(rb':\s*"([0-9a-f]{8})"\s*}\s*')


def sealed(body: bytes) -> bytes:
    """A JSON object with a seal as its last field; it must have other fields."""
    in_lines = b"\n" in body
    begin = body.rstrip().removesuffix(b"}").rstrip() + (b",\n " if in_lines else b",")
    end = b': "%08x"\n}' if in_lines else b':"%08x"}'
    return begin + SEAL + end % crc32(begin)


def is_as_sealed(body: bytes) -> bool:
    """Whether a document has the bytes with which it was sealed, or no seal."""
    begin, _, end = body.rpartition(SEAL)
    said = _VALUE.fullmatch(end)
    return said is None or int(said[1], 16) == crc32(begin)
