"""What a role of another account needs: its policy, and whom it trusts.

What belongs here: these two documents for each role that feeds name. What does not: the policy of
the pipeline (`permissions.py`), and taking the role (`account_access.py`). Rules: IAM
User Guide, "Access to AWS accounts owned by third parties", "Cross-account policy evaluation
logic".
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rwt_assets.feed import Feed, Role
from rwt_assets.permissions.aws_calls import Place, Who, actions
from rwt_assets.permissions.permissions import VERSION, sid_of, source_statements, target_statements
from rwt_assets.runtime import FeedError

# What the doctor alone asks of a bucket, of all that anyone who sets up may do.
EXAMINED = ("s3:GetBucketVersioning", "s3:GetBucketNotification")


def role_policies(
    feeds: Iterable[Feed], *, region: str, account: str, external_id: Callable[[Role], str]
) -> dict[str, dict[str, Any]]:
    """The documents of each role.

    Statements whose Sid has "Doctor" are for `rwt doctor`; the pipeline runs without them.

    Args:
        feeds: that name roles, or do not.
        region: of the buckets.
        account: id of the account of the pipeline, which the roles have to trust.
        external_id: of a role; "" if there is none.

    Returns:
        `permissions` and `trust` by the ARN of the role, as IAM takes them once they are JSON.

    Raises:
        FeedError: feeds take one role with an external id and without: a trust for both would let
            everybody in without it.
    """
    found: dict[str, dict[str, Any]] = {}
    asks: dict[str, bool] = {}
    for role, statements in _needs(feeds, region):
        agreed = external_id(role)
        if asks.setdefault(role.arn, bool(agreed)) != bool(agreed):
            raise FeedError(
                "one role is taken with an external id and without: its trust could not ask for it",
                where=role.arn,
                effect="Nothing was printed.",
                fix="Give every feed that takes it the same external_id_variable.",
            )
        trust = _trust(role, account, agreed)
        own = found.setdefault(
            role.arn,
            {
                "permissions": {"Version": VERSION, "Statement": []},
                "trust": {"Version": VERSION, "Statement": []},
            },
        )
        own["permissions"]["Statement"] += statements
        if trust not in own["trust"]["Statement"]:
            own["trust"]["Statement"].append(trust)
    return found


def _needs(feeds: Iterable[Feed], region: str) -> Iterator[tuple[Role, list[dict[str, Any]]]]:
    for feed in feeds:
        if feed.source.role is not None:
            yield feed.source.role, [*source_statements(feed, region), _examined(feed)]
        if feed.target.role is not None:
            yield feed.target.role, [*target_statements(feed, region)]


def _examined(feed: Feed) -> dict[str, Any]:
    known = actions(Place.SOURCE, Who.SET_UP)
    return {
        "Sid": f"{sid_of(feed)}DoctorReadsSettings",
        "Effect": "Allow",
        "Action": [action for action in known if action in EXAMINED],
        "Resource": f"arn:{_partition_of(feed)}:s3:::{feed.source.bucket}",
    }


def _partition_of(feed: Feed) -> str:
    return "aws" if feed.source.role is None else feed.source.role.arn.split(":")[1]


def _trust(role: Role, account: str, outside: str) -> dict[str, Any]:
    condition = {"StringEquals": {"sts:ExternalId": outside}}
    return {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{role.arn.split(':')[1]}:iam::{account}:root"},
        "Action": "sts:AssumeRole",
        **({"Condition": condition} if outside else {}),
    }
