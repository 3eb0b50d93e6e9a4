"""From an archive to its objects, and its rows by SQL and as data, against a real endpoint."""

import json
from io import StringIO

import dagster as dg
import pandas as pd
import pytest

from rwt_assets import open_delivery, read_delivery
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.component import build_feed_definitions
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.runtime.errors import ArchiveMissingError, StackError
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.endpoint.delivered_archive import KEY, delivered, rwt
from rwt_assets_tests.stand_ins import run_request

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
__all__ = ["delivered"]


def test_an_archive_is_traced_from_its_message_to_its_objects_runs_and_checks(delivered, s3):
    told = rwt("trace", KEY)
    assert told.exit_code == 0, told.output
    assert f"gtfs: {KEY}  delivered" in told.stdout
    traced = json.loads(rwt("trace", KEY, "--json").stdout)
    assert [one["via"] for one in traced["arrivals"]] == ["sweep"]
    assert {one["step"] for one in traced["runs"]} == {"split", "enrich", "deliver"}
    assert "gtfs/delivery" in {one["asset"] for one in traced["checks"] if one["passed"]}
    (first, *_) = (one for one in traced["shards"] if one["member"] == "stop_times.txt")
    assert first["rows_enriched"] == first["rows"] == 3
    for uri in (*first["csv"], first["parquet"]):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] > 0

    by_uri = json.loads(rwt("trace", f"s3://rwt-incoming/{KEY}", "--json").stdout)
    assert by_uri == traced
    one = json.loads(rwt("trace", first["partition_key"], "--json").stdout)
    assert one["shards"] == [first]


@pytest.mark.extended
def test_what_nobody_knows_is_said_to_be_unknown(delivered):
    unknown = rwt("trace", "gtfs/other.zip")
    assert unknown.exit_code == 1
    assert "No feed knows gtfs/other.zip" in unknown.stderr
    no_shard = rwt("trace", f"{KEY}|stop_times.txt|stop_sequence=99")
    assert no_shard.exit_code == 1
    assert "has no shard" in no_shard.stderr


def test_delivered_rows_are_queried_by_sql(delivered):
    listed = rwt("query").stdout
    assert "stop_times (" in listed
    assert "crc32 uint32" in listed
    assert "_archive string" in " ".join(listed.split())
    assert "dictionary" not in listed
    sql = "select count(*) as n, count(distinct _archive) as archives from stop_times"
    assert json.loads(rwt("query", sql, "--json").stdout) == [{"n": 6, "archives": 1}]
    table = pd.read_csv(StringIO(rwt("query", "select * from stop_times", "--csv").stdout))
    assert len(table) == 6
    shown = rwt("query", "select trip_id from stop_times", "--limit", "2").stdout
    assert "The first 2 rows" in shown
    wrong = rwt("query", "select nothing from nowhere")
    assert wrong.exit_code == 1
    assert "stop_times" in wrong.stderr
    away = rwt("query", "--archive", "gtfs/other.zip")
    assert away.exit_code == 1


@pytest.mark.extended
def test_tables_of_one_name_are_told_apart_by_their_feeds(delivered, feed, monkeypatch):
    source = feed.source.model_copy(update={"prefix": "other/"})
    other = feed.model_copy(update={"name": "other", "source": source})  # with the same deliveries
    monkeypatch.setattr("rwt_assets.cli.query.declared_feeds", lambda: (feed, other))
    listed = rwt("query").stdout
    assert "gtfs.stop_times (" in listed
    assert "other.stops (" in listed
    sql = "select count(*) as n from gtfs.stop_times join other.stop_times using (trip_id, stop_id)"
    assert json.loads(rwt("query", sql, "--json").stdout) == [{"n": 6}]
    plain = "select count(*) as n from stop_times"
    assert "gtfs.stop_times" in rwt("query", plain).stderr
    for arguments in (("--feed", "other"), ("--archive", KEY)):
        assert json.loads(rwt("query", plain, *arguments, "--json").stdout) == [{"n": 6}]
    nobody = rwt("query", plain, "--archive", "nobodys/a.zip")
    assert nobody.exit_code == 1
    assert "Name it: --feed gtfs or --feed other." in " ".join(nobody.stderr.split())


@pytest.mark.extended
def test_a_consumer_reads_exactly_one_revision(delivered, s3, feed):
    first = read_delivery(KEY, "stop_times.txt")
    assert len(first) == 6
    assert set(first["_archive"]) == {KEY}
    assert {"crc32", "_row", "trip_id"} <= set(first.columns)

    s3.put_object(Bucket="rwt-incoming", Key=KEY, Body=timetable(trips=4, stops=2))
    assert rwt("sweep").exit_code == 0
    with dg.DagsterInstance.get() as instance:
        definitions = build_feed_definitions(feed)
        run_request(definitions, instance, plan(FeedCatalog(instance, feed))[0])
    assert open_delivery(KEY, "stop_times.txt").count_rows() == 6  # split, not yet delivered

    with pytest.raises(ArchiveMissingError, match=r"stop_times\.txt"):
        read_delivery(KEY)
    with pytest.raises(ArchiveMissingError):
        read_delivery("gtfs/other.zip", "stop_times.txt")


@pytest.mark.usefixtures("without_pauses")
def test_a_consumer_without_credentials_or_endpoint_is_told_what_to_set(delivered, monkeypatch):
    with monkeypatch.context() as unset:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            unset.delenv(name, raising=False)
        unset.setenv("AWS_EC2_METADATA_DISABLED", "true")
        unset.setenv("AWS_SHARED_CREDENTIALS_FILE", str(delivered / "none"))
        unset.setenv("AWS_CONFIG_FILE", str(delivered / "none"))
        unset.setattr("boto3.DEFAULT_SESSION", None)
        with pytest.raises(StackError, match=r"AWS_ACCESS_KEY_ID.* or AWS_PROFILE"):
            read_delivery(KEY, "stop_times.txt")
    with monkeypatch.context() as away:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
            away.setenv(name, "http://127.0.0.1:9")
        with pytest.raises(StackError, match=r"S3 does not answer.*AWS_ENDPOINT_URL"):
            open_delivery(KEY, "stop_times.txt")
    assert len(read_delivery(KEY, "stop_times.txt")) == 6
