import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.errors import NotificationError
from rwt_assets.notifications import ArchiveRevision, parse_notification


def message(key="gtfs/a.zip", name="ObjectCreated:Put", **facts):
    described = {"key": quote_plus(key, safe="/"), "size": 5, "eTag": "abc", **facts}
    return {
        "eventVersion": "2.1",
        "eventName": name,
        "eventTime": "2026-11-24T12:00:00.000Z",
        "s3": {"bucket": {"name": "incoming"}, "object": described},
    }


def test_a_creation_is_a_revision():
    body = json.dumps({"Records": [message(versionId="v1", sequencer="0A")]})
    (revision,) = parse_notification(body).revisions
    assert (revision.bucket, revision.key, revision.size) == ("incoming", "gtfs/a.zip", 5)
    assert (revision.revision, revision.version_id, revision.sequencer) == ("abc", "v1", "0A")
    assert revision.event_time.isoformat() == "2026-11-24T12:00:00+00:00"


@given(st.text(min_size=1, max_size=50))
def test_keys_are_decoded(key):
    try:
        key.encode()
    except UnicodeEncodeError:
        return  # S3 keys are UTF-8
    body = json.dumps({"Records": [message(key)]})
    assert parse_notification(body).revisions[0].key == key


def test_the_test_event_and_removals_are_ignored():
    assert parse_notification('{"Event": "s3:TestEvent"}').revisions == ()
    body = json.dumps({"Records": [message(name="ObjectRemoved:Delete"), message()]})
    notification = parse_notification(body)
    assert notification.ignored == ("ObjectRemoved:Delete",)
    assert len(notification.revisions) == 1


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("hello", "no JSON"),
        ("[]", "a JSON list"),
        ("{}", "with nothing"),
        ('{"Type": "Notification", "Message": "x"}', "SNS envelope"),
        ('{"detail-type": "Object Created"}', "EventBridge"),
        ('{"Records": [{}]}', "without eventName"),
        ('{"Records": [7]}', "without eventName"),
        ("[" * 100_000, "no JSON"),
        (json.dumps({"Records": [message(size="5")]}), "size"),
        (json.dumps({"Records": [message(size=-1)]}), "size"),
        (json.dumps({"Records": [message(eTag=None)]}), "eTag"),
    ],
)
def test_anything_else_is_refused_with_the_reason(body, says):
    with pytest.raises(NotificationError, match=says):
        parse_notification(body)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_no_json_is_a_surprise(value):
    body = json.dumps({"Records": value})
    try:
        parse_notification(body)
    except NotificationError as error:
        assert error.remedy  # noqa: PT017 - either outcome is right


def test_sequencers_of_different_length_are_padded_on_the_right():
    revision = ArchiveRevision("b", "k", "e", 1, sequencer="0055AED6DCD90281E5")
    assert revision.is_older_than("0055AED6DCD90281E6")
    assert revision.is_older_than("0055AED6DCD90281E500FF") is True
    assert not revision.is_older_than("0055AED6DC")
    assert not revision.is_older_than(None)
