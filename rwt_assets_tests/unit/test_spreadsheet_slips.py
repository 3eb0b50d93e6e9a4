"""Cells that a spreadsheet has written again are told from cells that a person has corrected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.text.spreadsheet_slips import is_written_anew, loses_digits


@pytest.mark.parametrize(
    ("sent", "saved"),
    [
        *(
            ("007", "7"),
            ("+49", "49"),
            ("1.10", "1.1"),
            ("1,50", "1,5"),
            ("00", "0"),
            ("-01", "-1"),
        ),
        *(("2024-02-29", "29.02.2024"), ("2024-02-29", "2/29/2024"), ("03.04.2025", "03.04.25")),
        *(("true", "TRUE"), ("False", "FALSE")),
    ],
)
def test_what_is_only_written_anew(sent, saved):
    assert is_written_anew(sent, saved)


@pytest.mark.parametrize(
    ("sent", "corrected"),
    [
        *(("007", "008"), ("7", "007"), ("x", "7"), ("", "7"), ("7", ""), ("1.10", "1.2")),
        *(("-1", "1"), ("2024-02-29", "2024-03-01"), ("2024-13-01", "01.12.2024"), ("no", "NO")),
        *(("12,5", "12.5"), ("1.234", "1234"), ("abc", "ABC"), ("7", "7")),
    ],
)
def test_what_was_corrected(sent, corrected):
    assert not is_written_anew(sent, corrected)
    assert not loses_digits(sent, corrected)


@pytest.mark.parametrize(
    ("sent", "saved", "lost"),
    [
        ("1234567890123456789", "1.23457E+18", True),
        ("1234567890123456789", "1,23E+18", True),
        ("1234567890123456789", "1234567890123450000", True),
        ("4006381333931", "4.00638E+12", True),
        ("1234567890123456789", "1234567890123456780", False),
        ("123", "1.23E+02", False),
    ],
)
def test_digits_that_are_lost(sent, saved, lost):
    assert loses_digits(sent, saved) is lost


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_texts_are_compared(sent, saved):
    assert is_written_anew(sent, saved) in {True, False}
    assert loses_digits(sent, saved) in {True, False}
    assert not is_written_anew(sent, sent)
