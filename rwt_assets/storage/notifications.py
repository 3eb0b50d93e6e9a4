"""Queue messages to archive revisions, whatever they are wrapped in.

What belongs here: reading what S3 says. What does not: receiving it (`queue.py`)
and deciding what becomes of it (`intake.py`). Rules:

- Amazon S3 User Guide, "Event message structure" (keys are URL-encoded, a space is `+`),
  "Event notification types and destinations" (`s3:TestEvent`);
- Amazon S3 User Guide, "EventBridge event message structure" (keys are *not* encoded);
- Amazon SNS Developer Guide, "Amazon SNS message and JSON formats" (the envelope), "Amazon SNS
  raw message delivery" (none).

An envelope may hold another: an EventBridge rule may have an SNS topic as its target.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import unquote_plus

from rwt_assets.runtime import NotificationError

CREATED: Final = "ObjectCreated:"
RESTORED: Final = "ObjectRestore:Completed"
TEST_EVENT: Final = "s3:TestEvent"
EVENTBRIDGE_SOURCE: Final = "aws.s3"
EVENTBRIDGE_CREATED: Final = "Object Created"
EVENTBRIDGE_RESTORED: Final = "Object Restore Completed"
SNS_NOTIFICATION: Final = "Notification"
SNS_CONFIRMATIONS: Final = ("SubscriptionConfirmation", "UnsubscribeConfirmation")
ENVELOPES_AT_MOST: Final = 3
KEY_BYTES_AT_MOST: Final = 1_024
SIZE_AT_MOST: Final = 2**63 - 1
SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class ArchiveRevision:
    """One content of one object. `etag` has no quotes.

    `size` is the size in bytes as it was announced, 0 if unknown. It decides on the priority of
    runs and on nothing else: who can write to the queue can announce any size.
    """

    bucket: str
    key: str
    etag: str
    size: int
    version_id: str | None = None
    sequencer: str | None = None
    event_time: datetime | None = None

    @property
    def revision(self) -> str:
        """Identity of the content: its ETag.

        Not the version id: the same bytes uploaded again get another version id, and need
        no work. Which bytes are read is pinned by the ETag too (If-Match).
        """
        return self.etag

    def is_older_than(self, sequencer: str | None) -> bool:
        """Whether this event came before the one with that sequencer; False if unknown.

        Sequencers of one object are hexadecimal; the shorter is padded with zeros on the
        right before they are compared.
        """
        if self.sequencer is None or sequencer is None:
            return False
        width = max(len(self.sequencer), len(sequencer))
        return self.sequencer.upper().ljust(width, "0") < sequencer.upper().ljust(width, "0")


@dataclass(frozen=True, slots=True)
class Notification:
    """What one message announces; `ignored` are the names of events that create nothing.

    `restored` are contents that lay in S3 Glacier and can be read now.
    """

    revisions: tuple[ArchiveRevision, ...]
    ignored: tuple[str, ...] = ()
    restored: tuple[ArchiveRevision, ...] = ()


def parse_notification(body: str) -> Notification:
    """Read a message that S3 put into a queue, by itself or through SNS or EventBridge.

    Args:
        body: the message's body.

    Returns:
        The revisions that it announces or that were restored, and the names of the other events
        in it, in order.

    Raises:
        NotificationError: it is no S3 event, or says too little.
    """
    message = _unwrapped(body)
    if message.get("Event") == TEST_EVENT:
        return Notification((), (TEST_EVENT,))
    if message.get("source") == EVENTBRIDGE_SOURCE:
        return _eventbridge_notification(message, body)
    records = message.get("Records")
    if not isinstance(records, list) or not records:
        raise _no_event(body, _described(message))
    revisions: list[ArchiveRevision] = []
    restored: list[ArchiveRevision] = []
    ignored: list[str] = []
    for record in records:
        name = _text(record, body, "eventName").removeprefix("s3:")
        if name.startswith(CREATED):
            revisions.append(_record_revision(record, body))
        elif name == RESTORED:
            restored.append(_record_revision(record, body))
        else:
            ignored.append(name)
    return Notification(tuple(revisions), tuple(ignored), tuple(restored))


def _unwrapped(body: str) -> Mapping[str, Any]:
    """The innermost message: what is left when the envelopes of SNS are taken off."""
    text = body
    for _ in range(ENVELOPES_AT_MOST):
        message = _json_object(text, body)
        kind = message.get("Type")
        if kind in SNS_CONFIRMATIONS:
            raise _no_event(body, f"an SNS {kind}; the topic's owner has to answer it")
        if kind != SNS_NOTIFICATION:
            return message
        text = _text(message, body, "Message")
    raise _no_event(body, f"more than {ENVELOPES_AT_MOST - 1} SNS envelopes around each other")


def _json_object(text: str, body: str) -> Mapping[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _no_event(body, f"no JSON ({error})") from error
    if not isinstance(message, dict):
        raise _no_event(body, f"a JSON {type(message).__name__}, not an object")
    return message


def _eventbridge_notification(message: Mapping[str, Any], body: str) -> Notification:
    name = _text(message, body, "detail-type")
    if name not in (EVENTBRIDGE_CREATED, EVENTBRIDGE_RESTORED):
        return Notification((), (name,))
    facts = _find(message, body, "detail", "object")
    revision = ArchiveRevision(
        bucket=_text(message, body, "detail", "bucket", "name"),
        key=_key(_text(message, body, "detail", "object", "key"), body),
        etag=_text(message, body, "detail", "object", "etag").strip('"'),
        size=_size(facts.get("size")),
        version_id=_optional(facts.get("version-id")),
        sequencer=_optional(facts.get("sequencer")),
        event_time=_time(message.get("time")),
    )
    if name == EVENTBRIDGE_RESTORED:
        return Notification((), restored=(revision,))
    return Notification((revision,))


def _record_revision(record: Mapping[str, Any], body: str) -> ArchiveRevision:
    facts = _find(record, body, "s3", "object")
    encoded = _text(record, body, "s3", "object", "key")
    try:
        key = unquote_plus(encoded, errors="strict")
    except UnicodeDecodeError as error:
        raise _no_event(body, f"the key {encoded!r} is no UTF-8") from error
    return ArchiveRevision(
        bucket=_text(record, body, "s3", "bucket", "name"),
        key=_key(key, body),
        etag=_text(record, body, "s3", "object", "eTag").strip('"'),
        size=_size(facts.get("size")),
        version_id=_optional(facts.get("versionId")),
        sequencer=_optional(facts.get("sequencer")),
        event_time=_time(record.get("eventTime")),
    )


def _key(key: str, body: str) -> str:
    try:
        fits = len(key.encode()) <= KEY_BYTES_AT_MOST
    except UnicodeEncodeError as error:
        raise _no_event(body, f"the key {key!r} is no UTF-8") from error
    if not fits:
        raise _no_event(body, f"a key of more than {KEY_BYTES_AT_MOST} bytes")
    return key


def _size(size: object) -> int:
    """The announced size, 0 if it is no possible one: it is no reason to refuse the message."""
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= SIZE_AT_MOST:
        return 0
    return size


def _find(record: object, body: str, *path: str) -> Any:
    value: Any = record
    for depth, name in enumerate(path):
        if not isinstance(value, dict) or name not in value:
            raise _no_event(body, f"a record without {'.'.join(path[: depth + 1])}")
        value = value[name]
    return value


def _text(record: object, body: str, *path: str) -> str:
    value = _find(record, body, *path)
    if not isinstance(value, str) or not value:
        raise _no_event(body, f"{'.'.join(path)} is {value!r:.100}, not a text")
    return value


def _optional(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _described(message: Mapping[str, Any]) -> str:
    if "Records" in message:
        return "its Records are no list of events"
    return f"a JSON object with {', '.join(sorted(map(repr, message))[:5]) or 'nothing'}"


def _no_event(body: str, why: str) -> NotificationError:
    return NotificationError(
        f"the message is no S3 event notification: {why}",
        where=f"begins {body[:SHOWN]!r}",
        effect="It stays in the queue until it goes to the dead-letter queue.",
        fix="See who else writes to this queue.",
    )
