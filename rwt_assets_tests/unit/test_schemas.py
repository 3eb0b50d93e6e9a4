from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.documents import schema_history
from rwt_assets.documents.manifest import ArchiveManifest, MemberReport
from rwt_assets.documents.schema_history import record_schemas
from rwt_assets.documents.schemas import (
    Column,
    MemberSchema,
    compare_schemas,
    differences_sentence,
    differences_table,
    kind_of,
    schema_of,
)
from rwt_assets.feed.feed import Feed
from rwt_assets.member.dialect import CsvDialect
from rwt_assets_tests.stand_ins import InMemoryObjects

FEED = Feed.model_validate(
    {
        "name": "shop",
        "source": {"bucket": "incoming", "queue": "shop"},
        "target": {"bucket": "results", "prefix": "rwt/shop"},
        "members": [
            {"include": ["sales*"], "columns": {"n": {"type": "integer"}}},
            {"include": ["*"]},
        ],
    }
)
NAMES = st.lists(st.sampled_from("abcdefg"), unique=True)


def schema(names, **dialect):
    columns = tuple(Column(name=name) for name in names)
    return MemberSchema(columns=columns, dialect=CsvDialect(**dialect))


def changes(before, after):
    return [(one.change, one.column) for one in compare_schemas(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("abc", "abc", []),
        ("abc", "abcd", [("added", "d")]),
        ("abc", "ac", [("removed", "b")]),
        ("abcd", "bcda", [("moved", "a")]),
        ("abc", "xac", [("added", "x"), ("removed", "b")]),
    ],
)
def test_what_is_added_removed_and_moved(before, after, expected):
    assert changes(schema(before), schema(after)) == expected


@given(NAMES, NAMES)
def test_schemas_are_equal_if_nothing_differs_and_only_then(before, after):
    found = compare_schemas(schema(before), schema(after))
    assert (before == after) == (not found)
    assert {c.column for c in found if c.change == "added"} == set(after) - set(before)
    assert {c.column for c in found if c.change == "removed"} == set(before) - set(after)
    moved = {c.column for c in found if c.change == "moved"}
    assert [n for n in before if n in after and n not in moved] == [
        n for n in after if n in before and n not in moved
    ]


def test_types_and_dialects_are_compared_and_told():
    rule = FEED.members[0]
    before = schema_of(MemberReport(name="m", outcome="split", columns=("n", "x|y")), rule)
    assert [(c.name, c.type) for c in before.columns] == [("n", "integer"), ("x|y", "not declared")]
    after = MemberSchema(
        columns=(Column(name="n", type="number"), Column(name="x|y")),
        dialect=CsvDialect(delimiter=";", encoding="cp1252"),
    )
    found = compare_schemas(before, after)
    assert differences_sentence(found) == (
        "type changed: 'n'; "
        "dialect changed: encoding 'utf-8' to encoding 'cp1252', delimiter ',' to delimiter ';'"
    )
    assert "| type changed | n | integer | number |" in differences_table(found)
    assert differences_sentence(()) == "nothing differs"
    moved = compare_schemas(schema(["a", "x|y"]), schema(["x|y"]))
    assert "| removed | a | column 1 |  |" in differences_table(moved)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sales_2026-01-01.csv", "sales_#-#-#.csv"),
        ("a/export_3f2b9c0d.csv", "a/export_#.csv"),
        ("facade.csv", "facade.csv"),
        ("SALES_2026-01-01.CSV", "sales_#-#-#.csv"),
        ("de\u0301cembre.csv", "d\u00e9cembre.csv"),
        ("stop_times.txt", "stop_times.txt"),
    ],
)
def test_names_of_one_kind_differ_in_numbers_only(name, kind):
    assert kind_of(name) == kind


class History:
    """Archives that arrive on the day of their number."""

    def __init__(self):
        self.store = InMemoryObjects()

    def look(self, day, *, known=True, revision="r", outcome="split", **members):
        reports = [
            MemberReport(name=f"{name}.csv", outcome=outcome, columns=tuple(columns))
            for name, columns in members.items()
        ]
        manifest = ArchiveManifest(
            feed="shop",
            bucket="incoming",
            key=f"{day}.zip",
            revision=revision,
            version_id=None,
            members=tuple(reports),
            shards=(),
            quarantine_keys=(),
        )
        arrived = datetime(2026, 1, day, tzinfo=UTC) if known else None
        self.findings = record_schemas(self.store, FEED, manifest, arrived)
        return {
            change.member: (
                change.sibling or (change.known.archive if change.known else None),
                differences_sentence(change.differences),
            )
            for finding in self.findings
            for change in finding.changes
        }


@pytest.fixture
def history():
    return History()


def test_the_first_archive_makes_its_columns_known(history):
    assert history.look(1, sales_1="ab", items="cd") == {}
    assert [(one.kind, one.known) for one in history.findings] == [
        ("sales_#.csv", None),
        ("items.csv", None),
    ]
    assert sorted(key for _, key in history.store.contents) == [
        "rwt/shop/schemas/rule=%2A/schemas.json",
        "rwt/shop/schemas/rule=sales%2A/schemas.json",
    ]
    assert history.look(2, sales_2="ab", items="cd") == {}
    assert {one.known.archive for one in history.findings} == {"1.zip"}


def test_a_change_is_told_with_the_archive_that_it_differs_from_and_once(history):
    history.look(1, sales_1="ab")
    assert history.look(2, sales_2="abc") == {"sales_2.csv": ("1.zip", "added: 'c'")}
    assert history.look(3, sales_3="abc") == {}


def test_the_same_revision_split_again_tells_the_same_and_writes_nothing(history):
    history.look(1, sales_1="ab")
    told = history.look(2, sales_2="abc")
    history.look(3, sales_3="c")
    before, puts = dict(history.store.contents), len(history.store.puts)
    assert history.look(1, sales_1="ab") == {}
    assert history.look(2, sales_2="abc") == told
    assert history.store.contents == before
    assert len(history.store.puts) == puts


def test_a_new_revision_of_the_same_archive_is_compared_with_the_one_before(history):
    history.look(1, sales_1="ab")
    assert history.look(1, revision="s", sales_1="b") == {"sales_1.csv": ("1.zip", "removed: 'a'")}


def test_an_old_archive_that_comes_late_changes_nothing(history):
    history.look(1, sales_1="ab")
    history.look(5, sales_1="abc")
    assert history.look(3, sales_1="ab") == {}
    assert history.look(2, sales_1="a") == {"sales_1.csv": ("1.zip", "removed: 'b'")}
    assert history.look(6, sales_1="abc") == {}


def test_an_archive_older_than_all_that_is_known_is_compared_with_the_first(history):
    history.look(5, sales_1="ab")
    assert history.look(1, sales_1="a") == {"sales_1.csv": ("5.zip", "removed: 'b'")}
    assert history.look(6, sales_1="ab") == {}


def test_without_a_time_the_order_of_splitting_counts(history):
    history.look(1, known=False, sales_1="ab")
    assert set(history.look(2, known=False, sales_1="a")) == {"sales_1.csv"}
    assert set(history.look(2, known=False, sales_1="a")) == {"sales_1.csv"}
    assert history.look(3, known=False, sales_1="a") == {}


def test_members_of_one_archive_that_differ_among_themselves_are_told(history):
    told = history.look(1, sales_1="ab", sales_2="abc")
    assert told == {"sales_2.csv": ("sales_1.csv", "added: 'c'")}
    assert history.look(1, sales_1="ab", sales_2="abc") == told
    told = history.look(2, sales_1="ab", sales_2="abc")
    assert told == {"sales_1.csv": ("1.zip", "removed: 'c'")}


def test_columns_of_a_member_that_was_set_aside_are_told_and_not_known(history):
    history.look(1, sales_1="ab")
    assert history.look(2, outcome="quarantined", sales_1="abc") == {
        "sales_1.csv": ("1.zip", "added: 'c'")
    }
    assert history.look(3, sales_1="ab") == {}


def test_what_is_known_has_a_bound(history, monkeypatch):
    monkeypatch.setattr(schema_history, "KINDS_KEPT", 3)
    monkeypatch.setattr(schema_history, "VERSIONS_KEPT", 2)
    history.look(1, a="a", b="b", c="c")
    history.look(2, a="a", d="d")
    assert history.look(3, a="ax", c="c", d="d") == {"a.csv": ("1.zip", "added: 'x'")}
    history.look(4, b="changed")
    assert [one.known for one in history.findings] == [None], "it was dropped"
    for day in (5, 6, 7):
        assert len(history.look(day, a=f"a{day}")) == 1


def test_a_document_that_cannot_be_read_is_made_anew(history):
    history.look(1, items="ab")
    (key,) = history.store.contents
    history.store.contents[key] = b"not JSON"
    assert history.look(2, items="abc") == {}
    assert history.look(3, items="ab") == {"items.csv": ("2.zip", "removed: 'c'")}
