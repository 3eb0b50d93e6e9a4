from io import BytesIO

import pyarrow.parquet as pq
import pytest

from rwt_assets.contract.contract import QuarantineEntry, quarantine_table
from rwt_assets.documents.manifest import ArchiveManifest, EnrichedObject, MemberReport
from rwt_assets.feed.feed import Tolerance
from rwt_assets.quarantine.quarantine import (
    UNKNOWN,
    Broken,
    breaches,
    count_set_aside,
    is_cut,
    iter_entries,
    place_of,
    quarantine_report,
    read_entries,
)
from rwt_assets_tests.stand_ins import InMemoryObjects


def manifest(*members):
    return ArchiveManifest(
        feed="shop",
        bucket="incoming",
        key="shop/a.zip",
        revision="r1",
        version_id=None,
        members=members,
        shards=(),
        quarantine_keys=(),
    )


def split(name, rows, **by_rule):
    return MemberReport(
        name=name,
        outcome="split",
        rows_read=rows,
        rows_quarantined=sum(by_rule.values()),
        rows_by_rule=by_rule,
    )


def enriched(member, quarantined, **by_rule):
    return EnrichedObject(
        partition_key=f"shop/a.zip|{member}",
        member=member,
        split_by=None,
        value=None,
        key="k",
        rows=1,
        bytes=1,
        rows_quarantined=quarantined,
        quarantine_key="q" if quarantined else None,
        rows_by_rule=by_rule,
    )


BAD = MemberReport(
    name="bad.csv",
    outcome="quarantined",
    reason="its CRC-32 differs",
    rows_read=3,
    rows_quarantined=3,
    rows_by_rule={"MemberCorruptError": 3},
)
READ = manifest(
    split("sales.csv", 97, ragged_row=2), BAD, MemberReport(name="x.md", outcome="ignored")
)
FOUND = count_set_aside(READ, [enriched("sales.csv", 4, minimum=4), enriched("sales.csv", 0)])


def test_rows_and_members_are_counted_by_member_and_rule():
    assert (FOUND.rows, FOUND.rows_read, FOUND.ratio) == (9, 100, 0.09)
    assert (FOUND.members, FOUND.members_read) == (1, 2)
    assert FOUND.broken == (
        Broken("bad.csv", "MemberCorruptError", 3, "its CRC-32 differs"),
        Broken("sales.csv", "minimum", 4),
        Broken("sales.csv", "ragged_row", 2),
    )
    assert FOUND.by_rule == {"minimum": 4, "MemberCorruptError": 3, "ragged_row": 2}
    assert [one.rule for one in FOUND.of_rule("m*")] == ["minimum"]
    assert FOUND.of_rule("no such rule") == ()


def test_a_member_of_which_no_row_was_read_is_told_too():
    unread = BAD.model_copy(
        update={"rows_read": 0, "rows_quarantined": 0, "rows_by_rule": {"MemberHeaderError": 0}}
    )
    found = count_set_aside(manifest(unread), [])
    assert found.anything
    assert found.ratio == 0
    assert found.broken == (Broken("bad.csv", "MemberHeaderError", 0, "its CRC-32 differs"),)


def test_rows_set_aside_before_rules_were_counted_are_not_lost():
    unread = BAD.model_copy(update={"rows_by_rule": {}})
    found = count_set_aside(manifest(unread), [enriched("sales.csv", 2)])
    assert found.broken == (
        Broken("bad.csv", UNKNOWN, 3, "its CRC-32 differs"),
        Broken("sales.csv", UNKNOWN, 2),
    )


def test_nothing_set_aside_is_nothing():
    assert not count_set_aside(manifest(split("sales.csv", 5)), []).anything


@pytest.mark.parametrize(
    ("tolerance", "exceeded"),
    [
        ({}, []),
        ({"rows": 9, "ratio": 0.09, "members": 1}, []),
        ({"rows": 8}, ["tolerance.rows is 8, found 9"]),
        ({"ratio": 0.05}, ["tolerance.ratio is 0.05, found 0.09"]),
        (
            {"members": 0, "rows": 0},
            ["tolerance.rows is 0, found 9", "tolerance.members is 0, found 1"],
        ),
    ],
)
def test_what_is_beyond_a_bound_is_named_with_it(tolerance, exceeded):
    assert [str(one) for one in breaches(FOUND, Tolerance(**tolerance))] == exceeded


def entry(member="a.csv", line=None, row=1, rule="ragged_row", text="x"):
    return QuarantineEntry(member, line, row, 1, rule, f"why | {rule}", text)


@pytest.fixture
def store():
    objects = InMemoryObjects()
    for key, entries in {
        "q1": [entry(line=3, row=2), entry(row=3, rule="price: minimum")],
        "q2": [entry("b.csv", row=9, rule="price: minimum")],
    }.items():
        body = BytesIO()
        pq.write_table(quarantine_table(entries, archive="shop/a.zip", revision="r1"), body)
        objects.put("results", key, body.getvalue())
    return objects


def test_entries_are_read_up_to_a_number_and_by_rule(store):
    read = read_entries(store, "results", ["q1", "q2"], limit=10)
    assert [place_of(one) for one in read] == [
        "a.csv, line 3, row 2",
        "a.csv, row 3",
        "b.csv, row 9",
    ]
    ruled = read_entries(store, "results", ["q1", "q2"], limit=10, rule="price: *")
    assert [one.row for one in ruled] == [3, 9]


def test_no_more_objects_are_read_than_needed(store):
    assert len(read_entries(store, "results", ["q1", "gone"], limit=2)) == 2


def test_texts_of_versions_that_kept_500_bytes_count_as_cut(store):
    long, short = entry(text="x" * 500), entry(text="x" * 400)
    old = quarantine_table([long, short], archive="shop/a.zip", revision="r1")
    body = BytesIO()
    pq.write_table(old.replace_schema_metadata(None), body)
    store.put("results", "old", body.getvalue())
    assert [is_cut(one) for one in iter_entries(store, "results", ["old"])] == [True, False]
    body = BytesIO()
    pq.write_table(old, body)
    store.put("results", "new", body.getvalue())
    assert [is_cut(one) for one in iter_entries(store, "results", ["new"])] == [False, False]


def test_the_report_says_what_why_and_how_to_see_all(store):
    report = quarantine_report(FOUND, read_entries(store, "results", ["q1"], limit=1))
    assert "| bad.csv | MemberCorruptError | whole member, 3 |" in report
    assert "| sales.csv | minimum | 4 |" in report
    assert "- a.csv, line 3, row 2: why \\| ragged_row" in report
    assert "`rwt quarantine list --archive shop/a.zip`" in report
