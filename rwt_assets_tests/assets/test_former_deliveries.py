"""A former delivery stands whole for its grace period, or is not made current again."""

from datetime import UTC, datetime, timedelta

import pytest

from rwt_assets.catalog.standing import take_standing
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.delivery.deliveries import named_keys
from rwt_assets.delivery.history import delivery_history
from rwt_assets.delivery.verification import verify_document
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.manifest import Delivery
from rwt_assets.feed.feed import COUNT_AT_MOST, DAYS_AT_MOST, HOURS_AT_MOST, Feed, Limits, Tolerance
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.orchestration.assets import delivery as delivery_module
from rwt_assets.retention.collection import collect
from rwt_assets.retention.retirement import find_old, parse_age
from rwt_assets.runtime.errors import DeliveryError, FeedError
from rwt_assets.testing import carry_out
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, SALES, stored_shop, with_parquet
from rwt_assets_tests.assets.test_deliveries import (
    IN_TWO_DAYS,
    KEY,
    NOW,
    REVISIONS,
    collected,
    deliver,
    results,
)
from rwt_assets_tests.assets.test_late_runs import hold
from rwt_assets_tests.faulty_round import Point, restart
from rwt_assets_tests.stand_ins import InMemoryObjects

pytestmark = pytest.mark.mostly_long(one_in=3)

DOCUMENT = Layout("rwt/shop").delivery(KEY)
LISTED = 2
STRICT = FEED.model_copy(update={"tolerance": Tolerance(rows=0)})


def current(shop, archive=KEY) -> Delivery:
    return read_delivery(shop.objects, shop.feed.target, archive)


def replaced(shop, times):
    """Deliver an archive, and have it replaced so often; the first delivery of all."""
    deliver(shop, REVISIONS[0])
    first = current(shop)
    for number in range(times):
        deliver(shop, make_zip({"sales.csv": SALES + f"cap,2026-01-03,{number}\n"}))
    return first


def test_however_many_there_are_all_are_kept_for_their_grace_period(stored, monkeypatch):
    monkeypatch.setattr("rwt_assets.delivery.deliveries.FORMER_LISTED", LISTED)
    first = replaced(stored, LISTED + 2)
    stored.objects.modified = {
        place: NOW - timedelta(hours=3 if "/former/" in place[1] else 72)
        for place in stored.objects.modified
    }
    collected(stored, now=NOW)
    history = delivery_history(stored.objects, stored.feed, KEY)
    assert [one.state for one in history] == ["current", *["kept"] * (LISTED + 2)]
    assert named_keys(first) <= results(stored).keys()
    assert (
        make_current_again(
            stored.catalog, stored.objects, KEY, to=first.generation, now=NOW
        ).rows_enriched
        == 3
    )
    collected(stored, now=IN_TWO_DAYS)
    deliver(stored, REVISIONS[1])
    assert len(current(stored).former) == LISTED
    assert named_keys(first) <= results(stored).keys(), "it was just replaced"


@pytest.mark.parametrize("hours", [-25, 25], ids=["behind", "ahead"])
def test_the_clock_of_the_machine_that_delivers_does_not_matter(stored, monkeypatch, hours):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=hours)

    deliver(stored, REVISIONS[0])
    first = current(stored)
    stored.objects.modified = dict.fromkeys(stored.objects.modified, NOW - timedelta(days=3))
    monkeypatch.setattr(delivery_module, "datetime", Clock)
    deliver(stored, REVISIONS[1])
    replaced_at = datetime.now(UTC)
    collected(stored, now=replaced_at + timedelta(hours=23))
    assert named_keys(first) <= results(stored).keys()
    (_, former) = delivery_history(stored.objects, stored.feed, KEY)
    assert abs(former.kept_until - replaced_at - timedelta(hours=24)) < timedelta(minutes=5)
    collected(stored, now=replaced_at + timedelta(hours=25))
    assert not named_keys(first) & results(stored).keys()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"], ids=["empty", "of nothing", "no text"])
def test_one_former_document_that_cannot_be_read_holds_up_no_other_archive(stored, content):
    for name in ("a.zip", "b.zip"):
        deliver(stored, *REVISIONS[:2], name=name)
    (document,) = [key for key in results(stored) if "/former/" in key and "a.zip" in key]
    stored.objects.contents["results", document] = content
    old = {key for key in results(stored) if "/shards/" in key}
    stored.objects.modified = {
        place: NOW - timedelta(hours=3 if "/former/" in place[1] else 72)
        for place in stored.objects.modified
    }
    before = {key for key in results(stored) if "a.zip" in key}
    first, second = collected(stored, now=NOW)
    assert "the document of a former delivery cannot be read" in first.left
    assert (first.archive, second.archive) == (KEY, "shop/b.zip")
    assert before <= results(stored).keys()
    assert second.objects > 0
    assert old - results(stored).keys()
    with pytest.raises(DeliveryError, match="it cannot be read"):
        make_current_again(stored.catalog, stored.objects, KEY, now=NOW)
    # After its grace period it is collected as any other.
    first, _ = collected(stored, now=NOW + timedelta(days=1))
    assert (first.archive, first.left) == (KEY, "")
    assert document not in results(stored)


def test_the_greatest_numbers_that_load_work():
    feed = FEED.model_dump(mode="json")
    feed |= {
        "keep_former_hours": HOURS_AT_MOST,
        "expected_every_hours": HOURS_AT_MOST,
        "retire": {"after_days": DAYS_AT_MOST, "keep_data": False},
        "shards_per_run": COUNT_AT_MOST,
        "archives_in_work": COUNT_AT_MOST,
        "tolerance": {"rows": COUNT_AT_MOST, "members": COUNT_AT_MOST},
        "limits": {
            name: next(one.le for one in field.metadata if hasattr(one, "le"))
            for name, field in Limits.model_fields.items()
        },
        "volume": {"rows_to": COUNT_AT_MOST, "at_least": 100, "deliveries": 100},
        "members": [
            {**feed["members"][0], "max_rows": COUNT_AT_MOST},
            {**feed["members"][1], "min_rows": 0, "max_rows": COUNT_AT_MOST},
        ],
    }
    with stored_shop(feed=Feed.model_validate(feed)) as shop:
        deliver(shop, *REVISIONS)
        before = results(shop)
        assert collected(shop, now=NOW + timedelta(days=90 * 365)) == []
        assert results(shop) == before
        _, *former = delivery_history(shop.objects, shop.feed, KEY)
        kept = {round((one.kept_until - one.replaced_at) / timedelta(days=1)) for one in former}
        assert kept == {DAYS_AT_MOST}
        assert find_old(shop.catalog, parse_age(f"{DAYS_AT_MOST}d")) == []
        for job in ("shop_retire", "shop_collect", "shop_verify"):
            found = shop.definitions.resolve_job_def(job)
            assert found.execute_in_process(instance=shop.instance).success
        assert results(shop) == before


@pytest.mark.parametrize("age", ["36501d", "3000000d", "99999999999999w", "9" * 5_000 + "h"])
def test_an_age_beyond_a_hundred_years_is_refused(age):
    with pytest.raises(FeedError, match="more than a hundred years"):
        parse_age(age)


def test_ages_up_to_a_hundred_years_are_taken():
    assert parse_age("36500d") == timedelta(days=36_500)
    assert parse_age("0" * 100 + "3d") == timedelta(days=3)
    assert parse_age("0h") == timedelta(0)


DAMAGES = {
    "cut": lambda body: body[:50],
    "cut at its end": lambda body: body[:-1],
    "empty": lambda body: b"",
    "longer": lambda body: b"x" + body,
    "another footer": lambda body: body.replace(b"rwt.revision", b"rwt.revisiom"),
}


@pytest.mark.mostly_long(one_in=3)
@pytest.mark.parametrize("kind", ["enriched", "contract", "split"])
@pytest.mark.parametrize("how", DAMAGES.values(), ids=DAMAGES)
def test_a_former_delivery_that_is_not_as_it_was_is_not_made_current(stored, kind, how):
    bad = SALES + "hat,2026-01-02,oops\nhat,2026-01-02\n"
    deliver(stored, make_zip({"sales.csv": bad}))
    former = current(stored)
    deliver(stored, REVISIONS[0])
    before = current(stored)
    places = {"enriched": former.objects[0].key}
    places |= {name: key for key in former.quarantine_keys for name in DAMAGED if name in key}
    key = places[kind]
    body = stored.objects.contents["results", key]
    stored.objects.contents["results", key] = how(body)
    if how(body) == body:
        pytest.skip("it has no revision in its footer")
    with pytest.raises(DeliveryError, match="is not as it was delivered") as caught:
        make_current_again(stored.catalog, stored.objects, KEY, now=NOW)
    assert key in str(caught.value)
    assert current(stored) == before
    stored.objects.contents["results", key] = body
    assert make_current_again(stored.catalog, stored.objects, KEY, now=NOW).rows_enriched == 3
    found = verify_document(stored.objects, stored.feed, DOCUMENT, known={KEY}, depth="deep")
    assert found.faults == ()


DAMAGED = ("contract", "split")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("rwt_assets.orchestration.steps.parquet_io_manager.WORKERS", 1)
    monkeypatch.setattr("rwt_assets.delivery.reconciliation.WORKERS", 1)
    feed = FEED.model_copy(update={"attempts": 1, "keep_former_hours": 0})
    with stored_shop(feed=feed) as shop:
        yield shop


@pytest.mark.parametrize("delivered_before", [True, False])
def test_a_late_delivery_of_what_was_collected_gives_up(impatient, monkeypatch, delivered_before):
    """It is held after its last look; meanwhile a replay is refused and its objects are removed."""
    shop = impatient
    if delivered_before:
        deliver(shop, REVISIONS[0])
    shop.upload("a.zip", REVISIONS[2])

    def meanwhile():
        restart(shop)
        revision = shop.catalog.latest_revision(KEY).revision
        strict = STRICT.model_copy(update={"attempts": 1, "keep_former_hours": 0})
        other = with_parquet(shop.redeclared(strict))
        other.catalog.ask_replay(KEY, revision)
        carry_out(other.catalog, other.definitions, expect_failure=True)
        assert len(take_standing(other.catalog).failed) == 1
        shop.expect_failed(KEY)
        later = datetime.now(UTC) + timedelta(hours=2)
        assert [one.objects > 0 for one in collect(other.catalog, shop.objects, now=later)] == [
            True
        ]

    point = Point(InMemoryObjects, "put_if", only="delivery.json")
    late = hold(shop, monkeypatch, "deliver", point, meanwhile)
    assert not late.success
    assert "were collected" in shop.instance.get_run_by_id(late.run_id).tags["rwt/reason"]
    if not delivered_before:
        assert DOCUMENT not in results(shop)
        return
    assert current(shop).rows_enriched == 3
    found = verify_document(shop.objects, shop.feed, DOCUMENT, known={KEY}, depth="deep")
    assert found.faults == ()
