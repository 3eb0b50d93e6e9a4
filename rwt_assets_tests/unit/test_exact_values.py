"""Numbers are the same, and add up, whatever types their columns have."""

from decimal import Decimal
from fractions import Fraction

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rwt_assets.values.exact_values import exact_sum, same_values, written

NUMBERS = st.decimals(-(10**27), 10**27, allow_nan=False, places=9)
WAYS = st.sampled_from(
    ["{:f}", "+{:f}", "00{:f}", "{:f}000", "{:e}", "{:.40E}", "{:f}e0", "{:f}E+00"]
)


@given(NUMBERS, NUMBERS, WAYS, WAYS)
@example(Decimal(1), Decimal("1.00"), "{:f}", "{:e}")
def test_two_texts_are_one_if_and_only_if_their_numbers_are(one, other, way, another):
    texts = [way.format(abs(one)), another.format(abs(other)), another.format(abs(one))]
    if "000" in way or "000" in another:
        texts = [text if "." in text else text.removesuffix("000") for text in texts]
    made = same_values(pa.array(texts)).to_pylist()
    numbers = [Fraction(text) for text in texts]
    assert (made[0] == made[1]) == (numbers[0] == numbers[1])
    assert made[0] == made[2]


@given(st.text(max_size=12))
@example("-0e-100000000000000000000")
@example("\u0661")
def test_what_is_no_number_stays_what_it_is(text):
    (made,) = same_values(pa.array([text])).to_pylist()
    assert made == text or Decimal(text) == Decimal(made)


@given(st.lists(NUMBERS, max_size=9), st.integers(1, 3))
@example([Decimal("9" * 28)] * 30, 1)
@example([Decimal("1.0000000004")] * 2, 1)
def test_texts_and_decimals_add_up_exactly(numbers, cut):
    right = sum(map(Fraction, numbers), Fraction(0))
    texts = pa.array([f"{one:f}" for one in numbers], pa.string())
    for values in (texts, pa.array(numbers, pa.decimal128(38, 0 if right > 10**29 else 10))):
        total, others = exact_sum([values[:cut], values[cut:]])
        assert (Fraction(total), others) == (right, 0)


def test_a_zero_with_a_giant_exponent_is_a_zero():
    """With its exponent, a sum of three such cells would be written with a billion digits."""
    texts = pa.array(["0e-999999999", "0e999999999", "-0.0e-99999", "1.5"])
    total, others = exact_sum([texts])
    assert (str(total), others) == ("1.5", 0)
    assert same_values(texts).to_pylist()[:3] == ["0e0"] * 3


@given(st.lists(st.floats(-1e300, 1e300), max_size=9))
def test_doubles_add_up_as_they_are_written(numbers):
    total, others = exact_sum([pa.array(numbers, pa.float64())])
    right = sum((Fraction(repr(one)) for one in numbers), Fraction(0))
    assert (Fraction(total), others) == (right, 0)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9))
def test_whole_numbers_add_up(numbers):
    assert exact_sum([pa.array(numbers, pa.int64())]) == (Decimal(sum(numbers)), 0)


@pytest.mark.parametrize(
    ("texts", "others"),
    [(["", None, "1"], 0), (["x", "1,5", " 1", "1e9999999", "nan", "inf", "9" * 5000], 7)],
)
def test_what_cannot_be_added_is_counted(texts, others):
    assert exact_sum([pa.array(texts, pa.string())])[1] == others


@pytest.mark.parametrize(
    ("number", "text"),
    [("1E+3", "1000"), ("1.500", "1.5"), ("-0.00", "0"), ("9" * 40, "9" * 40), ("100", "100")],
)
def test_a_number_is_written_with_all_of_its_digits(number, text):
    assert written(Decimal(number)) == text
