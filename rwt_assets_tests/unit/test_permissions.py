"""The least policy: everything the code asks of AWS, and nothing on anything else."""

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from rwt_assets import resources
from rwt_assets.feed import Feed
from rwt_assets.permissions import (
    OPERATION_ACTIONS,
    announcement_statement,
    least_policy,
    merge_statement,
    s3_may_send,
)

FEED = Feed.model_validate(
    {
        "name": "city_bus",
        "source": {"bucket": "incoming", "queue": "bus", "prefix": "bus/"},
        "target": {"bucket": "lake", "prefix": "rwt/bus"},
        "members": [{"include": ["*.csv"]}],
    }
)
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:bus"


@pytest.fixture
def policy():
    return least_policy([FEED], region="eu-central-1", account="123456789012")


def allowed(policy, action, resource):
    return any(
        action in statement["Action"] and fnmatchcase(resource, pattern)
        for statement in policy["Statement"]
        for pattern in named_in(statement)
    )


def named_in(statement):
    one = statement["Resource"]
    return [one] if isinstance(one, str) else one


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:ListBucket", "arn:aws:s3:::incoming"),
        ("s3:GetObject", "arn:aws:s3:::incoming/bus/a.zip"),
        ("s3:GetObject", "arn:aws:s3:::incoming/bus/MAY.ZIP"),
        ("s3:GetObject", "arn:aws:s3:::incoming/bus/June.Zip"),
        ("s3:PutObject", "arn:aws:s3:::lake/rwt/bus/deliveries/x"),
        ("s3:DeleteObject", "arn:aws:s3:::lake/rwt/bus/shards/x"),
        ("sqs:ReceiveMessage", QUEUE),
        ("sqs:ChangeMessageVisibility", QUEUE),
        ("sqs:ReceiveMessage", f"{QUEUE}-dead-letters"),
        ("sqs:StartMessageMoveTask", f"{QUEUE}-dead-letters"),
    ],
)
def test_what_is_needed_is_allowed(policy, action, resource):
    assert allowed(policy, action, resource)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("s3:PutObject", "arn:aws:s3:::incoming/bus/a.zip"),
        ("s3:GetObject", "arn:aws:s3:::incoming/other/a.zip"),
        ("s3:GetObject", "arn:aws:s3:::incoming/bus/secret.txt"),
        ("s3:PutObject", "arn:aws:s3:::lake/rwt/other/x"),
        ("sqs:ReceiveMessage", QUEUE.replace(":bus", ":other")),
        ("sqs:StartMessageMoveTask", QUEUE),
        ("s3:PutBucketNotification", "arn:aws:s3:::incoming"),
    ],
)
def test_nothing_else_is(policy, action, resource):
    assert not allowed(policy, action, resource)


def test_sids_are_letters_and_digits_and_differ(policy):
    sids = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(sids)) == len(sids)
    assert all(sid.isalnum() for sid in sids)


def test_a_wildcard_in_a_prefix_is_no_wildcard_of_the_policy():
    source = FEED.source.model_copy(update={"prefix": "bus*/"})
    policy = least_policy(
        [FEED.model_copy(update={"source": source})], region="eu-central-1", account="1"
    )
    named = {one for statement in policy["Statement"] for one in named_in(statement)}
    assert "arn:aws:s3:::incoming/bus${*}/*.zip" in named


def test_an_exact_suffix_is_allowed_as_it_is_written_alone():
    exact = FEED.model_copy(update={"case": "exact"})
    policy = least_policy([exact], region="eu-central-1", account="1")
    assert allowed(policy, "s3:GetObject", "arn:aws:s3:::incoming/bus/a.zip")
    assert not allowed(policy, "s3:GetObject", "arn:aws:s3:::incoming/bus/a.ZIP")


def operations():
    """Names of the operations that the resources call on their clients."""
    for path in Path(resources.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if call and ast.unparse(node.func.value) == "self._client":
                yield "".join(word.capitalize() for word in node.func.attr.split("_"))


def test_every_operation_of_the_code_is_allowed_by_the_policy(policy):
    transfers = {"GetPaginator": "ListObjectsV2", "UploadFileobj": "CreateMultipartUpload"}
    called = {transfers.get(name, name) for name in operations()}
    assert {"GetObject", "PutObject", "ReceiveMessage"} <= called
    granted = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert {OPERATION_ACTIONS[name] for name in called} <= granted


def test_the_statement_of_a_queue_lets_s3_send_for_its_bucket_only():
    policy = merge_statement({}, announcement_statement(QUEUE, "incoming"))
    assert s3_may_send(policy, queue_arn=QUEUE, bucket="incoming")
    assert not s3_may_send(policy, queue_arn=QUEUE, bucket="other")
    both = merge_statement(policy, announcement_statement(QUEUE, "other"))
    assert s3_may_send(both, queue_arn=QUEUE, bucket="incoming")
    assert s3_may_send(both, queue_arn=QUEUE, bucket="other")
    denied = merge_statement(both, {**both["Statement"][0], "Sid": "no", "Effect": "Deny"})
    assert not s3_may_send(denied, queue_arn=QUEUE, bucket="incoming")
