"""The commands for operators, against a real endpoint and a Dagster home of their own."""

import json

import dagster as dg
import pytest
from typer.testing import CliRunner

from rwt_assets.catalog import FeedCatalog
from rwt_assets.cli import app
from rwt_assets.component import build_feed_definitions
from rwt_assets.sensors.dispatch import plan
from rwt_assets_tests.archives import make_zip, timetable
from rwt_assets_tests.stand_ins import run_request

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture
def home(tmp_path, monkeypatch, provisioned):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return tmp_path


def rwt(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


def dispatch(feed):
    with dg.DagsterInstance.get() as instance:
        definitions = build_feed_definitions(feed)
        while requests := plan(FeedCatalog(instance, feed)):
            for request in requests:
                run_request(definitions, instance, request)


def test_a_sweep_can_be_tried_before_it_is_done(home, s3):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=b"x")
    tried = rwt("sweep", "--dry-run")
    assert "gtfs: s3://rwt-incoming/gtfs/a.zip would be recorded" in tried.stdout
    assert "0 archives recorded" in rwt("sweep", "--since", "2099-01-01").stdout
    assert "0 archives recorded" in rwt("sweep", "--start-after", "gtfs/b").stdout
    assert "1 archives recorded, 0 were on record" in rwt("sweep").stdout
    assert "0 archives recorded, 1 were on record" in rwt("sweep").stdout


def test_what_failed_for_good_is_tried_again_when_a_person_asks(home, s3, feed):
    body = timetable(trips=1, stops=1)
    etag = s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=body)["ETag"]
    rwt("sweep")
    s3.delete_object(Bucket="rwt-incoming", Key="gtfs/a.zip")
    dispatch(feed)
    status = json.loads(rwt("status", "--json").stdout)["gtfs"]
    assert [entry["partition"] for entry in status["failed"]] == ["gtfs/a.zip"]
    assert "s3://rwt-incoming/gtfs/a.zip" in status["failed"][0]["reason"]
    assert status["figures"]["archives_failed"] == 1

    assert s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=body)["ETag"] == etag
    unknown = rwt("retry", "gtfs/other.zip")
    assert unknown.exit_code == 1
    assert "gtfs/other.zip: no archive that failed" in unknown.stderr
    assert "gtfs/a.zip: is tried again" in rwt("retry", "gtfs/a.zip").stdout
    dispatch(feed)
    status = json.loads(rwt("status", "--json").stdout)["gtfs"]
    assert {entry["partition"] for entry in status["done"]} >= {"gtfs/a.zip"}
    assert "Nothing has failed." in rwt("retry").stdout


def test_dead_letters_are_listed_and_put_back(home, sqs, provisioned):
    url = provisioned.dead_letter_queue_url
    sent = sqs.send_message(QueueUrl=url, MessageBody="nonsense")["MessageId"]
    listed = rwt("dead-letters", "list")
    assert "rwt-gtfs-dead-letters: 1 messages" in listed.stdout
    assert sent in listed.stdout
    assert "the message is no S3 event notification: no JSON" in listed.stdout
    (letter,) = json.loads(rwt("dead-letters", "list", "--json").stdout)["rwt-gtfs-dead-letters"]
    assert letter["message_id"] == sent
    assert "There is no feed 'x'" in rwt("dead-letters", "list", "--feed", "x").stderr
    assert "rwt-gtfs: 1 messages put back" in rwt("dead-letters", "redrive").stdout
    assert "rwt-gtfs-dead-letters: 0 messages" in rwt("dead-letters", "list").stdout


def test_the_status_tells_how_full_the_queue_is(home, s3, monkeypatch):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=b"x")
    assert "messages waiting 2" in rwt("status").stdout  # and S3's test event
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    away = rwt("status")
    assert away.exit_code == 0
    assert "gtfs: the queue cannot be reached" in away.stderr


BROKEN = make_zip(
    {
        "stops.txt": "stop_id,stop_name,stop_lat,stop_lon\nS1,A,-16,145\nS2,B,-99,145\nS3,C\n",
        "stop_times.txt": "trip_id,stop_id\nT1,S1\n",
    }
)


def test_quarantine_is_listed_by_member_and_rule_and_entry_by_entry(home, s3, feed):
    assert "Nothing is quarantined." in rwt("quarantine", "list").stdout
    assert "Nothing is quarantined." in rwt("quarantine", "replay").stdout
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=BROKEN)
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/b.zip", Body=timetable(trips=1, stops=1))
    rwt("sweep")
    dispatch(feed)
    assert "archives with something in quarantine 1: `rwt quarantine list`" in rwt("status").stdout

    listed = rwt("quarantine", "list").stdout
    assert "gtfs: gtfs/a.zip  delivered, 2 of 3 rows and 1 of 2 members set aside" in listed
    assert "stops.txt  stop_lat: minimum: 1 rows" in listed
    assert "stop_times.txt  MemberHeaderError: the member, " in listed
    assert "gtfs/b.zip" not in listed

    whole = rwt("quarantine", "list", "--archive", "gtfs/a.zip").stdout
    assert "stops.txt, line 4, row 3  [ragged_row]" in whole
    assert "stops.txt, line 3, row 2  [stop_lat: minimum]" in whole
    assert "-99 is less than -90" in whole
    one = rwt("quarantine", "list", "--archive", "gtfs/a.zip", "--limit", "1").stdout
    assert "the first 1; see --limit, or the Parquet:" in one

    arguments = ("--archive", "gtfs/a.zip", "--rule", "stop_lat: *", "--json")
    (told,) = json.loads(rwt("quarantine", "list", *arguments).stdout)["gtfs"]
    assert [entry["text"] for entry in told["entries"]] == ["S2,B,-99,145"]
    assert [entry["rule"] for entry in told["by_rule"]] == ["stop_lat: minimum"]

    clean = rwt("quarantine", "list", "--archive", "gtfs/b.zip")
    assert "gtfs/b.zip: nothing of it is quarantined" in clean.stderr


def test_a_replay_says_what_it_asked_for_and_waits_for_it(home, s3, feed, monkeypatch):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=BROKEN)
    rwt("sweep")
    dispatch(feed)
    asked = rwt("quarantine", "replay", "--rule", "stop_lat: minimum")
    assert (
        "gtfs/a.zip: is processed again; 2 of 3 rows and 1 of 2 members set aside" in asked.stdout
    )
    assert "Follow them in `rwt status`" in asked.stdout
    monkeypatch.setattr("rwt_assets.commands.quarantine.sleep", lambda _: dispatch(feed))
    again = rwt("quarantine", "replay", "--archive", "gtfs/a.zip", "--wait")
    assert again.exit_code == 0
    assert "gtfs/a.zip: was asked for before, and has not begun" in again.stdout
    assert "gtfs/a.zip: delivered" in again.stdout
    unknown = rwt("quarantine", "replay", "--archive", "gtfs/x.zip")
    assert unknown.exit_code == 1
    assert "gtfs/x.zip: nothing of it is quarantined" in unknown.stderr
    assert "There is no feed 'x'" in rwt("quarantine", "replay", "--feed", "x").stderr


def test_who_waits_for_an_archive_is_told_how_to_see_what_was_set_aside(
    home, s3, feed, tmp_path, monkeypatch
):
    file = tmp_path / "a.zip"
    file.write_bytes(BROKEN)

    def meanwhile(_seconds):
        rwt("sweep")
        dispatch(feed)

    monkeypatch.setattr("rwt_assets.cli.sleep", meanwhile)
    sent = rwt("submit", str(file), "--wait")
    assert sent.exit_code == 0
    assert (
        "Something is quarantined (2 rows): `rwt quarantine list --archive gtfs/a.zip`"
        in sent.stdout
    )


def test_old_archives_are_retired_and_what_was_written_of_them_is_removed(home, s3, feed):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=timetable(trips=2, stops=2))
    rwt("sweep")
    dispatch(feed)
    assert "0 archives delivered more than 30d ago" in rwt("retire", "--older-than", "30d").stdout
    tried = rwt("retire", "--older-than", "0h", "--dry-run")
    assert "Would retire gtfs/a.zip" in tried.stdout
    assert "1 archives delivered more than 0h ago: would be retired" in tried.stdout
    wrong = rwt("retire", "--older-than", "soon")
    assert wrong.exit_code == 1
    assert "'soon' is no age" in wrong.stderr
    (told,) = json.loads(rwt("retire", "--older-than", "0h", "--json").stdout)["gtfs"]
    assert told == {"archive": "gtfs/a.zip", "shards": 3, "objects": 7, "left": ""}
    left = s3.list_objects_v2(Bucket=feed.target.bucket, Prefix=f"{feed.target.prefix}/")
    assert [one["Key"] for one in left.get("Contents", []) if "/schemas/" not in one["Key"]] == []
    assert s3.head_object(Bucket="rwt-incoming", Key="gtfs/a.zip")
    assert "0 archives recorded, 1 were on record" in rwt("sweep").stdout
    assert json.loads(rwt("status", "--json").stdout)["gtfs"]["done"] == []
