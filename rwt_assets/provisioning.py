"""What a feed needs outside Dagster: two buckets, a queue, and the notification between them.

What belongs here: making what is missing, as often as one likes. What does not: starting a
server (`embedded/`). Rules: Amazon S3 User Guide, "Walkthrough: Configuring a bucket for
notifications (SNS topic or SQS queue)", "Using versioning in S3 buckets"; Amazon SQS
Developer Guide, "Using dead-letter queues in Amazon SQS".

On AWS most people declare these in Terraform or CloudFormation; this module says in code
what must be there.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from rwt_assets.errors import StackError
from rwt_assets.feed import Feed, Source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

DELIVERIES_AT_MOST = 5
VISIBILITY_SECONDS = 60
RETENTION_SECONDS = 14 * 24 * 3600
DEAD_LETTERS = "dead-letters"
CREATED_EVENT = "s3:ObjectCreated:*"
DEFAULT_REGION = "us-east-1"  # the one region whose name CreateBucket refuses


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What is there now. `made` names, in words, what was missing before."""

    queue_url: str
    dead_letter_queue_url: str
    made: tuple[str, ...]


def dead_letter_queue(source: Source) -> str:
    """Name of the queue for messages that were delivered too often."""
    return f"{source.queue}-{DEAD_LETTERS}"


def provision(
    feed: Feed, *, s3: "S3Client | None" = None, sqs: "SQSClient | None" = None
) -> Provisioned:
    """Make what a feed lacks; change nothing that is as it should be.

    Args:
        feed: whose source and target.
        s3: a client; without it one from the environment.
        sqs: likewise.

    Returns:
        The queues' URLs, and what was made.

    Raises:
        StackError: the services cannot be reached, or refuse.
    """
    with _refusal_explained(feed):
        s3 = s3 or boto3.client("s3")
        sqs = sqs or boto3.client("sqs")
        made: list[str] = []
        for bucket in dict.fromkeys((feed.source.bucket, feed.target.bucket)):
            made += _make_bucket(s3, bucket)
        made += _version(s3, feed.source.bucket)
        dead_url, new = _make_queue(sqs, dead_letter_queue(feed.source), {})
        made += new
        redrive = {
            "deadLetterTargetArn": _arn(sqs, dead_url),
            "maxReceiveCount": DELIVERIES_AT_MOST,
        }
        attributes = {
            "RedrivePolicy": json.dumps(redrive),
            "Policy": json.dumps(_queue_policy(sqs, feed.source)),
        }
        url, new = _make_queue(sqs, feed.source.queue, attributes)
        made += new
        made += _announce(s3, feed, _arn(sqs, url))
    return Provisioned(url, dead_url, tuple(made))


def _make_bucket(s3: "S3Client", bucket: str) -> Iterator[str]:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in {"404", "NoSuchBucket"}:
            raise
        region = s3.meta.region_name
        if region == DEFAULT_REGION:
            s3.create_bucket(Bucket=bucket)
        else:
            s3.create_bucket(
                Bucket=bucket,
                CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
            )
        yield f"bucket {bucket}"


def _version(s3: "S3Client", bucket: str) -> Iterator[str]:
    if s3.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        yield f"versioning of bucket {bucket}"


def _make_queue(
    sqs: "SQSClient", name: str, attributes: dict[str, str]
) -> tuple[str, tuple[str, ...]]:
    wanted = {
        "VisibilityTimeout": str(VISIBILITY_SECONDS),
        "MessageRetentionPeriod": str(RETENTION_SECONDS),
        **attributes,
    }
    try:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        created = sqs.create_queue(QueueName=name, Attributes=wanted)  # type: ignore[arg-type]
        return created["QueueUrl"], (f"queue {name}",)
    # How long a message is hidden and kept is the operator's to tune; what ties it to the
    # bucket and to its dead-letter queue is not.
    now = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    known = {str(k): v for k, v in now.items()}
    lacking = {k: v for k, v in attributes.items() if not _same_json(known.get(k), v)}
    if lacking:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=lacking)  # type: ignore[arg-type]
        return url, (f"{', '.join(lacking)} of queue {name}",)
    return url, ()


def _announce(s3: "S3Client", feed: Feed, queue_arn: str) -> Iterator[str]:
    """Put this feed's rule beside those that others put there."""
    source = feed.source
    rules = [
        {"Name": name, "Value": value}
        for name, value in (("prefix", source.prefix), ("suffix", source.suffix))
        if value
    ]
    own: dict[str, Any] = {
        "Id": f"rwt-{feed.name}",
        "QueueArn": queue_arn,
        "Events": [CREATED_EVENT],
        **({"Filter": {"Key": {"FilterRules": rules}}} if rules else {}),
    }
    now: dict[str, Any] = dict(s3.get_bucket_notification_configuration(Bucket=source.bucket))
    now.pop("ResponseMetadata", None)
    queues: list[dict[str, Any]] = now.get("QueueConfigurations", [])
    if any(_same_rule(one, own) for one in queues):
        return
    others = [one for one in queues if one.get("Id") != own["Id"]]
    now["QueueConfigurations"] = [*others, own]
    s3.put_bucket_notification_configuration(
        Bucket=source.bucket,
        NotificationConfiguration=now,  # type: ignore[arg-type]
    )
    yield f"notification from s3://{source.bucket}/{source.prefix} to queue {source.queue}"


def _same_rule(one: dict[str, Any], other: dict[str, Any]) -> bool:
    def essence(rule: dict[str, Any]) -> tuple[object, ...]:
        filters = rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])
        named = sorted((entry["Name"].lower(), entry["Value"]) for entry in filters)
        return rule.get("Id"), rule["QueueArn"], sorted(rule["Events"]), named

    return essence(one) == essence(other)


def _queue_policy(sqs: "SQSClient", source: Source) -> dict[str, Any]:
    region = sqs.meta.region_name
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "announcements",
                "Effect": "Allow",
                "Principal": {"Service": "s3.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": f"arn:aws:sqs:{region}:*:{source.queue}",
                "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source.bucket}"}},
            }
        ],
    }


def _arn(sqs: "SQSClient", url: str) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


def _same_json(one: str | None, other: str) -> bool:
    return one is not None and bool(_normal(json.loads(one)) == _normal(json.loads(other)))


def _normal(value: Any) -> Any:
    # Numbers come back as texts from some servers.
    if isinstance(value, dict):
        return {key: _normal(inner) for key, inner in value.items()}
    return [_normal(inner) for inner in value] if isinstance(value, list) else str(value)


@contextmanager
def _refusal_explained(feed: Feed) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StackError(
            f"S3 or SQS refused while feed {feed.name} was set up: {error}",
            where=f"bucket {feed.source.bucket}, queue {feed.source.queue}",
            fate="What had been made before it refused stays; running it again goes on from there.",
            remedy="Look at AWS_ENDPOINT_URL, AWS_REGION and the credentials in the environment.",
        ) from error
