"""A machine without room, files or memory: an outage, which costs no attempt and loses nothing.

`/dev/full` stands for a full disk: every write to it fails as the kernel has it.
"""

import errno
import tempfile
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from rwt_assets.catalog.standing import archive_status, count_standing, take_standing
from rwt_assets.feed.feed import Feed
from rwt_assets.runtime.machine_faults import is_shortage
from rwt_assets.testing import InMemoryFeed, InMemoryObjects
from rwt_assets_tests.assets.conftest import FEED

pytestmark = pytest.mark.mostly_long(one_in=1)

ROWS = "item,day,price\n" + "".join(f"pen,2026-01-{day:02d},{day}\n" for day in range(1, 4))
LARGE = "item,day,price\n" + f"{'x' * 2000},2026-01-01,1\n" * 1_000
REFUSED = "item,day,price\n" + f"{'x' * 60_000},no day,1\n" * 100


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("rwt_assets.status.archive_status.OUTAGE_PAUSES_SECONDS", (0.0, 0.0))


def shop(**settings):
    document = FEED.model_dump(mode="json", exclude_unset=True)
    return InMemoryFeed(Feed.model_validate({**document, "attempts": 1, **settings}))


def fails_so_often(times, error, original):
    """The function, which fails so many times and then does what it did."""
    left = iter(range(times))

    def called(*args, **settings):
        if next(left, None) is not None:
            raise error
        return original(*args, **settings)

    return called


def assert_waits_and_is_delivered(feed, rows, says, monkeypatch, *, more=True):
    with monkeypatch.context() as patch:
        patch.setattr("rwt_assets.status.archive_status.OUTAGE_PAUSES_SECONDS", (3600.0, 3600.0))
        feed.dispatch(expect_failure=True)
        standing = take_standing(feed.catalog, patience=-1)
        assert not standing.failed
        assert not standing.forgotten
        reasons = [one.reason for one in standing.waiting]
        assert "an outage: the machine of the run has no room" in reasons[0]
        assert says in reasons[0]
        assert "No attempt is counted" in reasons[0]
        status = archive_status(feed.catalog, "shop/a.zip")
        assert (status.waits_for.kind, status.waits_for.sentence) == ("outage", reasons[0])
        assert count_standing(feed.catalog).waits == {"outage": 1}
    feed.dispatch(expect_failure=more)
    feed.assert_delivered("shop/a.zip")
    assert len(feed.rows("shop/a.zip")) == rows


SHORT = {
    "a full disk": OSError(errno.ENOSPC, "No space left on device"),
    "a quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "a read-only disk": OSError(errno.EROFS, "Read-only file system"),
    "too many files": OSError(errno.EMFILE, "Too many open files"),
    "no folder to write to": FileNotFoundError(
        errno.ENOENT, "No usable temporary directory found in ['/tmp']"
    ),
    "no memory": MemoryError("a batch"),
}


@pytest.mark.parametrize("short", SHORT)
@pytest.mark.parametrize("where", ["stream", "put_if"])
def test_a_shortage_is_waited_for_and_costs_no_attempt(monkeypatch, short, where):
    with shop() as feed:
        failing = fails_so_often(3, SHORT[short], getattr(InMemoryObjects, where))
        monkeypatch.setattr(InMemoryObjects, where, failing)
        feed.upload("a.zip", {"sales.csv": ROWS})
        feed.take_in()
        assert_waits_and_is_delivered(feed, 3, str(SHORT[short]), monkeypatch)


def full(times, **_):
    if next(times, None) is None:
        return tempfile.TemporaryFile()
    return Path("/dev/full").open("r+b")


@pytest.mark.parametrize(
    ("members", "rows"),
    [(LARGE, 1_000), (ROWS + REFUSED.partition("\n")[2], 3)],
    ids=["rows", "rejected rows"],
)
def test_a_full_temporary_folder_is_an_outage(monkeypatch, members, rows):
    made = iter(range(1))
    monkeypatch.setattr("rwt_assets.runtime.scratch_file.TemporaryFile", partial(full, made))
    with shop(limits={"buffer_bytes": 1 << 20, "ratio": 10_000}) as feed:
        feed.upload("a.zip", {"sales.csv": members})
        feed.take_in()
        assert_waits_and_is_delivered(
            feed, rows, "No space left on device", monkeypatch, more=False
        )
        assert next(made, None) is None, "nothing was written to the full folder"


FULL = iter(range(1))


def own(table):
    if next(FULL, None) is not None:
        raise OSError(errno.ENOSPC, "No space left on device")
    return table


def test_an_own_enrichment_that_finds_the_disk_full_is_no_fault_of_the_feed(monkeypatch):
    rule = {**FEED.model_dump(mode="json", exclude_unset=True)["members"][0]}
    rule["enrichments"] = [{"use": f"{__name__}.own", "frame": "arrow"}]
    with shop(members=[rule]) as feed:
        feed.upload("a.zip", {"sales.csv": ROWS})
        feed.take_in()
        assert_waits_and_is_delivered(feed, 3, "No space left", monkeypatch, more=False)


def test_a_run_that_could_not_say_it_is_understood_by_its_log(monkeypatch):
    """As when the disk of the event log is full: the tags of the run cannot be written, either."""
    with shop() as feed:
        failing = fails_so_often(1, SHORT["a full disk"], InMemoryObjects.stream)
        monkeypatch.setattr(InMemoryObjects, "stream", failing)
        feed.upload("a.zip", {"sales.csv": ROWS})
        feed.take_in()
        with monkeypatch.context() as patch:
            patch.setattr("rwt_assets.orchestration.steps.failures.outage_tags", lambda error: {})
            feed.dispatch(expect_failure=True)
        feed.assert_delivered("shop/a.zip")
        assert len(feed.instance.get_runs(dg.RunsFilter(tags={"rwt/outage": "true"}))) == 1


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"),
        ValueError("No space left on device"),
    ],
)
def test_other_errors_cost_their_attempt(monkeypatch, error):
    assert not is_shortage(error)
    with shop() as feed:
        monkeypatch.setattr(InMemoryObjects, "stream", fails_so_often(9, error, None))
        feed.upload("a.zip", {"sales.csv": ROWS})
        feed.take_in()
        feed.dispatch(expect_failure=True)
        feed.assert_failed("shop/a.zip")
