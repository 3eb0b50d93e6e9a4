"""The stages of an archive with their times, of its newest revision alone."""

from itertools import pairwise

import pytest

from rwt_assets.catalog.intake import sweep
from rwt_assets.component import build_feed_definitions
from rwt_assets.operations.tracing import trace_archive
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import SALES


@pytest.fixture
def stored(shop):
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


def stages(shop, key):
    return trace_archive(shop.catalog, shop.objects, key).stages


def test_the_stages_of_a_delivered_archive_are_told_in_their_order(stored):
    key = stored.deliver("a.zip", make_zip({"sales.csv": SALES}))
    found = stages(stored, key)
    names = ["uploaded", "recorded", "split", "enriched", "delivered"]
    assert [one.stage for one in found] == names
    assert all(one.at <= other.at for one, other in pairwise(found))
    assert found[0].seconds is None
    assert all(one.seconds >= 0 for one in found[2:])


def test_stages_of_the_revision_before_are_not_told_as_those_of_the_newest(stored, monkeypatch):
    key = stored.deliver("a.zip", make_zip({"sales.csv": SALES}))
    later = "2100-01-01T00:00:00+00:00"
    monkeypatch.setattr("rwt_assets.operations.tracing._time", lambda _: later)
    stored.drop("a.zip", make_zip({"sales.csv": SALES + "ink,2026-01-03,2\n"}))
    sweep(stored.catalog, stored.objects)
    assert [one.stage for one in stages(stored, key)] == ["uploaded", "recorded"]
