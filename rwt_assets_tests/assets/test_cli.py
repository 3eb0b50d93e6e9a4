"""What a person sees who types `rwt`, without a stack."""

import json
import os

import dagster as dg
import pytest
from typer.testing import CliRunner

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.standing import ArchiveProgress
from rwt_assets.cli import main as cli
from rwt_assets.cli.main import app
from rwt_assets.storage.notifications import ArchiveRevision
from rwt_assets_tests.declared import declared_feed


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A deployment: DAGSTER_HOME is set."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Neither a deployment nor a stack."""
    before = dict(os.environ)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    os.environ.clear()
    os.environ.update(before)


def rwt(*arguments):
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("command", ["status", "sweep", "doctor"])
def test_without_a_stack_one_is_told_how_to_get_one(nowhere, command):
    result = rwt(command, "--state", str(nowhere / "state"))
    assert result.exit_code == 1
    assert "start one with `rwt up`" in result.output.replace("\n", " ")


def test_a_file_that_is_not_there_is_named(nowhere):
    result = rwt("submit", "nothing.zip")
    assert result.exit_code == 2
    assert "nothing.zip" in result.output


def test_status_counts_and_tells_reasons(home):
    feed = declared_feed()
    revision = ArchiveRevision("rwt-incoming", "gtfs/a.zip", "e1", 3)
    with dg.DagsterInstance.get() as instance:
        FeedCatalog(instance, feed).record_arrival(revision, via="test")
    result = rwt("status", "--json")
    assert result.exit_code == 0
    (entry,) = json.loads(result.output)["gtfs"]["waiting"]
    reason = "to split: the next poll of dispatch asks for it"
    assert entry == {"asset": "zip_archive", "partition": "gtfs/a.zip", "reason": reason}
    assert "gtfs        │    0 │       1 │      0 │         0" in rwt("status").output


def test_something_forgotten_is_an_error_of_status(home):
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions("gtfs_csv_shards", ["gtfs/gone.zip|stops.txt"])
    result = rwt("status")
    assert result.exit_code == 1
    assert "forgotten: gtfs/gone.zip|stops.txt" in result.output
    assert "its archive is not in the catalog" in result.output


@pytest.mark.usefixtures("without_pauses")
@pytest.mark.parametrize("user", ["", "me:hunter22@"])
def test_an_endpoint_that_is_away_is_told_without_a_traceback(home, monkeypatch, user):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{user}127.0.0.1:9")
    for name, value in (("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t-value")):
        monkeypatch.setenv(name, value)
    result = rwt("sweep")
    assert result.exit_code == 1
    assert "127.0.0.1:9" in result.output
    assert "hunter22" not in result.output
    assert "Traceback" not in result.output
    assert "s3cr3t-value" not in result.output


def test_a_feed_that_is_not_declared_is_named(home, tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"")
    result = rwt("submit", str(archive), "--feed", "nope")
    assert result.exit_code == 1
    assert "There is no feed 'nope'; declared are: gtfs, sec_filings, web_shop." in result.output


@pytest.mark.parametrize("wait", [[], ["--wait"]])
def test_a_file_that_no_feed_reads_is_not_uploaded(home, tmp_path, wait):
    archive = tmp_path / "may.7z"
    archive.write_bytes(b"")
    result = rwt("submit", str(archive), "--feed", "gtfs", *wait)
    said = result.output.replace("\n", "")
    assert result.exit_code == 1
    assert "s3://rwt-incoming/gtfs/may.7z" in said
    assert "feed gtfs reads s3://rwt-incoming/gtfs/*.zip in any case" in said
    assert "Nothing was uploaded." in said
    assert "uploaded\n" not in result.output.replace("Nothing was uploaded", "")


def test_settings_of_a_deployment_are_read_from_the_env_file(nowhere):
    folder = nowhere / "home"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    (nowhere / ".env").write_text(f"DAGSTER_HOME={folder}\n")
    assert rwt("status").exit_code == 0


@pytest.mark.parametrize(
    ("stage", "found", "done", "steps"),
    [
        ("unknown", 0, 0, (0, None)),
        ("enriching", 4, 1, (1, 5)),
        ("delivering", 4, 4, (4, 5)),
        ("delivered", 4, 4, (5, 5)),
    ],
)
def test_the_bar_of_an_archive_and_its_clock_end_with_the_delivery(stage, found, done, steps):
    progress = ArchiveProgress(stage, shards_found=found, shards_done=done)
    assert cli._steps(progress) == steps
