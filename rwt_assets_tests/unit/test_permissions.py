"""The least policy: everything the code asks of AWS, and nothing on anything else."""

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import rwt_assets
from rwt_assets.aws_calls import CALLS, Place, Who, action_for
from rwt_assets.feed import Feed
from rwt_assets.permissions import (
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


CLIENTS = {"s3", "sqs", "self._s3", "self._sqs", "self._client"}
NO_CALLS = {"GetPaginator": "ListObjectsV2", "UploadFileobj": "CreateMultipartUpload"}


def operations():
    """Names of the operations that the code calls on clients of boto3."""
    for path in Path(rwt_assets.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if call and ast.unparse(node.func.value) in CLIENTS:
                name = "".join(word.capitalize() for word in node.func.attr.split("_"))
                yield NO_CALLS.get(name, name)


def test_every_operation_that_the_code_names_is_in_the_table():
    called = set(operations()) - {"GetClient"}  # of a resource, which makes a client
    assert {"GetObject", "PutObject", "ReceiveMessage", "CreateQueue"} <= called
    assert called - {call.operation for call in CALLS} == set()


def test_the_policy_is_the_table_and_nothing_else(policy):
    granted = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert granted == {call.action for call in CALLS if call.who is not Who.SET_UP}
    assert len({(one.operation, one.place, one.who) for one in CALLS}) == len(CALLS)


RESOURCES = {
    Place.SOURCE: "arn:aws:s3:::incoming",
    Place.ARCHIVES: "arn:aws:s3:::incoming/bus/a.zip",
    Place.TARGET: "arn:aws:s3:::lake",
    Place.RESULTS: "arn:aws:s3:::lake/rwt/bus/x",
    Place.QUEUE: QUEUE,
    Place.DEAD_LETTERS: f"{QUEUE}-dead-letters",
}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.operation} {call.place}")
def test_each_call_of_the_pipeline_is_allowed_where_it_is_made(policy, call):
    statements = policy["Statement"]
    if call.who is Who.PIPELINE:
        statements = [one for one in statements if "Operators" not in one["Sid"]]
    ok = allowed({"Statement": statements}, call.action, RESOURCES[call.place])
    assert ok or call.who is Who.SET_UP


def test_keys_that_the_feed_names_are_allowed_by_way_of_their_service_alone(policy):
    key = "arn:aws:kms:eu-central-1:123456789012:key/1234-abcd"
    named = FEED.model_dump()
    named["source"] |= {"kms_key": f"{key}-1", "queue_kms_key": f"{key}-2"}
    named["target"] |= {"kms_key": f"{key}-3"}
    found = least_policy([Feed.model_validate(named)], region="eu-central-1", account="1")
    keys = {one["Sid"]: one for one in found["Statement"] if ":kms:" in str(one["Resource"])}
    assert {sid: (one["Resource"], one["Action"]) for sid, one in keys.items()} == {
        "CityXbusArchivesKey": (f"{key}-1", ["kms:Decrypt"]),
        "CityXbusResultsKey": (f"{key}-3", ["kms:Decrypt", "kms:GenerateDataKey"]),
        "CityXbusQueueKey": (f"{key}-2", ["kms:Decrypt"]),
        "CityXbusOperatorsQueueKey": (f"{key}-2", ["kms:Decrypt", "kms:GenerateDataKey"]),
    }
    via = {sid: one["Condition"]["StringEquals"]["kms:ViaService"] for sid, one in keys.items()}
    assert via["CityXbusResultsKey"] == "s3.eu-central-1.amazonaws.com"
    assert via["CityXbusQueueKey"] == "sqs.eu-central-1.amazonaws.com"
    assert "kms" not in str(policy)
    with pytest.raises(ValueError, match="kms_key"):
        Feed.model_validate(named | {"target": named["target"] | {"kms_key": "alias/lake"}})


def test_the_action_of_a_refused_operation_is_told_with_who_needs_it():
    assert action_for("DeleteObject") == ("s3:DeleteObject", True)
    assert action_for("GetBucketVersioning") == ("s3:GetBucketVersioning", False)
    assert action_for("Unheard") == ("Unheard", False)


def test_the_statement_of_a_queue_lets_s3_send_for_its_bucket_only():
    policy = merge_statement({}, announcement_statement(QUEUE, "incoming"))
    assert s3_may_send(policy, queue_arn=QUEUE, bucket="incoming")
    assert not s3_may_send(policy, queue_arn=QUEUE, bucket="other")
    both = merge_statement(policy, announcement_statement(QUEUE, "other"))
    assert s3_may_send(both, queue_arn=QUEUE, bucket="incoming")
    assert s3_may_send(both, queue_arn=QUEUE, bucket="other")
    denied = merge_statement(both, {**both["Statement"][0], "Sid": "no", "Effect": "Deny"})
    assert not s3_may_send(denied, queue_arn=QUEUE, bucket="incoming")
