"""Small archives are not stuck behind a giant, and the giant is not starved by them.

Dispatch is the real one, and so is the order in which Dagster takes runs from its run queue. Runs
are not carried out but end as failed.
"""

from itertools import count

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon

from rwt_assets.orchestration.sensors.dispatch import RUNS_UNDER_WAY, plan
from rwt_assets.runtime.run_tags import ARCHIVE_TAG, CELERY_PRIORITY_TAG, PRIORITY_TAG
from rwt_assets.storage.notifications import ArchiveRevision

SOMEWHERE = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("somewhere"), "shop")
GIANT, MIDDLE, SMALL = 6 * 2**30, 100 * 2**20, 100_000


def arrive(shop, name, size):
    key = f"shop/{name}.zip"
    revision = ArchiveRevision(bucket="incoming", key=key, etag=name, size=size)
    shop.catalog.record_arrival(revision, via="queue")
    return key


def ask(shop, at_most=RUNS_UNDER_WAY):
    """Put what dispatch asks for into the run queue; its archives."""
    requests = plan(shop.catalog, at_most=at_most)
    for one in requests:
        tags = {**one.tags, "dagster/partition": one.partition_key}
        job = shop.definitions.resolve_job_def(one.job_name)
        shop.instance.create_run_for_job(
            job,
            tags=tags,
            status=dg.DagsterRunStatus.QUEUED,
            remote_job_origin=RemoteJobOrigin(SOMEWHERE, one.job_name),
        )
    return [one.tags[ARCHIVE_TAG] for one in requests]


def taken(shop):
    """The run that Dagster's run queue starts next."""
    queued = dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED])
    runs = shop.instance.get_runs(queued, ascending=True)
    return QueuedRunCoordinatorDaemon(interval_seconds=1)._priority_sort(runs)[0]


def begin(shop, run):
    shop.instance.handle_new_event(_event(run, dg.DagsterEventType.RUN_START))


def fail(shop, run):
    shop.instance.report_run_failed(run)
    shop.expect_failed(run.tags[ARCHIVE_TAG])


def _event(run, kind):
    event = dg.DagsterEvent(kind.value, run.job_name, message="")
    return dg.EventLogEntry(
        error_info=None,
        level="debug",
        user_message="",
        run_id=run.run_id,
        timestamp=0.0,
        job_name=run.job_name,
        dagster_event=event,
    )


def test_a_small_archive_that_comes_last_is_taken_first(shop):
    giants = [arrive(shop, f"giant{number}", GIANT) for number in range(RUNS_UNDER_WAY)]
    assert ask(shop) == giants[: RUNS_UNDER_WAY // 2]
    middle, small = arrive(shop, "middle", MIDDLE), arrive(shop, "small", SMALL)
    assert ask(shop) == [middle, small]
    order = []
    for _ in range(3):
        run = taken(shop)
        order.append(run.tags[ARCHIVE_TAG])
        fail(shop, run)
    assert order == [small, middle, giants[0]]


def test_the_tags_are_those_of_both_queues(shop):
    arrive(shop, "giant", GIANT)
    arrive(shop, "small", SMALL)
    tags = [request.tags for request in plan(shop.catalog)]
    assert [one[PRIORITY_TAG] for one in tags] == ["-5", "0"]
    assert [one[CELERY_PRIORITY_TAG] for one in tags] == ["0", "10"]


def test_small_ones_that_come_later_take_no_place_from_a_giant(shop):
    shop.feed = shop.feed.model_copy(update={"attempts": 1})
    for number in range(3):
        arrive(shop, f"before{number}", SMALL)
    giant = arrive(shop, "giant", GIANT)
    for number in range(3):
        arrive(shop, f"after{number}", SMALL)
    assert giant not in ask(shop, at_most=3)
    fail(shop, taken(shop))
    assert ask(shop, at_most=3) == [giant]


@pytest.mark.parametrize(("patience", "starves"), [(0.0, False), (float("inf"), True)])
def test_small_ones_all_the_time_do_not_starve_a_giant_in_the_run_queue(
    shop, monkeypatch, patience, starves
):
    monkeypatch.setattr("rwt_assets.status.priority.PATIENCE_SECONDS", patience)
    shop.feed = shop.feed.model_copy(update={"attempts": 1})
    giant, numbers = arrive(shop, "giant", GIANT), count()
    begun = []
    for _ in range(10):
        arrive(shop, f"small{next(numbers)}", SMALL)
        arrive(shop, f"small{next(numbers)}", SMALL)
        ask(shop, at_most=4)
        run = taken(shop)
        begun.append(run.tags[ARCHIVE_TAG])
        fail(shop, run)
        if begun[-1] == giant:
            break
    assert (giant not in begun) is starves


def test_a_giant_at_work_holds_nothing_back(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.status.priority.PATIENCE_SECONDS", 0.0)
    arrive(shop, "giant", GIANT)
    ask(shop)
    waiting = arrive(shop, "small0", SMALL)
    assert ask(shop) == []
    begin(shop, taken(shop))
    assert ask(shop) == [waiting]


def test_a_feed_of_another_pool_is_not_held_back(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.status.priority.PATIENCE_SECONDS", 0.0)
    arrive(shop, "giant", GIANT)
    ask(shop)
    other = shop.redeclared(shop.feed.model_copy(update={"name": "kiosk", "pool": "kiosk"}))
    same = shop.redeclared(shop.feed.model_copy(update={"name": "stall"}))
    for one in (other, same):
        arrive(one, "small", SMALL)
    assert plan(other.catalog)
    assert plan(same.catalog) == []
