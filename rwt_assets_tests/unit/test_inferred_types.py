"""What is inferred loses nothing: texts that differ are values that differ, and read back the same.

Ways to write one value that a declaration names (thousands marks, words, formats) are one.
"""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rwt_assets.authoring.table_profile import ColumnProfile
from rwt_assets.values.column_rule import ColumnRule
from rwt_assets.values.column_types import notation_of, read_texts

DIGITS = st.text("0159", max_size=4)
NUMERALS = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "", "", "-", "+"]),
    DIGITS,
    st.sampled_from(["", ".", ",", ".0", ".1", "0.", ",5"]),
    DIGITS,
    st.sampled_from(["", "", "", "e5", "E+05", "e-7", "0", ".1"]),
)
VERSIONS = st.builds("{}.{}".format, st.integers(0, 3), st.integers(0, 20))
COLUMNS = st.one_of(
    *(st.lists(one, min_size=1, max_size=8) for one in (NUMERALS, VERSIONS)),
    st.lists(st.integers(0, 30).map(lambda one: f"{one / 10:g}"), min_size=1, max_size=8),
    st.lists(st.decimals(0, 99, places=2).map(str), min_size=1, max_size=8),
    st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr), min_size=1, max_size=8),
)


def profile(*batches):
    column, row = ColumnProfile("c"), 1
    for texts in batches:
        column.add(pa.array(texts, pa.string()), np.arange(row, row + len(texts)))
        row += len(texts)
    return column


def values_of(column, texts):
    settings = dict(column.reading.settings)
    kind = column.type
    ColumnRule.model_validate({"type": kind, **settings})
    values, _ = read_texts(
        pa.array(texts, pa.string()), kind, notation_of(kind.partition("(")[0], settings)
    )
    return values.to_pylist()


@given(COLUMNS, st.integers(0, 8))
@example(["1.1", "1.10"], 1)
@example(["1.9", "1.10"], 1)
@example(["5", "5.00", "1.25"], 2)
@example(["0", "-0"], 0)
@example(["-0.0", "0.0"], 0)
@example(["1e5", "2e3"], 0)
@example(["1.", "1", "2.5"], 0)
@example(["1.5e5", "150000"], 1)
def test_what_differs_stays_apart(texts, cut):
    texts = [one for one in texts if one]
    column = profile(texts[:cut], texts[cut:])
    if column.type == "string":
        return
    values = values_of(column, texts)
    assert None not in values
    marks = column.reading.marks[1] if column.type not in {"date", "timestamp"} else ""
    written = {one.replace(marks, "") if marks else one for one in texts}
    assert len({*values}) == len(written), column.reading


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1.1", "1.10", "2.0"], "string"),
        (["1.8", "1.9", "1.10"], "string"),
        (["2024.1.2", "2024.10.1", "2023.1.1"], "string"),
        (["2024.01.02", "2024.10.01"], "date"),
        (["1e5", "2e3"], "string"),
        (["12345", "12e45"], "string"),
        (["1e+20", "1.5", "1e-05"], "number"),
        (["1", "2.5", "1e3"], "number"),
        (["-0", "1"], "string"),
        (["-0.0", "1.5"], "string"),
        (["10.50", "20.25", "5"], "number"),
        (["10.50", "5.00", "5"], "string"),
        (["12.0", "3.14"], "number"),
        (["1.10", "1.20"], "number"),
        (["1.10", "1.234"], "string"),
        (["1,10", "1,2"], "string"),
        (["+491511234567890", "+491511234567891"], "string"),
    ],
)
def test_what_looks_like_a_number_and_may_be_none_is_text(texts, kind):
    assert profile(texts).type == kind
    assert profile(*([one] for one in texts)).type == kind


def test_many_values_are_told_apart_too():
    prices = [f"{number}.{number % 100:02d}" for number in range(5_000)]
    assert profile(prices).type == "number"
    assert profile(prices, ["17"]).type == "number"
    assert profile(prices, ["100"]).type == "string"  # 100.00 is there
    assert profile(prices, ["1.5"]).type == "string"
