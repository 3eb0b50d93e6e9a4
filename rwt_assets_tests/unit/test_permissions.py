"""The least policy: everything the code asks of AWS, and nothing on anything else."""

import ast
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import rwt_assets
from rwt_assets.feed.feed import Feed
from rwt_assets.permissions.aws_calls import CALLS, Place, Who, action_for
from rwt_assets.permissions.permissions import (
    announcement_statement,
    least_policy,
    merge_statement,
    owner_statement,
    s3_may_send,
)
from rwt_assets.permissions.roles import role_policies
from rwt_assets.runtime.errors import FeedError

FEED = Feed.model_validate(
    {
        "name": "city_bus",
        "source": {"bucket": "incoming", "queue": "bus", "prefix": "bus/"},
        "target": {"bucket": "lake", "prefix": "rwt/bus"},
        "members": [{"include": ["*.csv"]}],
    }
)
QUEUE = "arn:aws:sqs:eu-central-1:123456789012:bus"
ROLE = "arn:aws:iam::210987654321:role/partner/drop"
PARTNERS_QUEUE = "arn:aws:sqs:eu-west-1:210987654321:drop"


def with_settings(source=(), target=()):
    declared = FEED.model_dump()
    declared["source"] |= dict(source)
    declared["target"] |= dict(target)
    return Feed.model_validate(declared)


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
    by_role = with_settings({"role": {"arn": ROLE}})
    reached = least_policy([by_role], region="eu-central-1", account="123456789012")
    taken = [one for one in reached["Statement"] if "Role" in one["Sid"]]
    assert [(one["Action"], one["Resource"]) for one in taken] == [(["sts:AssumeRole"], ROLE)]
    policy = {"Statement": [*policy["Statement"], *taken]}
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
    Place.ROLE: ROLE,
    Place.CALLER: "*",
}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.operation} {call.place}")
def test_each_call_of_the_pipeline_is_allowed_where_it_is_made(policy, call):
    statements = policy["Statement"]
    by_role = with_settings({"role": {"arn": ROLE}})
    reached = least_policy([by_role], region="eu-central-1", account="123456789012")
    statements += [one for one in reached["Statement"] if "Role" in one["Sid"]]
    if call.who is Who.PIPELINE:
        beside = ("Operators", "Doctor")
        statements = [one for one in statements if not any(who in one["Sid"] for who in beside)]
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
    elsewhere = least_policy([Feed.model_validate(named)], region="us-east-1", account="1")
    keys = [one for one in elsewhere["Statement"] if ":kms:" in str(one["Resource"])]
    asked = {one["Condition"]["StringEquals"]["kms:ViaService"].split(".")[1] for one in keys}
    assert asked == {"eu-central-1"}, "the key's own region, and not that of who calls it"
    assert "kms" not in str(policy)
    with pytest.raises(ValueError, match="kms_key"):
        Feed.model_validate(named | {"target": named["target"] | {"kms_key": "alias/lake"}})


def test_the_action_of_a_refused_operation_is_told_with_who_needs_it():
    assert action_for("DeleteObject") == ("s3:DeleteObject", True)
    assert action_for("GetBucketVersioning") == ("s3:GetBucketVersioning", False)
    assert action_for("Unheard") == ("Unheard", False)
    assert action_for("AssumeRole") == ("sts:AssumeRole", True)
    assert action_for("GetBucketEncryption") == ("s3:GetEncryptionConfiguration", False)


def resources_of(policy):
    return {one["Sid"]: one["Resource"] for one in policy["Statement"]}


def test_a_bucket_that_is_reached_by_a_role_is_in_the_policy_of_the_role_alone(policy):
    key = "arn:aws:kms:eu-central-1:210987654321:key/1234-abcd"
    feed = with_settings(
        {"role": {"arn": ROLE, "external_id_variable": "PARTNER_ID"}, "kms_key": key}
    )
    own = resources_of(least_policy([feed], region="eu-central-1", account="123456789012"))
    assert own.pop("CityXbusTakeSourceRole") == ROLE
    assert {sid: one for sid, one in own.items() if "incoming" in str(one) or "kms" in one} == {}
    others = resources_of(policy)
    assert own == {sid: others[sid] for sid in others if "Archives" not in sid}

    roles = role_policies(
        [feed], region="eu-central-1", account="123456789012", external_id=lambda _: "agreed"
    )
    assert [*roles] == [ROLE]
    permissions = roles[ROLE]["permissions"]
    allowed_there = {one["Sid"]: one["Action"] for one in permissions["Statement"]}
    assert allowed_there == {
        "CityXbusListArchives": ["s3:ListBucket"],
        "CityXbusReadArchives": ["s3:GetObject"],
        "CityXbusArchivesKey": ["kms:Decrypt"],
        "CityXbusDoctorReadsSettings": ["s3:GetBucketVersioning", "s3:GetBucketNotification"],
    }
    assert allowed(permissions, "s3:GetObject", "arn:aws:s3:::incoming/bus/a.zip")
    assert not allowed(permissions, "s3:GetObject", "arn:aws:s3:::incoming/other/a.zip")
    assert roles[ROLE]["trust"] == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"sts:ExternalId": "agreed"}},
            }
        ],
    }


def test_a_role_is_not_printed_with_an_external_id_and_without():
    agreed = {"role": {"arn": ROLE, "external_id_variable": "PARTNER_ID"}}
    feed = with_settings(agreed, {"role": {"arn": ROLE}})
    ids = {"PARTNER_ID": "agreed", None: ""}
    with pytest.raises(FeedError, match="with an external id and without") as refused:
        role_policies(
            [feed],
            region="eu-central-1",
            account="1",
            external_id=lambda role: ids[role.external_id_variable],
        )
    assert ROLE in str(refused.value)
    assert "agreed" not in str(refused.value).replace("agreed on", "")


def test_one_role_of_both_buckets_may_do_what_both_need(policy):
    role = {"role": {"arn": ROLE}}
    feed = with_settings(role, role)
    own = least_policy([feed], region="eu-central-1", account="123456789012")
    assert "s3:" not in str([one["Action"] for one in own["Statement"]])
    roles = role_policies([feed], region="eu-central-1", account="1", external_id=lambda _: "")
    reached = resources_of(roles[ROLE]["permissions"])
    buckets = {sid: one for sid, one in resources_of(policy).items() if ":s3:" in str(one)}
    assert {sid: reached[sid] for sid in buckets} == buckets
    (trust,) = roles[ROLE]["trust"]["Statement"]
    assert "Condition" not in trust


@pytest.mark.parametrize(
    "queue", [PARTNERS_QUEUE, "https://sqs.eu-west-1.amazonaws.com/210987654321/drop"]
)
def test_a_queue_of_another_account_is_named_with_its_owner(queue):
    feed = with_settings({"queue": queue})
    found = least_policy([feed], region="eu-central-1", account="123456789012")
    resources = resources_of(found)
    assert resources["CityXbusReadQueue"] == resources["CityXbusOperatorsSendBack"]
    assert resources["CityXbusReadQueue"] == PARTNERS_QUEUE
    assert resources["CityXbusCountDeadLetters"] == f"{PARTNERS_QUEUE}-dead-letters"
    assert "StartMessageMoveTask" not in str(found), "nobody may do that in another account"
    same = least_policy([feed], region="eu-central-1", account="210987654321")
    assert "StartMessageMoveTask" in str(same)


@pytest.mark.parametrize("place", [Place.QUEUE, Place.DEAD_LETTERS])
def test_the_owner_of_a_queue_allows_what_the_pipeline_and_its_operators_do_there(place):
    feed = with_settings({"queue": PARTNERS_QUEUE})
    found = least_policy([feed], region="eu-central-1", account="123456789012")
    arn = PARTNERS_QUEUE if place is Place.QUEUE else f"{PARTNERS_QUEUE}-dead-letters"
    statement = owner_statement(arn, "123456789012", place)
    own = [one for one in found["Statement"] if one["Resource"] == arn]
    assert set(statement["Action"]) == {action for one in own for action in one["Action"]}
    assert statement["Resource"] == arn
    assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}


def test_announcements_of_a_bucket_of_another_account_are_taken_from_it_alone():
    statement = announcement_statement(QUEUE, "incoming", bucket_account="210987654321")
    policy = {"Statement": [statement]}
    judged = {
        account: s3_may_send(policy, queue_arn=QUEUE, bucket="incoming", bucket_account=account)
        for account in ("210987654321", "123456789012", "", None)
    }
    assert judged == {"210987654321": True, "123456789012": False, "": False, None: True}


def test_the_statement_of_a_queue_lets_s3_send_for_its_bucket_only():
    policy = merge_statement({}, announcement_statement(QUEUE, "incoming"))
    assert s3_may_send(policy, queue_arn=QUEUE, bucket="incoming")
    assert not s3_may_send(policy, queue_arn=QUEUE, bucket="other")
    both = merge_statement(policy, announcement_statement(QUEUE, "other"))
    assert s3_may_send(both, queue_arn=QUEUE, bucket="incoming")
    assert s3_may_send(both, queue_arn=QUEUE, bucket="other")
    denied = merge_statement(both, {**both["Statement"][0], "Sid": "no", "Effect": "Deny"})
    assert not s3_may_send(denied, queue_arn=QUEUE, bucket="incoming")
