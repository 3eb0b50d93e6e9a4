"""What is added to a shard's rows.

What belongs here: the added columns. What does not: the types of the columns that were there
(`contract.py`). Rule: CRC-32 as in `zlib.crc32` (Python documentation: "zlib"), of the
UTF-8 bytes of the key, unsigned.
"""

import zlib
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.runtime import MemberHeaderError
from rwt_assets.values import ADDED, ARCHIVE, CRC32, MEMBER, RESCUED, ROW

ENRICHMENT_VERSION: Final = "2"
NAME_TYPE: Final = pa.dictionary(pa.int32(), pa.string())
SAMPLE: Final = 1_000
SHORT_KEY: Final = 64  # bytes; longer keys are hashed one by one


def added_names(*, rescues: bool) -> tuple[str, ...]:
    """The columns that a member must not have, since they are added to its rows."""
    return (RESCUED, *ADDED) if rescues else ADDED


def enrich(
    table: pa.Table, *, key_column: str | None, archive: str, member: str, row_numbers: np.ndarray
) -> pa.Table:
    """Add the key's CRC-32 and where each row came from.

    Args:
        table: the rows, at least one column.
        key_column: whose values are hashed; None for the first column.
        archive: object key of the archive.
        member: name of the member.
        row_numbers: ordinal of each row in its member, from 1.

    Returns:
        The table with four more columns: `crc32` (uint32, null for a null key), `_archive`
        and `_member` (dictionary of string) and `_row` (int64).

    Raises:
        MemberHeaderError: the member has a column of one of these names, or lacks the key.
    """
    taken = sorted(set(ADDED) & set(table.column_names))
    name = key_column if key_column is not None else table.column_names[0]
    if taken or name not in table.column_names:
        problem = (
            f"has a column {taken[0]!r}, which is one that we add"
            if taken
            else (f"has no key column {name!r}; it has {', '.join(table.column_names)}")
        )
        raise MemberHeaderError(
            f"the member {problem}",
            where=f"{archive}, member {member!r}",
            effect="The shard was not enriched.",
            fix="Fix the feed's key_column, or ask the sender.",
        )
    rows = table.num_rows
    return (
        table.append_column(CRC32, crc32_of(table.column(name)))
        .append_column(ARCHIVE, _same(archive, rows))
        .append_column(MEMBER, _same(member, rows))
        .append_column(ROW, pa.array(row_numbers, pa.int64()))
    )


def crc32_of(values: Any) -> pa.Array:
    """CRC-32 of each value's UTF-8 bytes.

    Args:
        values: an Arrow array or chunked array. What is not text is hashed as its text.

    Returns:
        A uint32 array; null where the value is null.
    """
    if not pa.types.is_string(values.type):
        values = values.cast(pa.string())
    encoded = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    keys = encoded.cast(pa.binary())
    # Where keys repeat, each different one is hashed once; a sample tells.
    sample = keys.slice(0, SAMPLE)
    if len(sample.unique()) * 2 < len(sample):
        coded = keys.dictionary_encode()
        return pc.take(_crc32_each(coded.dictionary), coded.indices)
    return _crc32_each(keys)


def _crc32_each(keys: Any) -> pa.Array:
    """CRC-32 of binary values, place by place over all of them where they are short.

    CRC-32 is linear over XOR: each byte of a text contributes what its value and its distance
    from the end say, whatever the other bytes are.
    """
    _, offsets, data = keys.buffers()
    bounds = np.frombuffer(offsets, np.int32)[keys.offset : keys.offset + len(keys) + 1]
    lengths = np.diff(bounds)
    longest = int(lengths.max(initial=0))
    if longest > SHORT_KEY:
        hashed = [None if key is None else zlib.crc32(key) for key in keys.to_pylist()]
        return pa.array(hashed, pa.uint32())
    text = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    hashes = np.array([zlib.crc32(bytes(n)) for n in range(longest + 1)], np.uint32)[lengths]
    last = bounds[1:] - 1
    for place in range(longest):
        if lengths.min() > place:
            hashes ^= _contributions(place)[text[last - place]]
        else:
            long = lengths > place
            hashes[long] ^= _contributions(place)[text[last[long] - place]]
    nulls = np.asarray(keys.is_null()) if keys.null_count else None
    return pa.array(hashes, pa.uint32(), mask=nulls)


@cache
def _contributions(place: int) -> np.ndarray:
    """What each value of a byte adds to the CRC-32 of a text, so many places before its end."""
    behind = bytes(place)
    zero = zlib.crc32(b"\0" + behind)
    return np.array([zlib.crc32(bytes([byte]) + behind) ^ zero for byte in range(256)], np.uint32)


def _same(text: str, rows: int) -> pa.Array:
    indices = pa.array(np.zeros(rows, np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array([text], pa.string()))
