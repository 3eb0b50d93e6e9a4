"""What belongs to another account: how a feed names it, and how it is reached.

What belongs here: roles, the forms in which a queue is named, and which places of a feed need
something else than the credentials of the process. What does not: calls of AWS
(`account_access.py`) and policies (`permissions.py`, `roles.py`). Rules: IAM User
Guide, "Access to AWS accounts owned by third parties"; AWS STS API Reference, "AssumeRole"; Amazon
SQS Developer Guide, "Amazon SQS queue and message identifiers"; Amazon S3 User Guide, "Using
Requester Pays general purpose buckets".
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from rwt_assets.feed.feed import Feed

# Set where all of AWS is one server and one account (`server.py`): there are no others.
ONE_ACCOUNT: Final = "RWT_ONE_ACCOUNT"
TEMPLATE: Final = "{{"
VARIABLE: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
SESSION_NAME_AT_MOST: Final = 64
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)
_QUEUE_NAME: Final = "(?P<name>[A-Za-z0-9_-]+)"  # S3 announces to no queue with `.fifo`
_QUEUE_ARN: Final = re.compile(
    rf"arn:aws[a-z-]*:sqs:(?P<region>[a-z0-9-]+):(?P<account>\d{{12}}):{_QUEUE_NAME}", re.ASCII
)
_QUEUE_URL: Final = re.compile(
    rf"https?://(?P<host>[^/?#@]+)/(?P<account>\d{{12}})/{_QUEUE_NAME}", re.ASCII
)
# `sqs.<region>` today; `<region>.queue` is the older form.
_REGION_IN_HOST: Final = re.compile(
    r"(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.amazonaws\.com(?:\.cn)?"
)


def _role_arn(arn: str) -> str:
    if TEMPLATE not in arn and not _ROLE.fullmatch(arn):
        msg = f"{arn!r} is no ARN of a role (arn:aws:iam::123456789012:role/name)"
        raise ValueError(msg)
    return arn


class Role(BaseModel):
    """A role of IAM that is taken for each call of S3 to a bucket, as another account's asks.

    `external_id_variable` names the environment variable that has the external id, which the two
    accounts have agreed on. It is read where the role is taken and stands in no declaration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arn: Annotated[str, AfterValidator(_role_arn)]
    external_id_variable: str | None = Field(default=None, pattern=VARIABLE)

    @property
    def account(self) -> str:
        """Id of the account that the role belongs to."""
        return self.arn.split(":")[4]


@dataclass(frozen=True, slots=True)
class QueueAddress:
    """A queue as it is named. `account` and `region` are "" where the name does not say them."""

    name: str
    account: str = ""
    region: str = ""


def parse_queue(text: str) -> QueueAddress:
    """The queue that a name, a URL or an ARN is about.

    Raises:
        ValueError: it begins as a URL or an ARN and is none of a queue.
    """
    if text.startswith("arn:"):
        found = _QUEUE_ARN.fullmatch(text)
        if found:
            return QueueAddress(found["name"], found["account"], found["region"])
        msg = f"{text!r} is no ARN of a queue (arn:aws:sqs:eu-central-1:123456789012:name)"
        raise ValueError(msg)
    if "://" not in text:
        return QueueAddress(text)
    found = _QUEUE_URL.fullmatch(text)
    if found is None:
        msg = (
            f"{text!r} is no URL of a queue (https://sqs.eu-central-1.amazonaws.com/123456789012/"
            "name)"
        )
        raise ValueError(msg)
    host = _REGION_IN_HOST.fullmatch(found["host"])
    return QueueAddress(found["name"], found["account"], (host[1] or host[2]) if host else "")


def check_queue(text: str) -> str:
    """The text, if it may name a queue.

    Raises:
        ValueError: as `parse_queue`.
    """
    if TEMPLATE not in text:
        parse_queue(text)
    return text


def may_be_one_queue(one: str, other: str) -> bool:
    """Whether two texts that differ may name the same queue."""
    first, second = parse_queue(one), parse_queue(other)
    return first.name == second.name and all(
        not mine or not theirs or mine == theirs
        for mine, theirs in ((first.account, second.account), (first.region, second.region))
    )


@dataclass(frozen=True, slots=True)
class Access:
    """How keys that begin with `prefix` in a bucket are reached, if not as everything else is.

    `session_name` is what the owner of a role finds in their records of who took it.
    """

    bucket: str
    prefix: str
    session_name: str
    role: Role | None = None
    requester_pays: bool = False

    def covers(self, bucket: str, key: str) -> bool:
        """Whether a key, or the prefix of a listing, is one of these."""
        return bucket == self.bucket and key.startswith(self.prefix)


def session_name(feed: str) -> str:
    """The name of the sessions of a feed's roles (AWS STS: at most 64 characters)."""
    return f"rwt-{feed}"[:SESSION_NAME_AT_MOST]


def source_access(feed: "Feed") -> Access:
    """How the archives of a feed are reached."""
    source, name = feed.source, session_name(feed.name)
    return Access(source.bucket, source.prefix, name, source.role, source.requester_pays)


def target_access(feed: "Feed") -> Access:
    """How the results of a feed are reached."""
    return Access(feed.target.bucket, feed.target.folder, session_name(feed.name), feed.target.role)


def accesses(*feeds: "Feed") -> tuple[Access, ...]:
    """The places of feeds that are reached in a way of their own; none of most feeds.

    A place of another feed that lies in one of them is there, too, and comes before it.
    """
    places = [one for feed in feeds for one in (source_access(feed), target_access(feed))]
    own = [one for one in places if one.role is not None or one.requester_pays]
    within = [one for one in places if any(way.covers(one.bucket, one.prefix) for way in own)]
    return tuple(sorted(within, key=lambda one: (one.bucket, -len(one.prefix))))
