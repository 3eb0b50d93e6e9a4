"""Queue messages to archive revisions.

What belongs here: reading what S3 says. What does not: receiving it (`resources/queue.py`)
and deciding what becomes of it (`intake.py`). Rules: Amazon S3 User Guide, "Event message
structure", "Event notification types and destinations".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from rwt_assets.errors import NotificationError

CREATED = "ObjectCreated:"
TEST_EVENT = "s3:TestEvent"
SHOWN = 200


@dataclass(frozen=True, slots=True)
class ArchiveRevision:
    """One content of one object. `etag` has no quotes; `size` is in bytes."""

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
    """What one message announces; `ignored` are the names of events that create nothing."""

    revisions: tuple[ArchiveRevision, ...]
    ignored: tuple[str, ...] = ()


def parse_notification(body: str) -> Notification:
    """Read a message that S3 put into a queue.

    Args:
        body: the message's body; keys in it are URL-encoded, with `+` for a space.

    Returns:
        The revisions it announces, in order.

    Raises:
        NotificationError: it is no S3 event, or says too little.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _no_event(body, f"no JSON ({error})") from error
    if not isinstance(message, dict):
        raise _no_event(body, f"a JSON {type(message).__name__}, not an object")
    if message.get("Event") == TEST_EVENT:
        return Notification((), (TEST_EVENT,))
    records = message.get("Records")
    if not isinstance(records, list):
        raise _no_event(body, _guess(message))
    revisions: list[ArchiveRevision] = []
    ignored: list[str] = []
    for record in records:
        name = _text(record, body, "eventName").removeprefix("s3:")
        if name.startswith(CREATED):
            revisions.append(_revision(record, body))
        else:
            ignored.append(name)
    return Notification(tuple(revisions), tuple(ignored))


def _revision(record: Mapping[str, Any], body: str) -> ArchiveRevision:
    size = _find(record, body, "s3", "object", "size")
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise _no_event(body, f"s3.object.size is {size!r}, not a number of bytes")
    facts = _find(record, body, "s3", "object")
    return ArchiveRevision(
        bucket=_text(record, body, "s3", "bucket", "name"),
        key=unquote_plus(_text(record, body, "s3", "object", "key")),
        etag=_text(record, body, "s3", "object", "eTag").strip('"'),
        size=size,
        version_id=_optional(facts.get("versionId")),
        sequencer=_optional(facts.get("sequencer")),
        event_time=_time(record.get("eventTime")),
    )


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
        raise _no_event(body, f"{'.'.join(path)} is {value!r}, not a text")
    return value


def _optional(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _guess(message: Mapping[str, Any]) -> str:
    if message.get("Type") == "Notification":
        return "an SNS envelope, which this version does not unwrap"
    if "detail-type" in message:
        return "an EventBridge event, which this version does not unwrap"
    return f"a JSON object with {', '.join(sorted(map(repr, message))[:5]) or 'nothing'}"


def _no_event(body: str, why: str) -> NotificationError:
    return NotificationError(
        f"the message is no S3 event notification: {why}",
        where=f"begins {body[:SHOWN]!r}",
        fate="It stays in the queue until it goes to the dead-letter queue.",
        remedy="See who else writes to this queue.",
    )
