"""Rollbacks, replays, imports, uploads and retirements in every order: none swallows another."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.catalog.standing import archive_progress, take_standing
from rwt_assets.cli import main as cli
from rwt_assets.delivery.consumption import read_delivery, read_result
from rwt_assets.documents.layout import Layout
from rwt_assets.operations import rollback
from rwt_assets.operations.correcting import find_rejected
from rwt_assets.operations.replay import ask_again, ask_whole_way
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.operations.taking_back import archive_in, import_rows
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.retention.retirement import MEANWHILE, find_old, retire
from rwt_assets.runtime.errors import CorrectionError, SupersededError
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, SALES, stored_shop, with_parquet
from rwt_assets_tests.assets.test_corrections import (
    BAD,
    RIGHT,
    account,
    corrected,
)
from rwt_assets_tests.assets.test_late_runs import Held
from rwt_assets_tests.faulty_round import Crash, Point, go_on, restart
from rwt_assets_tests.stand_ins import InMemoryObjects, run_request

pytestmark = pytest.mark.mostly_long(one_in=2)

KEY = "shop/a.zip"
DELIVERY = ("results", Layout("rwt/shop").delivery(KEY))
R0 = make_zip({"sales.csv": SALES})
R1 = make_zip({"sales.csv": SALES + "cap,2026-01-03,2\npen,2026-01-03,-4\n"})
R2 = make_zip({"sales.csv": SALES + "cap,2026-01-03,2\nhat,2026-01-04,3\n"})
STRICT = FEED.model_copy(
    update={"attempts": 2, "tolerance": FEED.tolerance.model_copy(update={"rows": 0})}
)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Threads of a run would go on while it is held."""
    monkeypatch.setattr("rwt_assets.orchestration.steps.parquet_io_manager.WORKERS", 1)
    monkeypatch.setattr("rwt_assets.delivery.reconciliation.WORKERS", 1)


@pytest.fixture
def strict():
    with stored_shop(feed=STRICT) as shop:
        yield shop


def now():
    return datetime.now(UTC)


def current(shop):
    return read_delivery(shop.objects, shop.feed.target, KEY)


def back(shop, to=""):
    return make_current_again(shop.catalog, shop.objects, KEY, to=to, now=now())


def steps(shop, until):
    """Carry out steps until this one; the request of it."""
    while True:
        (request,) = plan(shop.catalog)
        if request.tags["rwt/step"] == until:
            return request
        assert run_request(shop.definitions, shop.instance, request).success


def assert_catalog_is_of_the_document(shop):
    (found,) = shop.instance.fetch_materializations(shop.catalog.graph.delivery, limit=1).records
    said = {name: one.value for name, one in found.asset_materialization.metadata.items()}
    document = current(shop)
    assert (said["generation"], said["reason"]) == (document.generation, document.reason)
    assert read_result(shop.objects, shop.feed.target, KEY).reconciled


def hold(shop, monkeypatch, step, point, meanwhile):
    """Carry out steps until this one, which is held while the world goes on."""
    request = steps(shop, step)
    with monkeypatch.context() as patch:
        held = Held(patch, point, meanwhile)
        late = run_request(shop.definitions, shop.instance, request, may_fail=True)
    assert held.reached, "the point was never reached"
    return late


# A rollback and what is in work.


@pytest.mark.mostly_long(one_in=3)
@pytest.mark.parametrize("until", ["split", "enrich", "deliver"])
@pytest.mark.parametrize("work", ["upload", "replay"])
def test_a_rollback_of_what_is_in_work_is_refused_and_the_work_is_delivered(stored, until, work):
    """It waits for a place, a pool or the end of an outage: no run is at work on it."""
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", R1)
    before = current(stored)
    if work == "upload":
        stored.upload("a.zip", R2)
        stored.take_in()
    else:
        ask_whole_way(stored.catalog, [KEY])
    steps(stored, until)
    with pytest.raises(SupersededError, match=f"in work: a run is about to {until} it") as refused:
        back(stored)
    assert "Ask again when" in str(refused.value)
    assert current(stored) == before
    stored.dispatch()
    assert current(stored).revision == stored.objects.etag("incoming", KEY)
    assert current(stored).generation != before.generation
    assert back(stored).generation == before.generation
    assert_catalog_is_of_the_document(stored)


def test_corrected_rows_are_not_swallowed_by_a_rollback(stored):
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", make_zip({"sales.csv": BAD}))
    _, rows = archive_in(corrected(stored, RIGHT), where="rows.csv")
    assert import_rows(stored.catalog, stored.objects, rows, where="rows.csv").asked
    steps(stored, "deliver")
    with pytest.raises(SupersededError, match="in work"):
        back(stored)
    stored.dispatch()
    assert account(stored) == (4, 4, 0, 3)


@pytest.mark.mostly_long(one_in=2)
@pytest.mark.parametrize("until", ["split", "enrich", "deliver", "the end"])
def test_what_comes_in_during_a_rollback_is_delivered_after_it(stored, monkeypatch, until):
    """The switch is done, its event is not: meanwhile a revision comes in, as far as this step."""
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", R1)

    def meanwhile():
        stored.upload("a.zip", R2)
        stored.take_in()
        if until == "the end":
            stored.dispatch()
        else:
            steps(stored, until)

    with monkeypatch.context() as patch:
        held = Held(patch, Point(rollback, "_report"), meanwhile)
        ends_well = nullcontext()
        if until == "the end":
            ends_well = pytest.raises(SupersededError, match="another delivery was written")
        with ends_well:
            back(stored)
    assert held.reached
    stored.dispatch()
    assert current(stored).revision == stored.objects.etag("incoming", KEY)
    assert_catalog_is_of_the_document(stored)
    assert stored.counts()[1:] == (0, 0, 0)


def test_a_run_that_failed_and_delivers_late_during_a_rollback_is_told_by_the_catalog(
    strict, monkeypatch
):
    """It read the document after the switch and ends before the event of the switch."""
    strict.deliver("a.zip", R0)
    strict.deliver("a.zip", R2)
    strict.deliver("a.zip", R1, ends="failed")
    mild = with_parquet(strict.redeclared(FEED.model_copy(update={"attempts": 2})))

    def meanwhile():
        (request,) = steps_of(mild)
        assert run_request(mild.definitions, mild.instance, request).success

    def steps_of(shop):
        facts = next(iter(shop.catalog.facts()))
        shop.catalog.ask_replay(KEY, facts.arrived.revision)
        return [steps(shop, "deliver")]

    with monkeypatch.context() as patch:
        Held(patch, Point(rollback, "_report"), meanwhile)
        with pytest.raises(SupersededError, match="another delivery was written meanwhile"):
            back(strict)
    mild.dispatch()
    assert current(mild).revision == mild.objects.etag("incoming", KEY)
    assert_catalog_is_of_the_document(mild)


def test_of_two_rollbacks_at_once_the_catalog_tells_the_one_that_stands(stored, monkeypatch):
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", R1)
    stored.deliver("a.zip", R2)
    first = current(stored).former[-1].generation
    with monkeypatch.context() as patch:
        Held(patch, Point(rollback, "_report"), lambda: back(stored, to=first))
        with pytest.raises(SupersededError, match="another delivery was written meanwhile"):
            back(stored)
    assert current(stored).generation == first
    assert_catalog_is_of_the_document(stored)
    assert plan(stored.catalog) == []


# Uploaded again.


def test_the_same_bytes_are_processed_again_after_a_failure_and_a_rollback(strict):
    strict.deliver("a.zip", R0)
    strict.deliver("a.zip", R2)
    strict.deliver("a.zip", R1, ends="failed")
    assert back(strict).rows_enriched == 3
    fixed = with_parquet(strict.redeclared(FEED))
    fixed.deliver("a.zip", R1)
    assert current(fixed).revision == fixed.objects.etag("incoming", KEY)


@pytest.mark.parametrize("lost", [False, True], ids=["announced", "found by the sweep"])
def test_after_a_rollback_the_same_bytes_are_a_request(stored, lost):
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", R1)
    back(stored)
    stored.upload("a.zip", R1)
    if lost:
        stored.queue.messages.clear()
        stored.objects.modified["incoming", KEY] = now() + timedelta(minutes=1)
        assert sweep(stored.catalog, stored.objects).recorded == [KEY]
        assert sweep(stored.catalog, stored.objects).recorded == []
    else:
        stored.take_in()
    stored.dispatch()
    stored.assert_delivered(KEY)
    assert current(stored).rows_quarantined == 1


def test_what_was_uploaded_before_a_rollback_does_not_undo_it(stored):
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", R1)
    stored.upload("a.zip", R1)  # its message comes late
    stored.objects.modified["incoming", KEY] = now() + timedelta(seconds=10)
    assert sweep(stored.catalog, stored.objects).recorded == []
    stored.objects.modified["incoming", KEY] = now() - timedelta(seconds=10)
    made = back(stored)
    stored.take_in()
    assert sweep(stored.catalog, stored.objects).recorded == []
    stored.dispatch()
    assert current(stored) == made


# Who waits for an upload.


@pytest.fixture
def waits(stored, monkeypatch, capsys):
    """Follows an upload as `rwt submit --wait` does; its status and what it said."""
    monkeypatch.setattr(cli.dg.DagsterInstance, "get", lambda: nullcontext(stored.instance))
    monkeypatch.setattr(cli, "connect_objects", lambda *_: stored.objects)

    def follow(body, meanwhile, until=None):
        file = Path("/nowhere/a.zip")
        left = cli._arrival_left_out(stored.catalog, KEY)
        stored.upload("a.zip", body)
        revision = stored.objects.etag("incoming", KEY)
        looks = iter(range(20))

        def turn():
            meanwhile(next(looks))

        end = cli._follow(cli._Upload(stored.feed, file, KEY, revision, left), turn, until)
        return end.status, " ".join("".join(capsys.readouterr()).split())

    return follow


def go_all_the_way(shop):
    shop.take_in()
    shop.dispatch()


def test_who_waits_for_what_a_rollback_dropped_hears_of_the_new_delivery(stored, waits):
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", R1)
    back(stored)
    status, said = waits(R1, lambda _: go_all_the_way(stored))
    assert (status, current(stored).rows_quarantined) == (3, 1)
    assert "1 row quarantined" in said


def test_who_waits_hears_of_a_rollback_right_after_the_delivery(stored, waits):
    stored.deliver("a.zip", R0)

    def meanwhile(_look):
        go_all_the_way(stored)
        back(stored)

    status, said = waits(R1, meanwhile)
    assert status == 4
    assert f"delivered is revision {current(stored).revision}: a person rolled back to it" in said


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed first", "never noticed"])
def test_who_waits_hears_of_a_newer_upload_of_the_name(stored, waits, noticed):
    def meanwhile(look):
        assert look == 0, "it waits for what never comes"
        if noticed:
            stored.take_in()
        else:
            stored.queue.messages.clear()
        stored.deliver("a.zip", R2)

    status, said = waits(R1, meanwhile)
    assert status == 4
    assert "a newer upload of this name took its place" in said


def test_who_waits_hears_that_the_upload_was_removed(stored, waits):
    status, said = waits(R1, lambda _: stored.objects.delete("incoming", [KEY]))
    assert status == 4
    assert "removed from the bucket before it was processed" in said


def test_who_waits_long_enough_hears_what_is_waited_for(waits):
    status, said = waits(R1, pytest.fail, until=0.0)
    assert status == 5
    assert "a.zip is not delivered yet: uploaded, not yet noticed. It goes on" in said


# Requests while a split is under way.

MANIFEST = Point(InMemoryObjects, "put_if", only="manifest.json")


def test_what_is_corrected_while_a_split_is_under_way_is_split_again(stored, monkeypatch):
    stored.deliver("a.zip", make_zip({"sales.csv": BAD}))
    _, rows = archive_in(corrected(stored, RIGHT), where="rows.csv")
    ask_whole_way(stored.catalog, [KEY])
    look = stored.catalog.snapshot()  # of a moment before dispatch began the split

    def meanwhile():
        with monkeypatch.context() as patch:
            patch.setattr(FeedCatalog, "snapshot", lambda _: look)
            assert import_rows(stored.catalog, stored.objects, rows, where="rows.csv").rows == 3

    assert hold(stored, monkeypatch, "split", MANIFEST, meanwhile).success
    stored.dispatch()
    assert account(stored) == (4, 4, 0, 3)
    assert (plan(stored.catalog), stored.counts()[1:]) == ([], (0, 0, 0))


def test_a_replay_that_is_asked_for_while_a_split_is_under_way_is_said_to_be_in_work(
    stored, monkeypatch
):
    stored.deliver("a.zip", make_zip({"sales.csv": BAD}))
    ask_whole_way(stored.catalog, [KEY])
    outcomes = []

    def meanwhile():
        outcomes.append(ask_whole_way(stored.catalog, [KEY])[KEY])
        outcomes.append(ask_again(stored.catalog, stored.objects).left)

    assert ask_whole_way(stored.catalog, [KEY]) == {KEY: "before"}
    hold(stored, monkeypatch, "split", MANIFEST, meanwhile)
    assert outcomes == ["in work", [KEY]]
    stored.dispatch()


def test_rows_of_a_revision_that_was_rolled_back_to_are_said_to_be_beyond_correction(stored):
    stored.deliver("a.zip", make_zip({"sales.csv": BAD}))
    stored.deliver("a.zip", R0)
    back(stored)
    _, rows = archive_in(corrected(stored, RIGHT), where="rows.csv")
    with pytest.raises(CorrectionError, match="to which a person rolled back") as refused:
        import_rows(stored.catalog, stored.objects, rows, where="rows.csv")
    assert "export again" not in str(refused.value)
    assert f"Upload {KEY} as it should be" in str(refused.value)
    asked = ask_again(stored.catalog, stored.objects)
    assert (asked.rolled_back, asked.left, dict(asked.again)) == ([KEY], [], {})
    # What it says to do works: the newest upload is delivered, and has nothing in quarantine.
    assert ask_whole_way(stored.catalog, [KEY]) == {KEY: "again"}
    stored.dispatch()
    stored.assert_delivered(KEY)
    with pytest.raises(Exception, match="nothing of this archive is quarantined"):
        find_rejected(stored.catalog, stored.objects, KEY)


# Retirement.


def retire_all(shop, *, keep_data=False):
    old = find_old(shop.catalog, timedelta(0), now=now() + timedelta(days=1))
    return [one.left for one in retire(shop.catalog, shop.objects, old, keep_data=keep_data)]


def results(shop):
    return [key for bucket, key in shop.objects.contents if bucket == "results"]


POINTS = {
    "split, before it reads": ("split", Point(InMemoryObjects, "stream")),
    "split, before the manifest": ("split", MANIFEST),
    "split, after the manifest": (
        "split",
        Point(InMemoryObjects, "put_if", only="manifest.json", after=True),
    ),
    "split, before it reports": ("split", Point(FeedCatalog, "report_shards")),
    "split, after the schemas": (
        "split",
        Point(InMemoryObjects, "put_if", only="/schemas/", after=True),
    ),
    "enrich, before a Parquet": ("enrich", Point(InMemoryObjects, "put_if", only="/enriched/")),
    "enrich, before a quarantine": ("enrich", Point(InMemoryObjects, "put_if", only="quarantine")),
    "deliver, before the document": (
        "deliver",
        Point(InMemoryObjects, "put_if", only="delivery.json"),
    ),
    "deliver, after the document": (
        "deliver",
        Point(InMemoryObjects, "put_if", only="delivery.json", after=True),
    ),
}


@pytest.mark.mostly_long(one_in=4)
@pytest.mark.parametrize(
    ("name", "keep_data"),
    [
        *((name, False) for name in POINTS),
        ("split, before the manifest", True),
        ("deliver, before the document", True),
    ],
)
def test_a_late_run_leaves_nothing_of_an_archive_that_was_retired(monkeypatch, name, keep_data):
    step, point = POINTS[name]
    with stored_shop(feed=FEED.model_copy(update={"attempts": 2})) as shop:
        kept = {}

        def meanwhile():
            restart(shop)
            go_on(shop, expect_failure=None)
            shop.assert_delivered(KEY)
            assert retire_all(shop, keep_data=keep_data) == [""]
            kept.update(dict.fromkeys(results(shop)))
            if keep_data:
                kept["document"] = shop.objects.contents[DELIVERY]

        shop.upload("a.zip", R1)
        shop.take_in()
        late = hold(shop, monkeypatch, step, point, meanwhile)
        assert not late.success
        assert (
            "was retired meanwhile" in shop.instance.get_run_by_id(late.run_id).tags["rwt/reason"]
        )
        assert (list(shop.catalog.archives()), list(shop.catalog.shards())) == ([], [])
        if keep_data:
            assert shop.objects.contents[DELIVERY] == kept["document"]
            assert read_result(shop.objects, shop.feed.target, KEY).reconciled
        else:
            assert results(shop) == []
        # It comes back as any archive does.
        shop.deliver("a.zip", R1)


@pytest.mark.mostly_long(one_in=3)
@pytest.mark.parametrize(
    ("call", "then"),
    [
        (1, "retire"),
        (2, "retire"),
        (5, "retire"),
        (1, "the same bytes"),
        (5, "the same bytes"),
        (2, "the nightly collection"),
    ],
)
def test_a_retirement_that_is_cut_short_is_seen_and_finished(stored, monkeypatch, call, then):
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", R1)
    calls = iter(range(1, 100))

    def dying(method):
        def die(*arguments, **settings):
            if next(calls) == call:
                raise Crash
            return method(*arguments, **settings)

        return die

    with monkeypatch.context() as patch:
        for name in ("delete", "delete_if"):
            patch.setattr(InMemoryObjects, name, dying(getattr(InMemoryObjects, name)))
        with pytest.raises(Crash):
            retire_all(stored)
    (waits,) = take_standing(stored.catalog).waiting
    assert (waits.partition_key, "being retired" in waits.reason) == (KEY, True)
    with pytest.raises(SupersededError, match="is being retired"):
        back(stored)
    if then == "the same bytes":
        stored.deliver("a.zip", R1)
        assert stored.counts()[1:] == (0, 0, 0)
        assert read_result(stored.objects, stored.feed.target, KEY).reconciled
        return
    if then == "retire":  # however young it is
        old = find_old(stored.catalog, timedelta(days=30))
        assert [
            one.left for one in retire(stored.catalog, stored.objects, old, keep_data=True)
        ] == [""]
    else:
        job = stored.definitions.resolve_job_def("shop_collect")
        assert job.execute_in_process(instance=stored.instance).success
    assert (results(stored), list(stored.catalog.archives())) == ([], [])


@pytest.mark.mostly_long(one_in=3)
@pytest.mark.parametrize(
    "point",
    [
        Point(FeedCatalog, "mark_retired"),
        Point(InMemoryObjects, "delete_if"),
        Point(InMemoryObjects, "delete_if", after=True),
    ],
    ids=["before it is on record", "before the document goes", "after it"],
)
@pytest.mark.parametrize("what", ["replay", "upload"])
def test_what_comes_in_while_the_document_goes_keeps_it(strict, monkeypatch, what, point):
    """Also where nothing comes of it: the delivery before stays."""
    strict.deliver("a.zip", R0)
    strict.deliver("a.zip", R2)
    before = strict.objects.contents[DELIVERY]

    def meanwhile():
        if what == "upload":
            strict.upload("a.zip", R1)
            strict.take_in()
        else:
            ask_whole_way(strict.catalog, [KEY])

    with monkeypatch.context() as patch:
        Held(patch, point, meanwhile)
        assert retire_all(strict) == [MEANWHILE]
    assert strict.objects.contents[DELIVERY] == before
    if what == "upload":
        strict.dispatch(expect_failure=True)
        assert strict.objects.contents[DELIVERY] == before
    else:
        strict.dispatch()
        assert strict.counts()[1:] == (0, 0, 0)
    assert read_result(strict.objects, strict.feed.target, KEY).reconciled


@pytest.mark.mostly_long(one_in=2)
@pytest.mark.parametrize(
    ("point", "stands"),
    [
        (Point(FeedCatalog, "mark_retired"), True),
        (Point(FeedCatalog, "mark_retired", after=True), False),
        (Point(InMemoryObjects, "delete_if"), False),
    ],
    ids=["before it is on record", "after", "before the document goes"],
)
def test_a_rollback_against_a_retirement(stored, monkeypatch, point, stands):
    """One of them is told that the other was there first; nobody reads what is not there."""
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", R1)
    answers = []

    def meanwhile():
        try:
            answers.append(back(stored))
        except SupersededError as error:
            answers.append(str(error))

    with monkeypatch.context() as patch:
        Held(patch, point, meanwhile)
        left = retire_all(stored)
    if stands:
        assert (left, answers) == ([MEANWHILE], [current(stored)])
        assert_catalog_is_of_the_document(stored)
        assert archive_progress(stored.catalog, KEY).stage == "delivered"
    else:
        assert left == [""]
        assert "is being retired" in answers[0]
        assert results(stored) == []


@pytest.mark.parametrize("method", ["read_tagged", "put", "put_if", "after the switch"])
def test_a_retirement_in_the_middle_of_a_rollback(stored, monkeypatch, method):
    stored.deliver("a.zip", R0)
    stored.deliver("a.zip", R1)
    point = Point(InMemoryObjects, method)
    if method == "after the switch":
        point = Point(rollback, "roll_back", after=True)
    with monkeypatch.context() as patch:
        Held(patch, point, lambda: retire_all(stored))
        with pytest.raises(Exception, match=r"never delivered|meanwhile|was collected"):
            back(stored)
    assert (list(stored.catalog.archives()), results(stored)) == ([], [])


@pytest.mark.parametrize("registered", [False, True], ids=["retired", "being retired"])
def test_the_same_bytes_after_a_retirement_are_found_by_the_sweep(stored, monkeypatch, registered):
    stored.deliver("a.zip", R1)
    if registered:
        with monkeypatch.context() as patch:
            patch.setattr(FeedCatalog, "retire_archive", lambda *_: False)
            retire_all(stored)
    else:
        retire_all(stored)
    stored.objects.modified["incoming", KEY] = now() - timedelta(minutes=1)
    assert sweep(stored.catalog, stored.objects).recorded == []
    stored.objects.modified["incoming", KEY] = now() + timedelta(minutes=1)
    assert sweep(stored.catalog, stored.objects).recorded == [KEY]
    assert sweep(stored.catalog, stored.objects).recorded == []
    stored.dispatch()
    stored.assert_delivered(KEY)
