"""What is quarantined is counted, bounded, told, and delivered after the feed was fixed."""

from time import time

import dagster as dg
import pytest

from rwt_assets.catalog.intake import sweep
from rwt_assets.catalog.standing import archives_progress, retry_failed, take_standing
from rwt_assets.component import build_feed_definitions
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.feed.feed import Tolerance
from rwt_assets.operations.replay import ask_again, count_quarantined, find_quarantined
from rwt_assets.orchestration.sensors.dispatch import dispatch_sensor, plan, step_jobs
from rwt_assets.runtime.errors import ArchiveMissingError
from rwt_assets_tests.archives import make_zip

BAD = "item,day,price\npen,2026-01-01,1.50\npen,2026-01-01,-2\nink,2026-01-02\n"
GOOD = "item,day,price\npen,2026-01-01,1.50\n"


def stored(shop):
    shop.definitions = build_feed_definitions(
        shop.feed, object_store=shop.store, queue_client=shop.client
    )
    return shop


def reopened(shop, **changed):
    """The same stores and catalog under another declaration of the feed."""
    return stored(shop.redeclared(shop.feed.model_copy(update=changed)))


def fixed(shop):
    """A feed that takes any price, and tolerates anything."""
    sales, others = shop.feed.members
    columns = {
        **sales.columns,
        "price": sales.columns["price"].model_copy(update={"minimum": None}),
    }
    rule = sales.model_copy(update={"columns": columns})
    return reopened(shop, members=(rule, others), tolerance=Tolerance())


@pytest.fixture
def strict(shop):
    return reopened(shop, tolerance=Tolerance(rows=1))


def delivery_of(shop, archive):
    return read_delivery(shop.objects, shop.feed.target, archive)


def counts_of(shop, archive):
    delivery = delivery_of(shop, archive)
    return delivery.rows_read, delivery.rows_enriched, delivery.rows_quarantined


def quarantined(shop, **wanted):
    return list(find_quarantined(shop.catalog, shop.objects, **wanted))


def asked(shop, **wanted):
    return ask_again(shop.catalog, shop.objects, **wanted)


def checks_of(result):
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def test_more_than_is_tolerated_is_not_delivered_and_tried_once(strict):
    strict.drop("a.zip", make_zip({"sales.csv": BAD}))
    sweep(strict.catalog, strict.objects)
    results = strict.dispatch(expect_failure=True)
    assert [result.success for result in results] == [True, True, False]
    (failed,) = take_standing(strict.catalog).failed
    for part in (
        "2 of 3 rows and 0 of 1 members are quarantined: tolerance.rows is 1, found 2",
        "s3://incoming/shop/a.zip",
        "No delivery was written",
        "`rwt quarantine replay --archive shop/a.zip`, or raise tolerance.rows",
    ):
        assert part in failed.reason
    with pytest.raises(ArchiveMissingError):
        delivery_of(strict, "shop/a.zip")
    (event,) = strict.instance.get_records_for_run(
        "", of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    evaluation = event.event_log_entry.dagster_event.event_specific_data
    assert (evaluation.check_name, evaluation.passed) == ("quarantine_within_tolerance", False)
    assert evaluation.severity == dg.AssetCheckSeverity.ERROR
    assert evaluation.metadata["exceeded"].value == "tolerance.rows is 1, found 2"


def test_the_former_delivery_stays_and_the_next_revision_is_tried_as_usual(strict):
    archive = strict.deliver("a.zip", make_zip({"sales.csv": GOOD}))
    before = delivery_of(strict, archive)
    strict.deliver("a.zip", make_zip({"sales.csv": BAD}), ends="failed")
    assert delivery_of(strict, archive) == before
    assert len(take_standing(strict.catalog).failed) == 1
    strict.deliver("a.zip", make_zip({"sales.csv": GOOD + "ink,2026-01-03,4\n"}))
    assert counts_of(strict, archive) == (2, 2, 0)
    assert not take_standing(strict.catalog).failed


def test_with_a_tolerance_that_was_raised_a_retry_delivers(strict):
    archive = strict.deliver("a.zip", make_zip({"sales.csv": BAD}), ends="failed")
    raised = reopened(strict, tolerance=Tolerance(rows=2))
    assert raised.dispatch() == []
    assert retry_failed(raised.catalog) == [archive]
    assert [result.job_def.name for result in raised.dispatch()] == ["shop_deliver"]
    assert counts_of(raised, archive) == (3, 1, 2)


def test_members_and_ratio_are_bounded_too(shop):
    body = make_zip({"sales1.csv": "item,price\npen,1\n", "sales2.csv": GOOD})
    members = reopened(shop, tolerance=Tolerance(members=0))
    members.deliver("a.zip", body, ends="failed")
    assert "tolerance.members is 0, found 1" in take_standing(members.catalog).failed[0].reason
    ratio = reopened(shop, tolerance=Tolerance(ratio=0.5))
    ratio.deliver("b.zip", make_zip({"sales.csv": BAD}), ends="failed")
    reasons = {e.partition_key: e.reason for e in take_standing(ratio.catalog).failed}
    assert "tolerance.ratio is 0.5, found 0.666667" in reasons["shop/b.zip"]


def test_the_checks_of_a_delivery_pass_warn_and_say_why(shop):
    stored(shop)
    shop.drop("a.zip", make_zip({"sales.csv": BAD, "sales2.csv": "item,price\npen,1\n"}))
    sweep(shop.catalog, shop.objects)
    *_, deliver = shop.dispatch()
    checks = checks_of(deliver)
    assert {name: (one.passed, one.severity.value) for name, one in checks.items()} == {
        "reconciled": (True, "ERROR"),
        "quarantine_within_tolerance": (True, "WARN"),
        "contract_kept": (False, "WARN"),
        "archive_complete": (True, "WARN"),
        "rows_as_usual": (True, "WARN"),
    }
    reconciled = checks["reconciled"].metadata
    assert reconciled["members_with_verified_crc32"].value == 1
    assert reconciled["shards_with_equal_checksum"].value == 1
    assert checks["quarantine_within_tolerance"].metadata["members_quarantined"].value == 1
    by_rule = checks["contract_kept"].metadata["by_rule"].value
    for line in ("| price: minimum | 1 |", "| ragged_row | 1 |", "| MemberHeaderError | "):
        assert line in by_rule
    (event,) = deliver.get_asset_materialization_events()
    report = event.materialization.metadata["quarantine"].value
    assert "| sales.csv | price: minimum | 1 |" in report
    assert "column 'day'" in report
    assert "rwt quarantine list --archive shop/a.zip" in report


def test_where_nothing_is_set_aside_all_checks_pass_and_no_quarantine_is_read(shop):
    stored(shop)
    shop.drop("a.zip", make_zip({"sales.csv": GOOD}))
    sweep(shop.catalog, shop.objects)
    *_, deliver = shop.dispatch()
    assert [one.passed for one in checks_of(deliver).values()] == [True] * 5
    (event,) = deliver.get_asset_materialization_events()
    assert "quarantine" not in event.materialization.metadata
    assert quarantined(shop) == []
    assert count_quarantined(shop.catalog) == 0


def test_quarantine_is_found_by_member_and_rule_delivered_or_not(shop):
    stored(shop)
    shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    shop.deliver("good.zip", make_zip({"sales.csv": GOOD}))
    strict = reopened(shop, tolerance=Tolerance(rows=0))
    body = make_zip({"sales.csv": GOOD + "pen,2026-01-01,-3\n"})
    strict.deliver("b.zip", body, ends="failed")
    found = quarantined(strict)
    assert [(one.found.archive, one.delivered, one.found.by_rule) for one in found] == [
        ("shop/a.zip", True, {"price: minimum": 1, "ragged_row": 1}),
        ("shop/b.zip", False, {"price: minimum": 1}),
    ]
    assert [one.found.archive for one in quarantined(strict, rule="ragged*")] == ["shop/a.zip"]
    assert [one.found.archive for one in quarantined(strict, archives=["shop/b.zip"])] == [
        "shop/b.zip"
    ]
    assert all(one.keys for one in found)


def test_only_documents_of_archives_with_quarantine_are_read(shop, monkeypatch):
    stored(shop)
    for number in range(3):
        shop.deliver(f"good{number}.zip", make_zip({"sales.csv": GOOD}))
    shop.deliver("bad.zip", make_zip({"sales.csv": BAD}))
    read = []
    original = type(shop.objects).read
    monkeypatch.setattr(
        type(shop.objects),
        "read",
        lambda self, bucket, key, *a, **k: read.append(key) or original(self, bucket, key, *a, **k),
    )
    assert len(quarantined(shop)) == 1
    assert [key.rpartition("/")[2] for key in read] == ["delivery.json"]


def test_a_replay_after_the_feed_was_mended_delivers_all_rows(shop):
    stored(shop)
    archive = shop.deliver("a.zip", make_zip({"sales.csv": BAD.replace("ink,2026-01-02\n", "")}))
    before = delivery_of(shop, archive)
    assert counts_of(shop, archive) == (2, 1, 1)
    better = fixed(shop)
    assert better.dispatch() == [], "dispatch alone asks for nothing"
    assert list(asked(better).again) == [archive]
    steps = [result.job_def.name for result in better.dispatch()]
    assert steps == ["shop_split", "shop_enrich", "shop_deliver"]
    assert counts_of(better, archive) == (2, 2, 0)
    after = delivery_of(better, archive)
    assert after.revision == before.revision
    assert after.quarantine_keys == ()
    assert read_result(better.objects, better.feed.target, archive).reconciled
    assert quarantined(better) == []
    assert not asked(better).all


def test_what_was_refused_by_tolerance_is_delivered_by_a_replay(strict):
    body = make_zip({"sales.csv": BAD.replace("ink,2026-01-02\n", "pen,2026-01-01,-1\n")})
    archive = strict.deliver("a.zip", body, ends="failed")
    assert len(take_standing(strict.catalog).failed) == 1
    better = fixed(strict)
    assert list(asked(better).again) == [archive]
    better.dispatch()
    assert counts_of(better, archive) == (3, 3, 0)
    assert not take_standing(better.catalog).failed


def test_a_member_set_aside_whole_is_delivered_by_a_replay(shop):
    stored(shop)
    body = make_zip({"sales1.csv": "item,price\npen,1\n", "sales2.csv": GOOD})
    archive = shop.deliver("a.zip", body)
    sales, others = shop.feed.members
    columns = {name: one for name, one in sales.columns.items() if name != "day"}
    rule = sales.model_copy(update={"split_by": None, "columns": columns})
    better = reopened(shop, members=(rule, others))
    assert list(asked(better, rule="MemberHeaderError").again) == [archive]
    better.dispatch()
    assert counts_of(better, archive) == (2, 2, 0)
    assert better.counts() == (3, 0, 0, 0)


def test_a_replay_without_a_change_sets_the_same_aside_and_changes_no_byte(shop):
    stored(shop)
    archive = shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    first = delivery_of(shop, archive)
    documents = ("delivery.json", "manifest.json")
    kept = {k: v for k, v in shop.objects.contents.items() if not k[1].endswith(documents)}
    asked(shop)
    shop.dispatch()
    assert {key: shop.objects.contents[key] for key in kept} == kept
    assert counts_of(shop, archive) == (3, 1, 2)
    again = delivery_of(shop, archive)
    assert (again.revision, again.reason) == (
        first.revision,
        "split again: a person asked for it",
    )
    assert again.generation != first.generation
    assert not {one.key for one in again.objects} & {one.key for one in first.objects}


def test_asking_twice_asks_once(shop):
    stored(shop)
    archive = shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    assert list(asked(shop).again) == [archive]
    assert asked(shop).before == [archive]
    (request,) = plan(shop.catalog)
    assert request.tags["rwt/step"] == "split"
    (progress,) = archives_progress(shop.catalog, [archive]).values()
    assert progress.stage == "arrived"
    assert len(shop.dispatch()) == 3
    assert plan(shop.catalog) == []


def test_a_replay_that_fails_is_bounded_has_its_reason_and_can_be_asked_again(shop):
    stored(shop)
    archive = shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    before = delivery_of(shop, archive)
    body = shop.objects.contents.pop(("incoming", archive))
    asked(shop)
    results = shop.dispatch(expect_failure=True)
    assert [one.success for one in results] == [False] * shop.feed.attempts
    (failed,) = [e for e in take_standing(shop.catalog).failed if e.asset == "zip_archive"]
    assert "no such object" in failed.reason
    assert delivery_of(shop, archive) == before
    shop.objects.contents["incoming", archive] = body
    assert list(asked(shop).again) == [archive]
    shop.dispatch()
    shop.assert_delivered(archive)
    assert not take_standing(shop.catalog).failed


def test_a_replay_asks_for_no_more_than_the_feed_may_have_in_work(shop):
    stored(shop)
    keys = [shop.deliver(f"{n}.zip", make_zip({"sales.csv": BAD})) for n in range(3)]
    small = reopened(shop, archives_in_work=2)
    first = asked(small)
    assert (list(first.again), first.no_room) == (keys[:2], keys[2:])
    second = asked(small)
    assert (second.before, second.no_room) == (keys[:2], keys[2:])
    small.dispatch()
    assert len(asked(small).again) == 2


def test_an_archive_whose_newer_revision_waits_is_left_alone(shop):
    stored(shop)
    archive = shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    shop.drop("a.zip", make_zip({"sales.csv": GOOD}))
    sweep(shop.catalog, shop.objects)
    assert asked(shop).left == [archive]


def test_a_replay_that_nobody_carries_out_is_forgotten_in_the_end(shop):
    stored(shop)
    archive = shop.deliver("a.zip", make_zip({"sales.csv": BAD}))
    asked(shop)
    assert shop.counts()[1:] == (1, 0, 0)
    forgotten = take_standing(shop.catalog, patience=-1).forgotten
    assert [entry.partition_key for entry in forgotten] == [archive]


def tick(shop, cursor=None):
    sensor = dispatch_sensor(shop.feed, step_jobs(shop.feed))
    with dg.build_sensor_context(
        instance=shop.instance, definitions=shop.definitions, cursor=cursor
    ) as context:
        return sensor(context)


def freshness_in(result):
    return [e for e in result.asset_events if e.check_name == "feed_is_fresh"]


def test_a_feed_that_falls_silent_is_told_once_and_recovers_with_an_archive(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.orchestration.sensors.dispatch.WATCH_SECONDS", 0)
    hourly = stored(reopened(shop, expected_every_hours=1))
    never = tick(hourly)
    (told,) = freshness_in(never)
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "No archive has ever arrived" in told.metadata["told"].value

    hourly.deliver("a.zip", make_zip({"sales.csv": GOOD}))
    fresh = tick(hourly, never.cursor)
    (told,) = freshness_in(fresh)
    assert told.passed
    assert freshness_in(tick(hourly, fresh.cursor)) == []

    monkeypatch.setattr("rwt_assets.orchestration.checks.checks.time", lambda: time() + 3_700)
    silent = tick(hourly, fresh.cursor)
    (told,) = freshness_in(silent)
    assert not told.passed
    assert "1.0 hours ago; one is expected every 1 hours" in told.metadata["told"].value
    assert tick(hourly, silent.cursor).asset_events == [], "told again without a change"

    monkeypatch.setattr("rwt_assets.orchestration.checks.checks.time", time)
    hourly.deliver("b.zip", make_zip({"sales.csv": GOOD}))
    (told,) = freshness_in(tick(hourly, silent.cursor))
    assert told.passed


def test_the_freshness_check_can_be_run_from_the_ui(shop):
    hourly = stored(reopened(shop, expected_every_hours=1))
    key = dg.AssetCheckKey(shop.catalog.graph.zip_archive, "feed_is_fresh")
    checks = [one for one in hourly.definitions.asset_checks if key in one.check_keys]
    for passed in (False, True):
        result = dg.materialize(
            checks, instance=shop.instance, selection=dg.AssetSelection.checks(key)
        )
        (evaluation,) = result.get_asset_check_evaluations()
        assert evaluation.passed is passed
        hourly.deliver("a.zip", make_zip({"sales.csv": GOOD}))


def test_a_feed_that_expects_nothing_has_no_freshness_check(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.orchestration.sensors.dispatch.WATCH_SECONDS", 0)
    keys = shop.definitions.resolve_asset_graph().asset_check_keys
    assert "feed_is_fresh" not in {key.name for key in keys}
    assert freshness_in(tick(shop)) == []
