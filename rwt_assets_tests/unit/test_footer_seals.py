"""A footer tells by itself, before it is parsed, whether its bytes are as they were written."""

from io import BytesIO
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.documents.footers import (
    FOOTER_SEAL,
    SEALED_CRC32,
    before_footer,
    read_footer,
    seal_footer,
)
from rwt_assets_tests.stand_ins import InMemoryObjects

KEY = "rwt/shop/enriched/rows.parquet"


def written(table, *, sealed=True):
    file = BytesIO()
    with pq.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)
        kept = before_footer(file)
        if not sealed:
            del kept[FOOTER_SEAL]
        writer.add_key_value_metadata(kept)
    if sealed:
        seal_footer(file)
    return file.getvalue()


def footer_of(body):
    store = InMemoryObjects()
    store.put("results", KEY, body)
    return read_footer(store, "results", KEY)


TABLE = pa.table({"item": ["pen", "ink", None], "price": [1.5, 7.0, 1.6]})
BODY = written(TABLE)
LENGTH = int.from_bytes(BODY[-8:-4], "little") + 8


@given(bit=st.integers(0, 8 * LENGTH - 1))
def test_no_bit_of_a_footer_changes_unnoticed(bit):
    flipped = bytearray(BODY)
    flipped[len(BODY) - LENGTH + bit // 8] ^= 1 << bit % 8
    found = footer_of(bytes(flipped))
    assert found is None or found.crc32 != crc32(flipped) or is_the_same(bytes(flipped))


def is_the_same(body):
    """Whether only the name of the seal is another, which nobody goes by."""
    return FOOTER_SEAL not in body and pq.read_table(BytesIO(body)).equals(TABLE)


@pytest.mark.parametrize("columns", [1, 3, 40])
def test_a_sealed_file_is_the_same_parquet(columns):
    table = pa.table({f"c{number}": range(number, number + 9) for number in range(columns)})
    body = written(table)
    assert written(table) == body
    assert pq.read_table(BytesIO(body)).replace_schema_metadata(None).equals(table)
    length = int.from_bytes(body[-8:-4], "little") + 8
    assert crc32(body[-length:]) == SEALED_CRC32
    found = footer_of(body)
    assert (found.crc32, found.size, found.facts.num_rows) == (crc32(body), len(body), 9)


def test_a_footer_of_an_earlier_version_has_no_seal():
    body = written(TABLE, sealed=False)
    assert footer_of(body).crc32 == crc32(body)
