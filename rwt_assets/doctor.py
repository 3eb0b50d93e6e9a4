"""What keeps a feed from working: every connection tried, and what to do about each.

What belongs here: looking, and a remedy for what is found. What does not: mending it
(`provisioning.py`) and showing it (`commands/aws.py`). Rules: Amazon S3 API Reference and Amazon
SQS API Reference, "Error responses" and "Common errors"; Amazon S3 User Guide, "Granting
permissions to publish event notification messages to a destination".

Nothing is changed but one small object under `<target prefix>/.doctor/`, which is removed again.
Credentials are never shown.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's name
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)

from rwt_assets.aws_calls import action_for
from rwt_assets.feed import Feed
from rwt_assets.permissions import s3_may_send, service_may_send
from rwt_assets.provisioning import VISIBILITY_SECONDS, announces

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

CLOCK_SECONDS: Final = 300
KEY_ACTION: Final = re.compile(r"kms:[A-Z]\w+")  # of AWS KMS, which S3 and SQS ask for us
SET_UP: Final = "Make it: `rwt aws setup --apply`."
DENIED: Final = frozenset({"403", "AccessDenied", "AccessDeniedException", "Forbidden"})
UNKNOWN: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
NO_CREDENTIALS: Final = (
    CredentialRetrievalError,
    NoCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)
# Ways of an announcement that does not come from S3 itself, and who then sends it.
INDIRECT: Final[Mapping[str, str]] = {
    "TopicConfigurations": "sns.amazonaws.com",
    "EventBridgeConfiguration": "events.amazonaws.com",
}
MISSING: Final = frozenset(
    {
        "404",
        "NoSuchBucket",
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `remedy` is "" where nothing has to be done."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


class _WrongError(Exception):
    """What was looked at is there, and is not as it should be."""

    def __init__(self, found: str, remedy: str) -> None:
        self.found = found
        self.remedy = remedy
        super().__init__(found)


def examine(
    feed: Feed, *, s3: "S3Client | None" = None, sqs: "SQSClient | None" = None
) -> list[Finding]:
    """Look at everything that a feed needs outside Dagster. Nothing of it is raised.

    Args:
        feed: whose source and target.
        s3: a client; without it one from the environment.
        sqs: likewise.

    Returns:
        Findings in the order in which they should be mended. Without credentials or a region
        there is nothing to look at beyond them.
    """
    try:
        session = boto3.Session()
    except ProfileNotFound as error:
        remedy = "Set AWS_PROFILE to a profile of this machine, or to nothing."
        return [Finding("credentials", ok=False, found=str(error), remedy=remedy)]
    first = [
        _look("credentials", lambda: _credentials(session)),
        _look("region", lambda: _region(session)),
    ]
    if not all(finding.ok for finding in first):
        return first
    patient = _Patient(feed, s3 or boto3.client("s3"), sqs or boto3.client("sqs"))
    return [*first, *(_look(name, check) for name, check in patient.checks())]


class _Patient:
    """The checks of one feed. Each says what it found, or raises what is wrong."""

    def __init__(self, feed: Feed, s3: "S3Client", sqs: "SQSClient") -> None:
        self._feed = feed
        self._s3 = s3
        self._sqs = sqs

    def checks(self) -> Iterator[tuple[str, Callable[[], str]]]:
        source, target = self._feed.source, self._feed.target
        yield "clock", self._clock
        yield f"archives in {source.bucket}", self._archives
        yield f"versioning of {source.bucket}", self._versioning
        yield f"results in {target.bucket}", self._results
        yield f"queue {source.queue}", self._queue
        yield f"dead letters of {source.queue}", self._dead_letters
        yield f"announcements to {source.queue}", self._announcements
        yield f"S3 may send to {source.queue}", self._policy

    def _clock(self) -> str:
        # The time stands in every answer, in a refusal too.
        try:
            answer: Mapping[str, Any] = self._s3.head_bucket(Bucket=self._feed.source.bucket)
        except ClientError as error:
            answer = error.response
        stated = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
        if not stated:
            return "the server does not say its time"
        seconds = abs((datetime.now(UTC) - parsedate_to_datetime(stated)).total_seconds())
        if seconds > CLOCK_SECONDS:
            raise _WrongError(
                f"{seconds:.0f} s away from the server's",
                "Set this machine's clock: signatures are refused beyond 15 minutes.",
            )
        return "agrees with the server's"

    def _archives(self) -> str:
        source = self._feed.source
        answer = self._s3.list_objects_v2(Bucket=source.bucket, Prefix=source.prefix, MaxKeys=1)
        some = "has objects" if answer.get("KeyCount") else "has no objects yet"
        return f"can be listed; s3://{source.bucket}/{source.prefix} {some}"

    def _versioning(self) -> str:
        status = self._s3.get_bucket_versioning(Bucket=self._feed.source.bucket).get(
            "Status", "off"
        )
        if status != "Enabled":
            raise _WrongError(f"is {status}", SET_UP)
        return "is on"

    def _results(self) -> str:
        target = self._feed.target
        key, body = f"{target.prefix}/.doctor/{uuid4().hex}", b"written by rwt doctor"
        self._s3.put_object(Bucket=target.bucket, Key=key, Body=body)
        try:
            read = self._s3.get_object(Bucket=target.bucket, Key=key)["Body"].read()
        finally:
            self._remove(key)
        if read != body:
            raise _WrongError(
                "gives back other bytes than were written", "Look at what is between."
            )
        return "can be written, read and deleted"

    def _remove(self, key: str) -> None:
        bucket = self._feed.target.bucket
        try:
            self._s3.delete_object(Bucket=bucket, Key=key)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise _WrongError(
                f"DeleteObject: {code}; s3://{bucket}/{key} stays",
                f"{_allow(error.operation_name)} Then delete that object.",
            ) from error

    def _queue(self) -> str:
        attributes = self._attributes(self._feed.source.queue)
        visibility = int(attributes["VisibilityTimeout"])
        if visibility < VISIBILITY_SECONDS:
            raise _WrongError(
                f"hides messages for {visibility} s only",
                f"Set its visibility timeout to {VISIBILITY_SECONDS} s or more.",
            )
        waiting = int(attributes["ApproximateNumberOfMessages"])
        if waiting == 0:
            # A receipt counts towards the dead-letter queue: only an empty queue is tried.
            url = self._sqs.get_queue_url(QueueName=self._feed.source.queue)["QueueUrl"]
            self._sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=0)
            return "can be read; no messages wait"
        return f"about {waiting} messages wait; receiving them was not tried, since it counts"

    def _dead_letters(self) -> str:
        source = self._feed.source
        dead = self._attributes(source.dead_letter_queue)
        policy = json.loads(self._attributes(source.queue).get("RedrivePolicy") or "{}")
        if policy.get("deadLetterTargetArn") != dead["QueueArn"]:
            raise _WrongError(f"{source.dead_letter_queue} is not tied to the queue", SET_UP)
        return f"{dead['ApproximateNumberOfMessages']} in {source.dead_letter_queue}"

    def _announcements(self) -> str:
        source = self._feed.source
        rules: dict[str, Any] = dict(
            self._s3.get_bucket_notification_configuration(Bucket=source.bucket)
        )
        arn = self._attributes(source.queue)["QueueArn"]
        own = [r for r in rules.get("QueueConfigurations", []) if announces(r, self._feed, arn)]
        if own:
            return f"by the rule {own[0].get('Id', 'without a name')}"
        policy = json.loads(self._attributes(source.queue).get("Policy") or "{}")
        for way, service in INDIRECT.items():
            if way in rules and service_may_send(policy, service, queue_arn=arn):
                return f"not directly, but {service} may send there"
        told = "no rule of the bucket announces its archives there"
        if not self._feed.suffix_is_exact:
            told += f" (a rule with a suffix leaves out {source.suffix.swapcase()!r})"
        raise _WrongError(told, SET_UP)

    def _policy(self) -> str:
        source = self._feed.source
        attributes = self._attributes(source.queue)
        policy = json.loads(attributes.get("Policy") or "{}")
        if not s3_may_send(policy, queue_arn=attributes["QueueArn"], bucket=source.bucket):
            raise _WrongError("the queue's policy does not let it", SET_UP)
        return "the queue's policy lets it"

    def _attributes(self, queue: str) -> dict[str, str]:
        url = self._sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return {str(name): value for name, value in answer["Attributes"].items()}


def _credentials(session: boto3.Session) -> str:
    credentials = session.get_credentials()
    if credentials is None:
        raise _WrongError(
            "there are none",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (.env.example).",
        )
    return f"found: {credentials.method}"


def _region(session: boto3.Session) -> str:
    if not session.region_name:
        raise _WrongError("is not set", "Set AWS_REGION and AWS_DEFAULT_REGION (.env.example).")
    return session.region_name


def _look(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, ok=True, found=check())
    except _WrongError as wrong:
        return Finding(name, ok=False, found=wrong.found, remedy=wrong.remedy)
    except ClientError as error:
        return _refused(name, error)
    except NO_CREDENTIALS as error:
        remedy = "Get new credentials (`aws sso login`, the role of the machine, .env.example)."
        return Finding(name, ok=False, found=str(error), remedy=remedy)
    except (ConnectionError, HTTPClientError) as error:
        remedy = "Look at AWS_ENDPOINT_URL, AWS_REGION and the network."
        return Finding(name, ok=False, found=f"cannot be reached: {error}", remedy=remedy)
    except BotoCoreError as error:
        remedy = 'See the Boto3 documentation of this error, "Error handling".'
        return Finding(name, ok=False, found=str(error), remedy=remedy)


def _refused(name: str, error: ClientError) -> Finding:
    code = error.response.get("Error", {}).get("Code", "")
    operation = error.operation_name
    if code in MISSING:
        return Finding(name, ok=False, found="is not there", remedy=SET_UP)
    needed = KEY_ACTION.search(str(error))
    if needed:
        remedy = f"Allow {needed[0]} on the key: name it (`kms_key`, `queue_kms_key` of the feed) "
        remedy += "and `rwt aws setup --policy` prints it; the key's own policy may refuse, too."
        return Finding(name, ok=False, found=f"{operation}: {needed[0]} is denied", remedy=remedy)
    if code in DENIED:
        found = f"{operation} is denied"
        return Finding(name, ok=False, found=found, remedy=_allow(operation))
    if code in UNKNOWN:
        remedy = "Look at the credentials in the environment: AWS does not know them, or no more."
        return Finding(name, ok=False, found=f"{operation}: {code}", remedy=remedy)
    return Finding(
        name, ok=False, found=str(error), remedy="See the AWS documentation of this error."
    )


def _allow(operation: str) -> str:
    action, of_the_pipeline = action_for(operation)
    if of_the_pipeline:
        return f"Allow {action}: `rwt aws setup --policy` prints all that the pipeline needs."
    return f"Allow {action} to whoever runs the doctor; the pipeline does without it."
