"""What keeps a feed from working: every connection tried, and what to do about each.

What belongs here: looking. What does not: what a refusal means (`doctor_findings.py`), fixing it
(`provisioning.py`) and showing it (`aws.py`). Rules: Amazon S3 User Guide, "Granting
permissions to publish event notification messages to a destination".

What belongs to another account (a bucket that is reached by a role, a queue with an owner) is its
owner's to fix: the fix says what to ask for, with the statement to copy.

Nothing is changed but one small object under `<target prefix>/.doctor/`, which is removed again.
Credentials are never shown.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import boto3
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from rwt_assets.aws.doctor_findings import (
    DENIED,
    MISSING,
    SET_UP,
    Finding,
    WrongError,
    allow,
    code_of,
    judge_encryption,
    look,
    unsaid,
)
from rwt_assets.aws.provisioning import RESTORED_EVENT, VISIBILITY_SECONDS, announces
from rwt_assets.feed import Access, Feed, parse_queue, source_access, target_access
from rwt_assets.permissions import (
    Place,
    announcement_statement,
    owner_statement,
    queue_arn,
    s3_may_send,
    service_may_send,
)
from rwt_assets.resources import caller_account, client_of, one_account, queue_named, session_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

CLOCK_SECONDS: Final = 300
ACCOUNT: Final = "123456789012"  # AWS's own placeholder, where nobody says the account
UNENCRYPTED: Final = "ServerSideEncryptionConfigurationNotFoundError"
UNSAID: Final = frozenset({"NotImplemented", "MethodNotAllowed", "501", "405"})
# Ways of an announcement that does not come from S3 itself, and who then sends it.
INDIRECT: Final[Mapping[str, str]] = {
    "TopicConfigurations": "sns.amazonaws.com",
    "EventBridgeConfiguration": "events.amazonaws.com",
}


def examine(
    feed: Feed, *, s3: "S3Client | None" = None, sqs: "SQSClient | None" = None
) -> list[Finding]:
    """Check everything that a feed needs outside Dagster. Nothing of it is raised.

    Args:
        feed: whose source and target.
        s3: a client; without it one from the environment.
        sqs: likewise.

    Returns:
        Findings in the order in which they should be fixed. Without credentials or a region
        there is nothing to look at beyond them.
    """
    try:
        session = boto3.Session()
    except ProfileNotFound as error:
        fix = "Set AWS_PROFILE to a profile of this machine, or to nothing."
        return [Finding("credentials", ok=False, found=str(error), fix=fix)]
    first = [
        look("credentials", lambda: _credentials(session)),
        look("region", lambda: _region(session)),
    ]
    if not all(finding.ok for finding in first):
        return first
    sides = (source_access(feed), target_access(feed))
    taken = {one: look(f"role {one.role.arn}", partial(_take, one)) for one in sides if one.role}
    lost = {one for one, finding in taken.items() if not finding.ok}
    archives, results = (s3 or client_of(one) for one in sides)
    patient = _Patient(feed, archives, results, sqs or boto3.client("sqs"))
    return [
        *first,
        *taken.values(),
        *(look(name, check) for side, name, check in patient.checks() if side not in lost),
    ]


class _Patient:
    """The checks of one feed. Each says what it found, or raises what is wrong.

    `s3` is a client for the bucket of archives, `target` one for that of results.
    """

    def __init__(self, feed: Feed, s3: "S3Client", target: "S3Client", sqs: "SQSClient") -> None:
        self._feed = feed
        self._s3 = s3
        self._target = target
        self._sqs = sqs
        everything = one_account()
        self._queue_owner = "" if everything else feed.source.queue_account
        self._bucket_role = None if everything else feed.source.role

    def checks(self) -> Iterator[tuple[Access | None, str, Callable[[], str]]]:
        """Each with the side that it asks, if it is of one side."""
        source, target = self._feed.source, self._feed.target
        archives, results = source_access(self._feed), target_access(self._feed)
        yield archives, "clock", self._clock
        yield archives, f"archives in {source.bucket}", self._archives
        yield archives, f"versioning of {source.bucket}", self._versioning
        yield results, f"results in {target.bucket}", self._results
        yield results, f"encryption of {target.bucket}", self._encryption
        yield None, f"queue {source.queue}", self._queue
        yield None, f"dead letters of {source.queue}", self._dead_letters
        yield archives, f"announcements to {source.queue}", self._announcements
        yield None, f"S3 may send to {source.queue}", self._policy

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
            raise WrongError(
                f"{seconds:.0f} s away from the server's",
                "Set this machine's clock: signatures are refused beyond 15 minutes.",
            )
        return "agrees with the server's"

    def _archives(self) -> str:
        source = self._feed.source
        listing = {"Bucket": source.bucket, "Prefix": source.prefix, "MaxKeys": 1}
        try:
            answer = self._s3.list_objects_v2(**listing)  # type: ignore[arg-type]
        except ClientError as error:
            if (
                code_of(error) in DENIED
                and not source.requester_pays
                and self._asks_to_pay(listing)
            ):
                raise WrongError(
                    f"{error.operation_name} is denied to anyone who does not pay: the bucket "
                    "has its requesters pay",
                    "Set source.requester_pays to true; then your account pays for requests and "
                    "transfer.",
                ) from error
            raise
        some = "has objects" if answer.get("KeyCount") else "has no objects yet"
        return f"can be listed; s3://{source.bucket}/{source.prefix} {some}"

    def _asks_to_pay(self, listing: Mapping[str, Any]) -> bool:
        """Whether what was denied is allowed to anyone who pays: one listing, of one key."""
        try:
            self._s3.list_objects_v2(**listing, RequestPayer="requester")
        except (ClientError, BotoCoreError):
            return False
        return True

    def _versioning(self) -> str:
        try:
            answer = self._s3.get_bucket_versioning(Bucket=self._feed.source.bucket)
        except ClientError as error:
            return self._unsaid_by_role(error)
        status = answer.get("Status", "off")
        if status != "Enabled":
            owner = "Its owner has to turn it on." if self._bucket_role else SET_UP
            raise WrongError(f"is {status}", owner)
        return "is on"

    def _unsaid_by_role(self, error: ClientError) -> str:
        """What is told of a setting that the role may not read; without a role it is raised."""
        if self._bucket_role is None or code_of(error) not in DENIED:
            raise error
        return unsaid(error)

    def _encryption(self) -> str:
        bucket, named = self._feed.target.bucket, self._feed.target.kms_key
        try:
            answer = self._target.get_bucket_encryption(Bucket=bucket)
        except ClientError as error:
            if code_of(error) == UNENCRYPTED:
                return judge_encryption(named, "", "")
            if code_of(error) in DENIED | UNSAID:
                return unsaid(error)
            raise
        rules = answer["ServerSideEncryptionConfiguration"]["Rules"]
        default = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
        return judge_encryption(
            named, default.get("SSEAlgorithm", ""), default.get("KMSMasterKeyID", "")
        )

    def _results(self) -> str:
        target = self._feed.target
        key, body = f"{target.prefix}/.doctor/{uuid4().hex}", b"written by rwt doctor"
        self._target.put_object(Bucket=target.bucket, Key=key, Body=body)
        try:
            read = self._target.get_object(Bucket=target.bucket, Key=key)["Body"].read()
        finally:
            self._remove(key)
        if read != body:
            raise WrongError("gives back other bytes than were written", "Check what is between.")
        return "can be written, read and deleted"

    def _remove(self, key: str) -> None:
        bucket = self._feed.target.bucket
        try:
            self._target.delete_object(Bucket=bucket, Key=key)
        except ClientError as error:
            raise WrongError(
                f"DeleteObject: {code_of(error)}; s3://{bucket}/{key} stays",
                f"{allow(error.operation_name)} Then delete that object.",
            ) from error

    def _queue(self) -> str:
        queue = self._feed.source.queue
        attributes = self._attributes(queue)
        visibility = int(attributes["VisibilityTimeout"])
        if visibility < VISIBILITY_SECONDS:
            raise WrongError(
                f"hides messages for {visibility} s only",
                f"Set its visibility timeout to {VISIBILITY_SECONDS} s or more.",
            )
        waiting = int(attributes["ApproximateNumberOfMessages"])
        if waiting == 0:
            # A receipt counts towards the dead-letter queue: only an empty queue is tried.
            with self._allowed_by_owner(queue):
                url = self._sqs.get_queue_url(**queue_named(queue))["QueueUrl"]
                self._sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=0)
            return "can be read; no messages wait"
        return f"about {waiting} messages wait; receiving them was not tried, since it counts"

    def _dead_letters(self) -> str:
        source = self._feed.source
        dead = self._attributes(source.dead_letter_queue)
        policy = json.loads(self._attributes(source.queue).get("RedrivePolicy") or "{}")
        if policy.get("deadLetterTargetArn") != dead["QueueArn"]:
            asked = f"Its owner has to name {dead['QueueArn']} in its RedrivePolicy."
            raise WrongError(
                f"{source.dead_letter_queue} is not tied to the queue",
                asked if self._queue_owner else SET_UP,
            )
        return f"{dead['ApproximateNumberOfMessages']} in {source.dead_letter_queue}"

    def _announcements(self) -> str:
        source = self._feed.source
        try:
            rules: dict[str, Any] = dict(
                self._s3.get_bucket_notification_configuration(Bucket=source.bucket)
            )
        except ClientError as error:
            return self._unsaid_by_role(error)
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
        asked = f"Its owner has to announce s3:ObjectCreated:* and {RESTORED_EVENT} to {arn}."
        raise WrongError(told, asked if self._bucket_role else SET_UP)

    def _policy(self) -> str:
        source = self._feed.source
        attributes = self._attributes(source.queue)
        policy = json.loads(attributes.get("Policy") or "{}")
        arn = attributes["QueueArn"]
        # Of a bucket without a role it is not known who owns it, unless the queue is ours.
        owner = (
            self._bucket_role.account if self._bucket_role else None if self._queue_owner else ""
        )
        if s3_may_send(policy, queue_arn=arn, bucket=source.bucket, bucket_account=owner):
            return "the queue's policy lets it"
        found = "the queue's policy does not let it"
        if not self._queue_owner:
            raise WrongError(found, SET_UP)
        account = owner or caller_account() or ACCOUNT
        asked = announcement_statement(arn, source.bucket, bucket_account=account)
        raise WrongError(found, "Its owner has to add this statement to its policy:", asked)

    def _attributes(self, queue: str) -> dict[str, str]:
        with self._allowed_by_owner(queue):
            url = self._sqs.get_queue_url(**queue_named(queue)).get("QueueUrl", "")
            answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return {str(name): value for name, value in answer.get("Attributes", {}).items()}

    @contextmanager
    def _allowed_by_owner(self, queue: str) -> Iterator[None]:
        """Say of a refusal by a queue of another account what its owner has to allow.

        SQS says of a queue that may not be seen that it does not exist.
        """
        region, own = parse_queue(queue).region, self._sqs.meta.region_name
        if self._queue_owner and region and region != own:
            fix = f"Set AWS_REGION to {region}, or name a queue of {own}."
            raise WrongError(f"is in {region}, and AWS_REGION is {own}", fix)
        try:
            yield
        except ClientError as error:
            if not self._queue_owner or code_of(error) not in DENIED | MISSING:
                raise
            found = f"{error.operation_name} is denied by account {self._queue_owner}"
            if code_of(error) in MISSING:
                found = f"account {self._queue_owner} does not let it be seen, or it is not there"
            place = Place.QUEUE if queue == self._feed.source.queue else Place.DEAD_LETTERS
            arn = queue_arn(queue, own, self._queue_owner)
            statement = owner_statement(arn, caller_account() or ACCOUNT, place)
            fix = "Its owner has to add this statement to its policy:"
            raise WrongError(found, fix, statement) from error


def _take(access: Access) -> str:
    if one_account():
        return "is not taken: there is one account on a local server"
    credentials = session_of(access).get_credentials()
    if credentials is not None:
        credentials.get_frozen_credentials()
    return f"is taken as {access.session_name}"


def _credentials(session: boto3.Session) -> str:
    credentials = session.get_credentials()
    if credentials is None:
        raise WrongError(
            "there are none",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (.env.example).",
        )
    return f"found: {credentials.method}"


def _region(session: boto3.Session) -> str:
    if not session.region_name:
        raise WrongError("is not set", "Set AWS_REGION and AWS_DEFAULT_REGION (.env.example).")
    return session.region_name
