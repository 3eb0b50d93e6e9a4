"""What a person sees of `rwt deliveries`, `rollback`, `collect`, `verify` and `replay`."""

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from rwt_assets.cli import collect, deliveries, verify
from rwt_assets.cli.main import app
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.documents.layout import Layout
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.assets.conftest import stored_shop
from rwt_assets_tests.declared import declared_feed

KEY = "gtfs/a.zip"


@pytest.fixture
def shop(deployment, monkeypatch):
    """Two revisions of a timetable, delivered on a deployment whose store is in memory."""
    with stored_shop(deployment, declared_feed()) as shop:
        for module in (collect, deliveries, verify):
            monkeypatch.setattr(module, "connect_objects", lambda *_: shop.objects)
        for trips in (1, 2):
            assert shop.deliver("a.zip", timetable(trips=trips, stops=2)) == KEY
        yield shop


def rwt(*arguments, status=0):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    return result.output


def delivery(shop):
    return read_delivery(shop.objects, shop.feed.target, KEY)


def test_deliveries_are_listed(shop):
    told = rwt("deliveries", KEY)
    lines = told.splitlines()
    assert lines[0] == "gtfs: gtfs/a.zip"
    newest, before = delivery(shop), delivery(shop).former[0]
    assert lines[1] == f"  {newest.generation}  current"
    assert lines[2] == f"    revision {newest.revision[:12]}: new revision"
    assert lines[4] == "    6 rows read, 6 enriched, 0 quarantined"
    assert lines[5].startswith(f"  {before.generation}  kept until 2")
    assert lines[6] == f"    revision {before.revision[:12]}: first delivery"
    assert ", replaced 2" in lines[7]
    assert lines[8:] == ["    4 rows read, 4 enriched, 0 quarantined"]
    found = json.loads(rwt("deliveries", KEY, "--json"))
    assert (found["feed"], found["archive"]) == ("gtfs", KEY)
    assert [one["state"] for one in found["deliveries"]] == ["current", "kept"]
    assert found["deliveries"][1]["revision"] == before.revision


def test_what_was_never_delivered_is_said(shop):
    told = rwt("deliveries", "gtfs/b.zip", status=1)
    assert "gtfs/b.zip was never delivered" in told.replace("\n", " ")
    assert "not in the catalog" in rwt("rollback", "gtfs/b.zip", status=1)


def test_rollback_says_what_is_current_now(shop):
    before = delivery(shop).former[0]
    told = rwt("rollback", KEY)
    assert told.splitlines()[1] == f"  {before.generation}  current"
    assert "rolled back by a person" in told
    assert delivery(shop).generation == before.generation
    assert rwt("rollback", KEY, "--to", before.generation) == told
    assert "no former delivery of generation 'nope'" in rwt(
        "rollback", KEY, "--to", "nope", status=1
    )


@pytest.mark.extended
def test_collect_counts_what_goes_and_then_it_is_gone(shop, monkeypatch):
    assert rwt("collect", "--dry-run").endswith("0 objects with 0 bytes would be removed.\n")
    feed = shop.feed.model_copy(update={"keep_former_hours": 0})
    monkeypatch.setattr(collect, "declared_feeds", lambda: (feed,))
    written = shop.objects.modified
    shop.objects.modified = {key: at - timedelta(hours=2) for key, at in written.items()}
    would = json.loads(rwt("collect", KEY, "--dry-run", "--json"))
    told = rwt("collect")
    (one,) = would["gtfs"]
    counted = f"{one['objects']:,} objects"
    assert one["objects"] > 0
    assert told.startswith(f"{KEY}: {counted}, {one['bytes']:,} bytes\n{counted} with ")
    assert told.endswith("bytes removed.\n")
    assert rwt("collect").startswith("0 objects")
    assert "collected" in rwt("deliveries", KEY)
    assert "it was collected" in rwt("rollback", KEY, status=1).replace("\n", " ")
    assert "not in the catalog" in rwt("collect", "gtfs/b.zip", status=1)


@pytest.mark.extended
def test_verify_tells_each_fault_and_what_to_do(shop):
    made = delivery(shop)
    things = len(made.objects) + len(made.quarantine_keys)
    told = f"1 deliveries with {things} objects and 6 rows"
    assert rwt("verify") == f"{told}: as delivered.\n"
    assert rwt("verify", KEY, "--deep") == f"{told}: as delivered.\n"
    gone = made.objects[0].key
    shop.objects.delete("rwt-results", [gone])
    first, last = rwt("verify", KEY, status=1).splitlines()
    assert first == (
        f"{KEY}: an object is not there (s3://rwt-results/{gone}). Run `rwt replay {KEY}`, "
        f"or `rwt rollback {KEY}` meanwhile."
    )
    assert last.endswith(": 1 faults.")
    (fault,) = json.loads(rwt("verify", "--json", status=1))["gtfs"]["faults"]
    assert fault["where"] == f"s3://rwt-results/{gone}"
    missing = rwt("verify", "gtfs/b.zip", status=1).replace("\n", " ")
    assert "gtfs/b.zip was never delivered" in missing
    assert rwt("replay", KEY) == f"{KEY}: is processed again\n"
    assert rwt("replay", KEY) == f"{KEY}: was asked for before, and has not begun\n"
    shop.dispatch()
    assert rwt("verify", "--deep").endswith("as delivered.\n")
    assert "is not in the catalog" in rwt("replay", "gtfs/b.zip", status=1)


@pytest.mark.extended
def test_verify_tells_a_delivery_that_is_gone(shop):
    document = Layout(shop.feed.target.prefix).delivery(KEY)
    shop.objects.delete("rwt-results", [document])
    told = (
        f"{KEY}: it was delivered, and its delivery.json is not there "
        f"(s3://rwt-results/{document}). Run `rwt replay {KEY}`."
    )
    for asked in ([], [KEY]):
        assert rwt("verify", *asked, status=1).splitlines() == [
            told,
            "0 deliveries with 0 objects and 0 rows: 1 faults.",
        ]
    (fault,) = json.loads(rwt("verify", "--json", status=1))["gtfs"]["faults"]
    assert fault["archive"] == KEY
    assert rwt("replay", KEY) == f"{KEY}: is processed again\n"
    shop.dispatch()
    assert rwt("verify", "--deep").endswith("as delivered.\n")
