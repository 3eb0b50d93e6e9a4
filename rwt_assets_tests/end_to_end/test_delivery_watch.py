"""The watch of the soak test sees every delivery, and says so if one is not as it must be."""

from datetime import UTC, datetime, timedelta

import pytest
import yaml

from rwt_assets.delivery.deliveries import current_delivery, switch_delivery
from rwt_assets.documents.generations import enrichment_version
from rwt_assets.documents.layout import Layout, digest
from rwt_assets.documents.manifest import Delivery, EnrichedObject
from rwt_assets.feed.feed import Feed
from rwt_assets.testing import InMemoryObjects
from rwt_assets_tests.end_to_end.delivery_watch import DeliveryWatch
from rwt_assets_tests.end_to_end.own_project import OwnProject
from rwt_assets_tests.end_to_end.soak_feed import (
    PLAIN,
    RICHER,
    STRICTER,
    TIMES_MEMBER,
    make_content,
    make_contents,
)

FEED = PLAIN.feed()
KEY = "soak/a.zip"
BUCKET, PREFIX = FEED.target.bucket, FEED.target.prefix
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Scene:
    """Deliveries of one archive, one minute after the other."""

    def __init__(self, uploads, judge=lambda _: ""):
        self.store = InMemoryObjects()
        self.watch = DeliveryWatch(self.store, FEED, uploads=lambda _: uploads, judge=judge)
        self.count = 0

    def deliver(self, revision):
        self.count += 1
        name = f"{PREFIX}/enriched/{revision}-{self.count}.parquet"
        self.store.put(BUCKET, name, name.encode())
        document = Delivery(
            feed=FEED.name,
            bucket=FEED.source.bucket,
            key=KEY,
            revision=revision,
            generation=f"{self.count:010d}-{PLAIN.enrichment}",
            delivered_at=NOON + timedelta(minutes=self.count),
            rows_read=1,
            rows_enriched=1,
            rows_quarantined=0,
            quarantine_keys=(),
            objects=(
                EnrichedObject(
                    partition_key="p",
                    member="m",
                    split_by=None,
                    value=None,
                    key=name,
                    rows=1,
                    bytes=len(name),
                    rows_quarantined=0,
                    quarantine_key=None,
                ),
            ),
        )
        switch_delivery(
            self.store, FEED.target, current_delivery(self.store, FEED.target, KEY), document
        )
        return name

    def problems(self):
        self.watch.look()
        self.watch.compare()
        return self.watch.problems


def test_deliveries_between_two_looks_are_seen_too():
    scene = Scene(["A", "B", "A"])
    names = [scene.deliver("A"), scene.deliver("A")]
    scene.watch.look()
    names += [scene.deliver("B"), scene.deliver("A")]

    assert scene.problems() == []
    assert set(names) < set(scene.watch.named)
    assert scene.watch.seen == {PLAIN.enrichment: 4}
    assert scene.watch.newest(KEY).revision == "A"


@pytest.mark.parametrize("look", [True, False])
def test_an_older_upload_after_a_newer_one_is_a_problem(look):
    scene = Scene(["A", "B"])
    for revision in "ABA":
        scene.deliver(revision)
        if look:
            scene.watch.look()

    assert scene.problems() == [f"{KEY}: went back to an older upload"]


def test_a_document_that_is_put_back_is_a_problem():
    scene = Scene(["A"])
    scene.deliver("A")
    document = Layout(PREFIX).delivery(KEY)
    before = scene.store.read(BUCKET, document)
    scene.deliver("A")
    scene.watch.look()
    scene.store.put(BUCKET, document, before)

    assert scene.problems() == [f"{KEY}: an earlier delivery is current again"]


def test_what_was_never_uploaded_is_a_problem():
    scene = Scene(["A"])
    scene.deliver("B")

    assert scene.problems() == [f"{KEY}: delivered what was never uploaded"]


def test_what_a_former_delivery_named_must_stay_as_it_was():
    scene = Scene(["A", "B"])
    first, second = scene.deliver("A"), scene.deliver("B")
    scene.watch.look()
    scene.store.put(BUCKET, first, b"other")
    del scene.store.contents[BUCKET, second]

    assert scene.problems() == [
        f"{first}: named by a delivery, was changed",
        f"{second}: named by a delivery, is gone",
    ]


def test_an_object_that_is_not_there_is_a_problem():
    scene = Scene(["A"])
    name = scene.deliver("A")
    del scene.store.contents[BUCKET, name]

    assert scene.problems()[0] == f"{name}: a delivery names it, and it is not there"


def test_what_is_judged_wrong_is_a_problem():
    scene = Scene(["A"], judge=lambda delivery: f"{delivery.rows_enriched} rows")
    scene.deliver("A")

    assert scene.problems() == [f"{KEY}: 1 rows"]


def test_declarations_of_the_soak_test_quarantine_what_they_say():
    content = make_content("A1", shards=3, trips=5)
    lost = content.rows - STRICTER.rows(content)

    assert PLAIN.rows(content) == RICHER.rows(content) == content.rows
    assert {row[1] for row in lost} == {"A1.0", "A1.1"}
    assert {row[0] for row in lost} == {TIMES_MEMBER}
    assert len({one.enrichment for one in (PLAIN, STRICTER, RICHER)}) == 3


def test_the_last_upload_of_each_archive_is_acceptable_and_each_way_is_there():
    contents = make_contents(30, (2, 3), seed=3)

    assert len(contents) == 30
    assert not any(uploads[-1].refused for uploads in contents.values())
    assert {len(uploads) for uploads in contents.values()} == {1, 2, 3}
    assert any(upload.refused for uploads in contents.values() for upload in uploads)
    assert any(
        len(uploads) == 2 and uploads[0].body == uploads[1].body for uploads in contents.values()
    )


@pytest.mark.parametrize("declaration", [PLAIN, STRICTER, RICHER])
def test_what_a_project_declares_is_known_by_the_name_of_its_generations(tmp_path, declaration):
    OwnProject(tmp_path / "project", declaration.attributes())
    (file,) = tmp_path.rglob("defs.yaml")
    declared = yaml.safe_load(file.read_text())["attributes"]

    assert digest(enrichment_version(Feed.model_validate(declared))) == declaration.enrichment
