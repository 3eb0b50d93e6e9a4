"""A document whose bytes changed is told and never gone by; a split or a delivery replaces it."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.catalog.standing import archive_progress
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.delivery.deliveries import UNREADABLE, read_former
from rwt_assets.delivery.history import delivery_history
from rwt_assets.delivery.verification import verify_document
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.manifest import ArchiveManifest, Delivery
from rwt_assets.documents.sealed import is_as_sealed, sealed
from rwt_assets.feed.feed import Target
from rwt_assets.operations.replay import find_quarantined
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.retention.collection import collect
from rwt_assets.runtime.errors import DeliveryError, DocumentDamagedError, ShardDamagedError
from rwt_assets.shard.processing import read_manifest
from rwt_assets.testing import run_request
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import SALES, stored_shop, with_parquet
from rwt_assets_tests.assets.test_corrections import corrected, take_back
from rwt_assets_tests.assets.test_deliveries import (
    IN_TWO_DAYS,
    KEY,
    NOW,
    REVISIONS,
    deliver,
    replay,
)

pytestmark = pytest.mark.mostly_long(one_in=1)

LAYOUT = Layout("rwt/shop")
MANIFEST, DELIVERY = LAYOUT.manifest(KEY), LAYOUT.delivery(KEY)
FLIPS = {
    "name of a column": (b'"price"', b'"pricd"'),
    "row number": (b'"first_row":1', b'"first_row":3'),
    "delimiter": (b'"delimiter":","', b'"delimiter":"-"'),
    "no JSON": (b"}", b"]"),
}


def change(shop, key, edit):
    shop.objects.contents["results", key] = edit(shop.objects.contents["results", key])


def cut(body):
    return body[:-20]


@pytest.fixture(scope="module")
def delivered_once():
    with stored_shop() as shop:
        deliver(shop, make_zip({"sales.csv": SALES + "hat,2026-01-02\nhat,2026-01-02,-1\n"}))
        deliver(shop, REVISIONS[2])
        yield shop


@given(which=st.sampled_from(["delivery", "manifest", "former"]), data=st.data())
def test_no_bit_of_a_document_changes_unnoticed(delivered_once, which, data):
    shop = delivered_once
    former = read_delivery(shop.objects, shop.feed.target, KEY).former[0]
    key = {"delivery": DELIVERY, "manifest": MANIFEST, "former": former.document}[which]
    kind = ArchiveManifest if which == "manifest" else Delivery
    body = shop.objects.contents["results", key]
    bit = data.draw(st.integers(0, 8 * len(body) - 1))
    flipped = bytearray(body)
    flipped[bit // 8] ^= 1 << bit % 8
    with suppress(DocumentDamagedError):
        assert kind.from_body(bytes(flipped), where="") == kind.from_body(body, where="")


@pytest.mark.parametrize("indent", [None, 1])
@given(values=st.dictionaries(st.text(), st.text() | st.integers(), min_size=1))
def test_a_document_with_a_seal_is_json_with_one_field_more(indent, values):
    values |= {"document": "document_crc32"}
    body = sealed(json.dumps(values, indent=indent).encode())
    read = json.loads(body)
    assert is_as_sealed(body)
    assert read.pop("document_crc32")
    values.pop("document_crc32", None)
    assert read == values
    assert is_as_sealed(json.dumps(values).encode()), "of an earlier version"


@pytest.mark.parametrize(("old", "new"), FLIPS.values(), ids=FLIPS)
def test_a_manifest_that_changed_is_never_gone_by_and_the_archive_is_split_again(stored, old, new):
    stored.upload("a.zip", REVISIONS[0])
    stored.take_in()
    (request,) = plan(stored.catalog)
    run_request(stored.definitions, stored.instance, request)
    change(stored, MANIFEST, lambda body: body.replace(old, new))
    with pytest.raises(ShardDamagedError, match="cannot be read"):
        read_manifest(stored.objects, stored.feed.target, KEY)
    stored.dispatch(expect_failure=True)
    assert archive_progress(stored.catalog, KEY).stage == "delivered"
    assert stored.rows(KEY)["price"].tolist() == [1.5, 7.0, 1.6]
    assert stored.rows(KEY)["_row"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("how", ["removed", "at the feed's former target"])
def test_an_archive_whose_manifest_is_not_there_is_split_again(stored, how):
    stored.upload("a.zip", REVISIONS[0])
    stored.take_in()
    (request,) = plan(stored.catalog)
    run_request(stored.definitions, stored.instance, request)
    feed = stored.feed
    if how == "removed":
        stored.objects.delete("results", [MANIFEST])
    else:
        feed = feed.model_copy(update={"target": Target(bucket="results", prefix="rwt/other")})
    shop = with_parquet(stored.redeclared(feed))
    shop.dispatch(expect_failure=True)
    shop.assert_delivered(KEY)


def test_a_manifest_that_changed_costs_no_corrected_row():
    with stored_shop() as shop:
        deliver(shop, make_zip({"sales.csv": SALES + "hat,2026-01-02,-1\n"}))
        take_back(shop, corrected(shop, {4: {"price": "1"}}))
        assert len(shop.rows(KEY)) == 4
        change(shop, MANIFEST, cut)
        replay(shop)
        assert len(shop.rows(KEY)) == 4
        corrections = shop.delivery(KEY).corrections
        shop.objects.delete("results", [corrections])
        (fault,) = verify_document(shop.objects, shop.feed, DELIVERY, known={KEY}).faults
        assert fault.where == f"s3://results/{corrections}"


def test_a_delivery_that_changed_is_told_by_who_reads_it_and_a_replay_replaces_it(stored):
    deliver(stored, *REVISIONS[:2])
    change(stored, DELIVERY, lambda body: body.replace(b"_generation=", b"_generatioo=", 1))
    target = stored.feed.target
    for reads in (
        lambda: read_delivery(stored.objects, target, KEY),
        lambda: read_result(stored.objects, target, KEY),
        lambda: delivery_history(stored.objects, stored.feed, KEY),
        lambda: make_current_again(stored.catalog, stored.objects, KEY, now=NOW),
    ):
        with pytest.raises(DocumentDamagedError, match="not as it was written") as caught:
            reads()
        assert DELIVERY in str(caught.value)
    (fault,) = verify_document(stored.objects, stored.feed, DELIVERY, known={KEY}).faults
    assert (fault.archive, "rwt replay shop/a.zip" in fault.fix) == (KEY, True)
    left = {
        one.archive: one.left for one in collect(stored.catalog, stored.objects, now=IN_TWO_DAYS)
    }
    assert "cannot be read" in left[KEY]
    replay(stored)
    document = read_delivery(stored.objects, target, KEY)
    assert (document.reason, document.rows_enriched) == (UNREADABLE, 5)
    assert verify_document(stored.objects, stored.feed, DELIVERY, known={KEY}).faults == ()


@pytest.mark.parametrize("lost", ["changed", "gone"])
def test_one_delivery_that_cannot_be_read_hides_no_quarantine(stored, lost):
    deliver(stored, REVISIONS[2])
    deliver(stored, REVISIONS[2], name="b.zip")
    if lost == "gone":
        stored.objects.delete("results", [DELIVERY])
    else:
        change(stored, DELIVERY, cut)
    found = {
        one.found.archive: one.found.rows
        for one in find_quarantined(stored.catalog, stored.objects)
    }
    assert found == {KEY: 1, "shop/b.zip": 1}


def test_a_former_delivery_that_changed_is_not_made_current(stored):
    deliver(stored, *REVISIONS[:2])
    (former,) = read_delivery(stored.objects, stored.feed.target, KEY).former
    change(stored, former.document, lambda body: body.replace(b'"rows": 1', b'"rows": 3', 1))
    with pytest.raises(DeliveryError, match="cannot be read"):
        read_former(stored.objects, stored.feed.target, former)


def test_documents_of_versions_without_a_seal_are_read(stored):
    deliver(stored, REVISIONS[0])
    for key, kind in ((DELIVERY, Delivery), (MANIFEST, ArchiveManifest)):
        document = kind.from_body(stored.objects.read("results", key), where=key)
        assert kind.from_body(document.model_dump_json().encode(), where=key) == document
