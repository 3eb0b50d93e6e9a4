"""Rejected rows cost no more than good ones, counted in what is done and not in seconds."""

import sys
import tracemalloc

import pytest

from rwt_assets import rejections
from rwt_assets.feed import Feed, Limits
from rwt_assets.member_rows import MemberRows
from rwt_assets_tests.benchmarks.rejected import BAD, declaration, member_of

BY_STRUCTURE = [rule for rule in BAD if not rule.startswith(("qty", "split"))]


def calls(data):
    """How many calls of Python functions and of C functions reading a member takes."""
    (rule,) = Feed.model_validate(declaration("ragged_row")).members
    rows = MemberRows(rule, Limits(), where="here", all_fields=True)
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        for _ in rows.batches([data]):
            pass
    finally:
        sys.setprofile(None)
    return count, rows


@pytest.mark.parametrize("rule", BY_STRUCTURE)
@pytest.mark.parametrize("share", [0.05, 1.0])
def test_rejecting_takes_no_call_for_each_row(rule, share):
    rows = 10_000  # and a tenth is more than the dialect is found out from
    few, _ = calls(member_of(rule, share, rows // 10))
    many, read = calls(member_of(rule, share, rows))
    assert read.rows_read == rows
    assert read.rejected.rows > rows * share * 0.8
    assert many - few < 1.5 * rows * share, "of whatever kind, less than two for each row"


def test_what_is_rejected_is_not_held_in_memory(monkeypatch):
    monkeypatch.setattr(rejections, "HELD_BYTES", 64 << 10)
    (rule,) = Feed.model_validate(declaration("ragged_row")).members
    data = member_of("ragged_row", 1.0, 40_000)
    rows = MemberRows(rule, Limits(), where="here", all_fields=True)
    monkeypatch.setattr("rwt_assets.member_rows.BATCH_BYTES", 64 << 10)
    chunks = [data[start : start + (64 << 10)] for start in range(0, len(data), 64 << 10)]
    tracemalloc.start()
    try:
        for _ in rows.batches(chunks):
            pass
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rows.rejected) == 40_000
    assert held < 2 << 20
    assert sum(table.num_rows for table in rows.rejected.tables()) == 40_000
    assert [one.row for one in rows.rejected] == [*range(1, 40_001)]
