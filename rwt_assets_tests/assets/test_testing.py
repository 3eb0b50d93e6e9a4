"""The harness of feeds: a step that fails without being expected to is an error, always."""

import ast
import os
import subprocess
import sys

import pytest

from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.runtime.errors import ArchiveMissingError, FeedError
from rwt_assets.scaffolding import scaffolded
from rwt_assets.testing import InMemoryFeed, run_request
from rwt_assets_tests.assets.conftest import FEED, SALES, Shop
from rwt_assets_tests.end_to_end.documented_commands import PROJECT

TESTS = PROJECT / "rwt_assets_tests"
GOOD = {"sales.csv": SALES}
NO_ZIP = "the object is no readable ZIP archive"
# Jobs of these tests themselves, which are no feed's.
OWN_JOBS = {"assets/test_alerts.py"}
# It runs in a process of its own, with an earlier version; its caller asserts the status.
EARLIER_VERSION = "end_to_end/one_version.py"


def fail_unnoticed(shop):
    """An archive that fails, in steps that do not assert anything."""
    shop.upload("a.zip", b"no ZIP")
    shop.take_in()
    (request,) = plan(shop.catalog)
    assert not run_request(shop.definitions, shop.instance, request, may_fail=True).success


def test_a_failure_that_the_test_did_not_notice_is_an_error_at_its_end():
    shop = Shop()
    with pytest.raises(AssertionError, match=f"shop/a.zip failed: {NO_ZIP}"), shop:
        fail_unnoticed(shop)


def test_a_failure_that_is_expected_is_none():
    with Shop() as shop:
        fail_unnoticed(shop)
        shop.expect_failed("shop/a.zip")


def test_a_shard_that_is_forgotten_is_an_error_at_the_end():
    shop = Shop()
    with pytest.raises(AssertionError, match="is forgotten: its archive is not in the"), shop:
        shop.instance.add_dynamic_partitions("shop_csv_shards", ["shop/gone.zip|sales.csv"])


def test_what_fails_otherwise_is_told_before_what_is_found_at_the_end():
    shop = Shop()
    fail_unnoticed(shop)
    with pytest.raises(ZeroDivisionError), shop:
        _ = 1 / 0


def test_a_delivery_that_fails_is_told_with_its_reason():
    with InMemoryFeed(FEED) as shop:
        with pytest.raises(AssertionError, match=f"a run of shop_split failed: {NO_ZIP}"):
            shop.deliver("a.zip", b"no ZIP")
        shop.expect_failed("shop/a.zip")
        assert NO_ZIP in shop.reason("shop/a.zip")


def test_a_fault_of_ours_is_told_too(shop, monkeypatch):
    def away(*_, **__):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(type(shop.objects), "stream", away)
    with pytest.raises(AssertionError, match="the disk is full"):
        shop.deliver("a.zip", GOOD)


def test_an_archive_that_does_not_fail_as_expected_is_an_error(shop):
    with pytest.raises(AssertionError, match="none of 3 runs failed"):
        shop.deliver("a.zip", GOOD, ends="failed")
    with pytest.raises(AssertionError, match="none of 0 runs failed"):
        shop.dispatch(expect_failure=True)
    with pytest.raises(AssertionError, match="has not failed, it is delivered"):
        shop.assert_failed("shop/a.zip")


def test_an_archive_that_was_only_split_is_not_delivered(shop):
    archive = shop.upload("a.zip", GOOD)
    shop.take_in()
    run_request(shop.definitions, shop.instance, plan(shop.catalog)[0])
    with pytest.raises(AssertionError, match="is not delivered, it is enriching"):
        shop.assert_delivered(archive)
    with pytest.raises(ArchiveMissingError):
        shop.rows(archive)


def test_a_delivery_whose_rows_are_gone_does_not_add_up(shop):
    archive = shop.deliver("a.zip", GOOD)
    (first, _) = shop.delivery(archive).objects
    frame = shop.io_manager.frame_of(first)
    frame.drop(frame.index, inplace=True)
    with pytest.raises(AssertionError, match="does not add up: 3 rows were read, 3 enriched"):
        shop.assert_delivered(archive)


def test_work_without_an_end_is_an_error(shop, monkeypatch):
    monkeypatch.setattr("rwt_assets.testing.ROUNDS", 2)
    with pytest.raises(AssertionError, match="after 2 rounds there is more to do"):
        shop.deliver("a.zip", GOOD)


def test_a_message_that_is_refused_is_an_error(shop):
    shop.queue.put("what is this")
    with pytest.raises(AssertionError, match="message-0"):
        shop.deliver("a.zip", GOOD)


def test_a_name_that_the_feed_does_not_read_is_an_error(shop):
    with pytest.raises(ValueError, match=r"only keys that end in \.zip"):
        shop.deliver("a.tar", GOOD)


def test_the_notification_in_the_queue_leads_to_the_object_whatever_its_name(shop):
    archive = shop.deliver("Zürich 50% + more.zip", GOOD)
    assert archive == "shop/Zürich 50% + more.zip"
    assert len(shop.queue.deleted) == 1
    assert len(shop.rows(archive)) == 3


def test_a_later_upload_replaces_the_delivery_and_the_former_rows_stay_readable(shop):
    archive = shop.deliver("a.zip", GOOD)
    former = shop.delivery(archive)
    shop.deliver("a.zip", {"sales.csv": SALES + "cap,2026-01-02,3\n"})
    assert len(shop.rows(archive)) == 4
    assert [len(shop.io_manager.frame_of(one)) for one in former.objects] == [1, 2]


def test_under_another_declaration_stores_catalog_and_expectations_are_the_same(shop):
    archive = shop.deliver("a.zip", GOOD)
    other = shop.redeclared(shop.feed.model_copy(update={"attempts": 1}))
    assert (other.feed.attempts, shop.feed.attempts) == (1, FEED.attempts)
    assert len(other.rows(archive)) == 3
    other.deliver("b.zip", b"no ZIP", ends="failed")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of somebody else with the feed `sales`, as `dg scaffold` makes it."""
    folder = tmp_path / "shopping"
    defs = folder / "defs" / "sales"
    defs.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "shopping"\n'
    )
    (defs / "defs.yaml").write_text(scaffolded("sales"))
    monkeypatch.setenv("RWT_PROJECT", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "shopping"]:
        del sys.modules[name]


def test_a_declared_feed_is_found_by_its_name_or_because_it_is_the_only_one(project):
    for name in ("sales", ""):
        with InMemoryFeed.declared(name) as feed:
            assert feed.feed.name == "sales"
    with pytest.raises(FeedError, match=r"no feed 'other'.*declared are: sales"):
        InMemoryFeed.declared("other")


def test_among_several_declared_feeds_one_has_to_be_named():
    with pytest.raises(FeedError, match=r"not clear.*gtfs, sec_filings, web_shop"):
        InMemoryFeed.declared()
    with InMemoryFeed.declared("gtfs") as gtfs:
        assert gtfs.feed.name == "gtfs"


@pytest.mark.extended
def test_the_example_of_the_documentation_passes_in_a_project_of_somebody_else(project):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", PROJECT / "docs" / "examples" / "test_feed.py"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), str(project)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def calls(name):
    """Every call of a function or method of this name in the tests, with its file and parents."""
    for path in sorted(TESTS.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        for node in ast.walk(tree):
            called = getattr(node, "func", None)
            if name in (getattr(called, "id", None), getattr(called, "attr", None)):
                yield str(path.relative_to(TESTS)), node, parents


def is_given(call, keyword):
    return any(one.arg == keyword for one in call.keywords)


def test_no_test_executes_a_job_of_a_feed_past_the_harness_without_its_outcome():
    lenient, unasserted = set(), []
    for file, call, _ in calls("execute_in_process"):
        if is_given(call, "raise_on_error"):
            lenient.add(file)
    assert lenient == {*OWN_JOBS, EARLIER_VERSION}
    for file, call, parents in calls("run_request"):
        if is_given(call, "may_fail") and isinstance(parents[call], ast.Expr):
            unasserted.append(f"{file}:{call.lineno}")
    assert unasserted == []


def test_every_shop_is_held_to_its_outcome_at_the_end():
    """A `Shop` that no `with` statement closes would not tell of a failed archive.

    `conftest.py` has the one function that makes one for others to close, `stored_shop`.
    """
    open_ended = [
        f"{file}:{call.lineno}"
        for name in ("Shop", "stored_shop")
        for file, call, parents in calls(name)
        if file not in ("assets/test_testing.py", "assets/conftest.py")
        and not isinstance(parents[call], ast.withitem)
        and getattr(getattr(parents[call], "func", None), "attr", "") != "enter_context"
    ]
    assert open_ended == []
