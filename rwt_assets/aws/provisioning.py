"""What a feed needs outside Dagster: two buckets, a queue, and the notification between them.

What belongs here: finding what is missing, and making it, as often as one likes. What belongs to
another account (a bucket that is reached by a role, a queue with an owner) is its owner's to make;
`doctor.py` says what is missing there. What does not belong here: starting a server (`embedded/`),
policy documents (`permissions.py`), finding out why something does not work (`doctor.py`). Rules:
Amazon S3 User Guide, "Walkthrough: Configuring a bucket for notifications (SNS topic or SQS
queue)", "Using versioning in S3 buckets"; Amazon SQS Developer Guide, "Using dead-letter queues in
Amazon SQS"; API Reference, "SetQueueAttributes".

First everything that is missing is planned, which changes nothing; then it is applied. The
same code sets up AWS and the embedded stack. On AWS most people declare these in Terraform
or CloudFormation; this module says in code what must be there.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from rwt_assets.feed import Feed, Source, parse_queue
from rwt_assets.permissions import announcement_statement, merge_statement
from rwt_assets.resources import one_account, queue_named
from rwt_assets.runtime import StackError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

DELIVERIES_AT_MOST = 5
VISIBILITY_SECONDS = 60
RETENTION_SECONDS = 14 * 24 * 3600
CREATED_EVENT = "s3:ObjectCreated:*"
RESTORED_EVENT = "s3:ObjectRestore:Completed"  # an archive in Glacier can be read now
OWN_RULE = "rwt-"  # begins the ids of rules that this module makes
RULES = ("QueueConfigurations", "TopicConfigurations", "LambdaFunctionConfigurations")
CREATED_EVENTS = frozenset(
    f"s3:ObjectCreated:{way}" for way in ("Put", "Post", "Copy", "CompleteMultipartUpload")
)
DEFAULT_REGION = "us-east-1"  # the one region whose name CreateBucket refuses
NO_BUCKET = frozenset({"404", "NoSuchBucket"})


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What is there now. `made` names, in words, what was missing before."""

    queue_url: str
    dead_letter_queue_url: str
    made: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a feed lacks. `sentence` names it, in words, with its bucket or queue."""

    sentence: str
    feed: Feed = field(repr=False)
    make: Callable[[], object] = field(repr=False, compare=False)

    def apply(self) -> None:
        """Make it. Changes of one plan are applied in their order.

        Raises:
            StackError: the services cannot be reached, or refuse.
        """
        with _refusal_explained(self.feed):
            self.make()


def plan_provisioning(
    feed: Feed,
    *,
    s3: "S3Client | None" = None,
    sqs: "SQSClient | None" = None,
    everything: bool = False,
) -> tuple[Change, ...]:
    """Find what a feed lacks; nothing is changed by this.

    Args:
        feed: whose source and target.
        s3: a client; without it one from the environment.
        sqs: likewise.
        everything: what would belong to another account, too, as on a local server.

    Returns:
        What is missing, in the order in which it can be made.

    Raises:
        StackError: the services cannot be reached, or refuse.
    """
    with _refusal_explained(feed):
        s3, sqs = s3 or boto3.client("s3"), sqs or boto3.client("sqs")
        return tuple(_lacking(feed, s3, sqs, everything=everything))


def provision(
    feed: Feed,
    *,
    s3: "S3Client | None" = None,
    sqs: "SQSClient | None" = None,
    everything: bool = False,
) -> Provisioned:
    """Make what a feed lacks; change nothing that is as it should be.

    Args:
        feed: whose source and target.
        s3: a client; without it one from the environment.
        sqs: likewise.
        everything: what would belong to another account, too, as on a local server.

    Returns:
        The queues' URLs, and what was made.

    Raises:
        StackError: the services cannot be reached, or refuse.
    """
    with _refusal_explained(feed):
        s3, sqs = s3 or boto3.client("s3"), sqs or boto3.client("sqs")
        changes = tuple(_lacking(feed, s3, sqs, everything=everything))
        for change in changes:
            change.apply()
        return Provisioned(
            sqs.get_queue_url(**queue_named(feed.source.queue))["QueueUrl"],
            sqs.get_queue_url(**queue_named(feed.source.dead_letter_queue))["QueueUrl"],
            tuple(change.sentence for change in changes),
        )


def queue_account(sqs: "SQSClient", source: Source) -> str:
    """Id of the account that a source's queue belongs to; empty if there is no queue yet.

    Raises:
        ClientError, BotoCoreError: SQS refuses or cannot be reached.
    """
    arn = _queue_arn(sqs, source)
    return arn.split(":")[4] if arn else ""


def announces(rule: Mapping[str, Any], feed: Feed, queue_arn: str) -> bool:
    """Whether a rule of a bucket's notification announces every archive of a feed.

    S3 compares a rule's suffix character by character: a rule for `.zip` does not announce
    `MAY.ZIP`, which the feed reads unless its `case` is `exact`.

    Args:
        rule: an entry of `QueueConfigurations`.
        feed: whose archives.
        queue_arn: where the announcements must go.
    """
    events = set(rule.get("Events", ()))
    filters = dict(_filters(rule))
    source, suffix = feed.source, filters.get("suffix", "")
    return (
        rule.get("QueueArn") == queue_arn
        and (CREATED_EVENT in events or events >= CREATED_EVENTS)
        and source.prefix.startswith(filters.get("prefix", ""))
        and (not suffix or (feed.suffix_is_exact and source.suffix.endswith(suffix)))
    )


def _lacking(feed: Feed, s3: "S3Client", sqs: "SQSClient", *, everything: bool) -> Iterator[Change]:
    places = [one for one in (feed.source, feed.target) if everything or one.role is None]
    for bucket in dict.fromkeys(place.bucket for place in places):
        if not _bucket_exists(s3, bucket):
            yield Change(f"bucket {bucket}", feed, lambda bucket=bucket: _make_bucket(s3, bucket))  # type: ignore[misc]
    bucket = feed.source.bucket
    source_is_ours = feed.source in places
    if source_is_ours and not _versioned(s3, bucket):
        yield Change(f"versioning of bucket {bucket}", feed, lambda: _version(s3, bucket))
    if everything or not feed.source.queue_account:
        yield from _lacking_dead_letters(feed, sqs)
        yield from _lacking_queue(feed, sqs)
    elif not _queue_arn(sqs, feed.source):
        raise _unseen(feed.source)
    if source_is_ours and not _announced(s3, sqs, feed):
        _refuse_ambiguous(s3, sqs, feed)
        where = f"s3://{bucket}/{feed.source.prefix} to queue {feed.source.queue}"
        yield Change(f"notification from {where}", feed, lambda: _announce(s3, sqs, feed))


def _unseen(source: Source) -> StackError:
    return StackError(
        f"account {source.queue_account} does not let these credentials see the queue, or it is "
        "not there",
        where=f"queue {source.queue}",
        effect="Nothing was changed.",
        fix="Its owner has to allow it: `rwt doctor` prints the statement.",
    )


def _lacking_dead_letters(feed: Feed, sqs: "SQSClient") -> Iterator[Change]:
    name = feed.source.dead_letter_queue
    url = _url(sqs, name)
    if url is None:
        own_name = parse_queue(name).name
        yield Change(f"queue {name}", feed, lambda: _make_queue(sqs, own_name, {}))
        return
    now = _attributes(sqs, url)
    wanted = _admit(now.get("RedriveAllowPolicy"), _sibling(now["QueueArn"], feed.source.queue))
    if wanted is not None:
        yield Change(
            f"RedriveAllowPolicy of queue {name}",
            feed,
            lambda: _set_attributes(sqs, url, {"RedriveAllowPolicy": wanted}),
        )


def _lacking_queue(feed: Feed, sqs: "SQSClient") -> Iterator[Change]:
    name = feed.source.queue
    url = _url(sqs, name)
    if url is None:
        yield Change(f"queue {name}", feed, lambda: _make_source_queue(sqs, feed.source))
        return
    # How long a message is hidden and kept is the operator's to tune; what ties it to the
    # bucket and to its dead-letter queue is not.
    now = _attributes(sqs, url)
    wanted = _ties(feed.source, now["QueueArn"], now)
    lacking = [key for key, value in wanted.items() if not _same_json(now.get(key), value)]
    if lacking:
        yield Change(
            f"{', '.join(lacking)} of queue {name}",
            feed,
            lambda: _tie(sqs, feed.source, url, lacking),
        )


def _ties(source: Source, queue_arn: str, now: Mapping[str, str]) -> dict[str, str]:
    """What ties a queue to its bucket and its dead-letter queue, beside what others set."""
    redrive = {
        "deadLetterTargetArn": _sibling(queue_arn, source.dead_letter_queue),
        "maxReceiveCount": DELIVERIES_AT_MOST,
    }
    policy = json.loads(now.get("Policy") or "{}")
    owner = source.role.account if source.role is not None and not one_account() else ""
    statement = announcement_statement(queue_arn, source.bucket, bucket_account=owner)
    if not any(_normal(one) == _normal(statement) for one in policy.get("Statement", ())):
        policy = merge_statement(policy, statement)
    return {"RedrivePolicy": json.dumps(redrive), "Policy": json.dumps(policy)}


def _tie(sqs: "SQSClient", source: Source, url: str, lacking: Sequence[str]) -> None:
    # Read again: another feed that shares the queue may have been set up since the plan.
    now = _attributes(sqs, url)
    wanted = _ties(source, now["QueueArn"], now)
    _set_attributes(sqs, url, {key: wanted[key] for key in lacking})


def _make_source_queue(sqs: "SQSClient", source: Source) -> None:
    """Make a queue with its ties, and let it alone use its dead-letter queue."""
    dead_url = sqs.get_queue_url(**queue_named(source.dead_letter_queue))["QueueUrl"]
    dead = _attributes(sqs, dead_url)
    arn = _sibling(dead["QueueArn"], source.queue)
    _make_queue(sqs, parse_queue(source.queue).name, _ties(source, arn, {}))
    if "RedriveAllowPolicy" not in dead:
        _set_attributes(sqs, dead_url, {"RedriveAllowPolicy": _admission([arn])})


def _admit(now: str | None, queue_arn: str) -> str | None:
    """The RedriveAllowPolicy that admits a queue, or None if it is admitted already."""
    policy = json.loads(now or "{}")
    admitted = policy.get("sourceQueueArns", [])
    if policy.get("redrivePermission", "allowAll") == "allowAll" or queue_arn in admitted:
        return None
    return _admission([*admitted, queue_arn])


def _admission(queue_arns: Sequence[str]) -> str:
    return json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": list(queue_arns)})


def _bucket_exists(s3: "S3Client", bucket: str) -> bool:
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if _code(error) in NO_BUCKET:
            return False
        raise
    return True


def _make_bucket(s3: "S3Client", bucket: str) -> None:
    region = s3.meta.region_name
    if region == DEFAULT_REGION:
        s3.create_bucket(Bucket=bucket)
    else:
        s3.create_bucket(
            Bucket=bucket,
            CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
        )


def _versioned(s3: "S3Client", bucket: str) -> bool:
    try:
        return s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
    except ClientError as error:
        if _code(error) in NO_BUCKET:
            return False
        raise


def _version(s3: "S3Client", bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def _announced(s3: "S3Client", sqs: "SQSClient", feed: Feed) -> bool:
    """Whether a rule of this feed's own is as it should be, or one of others does as much."""
    try:
        rules = _notification(s3, feed.source.bucket).get("QueueConfigurations", [])
    except ClientError as error:
        if _code(error) in NO_BUCKET:
            return False
        raise
    arn = _queue_arn(sqs, feed.source)
    if not arn:
        return False
    own = _rule(feed, arn)
    for rule in rules:
        if rule.get("Id") == own["Id"]:
            return _essence(rule) == _essence(own)
    return any(announces(rule, feed, arn) for rule in rules)


def _announce(s3: "S3Client", sqs: "SQSClient", feed: Feed) -> None:
    """Put this feed's rule beside those that others put there."""
    own = _rule(feed, _queue_arn(sqs, feed.source))
    now = _notification(s3, feed.source.bucket)
    others = [one for one in now.get("QueueConfigurations", []) if not _takes_place_of(own, one)]
    now["QueueConfigurations"] = [*others, own]
    s3.put_bucket_notification_configuration(
        Bucket=feed.source.bucket,
        NotificationConfiguration=now,  # type: ignore[arg-type]
    )


def _takes_place_of(own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a feed's rule takes the place of one that is there: its own, or one it covers.

    Of two feeds on one queue, the rule with the shorter prefix announces the archives of both.
    """
    if other.get("Id") == own["Id"]:
        return True
    ours = str(other.get("Id", "")).startswith(OWN_RULE) and other["QueueArn"] == own["QueueArn"]
    wide, narrow = dict(_filters(own)), dict(_filters(other))
    return ours and all(
        compare(narrow.get(name, ""), wide.get(name, ""))
        for name, compare in (("prefix", str.startswith), ("suffix", str.endswith))
    )


def _refuse_ambiguous(s3: "S3Client", sqs: "SQSClient", feed: Feed) -> None:
    """Raise if S3 would refuse this feed's rule beside those that are there.

    Rules for the same event must differ in their prefixes or in their suffixes (Amazon S3 User
    Guide, "Configuring event notifications using object key name filtering").
    """
    try:
        now = _notification(s3, feed.source.bucket)
    except ClientError as error:
        if _code(error) in NO_BUCKET:
            return
        raise
    own = _rule(feed, _queue_arn(sqs, feed.source))
    for other in (one for kind in RULES for one in now.get(kind, ())):
        if not _takes_place_of(own, {"QueueArn": "", **other}) and _overlap(own, other):
            raise StackError(
                f"S3 does not take the notification of feed {feed.name} beside the rule "
                f"{other.get('Id', '')!r}: both are for objects that begin with "
                f"{feed.source.prefix!r} and may end alike",
                where=f"bucket {feed.source.bucket}",
                effect="The notification was not changed.",
                fix=(
                    "Give the feeds one queue, or prefixes of which none begins with the other; or "
                    "`case: exact`, so that S3 tells them apart by their suffix."
                ),
            )


def _overlap(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rules are for the same event of the same object, as S3 compares them."""
    first, second = dict(_filters(one)), dict(_filters(other))
    prefixes = first.get("prefix", ""), second.get("prefix", "")
    suffixes = first.get("suffix", ""), second.get("suffix", "")
    events = [[event.rstrip("*") for event in rule["Events"]] for rule in (one, other)]
    return (
        any(a.startswith(b) or b.startswith(a) for a in events[0] for b in events[1])
        and (prefixes[0].startswith(prefixes[1]) or prefixes[1].startswith(prefixes[0]))
        and (suffixes[0].endswith(suffixes[1]) or suffixes[1].endswith(suffixes[0]))
    )


def _notification(s3: "S3Client", bucket: str) -> dict[str, Any]:
    now: dict[str, Any] = dict(s3.get_bucket_notification_configuration(Bucket=bucket))
    now.pop("ResponseMetadata", None)
    return now


def _rule(feed: Feed, queue_arn: str) -> dict[str, Any]:
    suffix = feed.source.suffix if feed.suffix_is_exact else ""
    filters = [
        {"Name": name, "Value": value}
        for name, value in (("prefix", feed.source.prefix), ("suffix", suffix))
        if value
    ]
    return {
        "Id": f"{OWN_RULE}{feed.name}",
        "QueueArn": queue_arn,
        "Events": [CREATED_EVENT, RESTORED_EVENT],
        **({"Filter": {"Key": {"FilterRules": filters}}} if filters else {}),
    }


def _essence(rule: Mapping[str, Any]) -> tuple[object, ...]:
    return rule.get("Id"), rule["QueueArn"], sorted(rule["Events"]), sorted(_filters(rule))


def _filters(rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    entries = rule.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return [(entry["Name"].lower(), entry["Value"]) for entry in entries]


def _make_queue(sqs: "SQSClient", name: str, attributes: Mapping[str, str]) -> None:
    wanted = {
        "VisibilityTimeout": str(VISIBILITY_SECONDS),
        "MessageRetentionPeriod": str(RETENTION_SECONDS),
        **attributes,
    }
    sqs.create_queue(QueueName=name, Attributes=wanted)  # type: ignore[arg-type]


def _url(sqs: "SQSClient", name: str) -> str | None:
    try:
        return sqs.get_queue_url(**queue_named(name))["QueueUrl"]
    except sqs.exceptions.QueueDoesNotExist:
        return None


def _attributes(sqs: "SQSClient", url: str) -> dict[str, str]:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): value for name, value in answer["Attributes"].items()}


def _set_attributes(sqs: "SQSClient", url: str, attributes: dict[str, str]) -> None:
    sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)  # type: ignore[arg-type]


def _queue_arn(sqs: "SQSClient", source: Source) -> str:
    """The ARN of a source's queue, if need be by that of its dead-letter queue; or nothing."""
    for name in (source.queue, source.dead_letter_queue):
        url = _url(sqs, name)
        if url is not None:
            return _sibling(_attributes(sqs, url)["QueueArn"], source.queue)
    return ""


def _sibling(arn: str, name: str) -> str:
    """The ARN of another queue of the same region and account."""
    return f"{arn.rpartition(':')[0]}:{parse_queue(name).name}"


def _same_json(one: str | None, other: str) -> bool:
    return bool(_normal(json.loads(one or "null")) == _normal(json.loads(other)))


def _normal(value: Any) -> Any:
    # Numbers come back as texts from some servers.
    if isinstance(value, dict):
        return {key: _normal(inner) for key, inner in value.items()}
    return [_normal(inner) for inner in value] if isinstance(value, list) else str(value)


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


@contextmanager
def _refusal_explained(feed: Feed) -> Iterator[None]:
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise StackError(
            f"S3 or SQS refused while feed {feed.name} was set up: {error}",
            where=f"bucket {feed.source.bucket}, queue {feed.source.queue}",
            effect="What was made before stays; running it again goes on from there.",
            fix="Check AWS_ENDPOINT_URL, AWS_REGION and the credentials in the environment.",
        ) from error
