"""An archive of which no member can be read never replaces a delivery by one of nothing."""

import pytest

from rwt_assets.authoring.preview import preview_archive
from rwt_assets.catalog.intake import sweep
from rwt_assets.catalog.standing import archive_progress, retry_failed, take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.operations.replay import count_quarantined
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.odd_archives import Entry, archive

pytestmark = pytest.mark.mostly_long(one_in=1)

GOOD = "item,day,price\npen,2026-01-01,1.50\nink,2026-01-02,7\n"
MANY = {f"sales{number}.csv": "item,price\npen,1\n" for number in range(40)}


def flipped(members):
    """One bit of the first member's data is another."""
    body = bytearray(make_zip(members))
    place = body.index(b"sales.csv") + len(b"sales.csv") + 20
    body[place] ^= 0x10
    return bytes(body)


UNREADABLE = {
    "a flipped bit": (flipped({"sales.csv": GOOD}), ["'sales.csv' (MemberCorruptError: "]),
    "wrong headers": (
        make_zip({"sales.csv": "item,price\npen,1\n", "sales2.csv": "day,price\n2026-01-01,1\n"}),
        [
            "'sales.csv' (MemberHeaderError: the column 'day' is missing",
            "'sales2.csv' (MemberHeaderError: the column 'item' is missing",
        ],
    ),
    "no content": (make_zip({"sales.csv": ""}), ["'sales.csv' (MemberHeaderError: "]),
    "no password": (
        archive([Entry("sales.csv", GOOD.encode(), password="Xyzzy")]),  # noqa: S106 - of a test
        ["'sales.csv' (MemberPasswordError: "],
    ),
    "a broken archive within": (
        archive([Entry("in.zip", b"no zip"), Entry("read.me", b"x")]),
        ["'in.zip' (MemberCorruptError: "],
    ),
    "many": (make_zip(MANY), ["'sales0.csv' (MemberHeaderError: ", "and 36 more"]),
}


@pytest.fixture(params=[False, True], ids=["by shards", "one pass"])
def stored(shop, request):
    shop.feed = shop.feed.model_copy(
        update={"one_pass": request.param, "keep_shards": not request.param}
    )
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


def results(shop):
    return {
        key: body for (bucket, key), body in shop.objects.contents.items() if bucket != "incoming"
    }


@pytest.mark.parametrize(("body", "says"), UNREADABLE.values(), ids=UNREADABLE)
def test_the_archive_fails_with_its_members_and_the_delivery_before_stays(stored, body, says):
    key = stored.deliver("a.zip", make_zip({"sales.csv": GOOD}))
    before, delivery = results(stored), read_delivery(stored.objects, stored.feed.target, key)
    stored.drop("a.zip", body)
    sweep(stored.catalog, stored.objects)
    results_of_runs = stored.dispatch(expect_failure=True)
    assert [result.success for result in results_of_runs] == [False], "it was tried again"
    assert results(stored) == before
    assert read_delivery(stored.objects, stored.feed.target, key) == delivery
    assert delivery.rows_enriched == 2
    progress = archive_progress(stored.catalog, key)
    assert progress.stage == "failed"
    assert "no member that feed shop takes can be read: " in progress.reason
    for one in says:
        assert one in progress.reason
    assert "Nothing of it is delivered; the delivery before, if any, stays." in progress.reason
    assert not take_standing(stored.catalog).forgotten


@pytest.mark.parametrize(("body", "says"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_preview_says_the_same(stored, body, says, tmp_path):
    file = tmp_path / "a.zip"
    file.write_bytes(body)
    found = preview_archive(file, stored.feed)
    assert not found.everything_delivered
    for one in says:
        assert one in found.failure
    broken = [one for one in found.members if one.outcome == "broken"]
    assert found.members_broken == len(broken) > 0
    for one in broken:
        assert one.reason
        assert [entry.reason for entry in one.problems[0].examples] == [one.reason]


def test_it_is_delivered_when_the_feed_was_mended(stored):
    key = stored.deliver("a.zip", make_zip({"sales.csv": "item,price\npen,1\n"}), ends="failed")
    rule = stored.feed.members[0].model_copy(update={"split_by": None, "columns": {}})
    stored.feed = stored.feed.model_copy(update={"members": (rule,)})
    stored.definitions = build_feed_definitions(
        stored.feed, object_store=stored.store, queue_client=stored.client
    )
    assert retry_failed(stored.catalog) == [key]
    stored.dispatch()
    assert read_result(stored.objects, stored.feed.target, key).reconciled
    assert archive_progress(stored.catalog, key).stage == "delivered"


@pytest.mark.parametrize(
    ("members", "enriched", "quarantined"),
    [
        ({"sales.csv": "item,day,price\n,2026-01-01,1\npen,soon,1\n"}, 0, 2),
        ({"sales.csv": GOOD, "sales2.csv": "item,price\npen,1\n"}, 2, 0),
        ({"sales.csv": "item,day,price\n", "sales2.csv": "day\n"}, 0, 0),
    ],
    ids=["every row is bad", "one member is broken", "no rows, and one member is broken"],
)
def test_what_can_be_read_is_delivered_with_its_quarantine(stored, members, enriched, quarantined):
    key = stored.deliver("a.zip", make_zip(members))
    result = read_result(stored.objects, stored.feed.target, key)
    assert result.reconciled
    delivery = result.delivery
    assert (delivery.rows_enriched, delivery.rows_quarantined) == (enriched, quarantined)
    assert delivery.quarantine_keys
    assert count_quarantined(stored.catalog) == 1
