"""What S3 says, in every wrapping; and whatever else may lie in a queue."""

import json
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.runtime.errors import NotificationError
from rwt_assets.storage.notifications import ArchiveRevision, parse_notification

SAMPLES = Path(__file__).parents[3] / "shared" / "data" / "events"


def record(key="gtfs/a.zip", name="ObjectCreated:Put", **facts):
    described = {"key": quote_plus(key, safe="/"), "size": 5, "eTag": "abc", **facts}
    return {
        "eventVersion": "2.1",
        "eventName": name,
        "eventTime": "2026-11-24T12:00:00.000Z",
        "s3": {"bucket": {"name": "incoming"}, "object": described},
    }


def direct(key="gtfs/a.zip", **facts):
    return {"Records": [record(key, **facts)]}


def eventbridge(key="gtfs/a.zip", detail_type="Object Created", **facts):
    described = {"key": key, "size": 5, "etag": "abc", **facts}
    return {
        "detail-type": detail_type,
        "source": "aws.s3",
        "time": "2026-11-24T12:00:00Z",
        "detail": {"bucket": {"name": "incoming"}, "object": described},
    }


def by_sns(message):
    return {"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": json.dumps(message)}


WRAPPINGS = {
    "directly": direct,
    "through SNS": lambda key: by_sns(direct(key)),
    "through SNS without its envelope": direct,
    "through EventBridge": eventbridge,
    "through EventBridge and SNS": lambda key: by_sns(eventbridge(key)),
    "through two topics": lambda key: by_sns(by_sns(direct(key))),
}
S3_KEYS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=250)


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
@given(key=S3_KEYS)
def test_every_key_arrives_in_every_wrapping(wrap, key):
    (revision,) = parse_notification(json.dumps(wrap(key))).revisions
    assert (revision.bucket, revision.key, revision.size) == ("incoming", key, 5)
    assert revision.revision == "abc"
    assert revision.event_time.isoformat() == "2026-11-24T12:00:00+00:00"


@pytest.mark.parametrize(
    "message",
    [
        direct(versionId="v1", sequencer="0A", eTag='"abc"'),
        eventbridge(**{"version-id": "v1", "sequencer": "0A", "etag": '"abc"'}),
    ],
)
def test_version_sequencer_and_etag_are_read(message):
    (revision,) = parse_notification(json.dumps(message)).revisions
    assert (revision.revision, revision.version_id, revision.sequencer) == ("abc", "v1", "0A")


@pytest.mark.parametrize("message", [direct(), eventbridge()])
def test_version_and_sequencer_may_be_missing(message):
    (revision,) = parse_notification(json.dumps(message)).revisions
    assert (revision.version_id, revision.sequencer) == (None, None)


@pytest.mark.parametrize("announce", [direct, eventbridge])
@pytest.mark.parametrize("size", ["5", True, -1, 10**30, 5.0, None, [], {}])
def test_a_size_that_is_none_is_unknown_and_no_reason_to_refuse(announce, size):
    (revision,) = parse_notification(json.dumps(announce(size=size))).revisions
    assert (revision.size, revision.revision) == (0, "abc")


@pytest.mark.parametrize("message", [direct(), eventbridge()], ids=["direct", "eventbridge"])
def test_a_message_without_a_size_is_read(message):
    described = message["detail"] if "detail" in message else message["Records"][0]["s3"]
    del described["object"]["size"]
    (revision,) = parse_notification(json.dumps(message)).revisions
    assert (revision.size, revision.revision) == (0, "abc")


def test_several_records_are_read_in_order():
    body = json.dumps({"Records": [record("b"), record(name="ObjectRemoved:Delete"), record("a")]})
    notification = parse_notification(body)
    assert [revision.key for revision in notification.revisions] == ["b", "a"]
    assert notification.ignored == ("ObjectRemoved:Delete",)


@pytest.mark.parametrize(
    ("message", "ignored"),
    [
        ({"Service": "Amazon S3", "Event": "s3:TestEvent"}, "s3:TestEvent"),
        (by_sns({"Event": "s3:TestEvent"}), "s3:TestEvent"),
        (eventbridge(detail_type="Object Deleted"), "Object Deleted"),
        ({"Records": [{"eventName": "s3:ObjectRestore:Post"}]}, "ObjectRestore:Post"),
    ],
)
def test_other_events_of_s3_announce_nothing(message, ignored):
    notification = parse_notification(json.dumps(message))
    assert (notification.revisions, notification.ignored) == ((), (ignored,))


@pytest.mark.parametrize(
    ("time", "read"),
    [
        ("2026-11-24T12:00:00", "2026-11-24T12:00:00+00:00"),
        ("yesterday", "None"),
        (None, "None"),
    ],
)
def test_a_time_that_is_none_is_left_out(time, read):
    body = json.dumps({"Records": [{**record(), "eventTime": time}]})
    found = parse_notification(body).revisions[0].event_time
    assert (found.isoformat() if found else "None") == read


def body(message):
    return message if isinstance(message, str) else json.dumps(message)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("hello", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("1" * 10_000, "no JSON"),
        ([], "a JSON list"),
        ({}, "with nothing"),
        ({"b": 1, "a": 2}, "with 'a', 'b'"),
        ({"Records": []}, "no list of events"),
        ({"Records": 7}, "no list of events"),
        ({"Records": [{}]}, "without eventName"),
        ({"Records": [7]}, "without eventName"),
        (direct(eTag=None), "eTag"),
        (direct("k" * 1_025), "more than 1024 bytes"),
        ({"Records": [{**record(), "s3": {}}]}, "without s3.object"),
        (eventbridge("\ud800"), "no UTF-8"),
        (eventbridge(etag=None), "detail.object.etag"),
        ({"source": "aws.s3", "detail-type": "Object Created"}, "without detail"),
        ({"source": "aws.ec2", "detail-type": "Object Created"}, "'detail-type', 'source'"),
        ({"Type": "Notification"}, "without Message"),
        ({"Type": "SubscriptionConfirmation"}, "has to answer it"),
        (by_sns("text"), "a JSON str"),
        (by_sns(by_sns(by_sns(direct()))), "more than 2 SNS envelopes"),
    ],
)
def test_anything_else_is_refused_with_the_reason(message, says):
    with pytest.raises(NotificationError, match=says):
        parse_notification(body(message))


def test_a_key_whose_escapes_are_no_utf8_is_refused():
    message = {"Records": [record()]}
    message["Records"][0]["s3"]["object"]["key"] = "gtfs/%FF.zip"
    with pytest.raises(NotificationError, match=r"'gtfs/%FF\.zip' is no UTF-8"):
        parse_notification(json.dumps(message))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def mutilated(draw):
    """A message of S3 in any wrapping in which one place holds something else."""
    message = draw(st.sampled_from(list(WRAPPINGS.values())))(draw(S3_KEYS))
    place, name = message, draw(st.sampled_from(list(message)))
    while isinstance(place[name], dict | list) and place[name] and draw(st.integers(0, 4)):
        place = place[name]
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        name = draw(st.sampled_from(keys))
    if draw(st.booleans()):
        place[name] = draw(JSON)
    else:
        del place[name]
    return json.dumps(by_sns(message) if draw(st.booleans()) else message)


@given(st.text() | JSON.map(json.dumps) | mutilated())
def test_no_message_is_a_surprise(text):
    try:
        notification = parse_notification(text)
    except NotificationError as error:
        assert error.fix  # noqa: PT017 - either outcome is right
    else:
        for revision in notification.revisions:
            assert 1 <= len(revision.key.encode()) <= 1_024
            assert revision.size >= 0


def samples():
    if not SAMPLES.is_dir():
        why = f"the sample events are not there ({SAMPLES})"
        return [pytest.param(None, marks=pytest.mark.skip(reason=why))]
    return [pytest.param(path, id=path.stem) for path in sorted(SAMPLES.rglob("*.json"))]


@pytest.mark.parametrize("path", samples())
def test_real_events_are_read_or_refused_and_never_mistaken(path):
    text = path.read_text()
    of_s3 = ('"aws:s3"' in text and '"eventName"' in text) or '"source": "aws.s3"' in text
    if not of_s3:
        with pytest.raises(NotificationError):
            parse_notification(text)
        return
    notification = parse_notification(text)
    created = '"ObjectCreated:' in text
    restored = 'ObjectRestore:Completed"' in text or '"Object Restore Completed"' in text
    other = not created and not restored
    assert (bool(notification.revisions), bool(notification.ignored)) == (created, other)
    assert bool(notification.restored) == restored
    if created and "urlDecodedKey" in text:
        assert [revision.key for revision in notification.revisions] == ["Happy Face.jpg"]


def test_sequencers_of_different_length_are_padded_on_the_right():
    revision = ArchiveRevision("b", "k", "e", 1, sequencer="0055AED6DCD90281E5")
    assert revision.is_older_than("0055AED6DCD90281E6")
    assert revision.is_older_than("0055AED6DCD90281E500FF") is True
    assert not revision.is_older_than("0055AED6DC")
    assert not revision.is_older_than(None)
