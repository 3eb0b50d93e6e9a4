"""What the code asks of S3 and SQS is what the table says, from which the policy is made."""

import json
from datetime import timedelta
from io import BytesIO

import boto3
import dagster as dg
import pytest

from rwt_assets import open_delivery
from rwt_assets.aws.doctor import examine
from rwt_assets.aws.provisioning import provision
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.component import build_feed_definitions
from rwt_assets.feed.accounts import ONE_ACCOUNT
from rwt_assets.feed.feed import Feed
from rwt_assets.operations.dead_letters import list_dead_letters, redrive
from rwt_assets.orchestration.sensors.queue import queue_sensor
from rwt_assets.permissions.aws_calls import CALLS, Place
from rwt_assets.resources.account_access import caller_account
from rwt_assets.resources.object_store import connect_objects
from rwt_assets.resources.queue import SqsQueueResource, connect_queue
from rwt_assets.retention.retirement import find_old, retire
from rwt_assets.testing import carry_out
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.endpoint.delivered_archive import rwt
from rwt_assets_tests.endpoint.recording import RecordingProxy, operation

PARTNER = "210987654321"

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture
def proxy(server, feed, endpoint, monkeypatch):
    with RecordingProxy(server.port, feed) as running, running.of_queues():
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        monkeypatch.setattr("rwt_assets.orchestration.sensors.queue.LONG_POLL_SECONDS", 1)
        yield running


def deliver(instance, feed):
    catalog = FeedCatalog(instance, feed)
    with dg.build_sensor_context(instance=instance) as context:
        queue_sensor([feed])(context, queue_client=SqsQueueResource())
    carry_out(catalog, build_feed_definitions(feed))
    return catalog


def write_in_parts(feed):
    """What a shard of more than 64 MiB does, with less: by boto3, by our own parts, and refused."""
    store, key = connect_objects(), f"{feed.target.prefix}/in-parts"
    assert store.put_if(feed.target.bucket, key, BytesIO(b"a"), etag="")
    assert not store.put_if(feed.target.bucket, key, BytesIO(b"b"), etag="")
    store.put(feed.target.bucket, key, BytesIO(b"c"))
    assert store.read(feed.target.bucket, key) == b"c"
    assert store.head(feed.target.bucket, key).size == 1
    store.delete(feed.target.bucket, [key])


def look_at_dead_letters(feed, sqs, provisioned):
    letters = [json.dumps({"Records": []}), "nonsense"]
    for body in letters:
        sqs.send_message(QueueUrl=provisioned.dead_letter_queue_url, MessageBody=body)
    queue = connect_queue()
    assert len(list_dead_letters(queue, [feed], at_most=10)) == 2
    assert redrive(queue, [feed]) == 2
    (message, *_) = queue.receive(feed.source.queue, wait_seconds=1)
    queue.hide(feed.source.queue, [message], 0)


def read_by_a_role(feed, monkeypatch):
    """What a feed with a role asks, of a bucket of the role's account."""
    monkeypatch.delenv(ONE_ACCOUNT)
    role = {"arn": f"arn:aws:iam::{PARTNER}:role/drop"}
    source = feed.source.model_dump() | {"bucket": "partners-drop", "role": role}
    reached = Feed.model_validate(feed.model_dump() | {"source": source})
    boto3.client("s3", aws_access_key_id=PARTNER, aws_secret_access_key=PARTNER).create_bucket(
        Bucket="partners-drop"
    )
    assert [*connect_objects(reached).list("partners-drop", feed.source.prefix)] == []
    assert caller_account() == "000000000000"


def test_each_call_is_in_the_table_and_each_entry_of_the_table_is_called(
    feed, s3, sqs, proxy, instance, tmp_path, monkeypatch
):
    # `s3` and `sqs` are made before `proxy`: the test's own requests go past it.
    provisioned = provision(feed)
    untied = {"RedrivePolicy": ""}
    sqs.set_queue_attributes(QueueUrl=provisioned.queue_url, Attributes=untied)
    assert len(provision(feed).made) == 1
    assert provision(feed).made == ()
    assert all(one.ok for one in examine(feed)), examine(feed)
    direct = Feed.model_validate(feed.model_dump() | {"one_pass": True, "keep_shards": False})
    for number, way in enumerate((feed, direct)):
        body = timetable(trips=2, stops=2)
        s3.put_object(Bucket=feed.source.bucket, Key=f"gtfs/{number}.zip", Body=body)
        catalog = deliver(instance, way)
        assert open_delivery(f"gtfs/{number}.zip", "stops.txt", feed=feed.name).count_rows() == 2
    write_in_parts(feed)
    look_at_dead_letters(feed, sqs, provisioned)
    archive = tmp_path / "submitted.zip"
    archive.write_bytes(timetable(trips=1, stops=1))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for command in (("submit", str(archive)), ("sweep",)):
        done = rwt(*command, "--feed", feed.name)
        assert done.exit_code == 0, done.output
    assert connect_queue().depth(feed.source.dead_letter_queue).waiting == 0
    old = find_old(catalog, timedelta(days=-1))
    retired = list(retire(catalog, connect_objects(), old, keep_data=False))
    assert [one.left for one in retired] == ["", ""]
    asked = set(proxy.asked)  # the partner's own call and that by the role are of another bucket
    read_by_a_role(feed, monkeypatch)
    proxy.asked = asked | {call for call in proxy.asked if call[1] != "partners-drop"}

    known = {(call.operation, call.place) for call in CALLS}
    assert proxy.asked - known == set(), "not in the table: the policy may lack it"
    # A large archive is submitted in parts, by the same function as a large shard.
    parts = {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
    assert known - proxy.asked == {(part, Place.ARCHIVES) for part in parts}, "nothing calls it"


@pytest.mark.parametrize(
    ("request_line", "name"),
    [
        (("GET", "a", ""), "GetObject"),
        (("GET", "a", "versionId=v"), "GET ?versionId"),
        (("GET", "a", "tagging"), "GET ?tagging"),
        (("PUT", "a", "partNumber=1&uploadId=u"), "UploadPart"),
        (("GET", "", "list-type=2&prefix=a&delimiter=/"), "ListObjectsV2"),
        (("GET", "", "uploads"), "GET ?uploads"),
        (("POST", "", "delete"), "DeleteObjects"),
    ],
)
def test_what_is_no_known_operation_is_told_as_it_is(request_line, name):
    assert operation(*request_line) == name
