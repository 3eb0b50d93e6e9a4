"""Who may do what: the policy of the running pipeline, and that of its queue.

What belongs here: policy documents, and the ARNs and names in them. What does not: which calls need
what (`aws_calls.py`, from which the policy is made), and calls of AWS (`provisioning.py`,
`doctor.py`). Rules: Service Authorization Reference, "Actions,
resources, and condition keys for Amazon S3" and "... for Amazon SQS"; Amazon S3 User Guide,
"Required permissions for Amazon S3 API operations" and "Granting permissions to publish event
notification messages to a destination"; IAM User Guide, "IAM JSON policy elements reference";
Amazon SQS Developer Guide, "Learn how to configure a dead-letter queue redrive in Amazon SQS".

Keys of AWS KMS are in it where the feed names them (`kms_key`, `queue_kms_key`): Amazon S3 User
Guide, "Using server-side encryption with AWS KMS keys"; Amazon SQS Developer Guide, "Configuring
AWS KMS permissions". What the key's own policy has to say, to S3 for its announcements too, is for
anyone who has the key.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from typing import Any, Final

from rwt_assets.feed import Feed, parse_queue
from rwt_assets.permissions.aws_calls import Place, Who, actions

VERSION: Final = "2012-10-17"
S3_SERVICE: Final = "s3.amazonaws.com"
SEND: Final = "sqs:SendMessage"
DECRYPT: Final = ("kms:Decrypt",)
ENCRYPT: Final = ("kms:Decrypt", "kms:GenerateDataKey")  # a part of an upload needs both
# Amazon SQS Developer Guide, "Limitations of custom policies".
WITHIN_ONE_ACCOUNT: Final = frozenset({"sqs:StartMessageMoveTask"})
LETTERS_SPELLED_OUT: Final = 3  # eight spellings of .zip
_SOURCE_ARN: Final = "aws:sourcearn"
_SOURCE_ACCOUNT: Final = "aws:sourceaccount"
_EXACT: Final = frozenset({"stringequals", "arnequals", "stringlike", "arnlike"})
_ARN_FIELDS: Final = 6


def least_policy(feeds: Iterable[Feed], *, region: str, account: str) -> dict[str, Any]:
    """The IAM policy that the running pipeline needs, and no more.

    Setting up (`provisioning.py`) needs more than this, and so do some checks of the doctor.
    The statements whose Sid has "Operators" are for people who look at dead letters or send them
    through again, those with "Doctor" for anyone who runs the doctor; the pipeline runs
    without them.
    What a bucket needs that is reached by a role is in that role's policy (`roles.py`).

    Args:
        feeds: that the pipeline works on.
        region: of the queues, and of the keys.
        account: id of the account of queues that are named without their owner.

    Returns:
        A policy document, as IAM takes it once it is JSON.
    """
    statements = [statement for feed in feeds for statement in _statements(feed, region, account)]
    return {"Version": VERSION, "Statement": statements}


def _statements(feed: Feed, region: str, account: str) -> Iterator[dict[str, Any]]:
    sid = sid_of(feed)
    for role, own, name in (
        (feed.source.role, source_statements, "Source"),
        (feed.target.role, target_statements, "Target"),
    ):
        if role is None:
            yield from own(feed, region)
        else:
            yield _allow(f"{sid}Take{name}Role", actions(Place.ROLE, Who.PIPELINE), role.arn)
    yield from _queue_statements(feed, region, account)


def sid_of(feed: Feed) -> str:
    """What the Sids of a feed's statements begin with."""
    # A Sid takes letters and digits only; a feed's name has no capitals, so X stands for one _.
    return feed.name.capitalize().replace("_", "X")


def source_statements(feed: Feed, region: str) -> Iterator[dict[str, Any]]:
    """What the bucket of a feed's archives has to allow to the pipeline."""
    sid, archives = sid_of(feed), _literal(feed.source.prefix) + "*"
    source = f"arn:{_partition(region)}:s3:::{feed.source.bucket}"
    yield _listing(f"{sid}ListArchives", actions(Place.SOURCE, Who.PIPELINE), source, archives)
    read = [f"{source}/{archives}{suffix}" for suffix in _suffixes(feed)]
    objects = read[0] if len(read) == 1 else read
    yield _allow(f"{sid}ReadArchives", actions(Place.ARCHIVES, Who.PIPELINE), objects)
    yield from _key(f"{sid}ArchivesKey", feed.source.kms_key, "s3", DECRYPT, region)


def target_statements(feed: Feed, region: str) -> Iterator[dict[str, Any]]:
    """What the bucket of a feed's results has to allow to the pipeline."""
    sid, results = sid_of(feed), f"{_literal(feed.target.prefix)}/*"
    target = f"arn:{_partition(region)}:s3:::{feed.target.bucket}"
    yield _listing(f"{sid}ListResults", actions(Place.TARGET, Who.PIPELINE), target, results)
    kept = actions(Place.RESULTS, Who.PIPELINE)
    yield _allow(f"{sid}KeepResults", kept, f"{target}/{results}")
    yield _allow(f"{sid}DoctorReadsEncryption", actions(Place.TARGET, Who.DOCTOR), target)
    yield from _key(f"{sid}ResultsKey", feed.target.kms_key, "s3", ENCRYPT, region)


def _queue_statements(feed: Feed, region: str, account: str) -> Iterator[dict[str, Any]]:
    sid, source = sid_of(feed), feed.source
    queue = queue_arn(source.queue, region, account)
    dead = queue_arn(source.dead_letter_queue, region, account)
    letters = queue_actions(Place.DEAD_LETTERS, Who.OPERATORS)
    if source.queue_account in {"", account}:
        letters = actions(Place.DEAD_LETTERS, Who.OPERATORS)
    yield _allow(f"{sid}ReadQueue", actions(Place.QUEUE, Who.PIPELINE), queue)
    yield _allow(f"{sid}CountDeadLetters", actions(Place.DEAD_LETTERS, Who.PIPELINE), dead)
    yield _allow(f"{sid}OperatorsMoveDeadLetters", letters, dead)
    yield _allow(f"{sid}OperatorsSendBack", actions(Place.QUEUE, Who.OPERATORS), queue)
    key = source.queue_kms_key
    yield from _key(f"{sid}QueueKey", key, "sqs", DECRYPT, region)
    yield from _key(f"{sid}OperatorsQueueKey", key, "sqs", ENCRYPT, region)


def _key(
    sid: str, key: str | None, service: str, names: Sequence[str], region: str
) -> Iterator[dict[str, Any]]:
    """What a key of AWS KMS has to allow, by way of its service alone."""
    if key is not None:
        region = key.split(":")[3] if key.startswith("arn:") else region  # of the one who calls it
        via = {"kms:ViaService": f"{service}.{region}.{_domain(region)}"}
        yield {**_allow(sid, names, key), "Condition": {"StringEquals": via}}


def queue_arn(queue: str, region: str, account: str) -> str:
    """The ARN of a queue.

    Args:
        queue: its name, URL or ARN.
        region: if the queue's name does not say it.
        account: likewise.
    """
    found = parse_queue(queue)
    region = found.region or region
    return f"arn:{_partition(region)}:sqs:{region}:{found.account or account}:{found.name}"


def queue_actions(place: Place, *who: Who) -> list[str]:
    """The actions that the policy of a queue can allow to another account."""
    named = dict.fromkeys(action for one in who for action in actions(place, one))
    return [action for action in named if action not in WITHIN_ONE_ACCOUNT]


def owner_statement(queue_arn: str, account: str, place: Place) -> dict[str, Any]:
    """The statement of a queue's policy by which its owner lets another account work with it.

    Args:
        queue_arn: of the queue.
        account: id of the account of the pipeline.
        place: whether it is the queue or its dead-letter queue.
    """
    return {
        "Sid": f"rwt-{account}",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{queue_arn.split(':')[1]}:iam::{account}:root"},
        "Action": queue_actions(place, Who.PIPELINE, Who.OPERATORS),
        "Resource": queue_arn,
    }


def announcement_statement(
    queue_arn: str, bucket: str, *, bucket_account: str = ""
) -> dict[str, Any]:
    """The statement of a queue's policy by which S3 may announce objects of one bucket.

    Args:
        queue_arn: of the queue.
        bucket: whose objects are announced.
        bucket_account: the only one that the bucket may belong to; that of the queue if it is "".

    Returns:
        The statement. Its Sid is made from the bucket's name, so that feeds which share a
        queue each have their own.
    """
    partition, account = queue_arn.split(":")[1], queue_arn.split(":")[4]
    # A Sid takes no dots, and no bucket's name has an underscore.
    return {
        "Sid": f"rwt-{bucket.replace('.', '_')}",
        "Effect": "Allow",
        "Principal": {"Service": S3_SERVICE},
        "Action": SEND,
        "Resource": queue_arn,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": f"arn:{partition}:s3:::{bucket}"},
            "StringEquals": {"aws:SourceAccount": bucket_account or account},
        },
    }


def merge_statement(policy: Mapping[str, Any], statement: Mapping[str, Any]) -> dict[str, Any]:
    """A policy with this statement in place of the one of the same Sid; others stay.

    Args:
        policy: a policy document, or nothing.
        statement: with a Sid.

    Returns:
        A new policy document.
    """
    others = [one for one in statements_of(policy) if one.get("Sid") != statement["Sid"]]
    return {"Version": VERSION, **policy, "Statement": [*others, dict(statement)]}


def s3_may_send(
    policy: Mapping[str, Any], *, queue_arn: str, bucket: str, bucket_account: str | None = ""
) -> bool:
    """Whether a queue's policy lets S3 announce objects of a bucket on it.

    Conditions on anything but the source's ARN and account cannot be judged here: they are
    taken as met where something is allowed, and as not met where something is denied. So are those
    on the account if `bucket_account` is None, for not known; "" is the account of the queue.
    """
    context = {_SOURCE_ARN: f"arn:{queue_arn.split(':')[1]}:s3:::{bucket}"}
    if bucket_account is not None:
        context[_SOURCE_ACCOUNT] = bucket_account or queue_arn.split(":")[4]
    concerned = [one for one in statements_of(policy) if _concerns(one, queue_arn, S3_SERVICE)]
    allowed = [one for one in concerned if one.get("Effect") == "Allow"]
    denied = [one for one in concerned if one.get("Effect") == "Deny"]
    return any(_met(one, context, unknown=True) for one in allowed) and not any(
        _met(one, context, unknown=False) for one in denied
    )


def service_may_send(policy: Mapping[str, Any], service: str, *, queue_arn: str) -> bool:
    """Whether a queue's policy names a service that may send, whatever the conditions are."""
    return any(
        statement.get("Effect") == "Allow" and _concerns(statement, queue_arn, service)
        for statement in statements_of(policy)
    )


def statements_of(policy: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The statements of a policy document, which may hold a single one outside a list."""
    statements = policy.get("Statement", [])
    return [statements] if isinstance(statements, Mapping) else list(statements)


def _concerns(statement: Mapping[str, Any], queue_arn: str, service: str) -> bool:
    principal = statement.get("Principal", {})
    services = _texts(principal.get("Service", ())) if isinstance(principal, Mapping) else []
    anybody = principal == "*" or (
        isinstance(principal, Mapping) and "*" in _texts(principal.get("AWS", ()))
    )
    actions = [action.lower() for action in _texts(statement.get("Action", ()))]
    return (
        (anybody or service in services)
        and any(fnmatchcase(SEND.lower(), action) for action in actions)
        and any(fnmatchcase(queue_arn, one) for one in _texts(statement.get("Resource", "*")))
    )


def _met(statement: Mapping[str, Any], context: Mapping[str, str], *, unknown: bool) -> bool:
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            if operator.lower() not in _EXACT or key.lower() not in context:
                met = unknown
            else:
                actual = context[key.lower()]
                met = any(_matches(operator.lower(), actual, one) for one in _texts(values))
            if not met:
                return False
    return True


def _matches(operator: str, actual: str, pattern: str) -> bool:
    if operator == "stringequals":
        return actual == pattern
    if operator == "stringlike":
        return fnmatchcase(actual, pattern)
    # ARNs are compared field by field: a * does not reach over a colon.
    fields, patterns = actual.split(":", _ARN_FIELDS - 1), pattern.split(":", _ARN_FIELDS - 1)
    return len(fields) == len(patterns) and all(map(fnmatchcase, fields, patterns))


def _texts(value: str | Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _listing(sid: str, names: Sequence[str], bucket: str, prefix: str) -> dict[str, Any]:
    statement = _allow(sid, names, bucket)
    if prefix != "*":
        statement["Condition"] = {"StringLike": {"s3:prefix": prefix}}
    return statement


def _allow(sid: str, names: Sequence[str], resource: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": list(names), "Resource": resource}


def _suffixes(feed: Feed) -> list[str]:
    """The suffixes of a feed's archives: IAM compares character by character, as S3 does."""
    suffix = _literal(feed.source.suffix)
    letters = [one for one in suffix if one.lower() != one.upper()]
    if feed.suffix_is_exact:
        return [suffix]
    if len(letters) > LETTERS_SPELLED_OUT:
        return ["".join("?" if one in letters else one for one in suffix)]
    ways = ([one] if one not in letters else [one.lower(), one.upper()] for one in suffix)
    return ["".join(way) for way in product(*ways)]


def _literal(text: str) -> str:
    """A text in which a policy finds no wildcard and no variable."""
    return re.sub(r"[*?$]", lambda found: f"${{{found[0]}}}", text)


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _partition(region: str) -> str:
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"
