"""Rejected rows are given out, corrected, and taken back."""

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO

import dagster as dg
import pytest
from typer.testing import CliRunner

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.cli import corrections
from rwt_assets.cli.main import app
from rwt_assets.delivery.deliveries import named_keys
from rwt_assets.feed.feed import Dialect, Tolerance
from rwt_assets.member.records import CUT, SHOWN_BYTES
from rwt_assets.operations import taking_back
from rwt_assets.operations.correcting import export_rows, find_rejected
from rwt_assets.operations.replay import ask_whole_way
from rwt_assets.operations.taking_back import Imported, archive_in, import_rows
from rwt_assets.quarantine.correction_file import read_file
from rwt_assets.retention.collection import collect
from rwt_assets.retention.retirement import find_old, retire
from rwt_assets.runtime.errors import ArchiveMissingError, CorrectionError
from rwt_assets.shard.processing import read_manifest
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, Shop, stored_shop, with_parquet
from rwt_assets_tests.stand_ins import run_request

pytestmark = pytest.mark.mostly_long(one_in=3)

BAD = "item,day,price\npen,2026-01-01,1.50\n=pen(),2026-01-01,-2\nink,2026-01-02\n,x,y\n"
ARCHIVE = "shop/a.zip"
TARGET = FEED.target
LATER = datetime.now(UTC) + timedelta(days=400)


@pytest.fixture
def shop():
    with stored_shop() as shop:
        yield shop


def exported(shop, **chosen):
    file = StringIO(newline="")
    done = export_rows(
        shop.catalog,
        shop.objects,
        find_rejected(shop.catalog, shop.objects, ARCHIVE),
        file,
        **chosen,
    )
    return done, file.getvalue()


def table(text):
    return list(csv.DictReader(StringIO(text, newline="")))


def test_rejected_rows_are_given_out_with_their_fields_or_their_text(shop):
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    done, text = exported(shop)
    assert (done.rows, done.fixed, done.members) == (3, 0, ())
    revision = shop.delivery(ARCHIVE).revision
    rows = {one["rwt_row"]: one for one in table(text)}
    assert rows["2"] == {
        "rwt_archive": ARCHIVE,
        "rwt_revision": revision,
        "rwt_member": "sales.csv",
        "rwt_row": "2",
        "rwt_line": "3",
        "rwt_rule": "price: minimum",
        "rwt_reason": "'-2 is less than 0",
        "rwt_text": "",
        "item": "'=pen()",
        "day": "2026-01-01",
        "price": "'-2",
    }
    ragged = rows["3"]
    assert (ragged["rwt_rule"], ragged["rwt_text"]) == ("ragged_row", "ink,2026-01-02")
    assert (ragged["item"], ragged["day"], ragged["price"]) == ("", "", "")
    assert (rows["4"]["rwt_text"], rows["4"]["day"], rows["4"]["price"]) == ("", "x", "y")


def test_a_record_with_a_stray_quote_is_given_out_as_text_and_taken_back_either_way(either):
    inch = 'item,day,price\n5" pipe,2026-01-01,1\n7" pipe,2026-01-01,2\npen,2026-01-02,3\n'
    either.deliver("a.zip", make_zip({"sales.csv": inch}))
    rows = {one["rwt_row"]: one["rwt_text"] for one in table(exported(either)[1])}
    assert rows == {"1": '5" pipe,2026-01-01,1', "2": '7" pipe,2026-01-01,2'}
    fields = {"rwt_text": "", "item": '7" pipe', "day": "2026-01-01", "price": "2"}
    take_back(either, corrected(either, {1: {"rwt_text": '"5"" pipe",2026-01-01,1'}, 2: fields}))
    assert account(either) == (3, 3, 0, 2)
    assert sold(either) == [(1, '5" pipe', 1), (2, '7" pipe', 2), (3, "pen", 3)]


def test_members_with_other_columns_stand_in_one_file(shop):
    others = "price,shelf\n1\n"
    shop.deliver("a.zip", make_zip({"sales.csv": BAD, "stock.csv": others}))
    _, text = exported(shop)
    header = table(text)[0].keys()
    assert [name for name in header if not name.startswith("rwt_")] == [
        "item", "day", "price", "shelf",
    ]  # fmt: skip
    assert {one["rwt_member"] for one in table(exported(shop, member="st*.csv")[1])} == {
        "stock.csv"
    }
    ruled = table(exported(shop, rule="price: *")[1])
    assert [one["rwt_row"] for one in ruled] == ["2"]


def test_what_is_too_long_to_be_kept_is_marked_as_cut(shop):
    long = "x" * SHOWN_BYTES
    shop.deliver("a.zip", make_zip({"sales.csv": f"item,day,price\n{long},2026-01-01,-1\n"}))
    done, text = exported(shop)
    assert (done.rows, done.fixed) == (1, 1)
    (row,) = read_file(text.encode(), "rows.csv")
    assert row.text == long + CUT
    assert set(row.fields.values()) == {""}


def test_members_that_were_quarantined_whole_are_named(shop):
    archive = make_zip({"sales.csv": BAD, "sales2.csv": "nothing\nhere\n"})
    shop.deliver("a.zip", archive)
    done, text = exported(shop)
    assert done.members == ("sales2.csv",)
    assert {one["rwt_member"] for one in table(text)} == {"sales.csv"}


def test_of_what_has_nothing_in_quarantine_nothing_is_given_out(shop):
    shop.deliver("a.zip", make_zip({"sales.csv": "item,day,price\npen,2026-01-01,1\n"}))
    with pytest.raises(ArchiveMissingError, match="nothing of this archive is quarantined"):
        find_rejected(shop.catalog, shop.objects, ARCHIVE)


WAYS = {
    "by shards": {},
    "one pass": {"one_pass": True},
    "not kept": {"one_pass": True, "keep_shards": False},
}


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def either(request):
    """A shop whose feed is processed in each of the ways."""
    with stored_shop(feed=FEED.model_copy(update=request.param)) as shop:
        yield shop


def corrected(shop, changes, **chosen):
    """What is given out, with other cells in some rows: by row number, then by column."""
    rows = table(exported(shop, **chosen)[1])
    for row in rows:
        row.update(changes.get(int(row["rwt_row"]), {}))
    file = StringIO(newline="")
    writer = csv.DictWriter(file, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def take_back(shop, body):
    _, rows = archive_in(body, where="rows.csv")
    done = import_rows(shop.catalog, shop.objects, rows, where="rows.csv")
    shop.dispatch()
    return done


def account(shop):
    delivery = shop.delivery(ARCHIVE)
    return (
        delivery.rows_read,
        delivery.rows_enriched,
        delivery.rows_quarantined,
        delivery.rows_corrected,
    )


def sold(shop):
    rows = shop.rows(ARCHIVE, "sales.csv").sort_values("_row")
    return list(rows[["_row", "item", "price"]].itertuples(index=False, name=None))


def kept(shop):
    return sorted(key for _, key in shop.objects.contents if "/corrections/" in key)


RIGHT = {
    2: {"price": "2"},
    3: {"rwt_text": "ink,2026-01-02,7"},
    4: {"item": "cap", "day": "2026-01-02", "price": "3"},
}
ALL_SOLD = [(1, "pen", 1.5), (2, "=pen()", 2), (3, "ink", 7), (4, "cap", 3)]


def test_corrected_rows_are_delivered_in_their_place(either):
    either.deliver("a.zip", make_zip({"sales.csv": BAD}))
    assert account(either) == (4, 1, 3, 0)
    before = either.delivery(ARCHIVE)
    named = {key: either.objects.read("results", key) for key in named_keys(before)}
    done = take_back(either, corrected(either, RIGHT))
    assert (done.rows, done.unchanged, done.asked) == (3, 0, True)
    either.assert_delivered(ARCHIVE)
    assert account(either) == (4, 4, 0, 3)
    assert sold(either) == ALL_SOLD
    after, manifest = either.delivery(ARCHIVE), read_manifest(either.objects, TARGET, ARCHIVE)
    assert after.reason == "split again: 3 rows were corrected"
    assert [after.corrections] == [manifest.corrections] == kept(either)
    assert [one.rows_corrected for one in manifest.members] == [3]
    assert not named.keys() & named_keys(after)
    assert {key: either.objects.read("results", key) for key in named} == named


def test_a_row_that_is_still_wrong_is_quarantined_again_and_can_be_corrected_again(either):
    either.deliver("a.zip", make_zip({"sales.csv": BAD}))
    take_back(either, corrected(either, {2: {"price": "none"}, 3: RIGHT[3]}))
    assert account(either) == (4, 2, 2, 2)
    again = {one.row: one for one in either.quarantined(ARCHIVE)}
    assert again[2].reason == "'none' is no number"
    assert again[2].text == "=pen(),2026-01-01,none"
    take_back(either, corrected(either, RIGHT))
    assert account(either) == (4, 4, 0, 3)
    assert sold(either) == ALL_SOLD
    assert len(kept(either)) == 2


def test_taking_the_same_file_back_twice_changes_nothing(either):
    either.deliver("a.zip", make_zip({"sales.csv": BAD}))
    file = corrected(either, {2: RIGHT[2]})
    take_back(either, file)
    before = dict(either.objects.contents)
    done = take_back(either, file)
    assert (done.rows, done.unchanged, done.asked) == (0, 3, False)
    assert dict(either.objects.contents) == before
    unchanged = corrected(either, {})
    assert take_back(either, unchanged) == Imported(ARCHIVE, 0, 2, asked=False)
    assert dict(either.objects.contents) == before


def test_a_replay_keeps_what_was_corrected_and_a_new_upload_drops_it(either):
    body = make_zip({"sales.csv": BAD})
    either.deliver("a.zip", body)
    file = corrected(either, {2: RIGHT[2]})
    take_back(either, file)
    ask_whole_way(either.catalog, [ARCHIVE])
    either.dispatch()
    assert account(either) == (4, 2, 2, 1)
    either.deliver("a.zip", make_zip({"sales.csv": BAD + "-,2026-01-01,-1\n"}))
    assert account(either) == (5, 1, 4, 0)
    with pytest.raises(CorrectionError, match="the row is of revision"):
        take_back(either, file)
    either.deliver("a.zip", body)  # the first content once more
    assert account(either) == (4, 1, 3, 0)
    ask_whole_way(either.catalog, [ARCHIVE])
    either.dispatch()
    assert account(either) == (4, 1, 3, 0)
    take_back(either, file)
    assert account(either) == (4, 2, 2, 1)


def test_shards_that_are_not_kept_are_made_again_with_corrections():
    feed = FEED.model_copy(update=WAYS["not kept"])
    with stored_shop(feed=feed) as shop:
        shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
        take_back(shop, corrected(shop, RIGHT))
        (shard, *_) = read_manifest(shop.objects, TARGET, ARCHIVE).shards
        delivery = shop.delivery(ARCHIVE)
        (key,) = [one.key for one in delivery.objects if one.partition_key == shard.partition_key]
        before = shop.objects.read("results", key)
        shop.objects.delete("results", [key])
        request = dg.RunRequest(job_name="shop_enrich", partition_key=shard.partition_key)
        again = run_request(shop.definitions, shop.instance, request)
        assert again.success
        assert shop.objects.read("results", key) == before
        assert sold(shop) == ALL_SOLD


CODES = "item,day,price\n007,2026-01-01,1\n007,2026-01-01,x\n008,2026-01-02,y\n"


def test_what_a_spreadsheet_made_of_cells_that_nobody_touched_is_not_taken(shop):
    shop.deliver("a.zip", make_zip({"sales.csv": CODES}))
    again = {"item": "7", "day": "01.01.2026"}
    done = take_back(shop, corrected(shop, {2: {**again, "price": "2"}, 3: {"item": "8"}}))
    assert done == Imported(ARCHIVE, 1, 1, asked=True, restored=2)
    assert sold(shop) == [(1, "007", 1), (2, "007", 2)]
    assert account(shop) == (3, 2, 1, 1)


def test_a_row_that_repeats_another_is_no_other_because_a_spreadsheet_saved_it():
    rule = FEED.members[0].model_copy(update={"unique": ("item", "day")})
    members = (rule, *FEED.members[1:])
    with stored_shop(feed=FEED.model_copy(update={"members": members})) as shop:
        shop.deliver("a.zip", make_zip({"sales.csv": CODES.replace(",x", ",2")}))
        done = take_back(shop, corrected(shop, {2: {"item": "7"}}))
        assert (done.rows, done.restored, done.asked) == (0, 1, False)
        done = take_back(shop, corrected(shop, {2: {"item": "009"}}))
        assert sold(shop) == [(1, "007", 1), (2, "009", 2)]


def test_the_column_that_a_row_was_rejected_for_may_be_corrected_so():
    rule = FEED.members[0]
    item = rule.columns["item"].model_copy(update={"pattern": "[1-9].*|pen"})
    rule = rule.model_copy(update={"columns": {**rule.columns, "item": item}})
    with stored_shop(feed=FEED.model_copy(update={"members": (rule,)})) as shop:
        shop.deliver("a.zip", make_zip({"sales.csv": CODES.replace(",x", ",2")}))
        take_back(shop, corrected(shop, {2: {"item": "7"}}))
        assert sold(shop) == [(2, "7", 2)]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({2: {"rwt_row": "1"}}, "row 1\\): it is not in quarantine"),
        ({2: {"rwt_member": "b.csv"}}, "no such member"),
        ({2: {"rwt_row": "4"}}, "row 4\\): it stands in the file twice"),
        ({2: {"rwt_revision": "other"}}, "the row is of revision other, the current one of"),
        ({2: {"rwt_archive": "shop/b.zip"}}, "its rows are of shop/a.zip, shop/b.zip"),
        ({3: {"rwt_text": "ink,2"}}, "row 3\\): its text is not one record of 3 fields"),
        ({3: {"item": "ink"}}, "row 3\\): its text and its fields are filled"),
        ({3: {"rwt_text": ""}}, "row 3\\): it is empty"),
    ],
)
def test_a_file_with_a_row_that_cannot_be_taken_is_refused_as_a_whole(shop, changes, found):
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    body = corrected(shop, {4: RIGHT[4], **changes})
    before = dict(shop.objects.contents)
    with pytest.raises(CorrectionError, match=found) as refusal:
        take_back(shop, body)
    assert "Nothing was imported" in str(refusal.value)
    assert dict(shop.objects.contents) == before
    assert shop.dispatch() == []


def test_a_row_cannot_be_taken_if_it_was_cut(shop):
    long = "x" * SHOWN_BYTES
    shop.deliver("a.zip", make_zip({"sales.csv": f"item,day,price\n{long},2026-01-01,-1\n"}))
    assert take_back(shop, corrected(shop, {})).rows == 0
    with pytest.raises(CorrectionError, match="is longer than is kept"):
        take_back(shop, corrected(shop, {1: {"rwt_text": "pen,2026-01-01,1"}}))


def test_fields_that_the_member_cannot_hold_are_refused():
    sales, others = FEED.members
    bare = sales.model_copy(update={"dialect": Dialect(quote="none")})
    with stored_shop(feed=FEED.model_copy(update={"members": (bare, others)})) as shop:
        shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
        with pytest.raises(CorrectionError, match="cannot be written with delimiter ',' and quote"):
            take_back(shop, corrected(shop, {2: {"item": "a, b", "price": "1"}}))


def test_what_is_in_work_is_left_alone(shop):
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    file = corrected(shop, RIGHT)
    shop.upload("a.zip", make_zip({"sales.csv": BAD + "x\n"}))
    shop.take_in()
    with pytest.raises(CorrectionError, match="is in work"):
        take_back(shop, file)
    assert kept(shop) == []


def test_what_tolerance_refused_is_delivered_once_it_is_corrected():
    feed = FEED.model_copy(update={"tolerance": Tolerance(rows=1)})
    with stored_shop(feed=feed) as shop:
        shop.deliver("a.zip", make_zip({"sales.csv": BAD}), ends="failed")
        take_back(shop, corrected(shop, {2: RIGHT[2], 3: RIGHT[3]}))
        assert account(shop) == (4, 3, 1, 2)


def test_a_correction_of_another_record_does_not_apply(shop):
    """What is read in another way after the declaration changed is not replaced by accident."""
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    take_back(shop, corrected(shop, {2: RIGHT[2]}))
    sales, others = shop.feed.members
    skipping = sales.model_copy(update={"dialect": Dialect(header=False, skip_lines=2)})
    other = with_parquet(
        shop.redeclared(shop.feed.model_copy(update={"members": (skipping, others)}))
    )
    ask_whole_way(other.catalog, [ARCHIVE])
    other.dispatch()
    assert account(other) == (3, 0, 3, 0)


def test_corrections_stay_while_they_are_in_force_and_go_with_their_archive(shop):
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    take_back(shop, corrected(shop, {2: RIGHT[2]}))
    first = kept(shop)
    list(collect(shop.catalog, shop.objects, now=LATER))
    assert kept(shop) == first
    shop.deliver("a.zip", make_zip({"sales.csv": BAD + "x\n"}))
    assert kept(shop) == first
    list(collect(shop.catalog, shop.objects, now=LATER))
    assert kept(shop) == []
    take_back(shop, corrected(shop, {2: RIGHT[2]}))
    assert len(kept(shop)) == 1
    old = find_old(shop.catalog, timedelta(0), now=LATER)
    list(retire(shop.catalog, shop.objects, old, keep_data=False))
    assert kept(shop) == []


def test_of_two_imports_at_once_one_is_refused(shop, monkeypatch):
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    first, second = (corrected(shop, {row: RIGHT[row]}) for row in (2, 3))
    keep = taking_back.keep_corrections

    def overtaken(*arguments):
        monkeypatch.setattr(taking_back, "keep_corrections", keep)
        take_back(shop, first)
        return keep(*arguments)

    monkeypatch.setattr(taking_back, "keep_corrections", overtaken)
    with pytest.raises(CorrectionError, match="another import has ended meanwhile"):
        take_back(shop, second)
    assert account(shop) == (4, 2, 2, 1)


def test_an_import_that_was_cut_short_is_finished_by_the_next(shop, monkeypatch):
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    file = corrected(shop, {2: RIGHT[2]})
    with monkeypatch.context() as patch:
        patch.setattr(FeedCatalog, "ask_replay", lambda *_: pytest.fail("the process is killed"))
        with pytest.raises(pytest.fail.Exception):
            take_back(shop, file)
    assert account(shop) == (4, 1, 3, 0)
    assert take_back(shop, file) == Imported(ARCHIVE, 0, 3, asked=True)
    assert account(shop) == (4, 2, 2, 1)


def test_the_report_names_what_was_corrected(shop):
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    done = corrected(shop, RIGHT)
    _, rows = archive_in(done, where="rows.csv")
    import_rows(shop.catalog, shop.objects, rows, where="rows.csv")
    *_, deliver = shop.dispatch()
    (event,) = deliver.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["rows_corrected"].value == 3
    assert "**Fine.** All 4 rows are enriched. 3 rows were read as corrected." in str(
        metadata["report"].value
    )


@pytest.fixture
def deployed(deployment, monkeypatch):
    """A shop whose feed the command finds, on a deployment whose store is in memory."""
    with stored_shop(deployment) as shop:
        monkeypatch.setattr(corrections, "connect_objects", lambda *_: shop.objects)
        monkeypatch.setattr(corrections, "declared_feeds", lambda: [shop.feed])
        yield shop


def rwt(*arguments, status=0):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    return result


@pytest.mark.extended
def test_the_command_writes_a_file_or_standard_output(deployed: Shop, tmp_path):
    deployed.deliver("a.zip", make_zip({"sales.csv": BAD, "sales2.csv": "nothing\nhere\n"}))
    result = rwt("quarantine", "export", ARCHIVE, "--output", "rows.csv")
    assert result.stdout == ""
    assert "Rejected rows written to rows.csv: 3." in result.stderr
    assert "sales2.csv was quarantined whole: it has no rows here." in result.stderr
    body = (tmp_path / "rows.csv").read_bytes()
    assert body.startswith(b"\xef\xbb\xbfrwt_archive,")
    result = rwt("quarantine", "export", ARCHIVE, "--rule", "ragged_row")
    (row,) = read_file(result.stdout_bytes, "stdout")
    assert (row.member, row.row, row.text) == ("sales.csv", 3, "ink,2026-01-02")
    rows = body.decode("utf-8-sig").replace("'-2", "2")
    (tmp_path / "rows.csv").write_text(rows, newline="")
    told = rwt("quarantine", "import", "rows.csv", "--archive", "shop/a.zip").stdout
    assert told == f"{ARCHIVE}: rows corrected: 1, as they were: 2; it is processed again\n"
    deployed.dispatch()
    assert account(deployed) == (4, 2, 2, 1)
    told = rwt("quarantine", "import", "rows.csv", "--wait").stdout
    assert told == f"{ARCHIVE}: rows corrected: 0, as they were: 3; it stays as it is\n"
    refused = rwt("quarantine", "import", "rows.csv", "--archive", "shop/b.zip", status=1)
    assert "its rows are of shop/a.zip, not of shop/b.zip" in " ".join(refused.output.split())
    refused = rwt("quarantine", "export", "shop/b.zip", status=1)
    assert "nothing of this archive is quarantined" in refused.output
