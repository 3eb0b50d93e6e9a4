"""Damage to what was delivered is found, and said with what to do."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from zlib import crc32

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.catalog.missing_deliveries import look_for_documents
from rwt_assets.delivery import verification
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.delivery.deliveries import named_keys
from rwt_assets.delivery.verification import Verified, delivered, verify_document, verify_some
from rwt_assets.documents.footers import FOOTER_BEFORE, FOOTER_SEAL
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.manifest import Delivery
from rwt_assets.operations.replay import ask_whole_way
from rwt_assets.orchestration.checks.deliveries_intact import DELIVERIES_INTACT
from rwt_assets.retention.retirement import find_old, retire
from rwt_assets.values.added_columns import CRC32, ROW
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, SALES, Shop, stored_shop, with_parquet
from rwt_assets_tests.assets.test_deliveries import KEY, REVISIONS, deliver, results

pytestmark = pytest.mark.mostly_long(one_in=3)

BAD = SALES + "hat,2026-01-02,oops\nhat,2026-01-02\n"
BODY = make_zip({"sales.csv": BAD, "items.csv": "a,b\n1,2\n3,4\n", "not.csv": b"\xff\0\xfe"})
DOCUMENT = Layout("rwt/shop").delivery(KEY)
NOT_KEPT = {FOOTER_BEFORE, FOOTER_SEAL}  # of a file that is written again
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def shop(stored):
    deliver(stored, BODY)
    return stored


def verify(shop, depth="quarantine", **settings):
    settings = {"known": {KEY}, **settings}
    return verify_document(shop.objects, shop.feed, DOCUMENT, depth=depth, **settings)


def document(shop) -> Delivery:
    return read_delivery(shop.objects, shop.feed.target, KEY)


def change(shop, key, edit):
    """Write the Parquet at this key again, its table and metadata changed."""
    file = pq.ParquetFile(BytesIO(shop.objects.read("results", key)))
    kept = file.metadata.metadata.items()
    own = {k: v for k, v in kept if k.startswith(b"rwt.") and k not in NOT_KEPT}
    table = edit(file.read(), own).replace_schema_metadata(None)
    body = BytesIO()
    writer = pq.ParquetWriter(body, table.schema)
    writer.write_table(table)
    writer.add_key_value_metadata(own)
    writer.close()
    shop.objects.put("results", key, body.getvalue())
    told = {"bytes": len(body.getvalue()), "crc32": None}
    objects = [
        one.model_copy(update=told) if one.key == key else one for one in document(shop).objects
    ]
    rewrite(shop, objects=tuple(objects))


def without_checksums(shop):
    """As if the delivery had been made by a version that kept none."""
    none = {"crc32": None, "quarantine_crc32": None}
    rewrite(shop, objects=tuple(one.model_copy(update=none) for one in document(shop).objects))


def rewrite(shop, **values):
    changed = document(shop).model_copy(update=values)
    shop.objects.put("results", DOCUMENT, changed.model_dump_json().encode())


def column_set(table, name, values):
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, pa.array(values, table.schema.field(name).type))


@pytest.mark.parametrize("depth", ["footers", "quarantine", "deep"])
def test_what_lies_as_it_was_delivered_has_no_fault(shop, depth):
    found, made = verify(shop, depth), document(shop)
    assert found.faults == ()
    assert made.rows_quarantined == 2
    assert len(made.quarantine_keys) >= 2
    things = len(made.objects) + len(made.quarantine_keys)
    assert (found.deliveries, found.objects, found.rows) == (1, things, made.rows_enriched)


@pytest.mark.parametrize("depth", ["footers", "quarantine", "deep"])
def test_every_object_that_is_gone_is_told(shop, depth):
    made = document(shop)
    for key in (made.objects[0].key, made.quarantine_keys[0]):
        shop.objects.delete("results", [key])
    found = verify(shop, depth)
    first, second = [one for one in found.faults if "is not there" in one.what]
    assert first.where == f"s3://results/{made.objects[0].key}"
    assert first.fix == "Run `rwt replay shop/a.zip`."
    assert second.where == f"s3://results/{made.quarantine_keys[0]}"


def test_another_object_in_its_place_is_told_by_its_footer(shop):
    one, other = document(shop).objects[:2]
    shop.objects.put("results", one.key, shop.objects.read("results", other.key))
    told = " ".join(fault.what for fault in verify(shop, "footers").faults)
    assert "an object has bytes" in told
    assert "an object has rows" in told


def test_an_object_of_another_revision_is_told(shop):
    def other(table, own):
        own[b"rwt.revision"] = b"another"
        return table

    change(shop, document(shop).objects[0].key, other)
    (fault,) = verify(shop, "footers").faults
    assert "has revision another, not" in fault.what


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_an_object_that_is_no_parquet_is_told(shop, cut):
    key = document(shop).objects[0].key
    shop.objects.put("results", key, b"x" * cut)
    assert [fault.where for fault in verify(shop, "footers").faults] == [f"s3://results/{key}"]


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda table: pa.concat_tables([table, table]), "3 rows are quarantined, not 2"),
        (lambda table: table.slice(0, 0), "1 rows are quarantined, not 2"),
        (
            lambda table: column_set(table, "member", ["items.csv"]),
            "1 rows of member 'items.csv' are quarantined, not 0",
        ),
        (
            lambda table: column_set(table, "revision", ["r"]),
            "a quarantine object has rows of another revision than '{revision}'",
        ),
    ],
    ids=["twice", "none", "of another member", "of another revision"],
)
def test_quarantine_with_other_rows_is_told(shop, edit, told):
    (key,) = [key for key in document(shop).quarantine_keys if "contract" in key]
    without_checksums(shop)
    table, body = pq.read_table(BytesIO(shop.objects.read("results", key))), BytesIO()
    pq.write_table(edit(table), body)
    shop.objects.put("results", key, body.getvalue())
    assert verify(shop, "footers").faults == ()
    told = told.format(revision=document(shop).revision)
    assert told in [fault.what for fault in verify(shop).faults]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"rows_read": 99}, "99 rows read are not 5 enriched and 2 quarantined"),
        ({"rows_enriched": 4}, "its objects should have 5 rows, 4 in all"),
        ({"members": ()}, ""),
    ],
)
def test_a_document_that_does_not_add_up_is_told(shop, values, told):
    rewrite(shop, **values)
    whats = [fault.what for fault in verify(shop, "footers").faults]
    assert (told in whats) if told else not whats


def test_a_member_that_does_not_add_up_is_told(shop):
    first, *others = document(shop).members
    rewrite(shop, members=(first.model_copy(update={"rows_read": 50}), *others))
    whats = [fault.what for fault in verify(shop, "footers").faults]
    assert any(f"of member '{first.name}' are not accounted for" in what for what in whats)


def test_a_document_that_cannot_be_read_is_told(shop):
    shop.objects.put("results", DOCUMENT, b"{}")
    (fault,) = verify(shop).faults
    assert "the document cannot be read" in fault.what
    assert "rwt replay" in fault.fix


def key_changed(table, _own):
    return column_set(table, "item", ["cap"] * table.num_rows)


def crc_is_null(table, _own):
    return column_set(table, CRC32, [None] * table.num_rows)


def another_archive(table, _own):
    return column_set(table, "_archive", ["other.zip"] * table.num_rows)


def another_member(table, _own):
    return column_set(table, "_member", ["other.csv"] * table.num_rows)


def rows_twice(table, _own):
    return column_set(table, ROW, [1] * table.num_rows)


def row_of_quarantine(table, _own):
    return column_set(table, ROW, [4, *table.column(ROW).to_pylist()[1:]])


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (key_changed, "2 rows have another CRC-32 than their key"),
        (crc_is_null, "2 rows have another CRC-32 than their key"),
        (another_archive, "2 rows have another _archive than 'shop/a.zip'"),
        (another_member, "2 rows have another _member than 'sales.csv'"),
        (rows_twice, "row 1 of member 'sales.csv' is there more than once"),
        (row_of_quarantine, "row 4 of member 'sales.csv' is there more than once"),
    ],
)
def test_what_only_the_data_say_is_told_by_reading_all_of_them(shop, edit, told):
    (key,) = [one.key for one in document(shop).objects if one.value == "2026-01-02"]
    change(shop, key, edit)
    assert verify(shop).faults == ()
    assert told in [fault.what for fault in verify(shop, "deep").faults]


@pytest.mark.parametrize("told", ["another CRC-32", "decoded"])
def test_a_page_that_is_damaged_is_told_by_reading_all(shop, told):
    one = document(shop).objects[0]
    if told == "decoded":
        without_checksums(shop)
    body = bytearray(shop.objects.read("results", one.key))
    body[4:60] = bytes(56)
    shop.objects.put("results", one.key, bytes(body))
    assert verify(shop).faults == ()
    (fault,) = [one for one in verify(shop, "deep").faults if told in one.what]
    assert fault.where == f"s3://results/{one.key}"


@pytest.fixture(scope="module")
def delivered_once():
    """Of each way of processing: the same archive, and what its delivery names."""
    with ExitStack() as stack:
        shops = []
        for settings in ({}, {"one_pass": True}):
            shop = stack.enter_context(stored_shop(feed=FEED.model_copy(update=settings)))
            deliver(shop, BODY)
            shops.append((shop, sorted(named_keys(document(shop)))))
        yield shops


@given(way=st.sampled_from([0, 1]), data=st.data())
def test_every_bit_that_flips_is_told_by_reading_all(delivered_once, way, data):
    shop, keys = delivered_once[way]
    key = data.draw(st.sampled_from(keys))
    body = shop.objects.read("results", key)
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    flipped = bytearray(body)
    flipped[bit // 8] ^= 1 << bit % 8
    try:
        shop.objects.put("results", key, bytes(flipped))
        faults = verify(shop, "deep").faults
    finally:
        shop.objects.put("results", key, body)
    assert f"s3://results/{key}" in [fault.where for fault in faults]
    assert verify(shop, "deep").faults == ()


@pytest.mark.parametrize("way", [0, 1], ids=["by shards", "one pass"])
def test_the_document_has_the_crc_32_of_what_it_names(delivered_once, way):
    shop, keys = delivered_once[way]
    told = {one.key: one.crc32 for one in document(shop).objects}
    told |= {one.quarantine_key: one.quarantine_crc32 for one in document(shop).objects}
    for key in keys:
        right = crc32(shop.objects.read("results", key))
        assert told.get(key, right) == right
        assert key in told or f"{right:08x}" in key


@pytest.mark.extended
def test_a_bit_of_a_footer_that_flips_is_told_without_reading_the_rows(delivered_once):
    shop, _ = delivered_once[0]
    one = document(shop).objects[0]
    body = shop.objects.read("results", one.key)
    length = int.from_bytes(body[-8:-4], "little") + 8
    for place in range(len(body) - length, len(body)):
        flipped = body[:place] + bytes([body[place] ^ 4]) + body[place + 1 :]
        shop.objects.put("results", one.key, flipped)
        assert verify(shop, "footers").faults, place
    shop.objects.put("results", one.key, body)


def test_a_crc_of_another_declaration_is_not_held_to_the_one_of_today(shop):
    rule = FEED.members[0].model_copy(update={"key_column": "day"})
    shop.feed = FEED.model_copy(update={"members": (rule, FEED.members[1])})
    assert verify(shop, "deep").faults == ()


@pytest.mark.parametrize(
    "values",
    [
        {"key_column": "price"},
        {"key_column": "day"},
        {"enrichments": [{"use": "rename", "column": "item", "to": "thing"}]},
    ],
    ids=["a number", "a date", "a column of another name"],
)
def test_a_crc_whose_column_cannot_be_told_is_not_told_wrong(values):
    rule = FEED.members[0].model_dump(mode="json") | values
    feed = FEED.model_validate({**FEED.model_dump(mode="json"), "members": [rule]})
    with stored_shop(feed=feed) as other:
        deliver(other, REVISIONS[0])
        assert verify(other, "deep").faults == ()


def test_a_document_of_a_version_before_generations_verifies(shop):
    rewrite(shop, generation="", reason="", members=(), former=())
    for depth in ("footers", "quarantine", "deep"):
        assert verify(shop, depth).faults == ()
    shop.objects.delete("results", [document(shop).objects[0].key])
    assert len(verify(shop, "footers").faults) == 1


def test_without_its_archive_in_the_catalog_it_has_to_come_again(shop):
    shop.objects.delete("results", [document(shop).objects[0].key])
    (fault,) = verify(shop, "footers", known=set()).faults
    assert fault.fix.startswith("Upload the archive again")


def test_what_is_replaced_meanwhile_is_looked_at_anew(shop, monkeypatch):
    lost = document(shop).objects[0].key
    shop.objects.delete("results", [lost])
    footer, replaced = verification.read_footer, []

    def replace_it(*arguments):
        if not replaced:
            replaced.append(True)
            deliver(shop, REVISIONS[0])
        return footer(*arguments)

    monkeypatch.setattr(verification, "read_footer", replace_it)
    assert verify(shop, "footers").faults == ()
    assert replaced


def test_what_the_fix_says_puts_it_right(shop):
    for one in document(shop).objects:
        shop.objects.delete("results", [one.key])
    assert verify(shop).faults
    assert ask_whole_way(shop.catalog, [KEY, "shop/b.zip"]) == {
        KEY: "again",
        "shop/b.zip": "unknown",
    }
    assert ask_whole_way(shop.catalog, [KEY]) == {KEY: "before"}
    shop.dispatch()
    assert verify(shop, "deep").faults == ()
    assert shop.counts()[1:] == (0, 0, 0)


def test_a_replay_waits_for_room_and_for_the_run_at_work(shop):
    feed = FEED.model_copy(update={"archives_in_work": 1})
    deliver(shop, BODY, name="b.zip")
    narrow = shop.redeclared(feed)
    assert ask_whole_way(narrow.catalog, [KEY, "shop/b.zip"]) == {
        KEY: "again",
        "shop/b.zip": "no room",
    }
    shop.instance.create_run_for_job(
        shop.definitions.resolve_job_def("shop_split"),
        status=dg.DagsterRunStatus.STARTED,
        tags={"rwt/step": "split", "rwt/archive": "shop/b.zip", "rwt/feed": "shop"},
    )
    assert ask_whole_way(shop.catalog, ["shop/b.zip"]) == {"shop/b.zip": "in work"}


def test_objects_that_lie_elsewhere_are_not_looked_at():
    with Shop() as shop:  # its IO manager keeps frames in memory
        deliver(shop, BODY)
        found = verify(shop)
        assert (found.faults, found.elsewhere) == ((), len(document(shop).objects))


def evaluate(shop, **tags):
    job = shop.definitions.resolve_job_def("shop_verify")
    result = job.execute_in_process(instance=shop.instance, tags=tags)
    (evaluation,) = result.get_asset_check_evaluations()
    assert result.success
    return evaluation


def test_the_check_passes_and_fails(shop):
    passed = evaluate(shop)
    assert (passed.check_name, passed.passed, passed.blocking) == (DELIVERIES_INTACT, True, False)
    assert "as they were delivered" in passed.description
    assert passed.metadata["deliveries_looked_at"].value == 1
    shop.objects.delete("results", [document(shop).objects[0].key])
    failed = evaluate(shop, **{"dagster/scheduled_execution_time": NOW.isoformat()})
    assert not failed.passed
    assert "rwt replay shop/a.zip" in failed.description
    assert failed.metadata["faults"].value == 1
    assert "| an object is not there |" in failed.metadata["what_to_do"].value


def test_a_delivery_that_is_gone_is_told_until_it_is_made_again(shop):
    deliver(shop, REVISIONS[0], name="b.zip")
    shop.objects.delete("results", [DOCUMENT])
    assert shop.counts()[1:] == (0, 0, 0)
    (fault,) = look_for_documents(shop.catalog, shop.objects)[1]
    assert (fault.archive, fault.where) == (KEY, f"s3://results/{DOCUMENT}")
    assert fault.what == "it was delivered, and its delivery.json is not there"
    assert look_for_documents(shop.catalog, shop.objects, ["shop/b.zip"])[1] == []
    failed = evaluate(shop)
    assert not failed.passed
    assert fault.what in failed.description
    assert ask_whole_way(shop.catalog, [KEY]) == {KEY: "again"}
    shop.dispatch()
    assert look_for_documents(shop.catalog, shop.objects)[1] == []
    assert evaluate(shop).passed


def test_what_was_never_delivered_or_was_retired_is_not_missing(shop):
    shop.deliver("bad.zip", b"no zip", ends="failed")
    shop.upload("c.zip", REVISIONS[0])
    shop.take_in()
    old = find_old(shop.catalog, timedelta(0), now=datetime.now(UTC) + timedelta(days=2))
    list(retire(shop.catalog, shop.objects, old, keep_data=False))
    assert look_for_documents(shop.catalog, shop.objects) == ([], [])
    deliver(shop, REVISIONS[0])  # in the catalog again, with what it was before on record
    facts = next(one for one in shop.catalog.facts() if one.partition_key == KEY)
    shop.catalog.mark_retired(facts, keep_data=False)
    shop.objects.delete("results", [DOCUMENT])
    assert look_for_documents(shop.catalog, shop.objects)[1] == []


def test_a_target_that_changed_is_told_with_both_places(shop):
    target = shop.feed.target.model_copy(update={"prefix": "elsewhere"})
    moved = with_parquet(shop.redeclared(shop.feed.model_copy(update={"target": target})))
    (fault,) = look_for_documents(moved.catalog, moved.objects)[1]
    assert f"it was delivered to s3://results/{DOCUMENT}" in fault.what
    assert fault.where == f"s3://results/{Layout('elsewhere').delivery(KEY)}"
    assert "rwt replay shop/a.zip" in fault.fix
    assert not evaluate(moved).passed
    assert look_for_documents(shop.catalog, shop.objects)[1] == []
    before = results(shop)
    assert ask_whole_way(moved.catalog, [KEY]) == {KEY: "again"}
    moved.dispatch()
    assert look_for_documents(moved.catalog, moved.objects)[1] == []
    assert evaluate(moved).passed
    assert before.items() <= results(moved).items(), "what lies at the former place is left"


def test_it_is_evaluated_every_hour(shop):
    schedules = {one.name: one for one in shop.definitions.get_repository_def().schedule_defs}
    schedule = schedules["shop_verify_hourly"]
    assert schedule.cron_schedule == "23 * * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    before = results(shop)
    assert evaluate(shop).passed
    assert results(shop) == before


def test_of_many_deliveries_each_has_its_turn(shop, monkeypatch):
    (head,) = delivered(shop.objects, shop.feed)
    heads = [
        replace(head, key=f"d/{n:04d}", last_modified=NOW + timedelta(minutes=n % 977))
        for n in range(1_000)
    ]
    newest = {one.key for one in sorted(heads, key=lambda one: one.last_modified)[-50:]}
    looked: list[str] = []

    def look(_store, _feed, key, **_settings):
        looked.append(key)
        return Verified(1, 7)

    monkeypatch.setattr(verification, "verify_document", look)
    seen: set[str] = set()
    for hours in range(7):  # 950 others, 150 an hour
        looked.clear()
        now = NOW + timedelta(hours=hours)
        found = verify_some(shop.objects, shop.feed, heads, known=set(), now=now)
        assert newest <= {*looked}
        assert found.deliveries == len(looked) == len({*looked}) <= 200
        seen |= {*looked}
    assert len(seen) == len(heads)


def test_all_of_few_are_looked_at(shop):
    for name in ("b.zip", "c.zip"):
        deliver(shop, BODY, name=name)
    heads = delivered(shop.objects, shop.feed)
    found = verify_some(shop.objects, shop.feed, heads, known=set(), now=NOW)
    assert (found.deliveries, found.faults) == (3, ())


def test_of_very_many_objects_a_few_are_looked_at_and_others_the_next_time(shop):
    heads = delivered(shop.objects, shop.feed)
    gone = document(shop).objects[0].key
    shop.objects.delete("results", [gone])
    found = []
    for hours in range(60):
        now = NOW + timedelta(hours=hours)
        one = verify_some(shop.objects, shop.feed, heads, known=set(), now=now, objects_at_most=2)
        assert one.objects == 2
        found.append(bool(one.faults))
    assert {*found} == {True, False}
