"""`rwt up --storage`: Dagster's runs and events in PostgreSQL, everything else as without."""

import signal
import stat

import pytest

from rwt_assets.catalog.standing import archive_progress
from rwt_assets.embedded.stack import dagster_home
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.benchmarks.databases import database
from rwt_assets_tests.end_to_end.running_stack import RunningStack

pytestmark = [pytest.mark.end_to_end, pytest.mark.long, pytest.mark.timeout(600)]
SHARDS = 30


def test_an_archive_is_delivered_and_is_still_on_record_after_a_restart(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    with database("postgresql") as url:
        stack = RunningStack(state, storage=url)
        stack.start()
        try:
            stack.upload("a.zip", timetable(trips=3, stops=SHARDS - 1))
            stack.wait_for(lambda: stage(stack) == "delivered", 180)
            settings = dagster_home(state) / "dagster.yaml"
            assert stat.S_IMODE(settings.stat().st_mode) == 0o600, "the URL may have a password"
            assert not list(state.glob("**/index.db")), "nothing is left in SQLite"
            assert stack.stop(signal.SIGTERM) == 0, "as a supervisor stops it"
            stack.start()
            progress = stack.ask(lambda catalog: archive_progress(catalog, "gtfs/a.zip"))
            assert (progress.stage, progress.shards_done) == ("delivered", SHARDS)
            status = stack.rwt("status")
            assert status.returncode == 0, status.stdout + status.stderr
        finally:
            stack.stop()


def stage(stack):
    return stack.ask(lambda catalog: archive_progress(catalog, "gtfs/a.zip")).stage
