"""What a feed would make of an archive: the same that the pipeline makes of it."""

import unicodedata
from io import BytesIO

import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from rwt_assets.authoring.preview import VALUES_SHOWN, preview_archive
from rwt_assets.feed.feed import Feed
from rwt_assets_tests.archives import CAIRNS, make_zip
from rwt_assets_tests.odd_archives import Entry
from rwt_assets_tests.odd_archives import archive as odd_archive
from rwt_assets_tests.pure_way import take

SALES = {
    "include": ["sales*.csv"],
    "split_by": "day",
    "columns": {"ticket": {"nullable": False}, "day": {}, "price": {"type": "number"}},
}
GOOD = "ticket,day,price\n1,mon,2.5\n2,tue,3\n"
SESAME = "open up"
BAD = "ticket,day,price\n1,mon,2.5\n,mon,3\n3,tue,much\n4,tue\n5,wed,1\n"


def feed(*rules, name="shop", **settings):
    return Feed.model_validate(
        {
            "name": name,
            "source": {"bucket": "incoming", "queue": "q", "prefix": f"{name}/"},
            "target": {"bucket": "results", "prefix": f"rwt/{name}"},
            "members": rules or [SALES],
            **settings,
        }
    )


@pytest.fixture
def archive(tmp_path):
    def make(members, name="a.zip"):
        file = tmp_path / name
        file.write_bytes(make_zip(members))
        return file

    return make


def test_a_good_archive_would_be_delivered_whole(archive):
    found = preview_archive(archive({"sales.csv": GOOD, "notes.md": "x"}), feed())
    assert found.everything_delivered
    sales, notes = found.members
    assert (sales.outcome, sales.rows_read, sales.shards, sales.split_by) == ("taken", 2, 2, "day")
    assert [(one.value, one.rows) for one in sales.values] == [("mon", 1), ("tue", 1)]
    assert [(one.name, one.type, one.note) for one in sales.columns] == [
        ("ticket", "string", "not null"),
        ("day", "string", ""),
        ("price", "number", ""),
    ]
    assert sales.dialect.delimiter == ","
    assert (notes.outcome, notes.reason) == ("ignored", "no rule of the feed takes it")


def test_rows_that_would_be_set_aside_are_counted_by_rule_with_examples(archive):
    found = preview_archive(archive({"sales.csv": BAD}), feed())
    assert not found.everything_delivered
    assert (found.rows_read, found.rows_quarantined, found.failure) == (5, 3, "")
    (member,) = found.members
    told = {
        problem.rule: (problem.rows, [(one.line, one.row, one.text) for one in problem.examples])
        for problem in member.problems
    }
    assert told == {
        "ticket: not null": (1, [(3, 2, ",mon,3")]),
        "price: number": (1, [(4, 3, "3,tue,much")]),
        "ragged_row": (1, [(5, 4, "4,tue")]),
    }


def test_the_first_examples_are_shown_whatever_their_shard(archive):
    rows = [f"{n},{'mon' if n % 2 else 'tue'},much" for n in range(1, 41)]
    text = "ticket,day,price\n" + "\n".join(rows) + "\n"
    (member,) = preview_archive(archive({"sales.csv": text}), feed()).members
    (problem,) = member.problems
    assert problem.rows == 40
    assert [one.row for one in problem.examples] == [1, 2, 3]


def test_it_counts_what_the_pipeline_counts(archive):
    file = archive({"sales.csv": BAD, "sales_2.csv": GOOD, "sales_3.csv": "nothing\n1\n"})
    found = preview_archive(file, feed())
    taken = take(file.read_bytes(), *feed().members)
    assert found.rows_read == taken.manifest.rows_read
    assert found.rows_read - found.rows_quarantined == len(taken.rows)
    entries = [
        row
        for (_, key), body in taken.store.contents.items()
        if "/quarantine/" in key
        for row in pq.read_table(BytesIO(body)).to_pylist()
    ]
    expected = {(entry["member"], entry["rule"]) for entry in entries}
    assert {(m.name, problem.rule) for m in found.members for problem in m.problems} == expected


def test_the_most_frequent_values_come_first_and_the_others_are_counted(archive):
    days = [day for day in range(15) for _ in range(day + 1)]
    text = "ticket,day,price\n" + "".join(f"{n},d{day},1\n" for n, day in enumerate(days))
    (member,) = preview_archive(archive({"sales.csv": text}), feed()).members
    assert [one.value for one in member.values] == [f"d{day}" for day in range(14, 4, -1)]
    assert len(member.values) == VALUES_SHOWN
    assert (member.other_values, member.other_rows) == (5, 15)


def test_a_broken_member_says_why_and_the_others_go_through(archive):
    found = preview_archive(archive({"sales_1.csv": "nothing\n1\n", "sales_2.csv": GOOD}), feed())
    broken, good = found.members
    assert (broken.outcome, good.outcome) == ("broken", "taken")
    assert "the columns 'day', 'ticket' are missing" in broken.reason
    assert found.members_broken == 1
    assert not found.everything_delivered


@pytest.mark.parametrize(
    ("members", "settings", "says"),
    [
        ({"other.csv": GOOD}, {}, "no member that feed shop takes"),
        ({"sales.csv": BAD}, {"tolerance": {"rows": 2}}, "tolerance.rows is 2, found 3"),
        ({"sales.csv": "x\n"}, {"broken_members": "fail"}, "broken_members of the feed is 'fail'"),
        ({"sales.csv": GOOD}, {"limits": {"archive_bytes": 5}}, "limits.archive_bytes"),
    ],
)
def test_an_archive_that_would_fail_says_why(archive, members, settings, says):
    found = preview_archive(archive(members), feed(**settings))
    assert says in found.failure
    assert not found.everything_delivered


def test_what_is_no_archive_would_fail(tmp_path):
    file = tmp_path / "a.zip"
    file.write_bytes(b"hello")
    assert "ZIP" in preview_archive(file, feed()).failure


def test_a_file_that_the_feed_would_never_read_is_told(archive):
    found = preview_archive(archive({"sales.csv": GOOD}, name="a.zipx"), feed())
    assert "ends in '.zip'" in found.not_noticed
    assert not found.everything_delivered


@pytest.mark.parametrize(("sent", "wanted"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_that_look_the_same_are_told_by_code_points(archive, sent, wanted):
    sent, wanted = (unicodedata.normalize(form, "données.csv") for form in (sent, wanted))
    file = archive({sent: GOOD})
    declared = feed({**SALES, "include": [wanted]})
    assert preview_archive(file, declared).everything_delivered
    exact = declared.model_copy(update={"case": "exact"})
    assert "U+0301" in preview_archive(file, exact).failure


def test_a_member_in_a_folder_is_not_delivered_in_silence(archive):
    file = archive({"may/sales.csv": GOOD, "may/other.csv": GOOD})
    declared = feed(SALES, {"include": ["*.csv"]})
    found = preview_archive(file, declared)
    assert [one.outcome for one in found.members] == ["broken", "taken"]
    assert "match: name" in found.members[0].problems[0].examples[0].reason
    assert not found.everything_delivered
    by_name = feed({**SALES, "match": "name"}, {"include": ["*.csv"]})
    assert preview_archive(file, by_name).everything_delivered


def test_members_of_archives_within_are_shown(archive):
    file = archive({"inner.zip": make_zip({"sales.csv": GOOD})})
    found = preview_archive(file, feed({**SALES, "include": ["*/sales.csv"]}))
    assert [one.name for one in found.members] == ["inner.zip/sales.csv"]
    assert found.everything_delivered


def test_an_encrypted_member_needs_the_password(tmp_path):
    file = tmp_path / "a.zip"
    file.write_bytes(odd_archive([Entry("sales.csv", GOOD.encode(), password=SESAME)]))
    assert preview_archive(file, feed()).members_broken == 1
    assert preview_archive(file, feed(), password=SecretStr(SESAME)).everything_delivered


def test_how_much_was_read_is_told():
    read: list[int] = []
    gtfs = feed({"include": ["*.txt"]})
    preview_archive(CAIRNS, gtfs, on_read=read.append)
    assert sum(read) >= CAIRNS.stat().st_size * 0.9
