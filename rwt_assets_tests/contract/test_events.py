"""What S3 announces, and the forms in which it reaches a queue.

Rules: Amazon S3 User Guide, "Event message structure", "EventBridge event message structure",
"Event notification types and destinations", "Configuring event notifications using object key
name filtering"; Amazon SNS Developer Guide, "Amazon SNS raw message delivery".
"""

import io
import json
from dataclasses import dataclass
from urllib.parse import unquote_plus

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from rwt_assets.storage.notifications import parse_notification

pytestmark = pytest.mark.endpoint

KEY = "in/Zürich 50% a+b%2B.zip"
ENCODED_KEY = "in/Z%C3%BCrich+50%25+a%2Bb%252B.zip"
BODY = b"0123456789"
PART_BYTES = 5 << 20


@dataclass(frozen=True)
class Announced:
    """One event, unwrapped; its key as the object's name."""

    event: str
    bucket: str
    key: str
    etag: str | None
    size: int | None
    version: str | None
    sequencer: str


def records_of(message):
    """The events in a message of S3 without a wrapping; none in its test event."""
    return [
        Announced(
            event=record["eventName"],
            bucket=record["s3"]["bucket"]["name"],
            key=unquote_plus(record["s3"]["object"]["key"]),
            etag=record["s3"]["object"].get("eTag"),
            size=record["s3"]["object"].get("size"),
            version=record["s3"]["object"].get("versionId"),
            sequencer=record["s3"]["object"]["sequencer"],
        )
        for record in message.get("Records", [])
    ]


def unwrapped(body):
    """The events in a body; what our parser makes of it has to be the same."""
    found = events_in(body)
    created = [one for one in found if one.event.startswith(("ObjectCreated:", "Object Created"))]
    assert [
        (one.bucket, one.key, one.revision, one.size, one.version_id, one.sequencer)
        for one in parse_notification(body).revisions
    ] == [(one.bucket, one.key, one.etag, one.size, one.version, one.sequencer) for one in created]
    return found


def events_in(body):
    """The events in a body, whatever it is wrapped in."""
    message = json.loads(body)
    if message.get("Type") == "Notification":
        return records_of(json.loads(message["Message"]))
    if message.get("source") == "aws.s3":
        facts = message["detail"]["object"]
        return [
            Announced(
                event=message["detail-type"],
                bucket=message["detail"]["bucket"]["name"],
                key=facts["key"],
                etag=facts.get("etag"),
                size=facts.get("size"),
                version=facts.get("version-id"),
                sequencer=facts["sequencer"],
            )
        ]
    return records_of(message)


def announced(queue, count=1):
    """So many events, unwrapped; test events do not count."""
    found = []
    while len(found) < count:
        found += unwrapped(*queue.take())
    return found


def first_with_records(queue):
    """The first message that is not S3's test event."""
    while "Records" not in (message := json.loads(*queue.take())):
        continue
    return message


def nothing_more(queue):
    return not any(unwrapped(message["Body"]) for message in queue.receive(wait=1))


def announce(s3, bucket, *rules, **more):
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": list(rules), **more},
    )


def rule(queue, *events, prefix=None, suffix=None):
    filters = [
        {"Name": name, "Value": value}
        for name, value in (("prefix", prefix), ("suffix", suffix))
        if value is not None
    ]
    return {
        "QueueArn": queue.arn,
        "Events": list(events or ["s3:ObjectCreated:*"]),
        **({"Filter": {"Key": {"FilterRules": filters}}} if filters else {}),
    }


@pytest.fixture
def direct(s3, versioned, queue):
    """A queue that S3 itself sends the events of the versioned bucket to."""
    announce(s3, versioned, rule(queue))
    return queue


@pytest.fixture
def by_topic(s3, sns, versioned, name, make_queue):
    """Makes a queue that a topic passes the events of the versioned bucket on to."""

    def make(**attributes):
        queue = make_queue()
        topic = sns.create_topic(Name=name)["TopicArn"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "s3.amazonaws.com"},
                    "Action": "sns:Publish",
                    "Resource": topic,
                }
            ],
        }
        sns.set_topic_attributes(
            TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy)
        )
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn, Attributes=attributes)
        topics = [{"TopicArn": topic, "Events": ["s3:ObjectCreated:*"]}]
        announce(s3, versioned, TopicConfigurations=topics)
        return queue

    return make


@pytest.fixture
def by_eventbridge(s3, events, versioned, name, queue):
    """A queue that an EventBridge rule sends the events of the versioned bucket to."""
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [versioned]}},
    }
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue.arn}])
    announce(s3, versioned, EventBridgeConfiguration={})
    return queue


def quoted(etag):
    return f'"{etag}"'


def says_what_was_put(event, bucket, answer):
    said = (event.bucket, event.key, quoted(event.etag), event.size)
    return said == (bucket, KEY, answer["ETag"], len(BODY)) and bool(event.sequencer)


def test_the_set_up_is_tried_with_a_test_event(direct, versioned):
    message = json.loads(*direct.take())
    assert (message["Event"], message["Bucket"]) == ("s3:TestEvent", versioned)
    assert "Records" not in message


def test_the_set_up_of_a_topic_is_tried_with_a_wrapped_test_event(by_topic, versioned):
    envelope = json.loads(*by_topic().take())
    message = json.loads(envelope["Message"])
    assert (message["Event"], message["Bucket"]) == ("s3:TestEvent", versioned)


def test_a_put_is_announced_to_a_queue(s3, direct, versioned):
    answer = s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)
    (event,) = announced(direct)
    assert event.event == "ObjectCreated:Put"
    assert says_what_was_put(event, versioned, answer)
    assert event.version == answer["VersionId"]


def test_a_put_is_announced_through_a_topic_in_an_envelope(s3, by_topic, versioned):
    queue = by_topic()
    answer = s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)
    (event,) = announced(queue)
    assert event.event == "ObjectCreated:Put"
    assert says_what_was_put(event, versioned, answer)
    assert event.version == answer["VersionId"]


def test_a_put_is_announced_through_a_topic_without_an_envelope(s3, by_topic, versioned):
    queue = by_topic(RawMessageDelivery="true")
    answer = s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)
    message = first_with_records(queue)
    assert "Type" not in message
    (event,) = unwrapped(json.dumps(message))
    assert says_what_was_put(event, versioned, answer)
    assert event.version == answer["VersionId"]


def test_a_put_is_announced_through_eventbridge(s3, by_eventbridge, versioned):
    answer = s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)
    (event,) = announced(by_eventbridge)
    assert event.event == "Object Created"
    assert says_what_was_put(event, versioned, answer)


def test_eventbridge_gives_the_version(s3, by_eventbridge, versioned):
    answer = s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)
    (event,) = announced(by_eventbridge)
    assert event.version == answer["VersionId"]


def test_eventbridge_gives_the_reason_and_the_time(s3, by_eventbridge, versioned):
    s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)
    message = json.loads(*by_eventbridge.take())
    assert message["detail"]["reason"] == "PutObject"
    assert message["time"].endswith("Z")


def test_a_topic_passes_a_message_on_in_an_envelope(sns, name, queue):
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue.arn)
    sns.publish(TopicArn=topic, Message='{"Records": []}')
    envelope = json.loads(*queue.take())
    assert (envelope["Type"], envelope["TopicArn"]) == ("Notification", topic)
    assert envelope["Message"] == '{"Records": []}'


def test_a_topic_passes_a_message_on_raw(sns, name, queue):
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=queue.arn,
        Attributes={"RawMessageDelivery": "true"},
    )
    sns.publish(TopicArn=topic, Message='{"Records": []}')
    assert queue.take() == ['{"Records": []}']


def test_keys_are_url_encoded_with_plus_for_a_space(s3, direct, versioned):
    s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)
    message = first_with_records(direct)
    assert message["Records"][0]["s3"]["object"]["key"] == ENCODED_KEY


def test_the_record_says_when_it_happened(s3, direct, versioned):
    s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)
    message = first_with_records(direct)
    assert message["Records"][0]["eventTime"].endswith("Z")
    assert message["Records"][0]["eventSource"] == "aws:s3"


def test_every_upload_of_a_key_has_its_version_and_a_higher_sequencer(s3, direct, versioned):
    answers = [
        s3.put_object(Bucket=versioned, Key=KEY, Body=f"content {number}") for number in range(4)
    ]
    found = announced(direct, len(answers))
    width = max(len(event.sequencer) for event in found)
    found.sort(key=lambda event: event.sequencer.upper().ljust(width, "0"))
    assert [event.version for event in found] == [answer["VersionId"] for answer in answers]
    assert [quoted(event.etag) for event in found] == [answer["ETag"] for answer in answers]
    assert len({event.sequencer for event in found}) == len(answers)
    assert all(int(event.sequencer, 16) for event in found)


def test_without_versioning_an_event_has_no_version(s3, bucket, queue):
    announce(s3, bucket, rule(queue))
    s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)
    (event,) = announced(queue)
    assert not event.version
    assert event.sequencer


def test_a_copy_is_announced_once_and_as_a_copy(s3, direct, versioned):
    s3.put_object(Bucket=versioned, Key="in/a.zip", Body=BODY)
    announced(direct)
    s3.copy_object(
        Bucket=versioned, Key="in/b.zip", CopySource={"Bucket": versioned, "Key": "in/a.zip"}
    )
    (event,) = announced(direct)
    assert (event.event, event.key, event.size) == ("ObjectCreated:Copy", "in/b.zip", len(BODY))
    assert nothing_more(direct)


def test_an_upload_in_parts_is_announced_once_and_when_it_is_complete(s3, direct, versioned):
    body = bytes(PART_BYTES) + BODY
    parts = TransferConfig(
        multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, use_threads=False
    )
    s3.upload_fileobj(io.BytesIO(body), versioned, "in/large.zip", Config=parts)
    (event,) = announced(direct)
    assert event.event == "ObjectCreated:CompleteMultipartUpload"
    assert event.size == len(body)
    assert event.etag.endswith("-2")
    assert quoted(event.etag) == s3.head_object(Bucket=versioned, Key="in/large.zip")["ETag"]
    assert nothing_more(direct)


def test_only_keys_with_the_prefix_and_the_suffix_are_announced(s3, bucket, queue):
    announce(s3, bucket, rule(queue, prefix="in/", suffix=".zip"))
    for key in ("in/a.txt", "out/a.zip", "in/zip", "IN/a.zip", "in/b.zip"):
        s3.put_object(Bucket=bucket, Key=key, Body=BODY)
    assert [event.key for event in announced(queue)] == ["in/b.zip"]
    assert nothing_more(queue)


def test_two_rules_with_different_prefixes_reach_their_own_queues(s3, bucket, make_queue):
    queues = {prefix: make_queue() for prefix in ("a/", "b/")}
    announce(s3, bucket, *(rule(queue, prefix=prefix) for prefix, queue in queues.items()))
    for prefix in queues:
        s3.put_object(Bucket=bucket, Key=f"{prefix}x.zip", Body=BODY)
    for prefix, queue in queues.items():
        assert [event.key for event in announced(queue)] == [f"{prefix}x.zip"]


def test_a_removal_is_announced_as_one(s3, bucket, queue):
    announce(s3, bucket, rule(queue, "s3:ObjectRemoved:*"))
    s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)
    s3.delete_object(Bucket=bucket, Key=KEY)
    (event,) = announced(queue)
    assert (event.event, event.key) == ("ObjectRemoved:Delete", KEY)


def test_a_delete_marker_is_announced_as_one(s3, versioned, queue):
    announce(s3, versioned, rule(queue, "s3:ObjectRemoved:*"))
    s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)
    marker = s3.delete_object(Bucket=versioned, Key=KEY)["VersionId"]
    (event,) = announced(queue)
    assert (event.event, event.key) == ("ObjectRemoved:DeleteMarkerCreated", KEY)
    assert event.version == marker


def test_a_rule_for_a_queue_that_is_not_there_is_refused(s3, bucket, queue):
    missing = {**rule(queue), "QueueArn": f"{queue.arn}-missing"}
    with pytest.raises(ClientError) as refused:
        announce(s3, bucket, missing)
    assert refused.value.response["Error"]["Code"] == "InvalidArgument"


def test_rules_that_overlap_are_refused(s3, bucket, make_queue):
    rules = [rule(make_queue(), prefix=prefix, suffix=".zip") for prefix in ("in/", "in/a/")]
    with pytest.raises(ClientError) as refused:
        announce(s3, bucket, *rules)
    assert refused.value.response["Error"]["Code"] == "InvalidArgument"


def test_rules_come_back_as_they_were_put(s3, bucket, queue):
    wanted = {**rule(queue, prefix="in/", suffix=".zip"), "Id": "rwt-gtfs"}
    announce(s3, bucket, wanted)
    answer = s3.get_bucket_notification_configuration(Bucket=bucket)
    (found,) = answer["QueueConfigurations"]
    filters = found.pop("Filter")["Key"]["FilterRules"]
    named = {entry["Name"].lower(): entry["Value"] for entry in filters}
    assert named == {"prefix": "in/", "suffix": ".zip"}
    assert found == {name: wanted[name] for name in ("Id", "QueueArn", "Events")}
