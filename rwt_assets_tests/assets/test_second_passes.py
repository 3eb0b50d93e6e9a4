"""The property of `unit/test_delivered_bytes.py` with runs of Dagster, in fewer examples.

A second pass over a delivered archive is cut short at some request to the store; then what a
restart does is done, and dispatch goes on.
"""

import os
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO

import dagster as dg
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ReadTimeoutError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rwt_assets.catalog.standing import take_standing
from rwt_assets.delivery.consumption import read_delivery
from rwt_assets.delivery.deliveries import named_keys, roll_back
from rwt_assets.runtime.errors import DeliveryError
from rwt_assets_tests.assets.conftest import Shop, with_parquet
from rwt_assets_tests.faulty_round import Crash, Injected, Point, announce, go_on, restart
from rwt_assets_tests.faulty_world import METHODS, Fault
from rwt_assets_tests.second_passes import (
    CONTENTS,
    DECLARATIONS,
    HEADER,
    MEMBER,
    WAYS,
    declared,
    is_accepted,
    rows_of,
)
from rwt_assets_tests.stand_ins import InMemoryObjects, run_request

ARCHIVE = "shop/a.zip"
EXAMPLES = 60 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 4
FAULTS = st.builds(Fault, st.sampled_from(METHODS), st.integers(1, 5), st.booleans(), st.booleans())
PASSES = st.one_of(
    st.tuples(st.just("upload"), st.sampled_from(CONTENTS[1:])),
    st.tuples(st.just("declare and replay"), st.sampled_from(DECLARATIONS)),
    st.tuples(st.just("declare and enrich"), st.sampled_from(DECLARATIONS)),
    st.tuples(st.just("roll back"), st.none()),
)


class Delivered:
    """A delivered archive, and every object that a delivery of it named."""

    def __init__(self, shop, way):
        self.way = way
        self.named = {}
        self.shop = shop
        self.declare({})
        self.content = None
        self._uploads = 0
        self.upload(CONTENTS[0])

    def declare(self, what):
        self.shop = with_parquet(self.shop.redeclared(declared(self.way, **what)))

    def upload(self, rows):
        self._uploads += 1
        self.content = {MEMBER: HEADER + rows}
        announce(self.shop, "a.zip", self.content, f"{self._uploads:02d}")

    def begin(self, name, what):
        catalog, target = self.shop.catalog, self.shop.feed.target
        if name == "upload":
            self.upload(what)
        if name.startswith("declare"):
            self.declare(what)
        if name.endswith("replay"):
            catalog.ask_replay(ARCHIVE, catalog.latest_revision(ARCHIVE).revision)
        if name.endswith("enrich"):
            shards = catalog.shards()
            tags = {
                "dagster/asset_partition_range_start": shards[0],
                "dagster/asset_partition_range_end": shards[-1],
            }
            request = dg.RunRequest(job_name="shop_enrich", tags=tags)
            done = run_request(self.shop.definitions, self.shop.instance, request, may_fail=True)
            assert done.run_id
        if name == "roll back":
            with suppress(DeliveryError):
                now = datetime(2026, 1, 1, tzinfo=UTC)
                document = roll_back(self.shop.objects, target, ARCHIVE, now=now)
                self.shop.instance.report_runless_asset_event(
                    dg.AssetMaterialization(
                        catalog.graph.delivery,
                        partition=ARCHIVE,
                        metadata={"revision": document.revision, "rolled_back": True},
                    )
                )

    def document(self):
        return read_delivery(self.shop.objects, self.shop.feed.target, ARCHIVE)

    def assert_as_it_was(self):
        """What was ever named is there with the bytes it had."""
        contents = self.shop.objects.contents
        for key in named_keys(self.document()):
            self.named.setdefault(key, contents["results", key])
        changed = [key for key, body in self.named.items() if contents["results", key] != body]
        assert changed == []

    def assert_adds_up(self):
        """The document's counts are those of its objects."""
        document = self.document()
        assert document.rows_enriched == sum(self.rows().values())
        assert document.rows_read == document.rows_enriched + document.rows_quarantined

    def rows(self):
        return Counter(
            (str(row["item"]), str(row["day"]), float(row["price"]))
            for one in self.document().objects
            for row in pq.read_table(BytesIO(self.named[one.key])).to_pylist()
        )


@pytest.mark.extended
@settings(
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.sampled_from(WAYS), PASSES, FAULTS)
def test_no_failure_of_a_second_pass_changes_what_is_delivered(way, one, fault):
    with Shop() as shop, pytest.MonkeyPatch.context() as patch:
        patch.setattr("rwt_assets.status.archive_status.OUTAGE_PAUSES_SECONDS", (0.0, 0.0))
        patch.setattr("rwt_assets.status.archive_status.AUTOMATION_PATIENCE_SECONDS", -1.0)
        archive = Delivered(shop, way)
        go_on(archive.shop, expect_failure=None)
        archive.assert_as_it_was()
        assert archive.rows() == rows_of(archive.content, archive.shop.feed)[0]
        point = Point(InMemoryObjects, fault.method, fault.call, fault.after)
        with pytest.MonkeyPatch.context() as faulty, suppress(Crash, ReadTimeoutError):
            name, what = one
            if name == "upload":
                archive.begin(name, what)
            Injected(faulty, point, fault.error)
            if name != "upload":
                archive.begin(name, what)
            go_on(archive.shop, expect_failure=None)
        archive.assert_as_it_was()
        archive.assert_adds_up()
        restart(archive.shop)
        go_on(archive.shop, expect_failure=None)
        finish(archive)


def finish(archive):
    """Without failures, a last replay is delivered, unless it may not be."""
    archive.assert_as_it_was()
    before = archive.document()
    archive.begin("replay", None)
    go_on(archive.shop, expect_failure=None)
    archive.assert_as_it_was()
    archive.assert_adds_up()
    shop, last = archive.shop, archive.document()
    if is_accepted(archive.content, shop.feed):
        assert archive.rows() == rows_of(archive.content, shop.feed)[0]
        assert last.generation != before.generation
        assert last.revision == shop.objects.etag("incoming", ARCHIVE)
        assert set(shop.catalog.shards()) == {one.partition_key for one in last.objects}
        standing = take_standing(shop.catalog)
        assert not (*standing.waiting, *standing.failed, *standing.forgotten)
    else:
        assert last == before
        failed = take_standing(shop.catalog).failed
        assert failed
        shop.expect_failed(*(one.partition_key for one in failed))
