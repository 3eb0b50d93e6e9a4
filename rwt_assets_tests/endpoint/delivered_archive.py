"""An archive that was delivered against the endpoint, for tests of what comes after."""

import dagster as dg
import pytest
from typer.testing import CliRunner

from rwt_assets.catalog import FeedCatalog
from rwt_assets.cli import app
from rwt_assets.component import build_feed_definitions
from rwt_assets.sensors.dispatch import plan
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.stand_ins import run_request

KEY = "gtfs/a.zip"


def rwt(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


@pytest.fixture
def delivered(tmp_path, monkeypatch, provisioned, s3, feed):
    """A home in which one archive of three trips with two stops was delivered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    s3.put_object(Bucket="rwt-incoming", Key=KEY, Body=timetable(trips=3, stops=2))
    rwt("sweep")
    with dg.DagsterInstance.get() as instance:
        definitions = build_feed_definitions(feed)
        while requests := plan(FeedCatalog(instance, feed)):
            for request in requests:
                run_request(definitions, instance, request)
    return tmp_path
