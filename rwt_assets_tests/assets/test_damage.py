"""Objects that are replaced, cut or removed between two steps: nothing of that is delivered.

What belongs here: damage to what one step wrote and the next one reads, in each way of processing.
What does not: faults of requests and processes (`test_faults.py`).
"""

from io import BytesIO

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rwt_assets.catalog.catalog import DAMAGE_AT_MOST
from rwt_assets.catalog.intake import sweep
from rwt_assets.catalog.standing import failed_archives, retry_failed, take_standing
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.delivery.deliveries import named_keys
from rwt_assets.delivery.reconciliation import FOOTER_CHECKSUM, FOOTER_VERSION
from rwt_assets.delivery.verification import verify_document
from rwt_assets.documents.footers import FOOTER_BEFORE
from rwt_assets.documents.layout import Layout
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.runtime.errors import ArchiveMissingError
from rwt_assets.shard.processing import read_manifest
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, stored_shop, with_parquet
from rwt_assets_tests.faulty_round import announce, assert_whole, delivered_rows, go_on, rows_of
from rwt_assets_tests.stand_ins import InMemoryObjects, run_request

pytestmark = pytest.mark.mostly_long(one_in=3)

# The days take turns, so the rows of a shard are not consecutive.
DAYS = "".join(f"pen,2026-01-0{1 + row % 3},{row}\n" for row in range(12))
MEMBERS = {"sales.csv": f"item,day,price\n{DAYS}"}
FIRST = {"sales.csv": "item,day,price\npen,2026-01-01,99\n"}


def as_parquet(table, **footer):
    body = BytesIO()
    pq.write_table(table.replace_schema_metadata(footer), body)
    return body.getvalue()


DAMAGES = {
    "other bytes": lambda body: body[:-2] + bytes([body[-2] ^ 1]) + body[-1:],
    "cut": lambda body: body[:-3],
    "empty": lambda body: b"",
    "longer": lambda body: b"x" + body,
    "longer at the end": lambda body: body + b"pen,2026-01-01,7\n",
    "removed": lambda body: None,
}
# Only its end is read before a delivery; `rwt verify --deep` reads all of it.
OF_PARQUET = {
    **DAMAGES,
    "the last bytes alone are right": lambda body: bytes(len(body) - 8) + body[-8:],
    "Parquet of somebody else": lambda body: as_parquet(pa.table({"item": ["pen"]})),
    "Parquet of another content": lambda body: as_parquet(
        pa.table({"item": ["pen"] * 4}), **{FOOTER_CHECKSUM.decode(): "00000000"}
    ),
    "Parquet of another version": lambda body: as_parquet(
        pa.table({"item": ["pen"] * 4}),
        **{
            FOOTER_CHECKSUM.decode(): pq.read_metadata(BytesIO(body)).metadata[FOOTER_CHECKSUM],
            FOOTER_VERSION.decode(): b"\xff another",
        },
    ),
}
WAYS = {
    "by shards": {},
    "one pass": {"one_pass": True},
    "not kept": {"one_pass": True, "keep_shards": False},
}


@pytest.fixture
def stored(request):
    feed = FEED.model_copy(update=getattr(request, "param", {}))
    with stored_shop(feed=feed) as shop:
        yield shop


def step(shop, name):
    """Take in what waits and carry out steps until this one has been done."""
    shop.take_in()
    while True:
        requests = plan(shop.catalog)
        assert requests, f"{name} was never asked for"
        for request in requests:
            assert run_request(shop.definitions, shop.instance, request).success
        if requests[0].tags["rwt/step"] == name:
            return


def keys_in(shop, folder, ending=""):
    return [
        key
        for bucket, key in shop.objects.contents
        if bucket == "results" and f"/{folder}/" in key and key.endswith(ending)
    ]


def damage(shop, key, how):
    """Change an object that is there."""
    body = how(shop.objects.contents["results", key])
    assert body != shop.objects.contents["results", key]
    if body is None:
        del shop.objects.contents["results", key]
    else:
        shop.objects.contents["results", key] = body


def runs_of(shop, name):
    return shop.instance.get_runs(dg.RunsFilter(tags={"rwt/step": name}))


def delivered_before(shop):
    """An accepted delivery, and the bytes that it names."""
    key = announce(shop, "a.zip", FIRST, "01")
    go_on(shop)
    return named_bytes(shop, key)


def named_bytes(shop, archive):
    named = named_keys(read_delivery(shop.objects, shop.feed.target, archive))
    return {key: shop.objects.contents["results", key] for key in named}


def assert_as_before(shop, before):
    assert {key: shop.objects.contents["results", key] for key in before} == before


@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_a_shard_that_is_not_as_it_was_written_is_split_again_and_never_delivered(stored, how):
    before = delivered_before(stored)
    archives = {announce(stored, "a.zip", MEMBERS, "02"): MEMBERS}
    step(stored, "split")
    shard = keys_in(stored, "shards", ".csv")[-1]
    damage(stored, shard, how)
    go_on(stored, expect_failure=True)
    assert_whole(stored, archives)
    assert_as_before(stored, before)
    assert len(runs_of(stored, "split")) == 3
    (failed,) = [run for run in runs_of(stored, "enrich") if not run.is_success]
    assert shard in failed.tags["rwt/reason"]
    delivery = read_delivery(stored.objects, stored.feed.target, "shop/a.zip")
    assert "damage" in read_manifest(stored.objects, stored.feed.target, "shop/a.zip").reason
    assert delivery.reason == "new revision"


@pytest.mark.parametrize("limit", [4 << 20, 0], ids=["shared", "of each part"])
@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_row_numbers_that_are_not_as_they_were_written_are_never_delivered(
    stored, monkeypatch, how, limit
):
    """Bytes after the end of the numbers are never read."""
    monkeypatch.setattr("rwt_assets.shard.unpacking.OBJECT_BYTES", limit)
    archives = {announce(stored, "a.zip", MEMBERS, "01"): MEMBERS}
    step(stored, "split")
    numbers = keys_in(stored, "shards", ".i64")
    assert [("row-numbers-" in key) for key in numbers] == ([True] if limit else [False] * 3)
    damage(stored, numbers[-1], how)
    at_the_end = how is DAMAGES["longer at the end"]
    go_on(stored, expect_failure=not at_the_end)
    assert_whole(stored, archives)
    assert row_numbers(stored, "shop/a.zip") == list(range(1, 13))
    assert len(runs_of(stored, "split")) == (1 if at_the_end else 2)


def row_numbers(shop, archive):
    return sorted(
        number
        for one in read_delivery(shop.objects, shop.feed.target, archive).objects
        for number in pq.read_table(BytesIO(shop.objects.read("results", one.key)))["_row"]
        .to_numpy()
        .tolist()
    )


@pytest.mark.parametrize(
    ("stored", "how"),
    [
        *(pytest.param({}, how, id=name) for name, how in OF_PARQUET.items()),
        *(
            pytest.param(settings, OF_PARQUET[name], id=f"{name}, {way}")
            for way, settings in list(WAYS.items())[1:]
            for name in ("cut", "removed")
        ),
    ],
    indirect=["stored"],
)
def test_parquet_that_is_not_as_it_was_written_is_made_again_and_never_delivered(stored, how):
    before = delivered_before(stored)
    archives = {announce(stored, "a.zip", MEMBERS, "02"): MEMBERS}
    step(stored, "split" if stored.feed.one_pass else "enrich")
    enriched = [key for key in keys_in(stored, "enriched") if key not in before]
    damage(stored, enriched[0], how)
    go_on(stored, expect_failure=True)
    assert_whole(stored, archives)
    assert_as_before(stored, before)
    again = how is not DAMAGES["removed"]  # where nothing is in the way, the key serves again
    assert len(runs_of(stored, "split")) == (3 if again else 2)
    delivery = read_delivery(stored.objects, stored.feed.target, "shop/a.zip")
    assert (enriched[0] in named_keys(delivery)) != again


BAD_ROW = {"sales.csv": MEMBERS["sales.csv"] + "pen,2026-01-03,x\npen,2026-01-01\n"}


@pytest.mark.parametrize("stored", [WAYS["by shards"], WAYS["not kept"]], indirect=True)
@pytest.mark.parametrize("name", ["cut", "removed", "Parquet of somebody else"])
def test_a_quarantine_that_is_not_as_it_was_written_is_made_again(stored, name):
    key = announce(stored, "a.zip", BAD_ROW, "01")
    step(stored, "split" if stored.feed.one_pass else "enrich")
    (contract,) = [one for one in keys_in(stored, "quarantine") if "/contract-" in one]
    damage(stored, contract, OF_PARQUET[name])
    go_on(stored, expect_failure=True)
    assert delivered_rows(stored, key) == rows_of(MEMBERS)
    delivery = read_delivery(stored.objects, stored.feed.target, key)
    rows = [
        row["rows"]
        for one in delivery.quarantine_keys
        for row in pq.read_table(BytesIO(stored.objects.read("results", one))).to_pylist()
    ]
    assert sum(rows) == delivery.rows_quarantined == 2
    assert not take_standing(stored.catalog).failed


SPLIT_QUARANTINE = {
    **{name: how for name, how in OF_PARQUET.items() if name != "Parquet of another version"},
    "a count in its footer": lambda body: body.replace(FOOTER_BEFORE, FOOTER_BEFORE[::-1]),
    "another of its kind": lambda body: quarantine_of("another.zip"),
}


def quarantine_of(name):
    with stored_shop() as other:
        announce(other, name, BAD_ROW, "01")
        step(other, "split")
        (key,) = keys_in(other, "quarantine")
        return other.objects.contents["results", key]


@pytest.mark.mostly_long(one_in=4)
@pytest.mark.parametrize(
    ("stored", "how"),
    [
        *(pytest.param({}, how, id=name) for name, how in SPLIT_QUARANTINE.items()),
        *(pytest.param(WAYS[way], DAMAGES["removed"], id=way) for way in list(WAYS)[1:]),
    ],
    indirect=["stored"],
)
def test_what_the_split_set_aside_is_made_again_where_it_is_not_as_it_was_written(stored, how):
    key = announce(stored, "a.zip", BAD_ROW, "01")
    step(stored, "split")
    (lost,) = [one for one in keys_in(stored, "quarantine") if "/split-" in one]
    damage(stored, lost, how)
    go_on(stored, expect_failure=True)
    delivery = read_delivery(stored.objects, stored.feed.target, key)
    assert lost not in delivery.quarantine_keys
    assert (
        verify_document(
            stored.objects,
            stored.feed,
            Layout(stored.feed.target.prefix).delivery(key),
            known={key},
            depth="deep",
        ).faults
        == ()
    )
    assert (delivered_rows(stored, key), delivery.rows_quarantined) == (rows_of(MEMBERS), 2)
    assert len(runs_of(stored, "split")) == 2
    (failed,) = [run for run in runs_of(stored, "deliver") if not run.is_success]
    assert lost in failed.tags["rwt/reason"]


def test_what_an_earlier_version_set_aside_is_read_whole(stored, monkeypatch):
    """Its footer does not keep the checksum of the bytes before it."""
    monkeypatch.setattr("rwt_assets.quarantine.quarantine_file.before_footer", lambda _: {})
    for name, how, splits in (("a.zip", None, 1), ("b.zip", DAMAGES["longer"], 3)):
        key = announce(stored, name, BAD_ROW, "01")
        step(stored, "split")
        split = [one for one in keys_in(stored, "quarantine") if "/split-" in one]
        if how is not None:
            damage(stored, next(one for one in split if "b.zip" in one), how)
        go_on(stored, expect_failure=how is not None)
        assert read_delivery(stored.objects, stored.feed.target, key).rows_quarantined == 2
        assert len(runs_of(stored, "split")) == splits


def test_quarantine_that_is_lost_each_time_is_bounded_and_shown(stored, monkeypatch):
    before = delivered_before(stored)
    with monkeypatch.context() as patch:
        patch.setattr("rwt_assets.orchestration.assets.delivery.is_as_written", lambda *_: False)
        announce(stored, "a.zip", BAD_ROW, "02")
        go_on(stored, expect_failure=True)
        assert len(runs_of(stored, "split")) == 1 + 1 + DAMAGE_AT_MOST
        (failed,) = take_standing(stored.catalog).failed
        assert "not as it was written" in failed.reason
        assert_as_before(stored, before)
        assert delivered_rows(stored, "shop/a.zip") == rows_of(FIRST)
    assert retry_failed(stored.catalog) == ["shop/a.zip"]
    go_on(stored)
    assert delivered_rows(stored, "shop/a.zip") == rows_of(MEMBERS)


def damage_each_time(monkeypatch, folder):
    """Every object of one kind is damaged as it is written."""
    original = InMemoryObjects.put

    def put(self, bucket, key, body):
        original(self, bucket, key, body)
        if folder in key:
            self.contents[bucket, key] = DAMAGES["other bytes"](self.contents[bucket, key])

    monkeypatch.setattr(InMemoryObjects, "put", put)


@pytest.mark.parametrize("ask", ["retry", "replay"])
def test_damage_that_recurs_is_bounded_shown_and_ends_when_a_person_asks(stored, monkeypatch, ask):
    before = delivered_before(stored)
    archives = {announce(stored, "a.zip", MEMBERS, "02"): MEMBERS}
    with monkeypatch.context() as patch:
        damage_each_time(patch, "/shards/")
        go_on(stored, expect_failure=True)
        splits = len(runs_of(stored, "split"))
        assert splits == 1 + 1 + DAMAGE_AT_MOST
        failed = take_standing(stored.catalog).failed
        assert {"shop/a.zip"} < {entry.partition_key for entry in failed}
        assert all("an object of the shard is not as it was written" in e.reason for e in failed)
        assert delivered_rows(stored, "shop/a.zip") == rows_of(FIRST)
        assert_as_before(stored, before)
        assert plan(stored.catalog) == [], "it is asked for for ever"
    if ask == "retry":
        assert retry_failed(stored.catalog) == ["shop/a.zip"]
    else:
        revision = stored.catalog.latest_revision("shop/a.zip").revision
        stored.catalog.ask_replay("shop/a.zip", revision)
    go_on(stored)
    assert len(runs_of(stored, "split")) == splits + 1
    assert_whole(stored, archives)
    assert_as_before(stored, before)


@pytest.mark.parametrize("stored", [WAYS["not kept"]], ids=["not kept"], indirect=True)
def test_an_archive_that_was_replaced_unannounced_is_not_mixed_with_what_was_split(stored):
    """A shard of it has to be made again, and its content is another now."""
    key = announce(stored, "a.zip", MEMBERS, "01")
    step(stored, "split")
    lost = keys_in(stored, "enriched")[0]
    damage(stored, lost, DAMAGES["removed"])
    stored.drop("a.zip", make_zip(FIRST))
    go_on(stored, expect_failure=True)
    with pytest.raises(ArchiveMissingError):
        read_delivery(stored.objects, stored.feed.target, key)
    (reason,) = {entry.reason for entry in take_standing(stored.catalog).failed}
    assert "replaced" in reason
    assert sweep(stored.catalog, stored.objects).recorded == [key]
    go_on(stored)
    assert_whole(stored, {key: FIRST})


@pytest.mark.parametrize("stored", [WAYS["not kept"]], ids=["not kept"], indirect=True)
def test_an_archive_that_is_read_in_another_way_now_is_split_again(stored):
    """The declaration changed what a shard is, and then one was asked for."""
    key = announce(stored, "a.zip", MEMBERS, "01")
    go_on(stored)
    before = named_bytes(stored, key)
    rules = [stored.feed.members[0].model_copy(update={"split_by": "item"})]
    members = (*rules, *stored.feed.members[1:])
    changed = with_parquet(stored.redeclared(stored.feed.model_copy(update={"members": members})))
    shards = changed.catalog.shards()
    tags = {
        "dagster/asset_partition_range_start": shards[0],
        "dagster/asset_partition_range_end": shards[0],
    }
    request = dg.RunRequest(job_name="shop_enrich", tags=tags)
    again = run_request(changed.definitions, changed.instance, request, may_fail=True)
    assert not again.success
    go_on(changed)
    assert_whole(changed, {key: MEMBERS})
    assert changed.catalog.shards() == ["shop/a.zip|sales.csv|item=pen"]
    assert_as_before(changed, before)


def test_who_looks_while_damage_is_found_does_not_take_it_for_the_end(stored, monkeypatch):
    """Events are read before the split is asked for, runs after the one that found it failed."""
    announce(stored, "a.zip", MEMBERS, "01")
    step(stored, "split")
    catalog = stored.catalog
    manifest = read_manifest(stored.objects, stored.feed.target, "shop/a.zip")
    stored.objects.delete("results", [part.key for part in manifest.shards[0].parts])
    earlier, facts = catalog.snapshot(), catalog.open_facts()
    (request,) = plan(catalog)
    enriched = run_request(stored.definitions, stored.instance, request, may_fail=True)
    assert not enriched.success
    looks = [earlier, catalog.snapshot()] * 2
    monkeypatch.setattr(type(catalog), "open_facts", lambda _: facts)
    assert plan(catalog) == [], "the step that found damage is asked for again"
    monkeypatch.setattr(type(catalog), "snapshot", lambda _: looks.pop(0))
    assert take_standing(catalog).failed == ()
    assert failed_archives(catalog) == set()
    monkeypatch.undo()
    go_on(stored, expect_failure=None)
    assert_whole(stored, {"shop/a.zip": MEMBERS})
