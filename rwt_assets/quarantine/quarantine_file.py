"""Quarantined rows on their way to one Parquet object, in bounded memory.

What belongs here: writing them to a file and the file to its place. What does not: which rows
these are (`unpacking.py`, `processing.py`) and reading them (`quarantine.py`). Rule: Parquet format
specification, "File format".
"""

import re
from collections.abc import Callable, Iterable, Iterator
from tempfile import TemporaryFile
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import isal_zlib

from rwt_assets.contract import QUARANTINE_SCHEMA
from rwt_assets.documents import (
    READ_BYTES,
    before_footer,
    crc32_of_file,
    damaged,
    read_footer,
    seal_footer,
)
from rwt_assets.storage import ObjectStore

ROW_GROUP_ROWS: Final = 16 << 10
ROW_GROUP_BYTES: Final = 8 << 20  # of their texts, which have up to 64 KiB each
REPEATED: Final = ["archive", "revision", "member", "rows", "rule", "reason", "lines"]
RISING: Final = ["line", "row"]
NAMED_BY_CRC32: Final = re.compile(r".*/split-([0-9a-f]{8})\.parquet")
AT_ONCE_BYTES: Final = 8 << 20  # up to this size an object is written by one request


def as_quarantine(table: pa.Table, *, archive: str, revision: str, member: str) -> pa.Table:
    """Rejected rows of a member as a table of `QUARANTINE_SCHEMA`."""
    rows = table.num_rows
    told = {"archive": archive, "revision": revision, "member": member}
    columns = {name: pa.repeat(value, rows) for name, value in told.items()}
    columns.update({name: table.column(name) for name in table.column_names})
    return pa.table([columns[name] for name in QUARANTINE_SCHEMA.names], schema=QUARANTINE_SCHEMA)


def write_quarantine(
    store: ObjectStore, bucket: str, tables: Iterable[pa.Table], key_of: Callable[[str], str]
) -> str | None:
    """Keep quarantined rows.

    Args:
        store: where they are kept.
        bucket: in which.
        tables: of `QUARANTINE_SCHEMA`. The same rows give the same bytes, however they are cut.
        key_of: the key of an object, by the checksum of its bytes.

    Returns:
        The key; None if there is no row.

    Raises:
        ShardDamagedError: the object that is in its place is not what its name says.
    """
    with TemporaryFile() as file:
        size = _write(file, tables)
        if not size:
            return None
        key = key_of(f"{crc32_of_file(file):08x}")
        if not _put(store, bucket, key, file, size) and not _is(store, bucket, key, file, size):
            raise damaged(bucket, key, "its checksum is not the one in its name")
        return key


def crc32_in_name(key: str) -> int | None:
    """The CRC-32 that an object of `write_quarantine` must have, by its key.

    None for those of versions that did not name them so, and for those of single shards.
    """
    found = NAMED_BY_CRC32.fullmatch(key)
    return None if found is None else int(found[1], 16)


def is_as_written(store: ObjectStore, bucket: str, key: str) -> bool:
    """Whether an object of `write_quarantine` is there, with the bytes of which its name is made.

    Of one whose footer keeps the checksum of the bytes before it only the footer is read; an
    earlier version's is read whole.
    """
    footer, named = read_footer(store, bucket, key), crc32_in_name(key)
    if footer is None or footer.miscounted:
        return False
    if named is None or footer.crc32 == named:
        return True
    if footer.crc32 is not None:
        return False
    crc = 0
    for chunk in store.stream(bucket, key, 0, footer.size):
        crc = isal_zlib.crc32(chunk, crc)
    return crc == named


def put_quarantine(store: ObjectStore, bucket: str, key: str, tables: Iterable[pa.Table]) -> bool:
    """Keep quarantined rows under a key where nothing is; False if there is an object already.

    Args:
        store: where they are kept.
        bucket: in which.
        key: under which.
        tables: of `QUARANTINE_SCHEMA`, with one row at least.
    """
    with TemporaryFile() as file:
        return _put(store, bucket, key, file, _write(file, tables))


def _write(file: BinaryIO, tables: Iterable[pa.Table]) -> int:
    """Write Parquet; its size, 0 without a row."""
    groups = _groups(tables)
    first = next(groups, None)
    if first is None:
        return 0
    with pq.ParquetWriter(
        file,
        QUARANTINE_SCHEMA,
        compression="zstd",
        use_dictionary=REPEATED,
        column_encoding=dict.fromkeys(RISING, "DELTA_BINARY_PACKED"),
    ) as writer:
        writer.write_table(first)
        for group in groups:
            writer.write_table(group)
        writer.add_key_value_metadata(before_footer(file))
    seal_footer(file)
    return file.tell()


def _put(store: ObjectStore, bucket: str, key: str, file: BinaryIO, size: int) -> bool:
    file.seek(0)
    body = file.read() if size <= AT_ONCE_BYTES else file
    return bool(store.put_if(bucket, key, body, etag=""))


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows in tables of one size."""
    held: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        held.append(table)
        rows += table.num_rows
        size += _text_bytes(table)
        while rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            joined = pa.concat_tables(held)
            ends = np.cumsum(pc.binary_length(joined.column("text")).to_numpy())
            count = min(ROW_GROUP_ROWS, int(np.searchsorted(ends, ROW_GROUP_BYTES)) + 1)
            yield joined.slice(0, count).combine_chunks()
            rest = joined.slice(count)
            held, rows, size = [rest], rest.num_rows, _text_bytes(rest)
    if rows:
        yield pa.concat_tables(held).combine_chunks()


def _text_bytes(table: pa.Table) -> int:
    return pc.sum(pc.binary_length(table.column("text"))).as_py() or 0


def _is(store: ObjectStore, bucket: str, key: str, file: BinaryIO, size: int) -> bool:
    """Whether the object in this place has the bytes of a file."""
    file.seek(0)
    for start in range(0, size, READ_BYTES):
        if store.read(bucket, key, start, min(start + READ_BYTES, size)) != file.read(READ_BYTES):
            return False
    return store.head(bucket, key).size == size
