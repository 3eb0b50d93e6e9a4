"""An archive that was delivered against the endpoint, for tests of what comes after."""

import dagster as dg
import pytest
from typer.testing import CliRunner

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.standing import archive_progress
from rwt_assets.cli.main import app
from rwt_assets.component import build_feed_definitions
from rwt_assets.testing import carry_out
from rwt_assets_tests.archives import timetable

KEY = "gtfs/a.zip"


def rwt(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


def dispatch(feed, *, expect_failure=False):
    """Carry out what is asked for; a run that fails is an error unless it is expected."""
    with dg.DagsterInstance.get() as instance:
        definitions = build_feed_definitions(feed)
        carry_out(FeedCatalog(instance, feed), definitions, expect_failure=expect_failure)


@pytest.fixture
def delivered(tmp_path, monkeypatch, provisioned, s3, feed):
    """A home in which one archive of three trips with two stops was delivered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    s3.put_object(Bucket="rwt-incoming", Key=KEY, Body=timetable(trips=3, stops=2))
    assert rwt("sweep").exit_code == 0
    dispatch(feed)
    with dg.DagsterInstance.get() as instance:
        assert archive_progress(FeedCatalog(instance, feed), KEY).stage == "delivered"
    return tmp_path
