"""Corrected rows take the place of those that were sent, whichever way an archive is processed."""

import csv
from io import StringIO

from hypothesis import given, settings
from hypothesis import strategies as st

from rwt_assets.feed.feed import MemberRule
from rwt_assets.operations.correcting import file_rows
from rwt_assets.quarantine.correction_file import FileRow, read_file, write_file
from rwt_assets.quarantine.corrections import Corrections
from rwt_assets.quarantine.quarantine import iter_entries
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.pure_way import take

COLUMNS = ("item", "day", "price")
RULE = MemberRule.model_validate(
    {
        "include": ["sales.csv"],
        "split_by": "day",
        "columns": {"day": {"type": "date"}, "price": {"type": "number", "minimum": 0}},
    }
)
ITEMS = st.sampled_from(["pen", "=1+1", "a, b", 'in "quotes"', "two\nlines", "\u00fcber", "'-"])
DAYS = st.sampled_from(["2026-01-01", "2026-01-02", "never"])
PRICES = st.sampled_from(["1", "0.5", "-1", "x", ""])
ROWS = st.tuples(ITEMS, DAYS, PRICES)


def written(rows, delimiter):
    file = StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([COLUMNS, *rows])
    return file.getvalue()


def is_good(row):
    return row[1] != "never" and row[2] not in ("-1", "x")


def given_out(taken):
    """What is quarantined, as a file that a person gets."""
    keys = [key for _, key in taken.store.contents if "/quarantine/" in key]
    members = {one.name: one for one in taken.manifest.members}
    file = StringIO(newline="")
    entries = iter_entries(taken.store, "results", keys)
    write_file(file, COLUMNS, file_rows(entries, members, archive="a.zip", revision="r"))
    sent = {one.row: one.text for one in iter_entries(taken.store, "results", keys)}
    return read_file(file.getvalue().encode(), "rows.csv"), sent


@settings(max_examples=25)
@given(st.lists(ROWS, max_size=12), st.sampled_from(",;\t"), st.data())
def test_delivered_are_the_good_rows_and_the_corrected_ones(rows, delimiter, data):
    """In each of the three ways, which `take` compares, and each as the contract types it."""
    archive = make_zip({"sales.csv": written(rows, delimiter)})
    out, sent = given_out(take(archive, RULE))
    bad = {number: row for number, row in enumerate(rows, 1) if not is_good(row)}
    assert {one.row: tuple(one.fields[name] for name in COLUMNS) for one in out} == bad
    chosen = data.draw(st.sets(st.sampled_from([*bad]))) if bad else set()
    right = {number: data.draw(ROWS) for number in sorted(chosen)}
    corrections = Corrections(
        rows=tuple(
            FileRow(
                "a.zip", "r", "sales.csv", number, None, "", "", sent[number],
                dict(zip(COLUMNS, right[number], strict=True)),
            )
            for number in right
        )
    )  # fmt: skip
    taken = take(archive, RULE, corrections=corrections)
    (member,) = taken.manifest.members
    assert (member.rows_read, member.rows_corrected) == (len(rows), len(right))
    wanted = {number: right.get(number, row) for number, row in enumerate(rows, 1)}
    assert [(r["_row"], r["item"], str(r["day"]), r["price"]) for r in taken.rows] == [
        (number, item, day, float(price) if price else None)
        for number, (item, day, price) in wanted.items()
        if is_good((item, day, price))
    ]


def test_a_batch_without_corrected_rows_is_left_as_it_is():
    body = "item,day,price\n" + "pen,2026-01-01,1\n" * 3
    corrections = Corrections(
        rows=(FileRow("a.zip", "r", "sales.csv", 2, None, "", "", "pen,2026-01-01,other", {}),)
    )
    taken = take(make_zip({"sales.csv": body}), RULE, corrections=corrections)
    assert taken.manifest.rows_corrected == 0
    (shard,) = [body for (_, key), body in taken.store.contents.items() if key.endswith(".csv")]
    assert bytes(shard).decode() == body


def test_a_quote_that_is_never_closed_is_corrected_where_it_is_the_last_record():
    sent = 'cap,2026-01-01,"4'
    archive = make_zip({"sales.csv": f"item,day,price\npen,2026-01-01,1\n{sent}\n"})
    fields = {"item": "cap", "day": "2026-01-01", "price": "4"}
    row = FileRow("a.zip", "r", "sales.csv", 2, None, "", "", sent, fields)
    taken = take(archive, RULE, corrections=Corrections(rows=(row,)))
    assert [(one["item"], one["price"]) for one in taken.rows] == [("pen", 1), ("cap", 4)]
    assert taken.manifest.rows_corrected == 1
    assert taken.manifest.members[0].first_row_line == 2


def test_the_lines_of_rejected_rows_are_those_that_were_sent():
    rows = ['"a\nb",2026-01-01,-1', "c,2026-01-01", '"d\ne\nf",2026-01-01,1', "g,2026-01-01"]
    body = "\n".join(["item,day,price", *rows, ""])
    fields = {"item": "ab", "day": "2026-01-01", "price": "1"}
    row = FileRow("a.zip", "r", "sales.csv", 1, None, "", "", rows[0], fields)
    taken = take(make_zip({"sales.csv": body}), RULE, corrections=Corrections(rows=(row,)))
    assert [one["item"] for one in taken.rows] == ["ab", "d\ne\nf"]
    keys = [key for _, key in taken.store.contents if "/quarantine/" in key]
    found = [(one.row, one.line) for one in iter_entries(taken.store, "results", keys)]
    assert found == [(2, 4), (4, 8)]
