"""What `rwt status --waiting` and `rwt trace` say of an archive that is not settled."""

import dagster as dg
import pytest
from typer.testing import CliRunner

from rwt_assets.catalog import standing
from rwt_assets.catalog.intake import sweep
from rwt_assets.cli import status, trace
from rwt_assets.cli.main import app
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.assets.conftest import stored_shop
from rwt_assets_tests.declared import declared_feed

KEY = "gtfs/a.zip"


@pytest.fixture
def shop(deployment, monkeypatch):
    """An archive that is on record and nothing more, on a deployment whose store is in memory."""
    with stored_shop(deployment, declared_feed()) as shop:
        monkeypatch.setattr(trace, "connect_objects", lambda *_: shop.objects)
        monkeypatch.setattr(status, "connect_queue", lambda: shop.queue)
        shop.drop("a.zip", timetable(trips=1, stops=2))
        sweep(shop.catalog, shop.objects)
        yield shop


def told(*arguments):
    """What a command prints, as if the terminal were wide enough."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_one_that_dispatch_asks_for_next(shop):
    wait = "to split: the next poll of dispatch asks for it"
    assert f"gtfs: {KEY}: {wait}" in told("status", "--waiting")
    assert f"gtfs: {KEY} arrived: {wait}" in told("trace", KEY)


def test_one_without_a_place(shop, monkeypatch):
    monkeypatch.setattr(standing, "RUNS_UNDER_WAY", 0)
    wait = "0 archives have a run, and 0 may"
    assert f"gtfs: {KEY}: {wait}" in told("status", "--waiting")
    assert f"gtfs: {KEY} arrived: {wait}" in told("trace", KEY)


def test_one_with_a_run(shop):
    (request,) = plan(shop.catalog)
    run = shop.instance.create_run_for_job(
        shop.definitions.resolve_job_def(request.job_name),
        tags=request.tags,
        status=dg.DagsterRunStatus.STARTED,
    )
    wait = f"run {run.run_id} is splitting it"
    assert f"gtfs: {KEY}: {wait}" in told("status", "--waiting")
    assert f"gtfs: {KEY} splitting: {wait}" in told("trace", KEY)
