"""The first attempt of docs/from-ops-to-assets.md runs as the page tells it."""

import importlib.util
import zipfile
from zlib import crc32

import dagster as dg
import pandas as pd
import pytest

from rwt_assets_tests.end_to_end.documented_commands import PROJECT

FILE = PROJECT / "docs" / "examples" / "first_attempt.py"


@pytest.fixture(scope="module")
def first():
    spec = importlib.util.spec_from_file_location("first_attempt", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def s3(first, tmp_path):
    (tmp_path / "incoming").mkdir()
    return first.Bucket(folder=str(tmp_path))


def put_archive(s3, **members):
    with zipfile.ZipFile(s3.path("incoming", "a.zip"), "w") as archive:
        for name, text in members.items():
            archive.writestr(f"{name}.csv", text)
        archive.writestr("read.me", "no table")


def tick_of_zips(first, instance, s3):
    context = dg.build_sensor_context(instance=instance, resources={"s3": s3})
    return first.check_for_zip_file.evaluate_tick(context)


def tick_of_csvs(first, instance, cursor=None):
    repository = first.defs.get_repository_def()
    context = dg.build_sensor_context(instance=instance, repository_def=repository, cursor=cursor)
    return first.check_for_csv_file.evaluate_tick(context)


def execute(first, job, asked, instance, s3):
    definition = first.defs.get_job_def(job)
    done = definition.execute_in_process(asked.run_config, instance=instance, resources={"s3": s3})
    assert done.success


def test_the_two_assets_are_made_with_their_metadata(first):
    result = dg.materialize([first.location_ids, first.locations])
    (event,) = result.asset_materializations_for_node("locations")
    assert event.metadata["records"].value == 3


def test_a_csv_goes_the_whole_way_through_two_sensors_and_two_jobs(first, s3):
    put_archive(s3, one="location\nmarket\nbridge\n")
    with dg.DagsterInstance.ephemeral() as instance:
        (asked,) = tick_of_zips(first, instance, s3).run_requests
        execute(first, "process_zip_file", asked, instance, s3)
        (asked,) = tick_of_csvs(first, instance).run_requests
        execute(first, "process_csv_file", asked, instance, s3)
    table = pd.read_csv(s3.path("results", "one.csv"))
    assert list(table["crc32"]) == [crc32(b"market"), crc32(b"bridge")]


def test_of_several_csvs_between_two_ticks_all_but_the_newest_are_lost(first, s3):
    """What the page says of it: the stock asset sensor is given the newest event alone."""
    put_archive(s3, one="location\nmarket\n", two="location\ncastle\n")
    with dg.DagsterInstance.ephemeral() as instance:
        (asked,) = tick_of_zips(first, instance, s3).run_requests
        execute(first, "process_zip_file", asked, instance, s3)
        events = instance.fetch_materializations(dg.AssetKey("csv_file"), limit=10).records
        assert len(events) == 2
        tick = tick_of_csvs(first, instance)
        (asked,) = tick.run_requests
        assert asked.run_config["ops"]["load"]["config"]["s3_key"] == "two.csv"
        after = tick_of_csvs(first, instance, cursor=tick.cursor)
        assert after.run_requests == []
        assert "No new materialization events" in after.skip_message
