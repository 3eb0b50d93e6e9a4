"""The commands for operators, against a real endpoint and a Dagster home of their own."""

import json

import dagster as dg
import pytest

from rwt_assets.orchestration.sensors.queue import queue_sensor
from rwt_assets.resources.queue import SqsQueueResource
from rwt_assets_tests.archives import make_zip, timetable
from rwt_assets_tests.endpoint.delivered_archive import dispatch, rwt

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
    assert rwt("sweep").exit_code == 0
    s3.delete_object(Bucket="rwt-incoming", Key="gtfs/a.zip")
    dispatch(feed, expect_failure=True)
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


@pytest.mark.extended
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


@pytest.mark.usefixtures("without_pauses")
def test_the_status_tells_how_full_the_queue_is(home, s3, monkeypatch):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=b"x")
    assert "messages waiting 2" in rwt("status").stdout  # and S3's test event
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    away = rwt("status")
    assert away.exit_code == 0
    assert "gtfs: the queue cannot be reached" in away.stderr


BROKEN = make_zip(
    {
        "stops.txt": "stop_id,stop_name,stop_lat,stop_lon\nS1,A,-16,145\nS2,B,-99,145\nS3,C\n",
        "stop_times.txt": "trip_id,stop_id\nT1,S1\n",
    }
)


@pytest.mark.extended
def test_quarantine_is_listed_by_member_and_rule_and_entry_by_entry(home, s3, feed):
    assert "Nothing is quarantined." in rwt("quarantine", "list").stdout
    assert "Nothing is quarantined." in rwt("quarantine", "replay").stdout
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=BROKEN)
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/b.zip", Body=timetable(trips=1, stops=1))
    assert rwt("sweep").exit_code == 0
    dispatch(feed)
    assert "archives with something in quarantine 1: `rwt quarantine list`" in rwt("status").stdout

    listed = rwt("quarantine", "list").stdout
    assert "gtfs: gtfs/a.zip  delivered, 2 of 3 rows and 1 of 2 members quarantined" in listed
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


@pytest.mark.extended
def test_a_replay_says_what_it_asked_for_and_waits_for_it(home, s3, feed, monkeypatch):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=BROKEN)
    assert rwt("sweep").exit_code == 0
    dispatch(feed)
    asked = rwt("quarantine", "replay", "--rule", "stop_lat: minimum")
    assert (
        "gtfs/a.zip: is processed again; 2 of 3 rows and 1 of 2 members quarantined" in asked.stdout
    )
    assert "Follow them in `rwt status`" in asked.stdout
    monkeypatch.setattr("rwt_assets.cli.quarantine.sleep", lambda _: dispatch(feed))
    again = rwt("quarantine", "replay", "--archive", "gtfs/a.zip", "--wait")
    assert again.exit_code == 0
    assert "gtfs/a.zip: was asked for before, and has not begun" in again.stdout
    assert "gtfs/a.zip: delivered" in again.stdout
    unknown = rwt("quarantine", "replay", "--archive", "gtfs/x.zip")
    assert unknown.exit_code == 1
    assert "gtfs/x.zip: nothing of it is quarantined" in unknown.stderr
    assert "There is no feed 'x'" in rwt("quarantine", "replay", "--feed", "x").stderr


@pytest.fixture
def submit(home, feed, tmp_path, monkeypatch):
    """`rwt submit --wait` on such files; the daemon's work is done between two looks."""
    monkeypatch.setattr("rwt_assets.orchestration.sensors.queue.LONG_POLL_SECONDS", 0)
    sensor = queue_sensor([feed])
    failing = []

    def meanwhile(_seconds):
        with dg.DagsterInstance.get() as instance, dg.build_sensor_context(instance) as context:
            sensor(context, queue_client=SqsQueueResource())
        dispatch(feed, expect_failure=bool(failing) and failing.pop())

    monkeypatch.setattr("rwt_assets.cli.main.sleep", meanwhile)

    def submitted(**contents):
        failing[:] = [UNREADABLE in contents.values()]
        files = [tmp_path / f"{name}.zip" for name in contents]
        for file, body in zip(files, contents.values(), strict=True):
            file.write_bytes(body)
        return rwt("submit", "--feed", "gtfs", "--wait", *map(str, files))

    return submitted


GOOD = timetable(trips=1, stops=2)
UNREADABLE = make_zip({"stops.txt": "no,header\n1,2\n"})
BROKEN_MEMBER = make_zip(
    {"stops.txt": "stop_id,stop_name,stop_lat,stop_lon\nS,Stop,1,2\n", "calendar.txt": "day\nmon\n"}
)
ONE_ROW = make_zip({"stops.txt": "stop_id,stop_name,stop_lat,stop_lon\nS,Stop,1,2\nT,Stop,far,2\n"})


@pytest.mark.mostly_long(one_in=2)
@pytest.mark.parametrize(
    ("contents", "status", "says"),
    [
        ({"a": GOOD, "b": GOOD}, 0, "b.zip: delivered, 3 of 3 shards\n"),
        ({"a": BROKEN}, 3, "; 2 rows and 1 member quarantined: rwt quarantine list --archive"),
        ({"a b": ONE_ROW}, 3, "; 1 row quarantined: rwt quarantine list --archive 'gtfs/a b.zip'"),
        ({"a": BROKEN_MEMBER}, 3, "; 1 member quarantined: rwt quarantine list --archive"),
        ({"a": UNREADABLE, "b": ONE_ROW}, 1, "b.zip: delivered, 1 of 1 shards; 1 row quarantined"),
    ],
)
def test_the_status_of_a_submit_that_waits_says_what_became_of_the_archives(
    submit, contents, status, says
):
    sent = submit(**contents)
    assert sent.exit_code == status, sent.output
    assert says in sent.stdout
    assert ("was not delivered: no member" in sent.stderr) is (status == 1)


@pytest.mark.extended
def test_who_submits_a_failed_archive_again_waits_for_the_new_attempt(submit, feed):
    assert submit(a=UNREADABLE).exit_code == 1
    again = submit(a=UNREADABLE)
    assert again.exit_code == 1
    assert "a.zip: uploaded, not yet noticed" in again.stdout
    with dg.DagsterInstance.get() as instance:
        assert len(instance.get_runs()) == 2, "the failure before was told"
    assert submit(a=GOOD).exit_code == 0


def test_files_that_would_replace_each_other_are_refused_before_any_is_uploaded(home, s3, tmp_path):
    files = []
    for folder in ("p1", "p2"):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "daily.zip"
        file.write_bytes(GOOD)
        files.append(str(file))
    sent = rwt("submit", "--feed", "gtfs", *files)
    assert sent.exit_code == 2
    told = " ".join(sent.stderr.replace("│", " ").split())
    assert all(file in told for file in files)
    assert "would both be s3://rwt-incoming/gtfs/daily.zip" in told
    assert "Nothing was uploaded" in told
    assert s3.list_objects_v2(Bucket="rwt-incoming").get("Contents", []) == []
    assert rwt("submit", "--feed", "gtfs", files[0], files[0]).exit_code == 2


@pytest.mark.extended
def test_old_archives_are_retired_and_what_was_written_of_them_is_removed(home, s3, feed):
    s3.put_object(Bucket="rwt-incoming", Key="gtfs/a.zip", Body=timetable(trips=2, stops=2))
    assert rwt("sweep").exit_code == 0
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
