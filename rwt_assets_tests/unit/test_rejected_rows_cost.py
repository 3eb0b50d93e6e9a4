"""Rejected rows cost no more than good ones, counted in what is done and not in seconds."""

import sys
import tracemalloc

import pytest

from rwt_assets.feed.feed import Feed, Limits
from rwt_assets.member import rejections
from rwt_assets.shard.member_rows import MemberRows
from rwt_assets.shard.one_pass import OnePass
from rwt_assets_tests.benchmarks.rejected import BAD, declaration, member_of

BY_VALUE = [rule for rule in BAD if rule.startswith(("qty", "split"))]
BY_STRUCTURE = [rule for rule in BAD if not rule.startswith(("qty", "split"))]


def reading(data):
    """Read a member; what it quarantined."""
    (rule,) = Feed.model_validate(declaration("ragged_row")).members
    rows = MemberRows(rule, Limits(), where="here", all_fields=True)
    for _ in rows.batches([data]):
        pass
    return rows.rows_read, rows.rejected.rows


def enriching(data, named):
    """Take a member the whole way to enriched tables; what was quarantined of it."""
    (rule,) = Feed.model_validate(declaration(named)).members
    way = OnePass(rule, Limits(), archive="a", member="m", where="here", check=lambda _table: None)
    rejected = 0
    for shard in way.shards([data]):
        for _ in shard.tables:
            pass
        rejected += sum(table.num_rows for table in shard.rejected)
    rejected += sum(table.num_rows for table in way.values.rejected(None))
    return way.rows.rows_read, rejected


def calls(work, *given):
    """How many calls of Python functions and of C functions it takes, and what it gives."""
    count = 0

    def note(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        found = work(*given)
    finally:
        sys.setprofile(None)
    return count, found


@pytest.mark.parametrize("rule", BY_STRUCTURE)
@pytest.mark.parametrize("share", [0.05, 1.0])
def test_rejecting_takes_no_call_for_each_row(rule, share):
    rows = 10_000  # and a tenth is more than the dialect is found out from
    few, _ = calls(reading, member_of(rule, share, rows // 10))
    many, (read, rejected) = calls(reading, member_of(rule, share, rows))
    assert read == rows
    assert rejected > rows * share * 0.8
    assert many - few < 1.5 * rows * share, "of whatever kind, less than two for each row"


@pytest.mark.parametrize("rule", BY_VALUE)
@pytest.mark.parametrize("share", [0.05, 1.0])
def test_rejecting_by_the_contract_takes_no_call_for_each_row(rule, share):
    rows = 10_000
    few, _ = calls(enriching, member_of(rule, share, rows // 10), rule)
    many, (read, rejected) = calls(enriching, member_of(rule, share, rows), rule)
    assert read == rows
    assert rejected > rows * share * 0.8
    assert many - few < 0.5 * rows * share


def test_what_is_rejected_is_not_held_in_memory(monkeypatch):
    monkeypatch.setattr(rejections, "HELD_BYTES", 64 << 10)
    (rule,) = Feed.model_validate(declaration("ragged_row")).members
    data = member_of("ragged_row", 1.0, 40_000)
    rows = MemberRows(rule, Limits(), where="here", all_fields=True)
    monkeypatch.setattr("rwt_assets.shard.member_rows.BATCH_BYTES", 64 << 10)
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
