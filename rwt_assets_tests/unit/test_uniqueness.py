from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.values import uniqueness
from rwt_assets.values.uniqueness import SeenKeys, row_keys

INTEGERS = st.integers(-3, 3) | st.none()
TEXTS = st.sampled_from(["", "a", "1:a", "-", None])


def first_rows(values, cuts, kind):
    seen, found = SeenKeys(), []
    bounds = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    for start, end in pairwise(bounds):
        keys = pa.array(values[start:end], kind)
        found += seen.first_rows(keys, np.arange(start, end) * 10).tolist()
    return found


def expected(values):
    first = {}
    return [
        -1 if first.setdefault(value, number) == number else first[value] * 10
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize("hashes", [uniqueness._hashes, lambda keys: np.zeros(len(keys), np.int64)])
@given(st.lists(INTEGERS, max_size=30), st.lists(st.integers(0, 30), max_size=5))
def test_the_first_row_of_a_key_is_found_however_hashes_fall(hashes, values, cuts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uniqueness, "_hashes", hashes)
        assert first_rows(values, cuts, pa.int64()) == expected(values)


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=20))
def test_keys_of_several_columns_are_equal_only_if_all_are(rows):
    columns = [pa.array([row[n] for row in rows], pa.string()) for n in (0, 1)]
    keys = row_keys(columns).to_pylist()
    for one, key in zip(rows, keys, strict=True):
        for other, other_key in zip(rows, keys, strict=True):
            assert (one == other) == (key == other_key)


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us", tz="UTC"), pa.bool_()])
def test_keys_of_every_type_are_found_again(kind):
    values = [0, 1] if pa.types.is_boolean(kind) else [-719_528, 0, 1]  # the first day of year 0
    keys = pa.array(values, pa.int32()).cast(pa.int64() if "time" in str(kind) else pa.int32())
    keys, seen = keys.cast(kind), SeenKeys()
    numbers = np.arange(1, len(keys) + 1)
    assert seen.first_rows(keys, numbers).tolist() == [-1] * len(keys)
    assert seen.first_rows(keys, numbers + 10).tolist() == numbers.tolist()
