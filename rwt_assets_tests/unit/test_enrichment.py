import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.contract.enrichment import crc32_of, enrich
from rwt_assets.runtime.errors import MemberHeaderError

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(
    st.lists(st.none() | TEXTS)
    | st.lists(st.none() | TEXTS | st.just("long" * 20))
    | st.lists(st.sampled_from(["a", "é", ""]), min_size=70),
    st.integers(0, 3),
)
def test_the_crc_is_that_of_zlib(values, start):
    found = crc32_of(pa.array(values, pa.string()).slice(start))
    assert found.type == pa.uint32()
    expected = [None if v is None else zlib.crc32(v.encode()) for v in values[start:]]
    assert found.to_pylist() == expected


def test_a_known_crc():
    assert crc32_of(pa.array(["123456789"])).to_pylist() == [0xCBF43926]


def test_chunked_and_typed_columns_are_hashed_as_text():
    chunked = pa.chunked_array([pa.array([1, 2]), pa.array([30])])
    assert crc32_of(chunked).to_pylist() == [zlib.crc32(t) for t in (b"1", b"2", b"30")]


def test_provenance_is_added():
    table = pa.table({"k": ["x", "y"], "v": [1, 2]})
    numbers = np.array([4, 9])
    enriched = enrich(table, key_column=None, archive="a.zip", member="m.txt", row_numbers=numbers)
    assert enriched.column_names == ["k", "v", "crc32", "_archive", "_member", "_row"]
    assert enriched.to_pylist()[1] == {
        "k": "y",
        "v": 2,
        "crc32": zlib.crc32(b"y"),
        "_archive": "a.zip",
        "_member": "m.txt",
        "_row": 9,
    }


@pytest.mark.parametrize(
    ("column", "key", "says"), [("_row", None, "column '_row'"), ("a", "k", "no key column 'k'")]
)
def test_a_clash_or_a_missing_key_is_named(column, key, says):
    table = pa.table({column: ["x"]})
    with pytest.raises(MemberHeaderError, match=says):
        enrich(table, key_column=key, archive="a", member="m", row_numbers=np.array([1]))
