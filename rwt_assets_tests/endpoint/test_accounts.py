"""Buckets and queues of other accounts: reached, set up and examined, on a server that has them."""

import json
import traceback
from datetime import timedelta
from urllib.parse import quote

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from dagster_aws.s3 import S3Resource
from typer.testing import CliRunner

from rwt_assets import open_delivery
from rwt_assets.aws.doctor import examine
from rwt_assets.aws.provisioning import plan_provisioning, provision
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.catalog.intake import sweep
from rwt_assets.cli.main import app
from rwt_assets.component import build_feed_definitions
from rwt_assets.feed.accounts import ONE_ACCOUNT, accesses
from rwt_assets.feed.feed import Feed
from rwt_assets.operations.dead_letters import redrive
from rwt_assets.permissions.aws_calls import Place
from rwt_assets.resources.account_access import caller_account
from rwt_assets.resources.account_access import client_of as connect
from rwt_assets.resources.object_store import S3ObjectStoreResource, connect_objects
from rwt_assets.resources.queue import connect_queue
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets.runtime.errors import FeedError, StackError
from rwt_assets.testing import carry_out
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.endpoint.recording import RecordingProxy
from rwt_assets_tests.endpoint.sts_stand_in import StsStandIn

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

PARTNER, LAKE = "210987654321", "310987654321"
ROLE, LAKE_ROLE = f"arn:aws:iam::{PARTNER}:role/drop", f"arn:aws:iam::{LAKE}:role/keep"
PARTNERS_QUEUE = f"arn:aws:sqs:us-east-1:{PARTNER}:drop"
EXTERNAL_ID = "agreed+on/by=both"  # written in another way in what is sent
KEY = "arn:aws:kms:us-east-1:000000000000:key/1234-abcd"


@pytest.fixture
def accounts(endpoint, monkeypatch):
    """The server has several accounts, as AWS has."""
    monkeypatch.delenv(ONE_ACCOUNT)
    monkeypatch.setenv("PARTNER_ID", EXTERNAL_ID)
    return endpoint


@pytest.fixture
def sts(accounts, monkeypatch):
    with StsStandIn() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", running.url)
        yield running


def client_of(account, service="s3"):
    """A client of another account: the server takes an access key of twelve digits for its id."""
    return boto3.client(service, aws_access_key_id=account, aws_secret_access_key=account)


def changed(feed, source=(), target=()):
    declared = feed.model_dump()
    declared["source"] |= dict(source)
    declared["target"] |= dict(target)
    return Feed.model_validate(declared)


@pytest.fixture
def by_roles(feed, accounts):
    """Both buckets belong to others, and lie where no credentials but the roles' reach."""
    client_of(PARTNER).create_bucket(Bucket="partners-drop")
    client_of(LAKE).create_bucket(Bucket="lake")
    source = {"arn": ROLE, "external_id_variable": "PARTNER_ID"}
    return changed(
        feed,
        {"bucket": "partners-drop", "role": source},
        {"bucket": "lake", "role": {"arn": LAKE_ROLE}},
    )


def wrong(findings):
    return {one.name: one for one in findings if not one.ok}


def test_an_archive_goes_from_a_partners_bucket_to_a_lake_by_their_roles(
    by_roles, instance, s3, monkeypatch
):
    body, key = timetable(trips=2, stops=2), "gtfs/a.zip"
    client_of(PARTNER).put_object(Bucket="partners-drop", Key=key, Body=body)
    with pytest.raises(ClientError, match="Forbidden"):
        S3Objects(s3).head("partners-drop", key)
    catalog = FeedCatalog(instance, by_roles)
    assert sweep(catalog, connect_objects(by_roles)).recorded == [key]
    carry_out(catalog, build_feed_definitions(by_roles))
    monkeypatch.setattr("rwt_assets.reading.delivered.declared_feeds", lambda: (by_roles,))
    assert open_delivery(key, "stops.txt").count_rows() == 2
    kept = client_of(LAKE).list_objects_v2(Bucket="lake")["Contents"]
    assert any(one["Key"].endswith("delivery.json") for one in kept)


def test_a_role_is_taken_once_for_many_requests_with_what_was_agreed(by_roles, sts, monkeypatch):
    monkeypatch.setattr(S3Objects, "read", None)  # that the quick client needs no second try
    client_of(PARTNER).put_object(Bucket="partners-drop", Key="gtfs/a.zip", Body=b"abc")
    store = S3ObjectStoreResource(s3=S3Resource(max_attempts=2)).objects_at(accesses(by_roles))
    for _ in range(3):
        assert [one.key for one in store.list("partners-drop", "gtfs/")] == ["gtfs/a.zip"]
        assert store.read("partners-drop", "gtfs/a.zip") == b"abc"
        assert store.head("partners-drop", "gtfs/a.zip").size == 3
    (asked,) = sts.asked
    assert (asked["RoleArn"], asked["ExternalId"]) == (ROLE, EXTERNAL_ID)
    assert asked["RoleSessionName"] == "rwt-gtfs"
    assert not store.put_if("lake", f"{by_roles.target.prefix}/a", b"x", etag="none")
    assert sts.asked[1]["RoleArn"] == LAKE_ROLE
    assert "ExternalId" not in sts.asked[1]


def test_credentials_of_a_role_that_are_about_to_end_are_renewed(by_roles, sts):
    sts.lasts = timedelta(minutes=5)
    store = connect_objects(by_roles)
    for _ in range(3):
        assert [*store.list("partners-drop", "gtfs/")] == []
    assert len(sts.asked) == 3
    sts.lasts = timedelta(hours=1)
    for _ in range(3):
        assert [*store.list("partners-drop", "gtfs/")] == []
    assert len(sts.asked) == 4


def test_a_role_that_is_refused_is_told_in_one_sentence_with_what_to_ask_for(by_roles, sts):
    sts.lasts = None
    found = wrong(examine(by_roles))
    refused = found[f"role {ROLE}"]
    assert refused.found.startswith("AssumeRole is denied: these credentials may not take the role")
    assert ". " not in refused.found
    assert "rwt aws setup --policy" in refused.fix
    assert "rwt aws setup --roles" in refused.fix
    # What cannot be looked at without the role is not told of again.
    assert not any("partners-drop" in name or "lake" in name for name in found)
    assert EXTERNAL_ID not in str(found)


def test_an_external_id_that_the_environment_lacks_is_told_and_the_role_is_not_taken_without(
    by_roles, sts, monkeypatch
):
    monkeypatch.delenv("PARTNER_ID")
    store = connect_objects(by_roles)
    for ask in (
        lambda: [*store.list("partners-drop", "gtfs/")],
        lambda: store.read("partners-drop", "gtfs/a.zip"),
    ):
        with pytest.raises(FeedError, match="no PARTNER_ID"):
            ask()
    finding = wrong(examine(by_roles))[f"role {ROLE}"]
    assert "PARTNER_ID" in finding.found
    assert finding.fix.startswith("Set PARTNER_ID")
    assert {one["RoleArn"] for one in sts.asked} == {LAKE_ROLE}


@pytest.mark.parametrize("value", ["a", "my secret", "secret\n", "sécret", "x" * 1225, "'secret'"])
def test_an_external_id_that_sts_does_not_take_is_told_without_it(
    by_roles, sts, monkeypatch, value
):
    monkeypatch.setenv("PARTNER_ID", value)
    with pytest.raises(FeedError, match="in PARTNER_ID is no external id") as raised:
        list(connect_objects(by_roles).list("partners-drop", "gtfs/"))
    assert "cret" not in str(raised.value)
    assert "xx" not in str(raised.value)
    assert "in PARTNER_ID is no external id" in wrong(examine(by_roles))[f"role {ROLE}"].found
    assert {one["RoleArn"] for one in sts.asked} == {LAKE_ROLE}


def test_an_external_id_that_a_refusal_quotes_is_not_shown(by_roles, sts):
    sts.lasts = None
    with pytest.raises(ClientError, match=r"AssumeRole, as \(hidden\)") as raised:
        list(connect_objects(by_roles).list("partners-drop", "gtfs/"))
    assert EXTERNAL_ID not in f"{raised.value} {raised.value.response}"
    assert raised.value.response["Error"]["Code"] == "AccessDenied"


def test_a_server_that_knows_no_sts_is_told_as_such(by_roles, sts):
    sts.other = f"<<<no XML: {EXTERNAL_ID} {quote(EXTERNAL_ID, safe='')}".encode()
    with pytest.raises(StackError, match="AWS_ENDPOINT_URL_STS") as raised:
        list(connect_objects(by_roles).list("partners-drop", "gtfs/"))
    told = "".join(traceback.format_exception(raised.value))
    assert EXTERNAL_ID not in told
    assert quote(EXTERNAL_ID, safe="") not in told
    assert "no STS" in wrong(examine(by_roles))[f"role {ROLE}"].found
    assert caller_account() == ""


def test_what_belongs_to_others_is_left_to_them_by_the_set_up(feed, by_roles, sqs):
    planned = [change.sentence for change in plan_provisioning(by_roles)]
    assert planned == ["queue rwt-gtfs-dead-letters", "queue rwt-gtfs"]
    assert provision(by_roles).made == tuple(planned)
    url = sqs.get_queue_url(QueueName="rwt-gtfs")["QueueUrl"]
    policy = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]
    (statement,) = json.loads(policy["Policy"])["Statement"]
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": PARTNER}
    found = wrong(examine(by_roles))
    assert found.keys() == {"versioning of partners-drop", "announcements to rwt-gtfs"}
    assert all(one.fix.startswith("Its owner has to") for one in found.values())


def test_what_a_role_may_not_read_of_settings_is_not_held_against_it(by_roles, monkeypatch):
    provision(by_roles)
    denied = {"GetBucketVersioning", "GetBucketNotificationConfiguration", "GetBucketEncryption"}
    make = "rwt_assets.aws.doctor.client_of"
    monkeypatch.setattr(make, refusing(denied))
    findings = examine(by_roles)
    assert wrong(findings) == {}
    unknown = [one.found for one in findings if "is not known" in one.found]
    assert len(unknown) == 3
    assert all("the doctor alone asks" in one for one in unknown)


def refusing(operations):
    def refused(access):
        client = connect(access)
        for one in operations:
            refuse(client, one)
        return client

    return refused


def refuse(client, operation, code="AccessDenied", *, unless=lambda _: False):
    """Let one operation be refused; everything else goes to the server."""
    error = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPHeaders": {}}}
    answer = (AWSResponse("", 403, {}, None), error)

    def judge(params, **_):
        return None if unless(params) else answer

    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"before-call.{service}.{operation}", judge)


@pytest.fixture
def home(tmp_path, monkeypatch, accounts):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))


def rwt(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


def declare(monkeypatch, *feeds):
    monkeypatch.setattr("rwt_assets.cli.aws.declared_feeds", lambda: feeds)
    monkeypatch.setattr("rwt_assets.cli.aws.check_loads", lambda *_, **__: None)


def test_the_documents_of_a_role_are_printed_to_be_sent_to_its_owner(home, by_roles, monkeypatch):
    declare(monkeypatch, by_roles)
    policy = rwt("aws", "setup", "--policy")
    assert "rwt aws setup --roles" in policy.stderr
    taken = [one for one in json.loads(policy.stdout)["Statement"] if "Role" in one["Sid"]]
    assert [one["Resource"] for one in taken] == [ROLE, LAKE_ROLE]
    assert EXTERNAL_ID not in policy.output
    roles = json.loads(rwt("aws", "setup", "--roles").stdout)
    assert [*roles] == [ROLE, LAKE_ROLE]
    (trust,) = roles[ROLE]["trust"]["Statement"]
    assert trust["Condition"] == {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}
    assert trust["Principal"] == {"AWS": "arn:aws:iam::000000000000:root"}
    healthy = rwt("doctor")
    assert EXTERNAL_ID not in healthy.output


def test_without_roles_there_are_none_to_print(home, feed, monkeypatch):
    declare(monkeypatch, feed)
    printed = rwt("aws", "setup", "--roles")
    assert json.loads(printed.stdout) == {}
    assert "--roles" not in rwt("aws", "setup", "--policy").stderr


@pytest.mark.extended
def test_each_request_for_archives_says_that_the_requester_pays(
    feed, server, provisioned, instance, accounts, tmp_path, monkeypatch
):
    paying = changed(feed, {"requester_pays": True})
    declare(monkeypatch, paying)
    monkeypatch.setattr("rwt_assets.cli.main.declared_feeds", lambda: (paying,))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    archive = tmp_path / "a.zip"
    archive.write_bytes(timetable(trips=2, stops=2))
    with RecordingProxy(server.port, feed) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        sent = rwt("submit", str(archive), "--feed", feed.name)
        assert sent.exit_code == 0, sent.output
        catalog = FeedCatalog(instance, paying)
        assert sweep(catalog, connect_objects(paying)).recorded == ["gtfs/a.zip"]
        carry_out(catalog, build_feed_definitions(paying))
        assert wrong(examine(paying)) == {}
    archives = {name for name, place in proxy.paid if place == Place.ARCHIVES}
    assert archives == {"HeadObject", "GetObject", "PutObject"}
    assert proxy.paid - {(name, Place.ARCHIVES) for name in archives} == {
        ("ListObjectsV2", Place.SOURCE)
    }
    # The settings of a bucket are its owner's to read: these calls know no such word.
    assert {name for name, place in proxy.unpaid if place in {Place.SOURCE, Place.ARCHIVES}} == {
        "HeadBucket",
        "GetBucketVersioning",
        "GetBucketNotificationConfiguration",
    }
    assert {place for _, place in proxy.unpaid} > {Place.RESULTS}


def test_a_feed_that_does_not_set_it_pays_for_nothing(feed, server, provisioned, s3, monkeypatch):
    s3.put_object(Bucket=feed.source.bucket, Key="gtfs/a.zip", Body=b"a")
    with RecordingProxy(server.port, feed) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        store = connect_objects(feed)
        assert [one.key for one in store.list(feed.source.bucket, "gtfs/")] == ["gtfs/a.zip"]
        assert store.read(feed.source.bucket, "gtfs/a.zip") == b"a"
        assert wrong(examine(feed)) == {}
    assert proxy.unpaid
    assert proxy.paid == set()


def test_a_bucket_that_asks_to_be_paid_is_told_where_the_setting_is_off(feed, provisioned, s3, sqs):
    payer = "x-amz-request-payer"
    refuse(s3, "ListObjectsV2", unless=lambda params: payer in params["headers"])
    (finding,) = wrong(examine(feed, s3=s3, sqs=sqs)).values()
    assert finding.name == "archives in rwt-incoming"
    assert "has its requesters pay" in finding.found
    assert "source.requester_pays" in finding.fix


def test_a_bucket_that_refuses_whoever_pays_as_well_is_told_as_before(feed, provisioned, s3, sqs):
    refuse(s3, "ListObjectsV2")
    (finding,) = wrong(examine(feed, s3=s3, sqs=sqs)).values()
    assert finding.found == "ListObjectsV2 is denied"
    assert finding.fix.startswith("Allow s3:ListBucket")


@pytest.fixture(params=["ARN", "URL"])
def partners(request, feed, accounts, provisioned):
    """The feed, with a queue in the partner's account."""
    sqs = client_of(PARTNER, "sqs")
    letters = sqs.create_queue(QueueName="drop-dead-letters")["QueueUrl"]
    redriven = {"deadLetterTargetArn": f"{PARTNERS_QUEUE}-dead-letters", "maxReceiveCount": "5"}
    url = sqs.create_queue(
        QueueName="drop",
        Attributes={"RedrivePolicy": json.dumps(redriven), "VisibilityTimeout": "60"},
    )["QueueUrl"]
    named = {"ARN": PARTNERS_QUEUE, "URL": f"{accounts.endpoint_url}/{PARTNER}/drop"}
    found = changed(feed, {"queue": named[request.param]})
    return found, sqs, {"queue": url, "letters": letters}


def test_messages_of_a_queue_in_another_account_are_received_counted_and_put_back(partners):
    feed, sqs, urls = partners
    queue, name = connect_queue(), feed.source.queue
    sqs.send_message(QueueUrl=urls["queue"], MessageBody="a")
    (message,) = queue.receive(name, wait_seconds=1)
    assert message.body == "a"
    assert queue.depth(name).in_flight == 1
    assert list(queue.delete(name, [message])) == []
    sqs.send_message(QueueUrl=urls["letters"], MessageBody="b")
    assert redrive(queue, [feed]) == 1
    (message,) = queue.receive(name, wait_seconds=1)
    assert message.body == "b"


def test_a_move_that_sqs_refuses_to_other_accounts_is_made_message_by_message(
    partners, monkeypatch
):
    feed, sqs, urls = partners
    queue = connect_queue()
    refuse(queue._client, "StartMessageMoveTask")
    sqs.send_message(QueueUrl=urls["letters"], MessageBody="b")
    assert redrive(queue, [feed]) == 1


def test_our_bucket_is_tied_to_a_queue_whose_owner_lets_it(partners, s3, sqs):
    feed, theirs, urls = partners
    found = wrong(examine(feed))
    assert found.keys() == {
        f"announcements to {feed.source.queue}",
        f"S3 may send to {feed.source.queue}",
    }
    asked = found[f"S3 may send to {feed.source.queue}"]
    assert asked.fix == "Its owner has to add this statement to its policy:"
    policy = json.dumps({"Version": "2012-10-17", "Statement": [asked.statement]})
    theirs.set_queue_attributes(QueueUrl=urls["queue"], Attributes={"Policy": policy})
    before = theirs.get_queue_attributes(QueueUrl=urls["queue"], AttributeNames=["All"])
    (made,) = provision(feed).made
    assert made.startswith("notification from s3://rwt-incoming/gtfs/")
    after = theirs.get_queue_attributes(QueueUrl=urls["queue"], AttributeNames=["All"])
    changing = {"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"}
    changing |= {"ApproximateNumberOfMessagesDelayed"}
    kept = [
        {name: one for name, one in told["Attributes"].items() if name not in changing}
        for told in (before, after)
    ]
    assert kept[0] == kept[1], "a queue of others is not ours to change"
    assert provision(feed).made == ()
    rules = s3.get_bucket_notification_configuration(Bucket="rwt-incoming")
    arns = {one["Id"]: one["QueueArn"] for one in rules["QueueConfigurations"]}
    assert arns["rwt-gtfs"] == PARTNERS_QUEUE
    assert wrong(examine(feed)) == {}


HIDDEN = "AWS.SimpleQueueService.NonExistentQueue"  # which SQS says of what may not be seen


@pytest.mark.parametrize(
    ("operation", "code", "says"),
    [
        ("GetQueueUrl", HIDDEN, f"account {PARTNER} does not let it be seen, or it is not there"),
        (
            "GetQueueAttributes",
            "AccessDenied",
            f"GetQueueAttributes is denied by account {PARTNER}",
        ),
        ("ReceiveMessage", "AccessDenied", f"ReceiveMessage is denied by account {PARTNER}"),
    ],
)
def test_what_the_owner_of_a_queue_has_to_allow_is_told_as_a_statement(
    partners, sqs, operation, code, says
):
    feed, *_ = partners
    refuse(sqs, operation, code)
    found = wrong(examine(feed, sqs=sqs))
    finding = found[f"queue {feed.source.queue}"]
    assert finding.found == says
    assert finding.fix == "Its owner has to add this statement to its policy:"
    assert finding.statement["Resource"] == PARTNERS_QUEUE
    assert finding.statement["Principal"] == {"AWS": "arn:aws:iam::000000000000:root"}
    assert "sqs:ReceiveMessage" in finding.statement["Action"]
    if operation != "ReceiveMessage":
        letters = found[f"dead letters of {feed.source.queue}"].statement
        assert letters["Resource"] == f"{PARTNERS_QUEUE}-dead-letters"


def test_the_statement_is_printed_below_the_table_as_json(home, feed, provisioned, monkeypatch):
    hidden = changed(feed, {"queue": PARTNERS_QUEUE})
    declare(monkeypatch, hidden)
    shown = rwt("doctor").stdout
    begins = shown.index(f"queue {PARTNERS_QUEUE}:\n") + len(f"queue {PARTNERS_QUEUE}:\n")
    statement, _ = json.JSONDecoder().raw_decode(shown[begins:])
    assert statement["Resource"] == PARTNERS_QUEUE
    told = json.loads(rwt("doctor", "--json").stdout)["gtfs"]
    found = {one["name"]: one for one in told}
    assert found[f"queue {PARTNERS_QUEUE}"]["statement"] == statement
    assert "statement" not in found["clock"]
    with pytest.raises(StackError, match=f"account {PARTNER} does not let these credentials see"):
        provision(hidden)


def test_a_queue_in_another_region_is_told(feed, provisioned, accounts):
    elsewhere = changed(feed, {"queue": PARTNERS_QUEUE.replace("us-east-1", "eu-west-1")})
    finding = wrong(examine(elsewhere))[f"queue {elsewhere.source.queue}"]
    assert finding.found == "is in eu-west-1, and AWS_REGION is us-east-1"


def test_on_a_local_server_there_is_one_account_and_no_role_is_taken(
    feed, by_roles, s3, sqs, monkeypatch
):
    monkeypatch.setenv(ONE_ACCOUNT, "1")
    everything = changed(
        by_roles, {"bucket": "rwt-in", "queue": PARTNERS_QUEUE}, {"bucket": "rwt-out"}
    )
    assert "bucket rwt-in" in provision(everything, everything=True).made
    assert provision(everything, everything=True).made == ()
    assert sqs.get_queue_url(QueueName="drop")["QueueUrl"].endswith("/000000000000/drop")
    findings = examine(everything)
    assert wrong(findings) == {}
    assert [one.found for one in findings if "role" in one.name] == [
        "is not taken: there is one account on a local server"
    ] * 2
    s3.put_object(Bucket="rwt-in", Key="gtfs/a.zip", Body=b"a")
    assert connect_objects(everything).read("rwt-in", "gtfs/a.zip") == b"a"


def test_a_key_of_the_bucket_that_is_not_named_is_told_until_it_is(feed, provisioned, s3, sqs):
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    s3.put_bucket_encryption(
        Bucket=feed.target.bucket,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": rule}]},
    )
    (finding,) = wrong(examine(feed, s3=s3, sqs=sqs)).values()
    assert finding.name == "encryption of rwt-results"
    assert finding.found == f"by the key {KEY}, which target.kms_key does not name"
    assert finding.fix.startswith("Set target.kms_key to the ARN of that key")
    assert wrong(examine(changed(feed, target={"kms_key": KEY}), s3=s3, sqs=sqs)) == {}


@pytest.mark.parametrize("code", ["AccessDenied", "NotImplemented"])
def test_a_bucket_whose_key_may_not_be_read_is_no_fault(feed, provisioned, s3, sqs, code):
    refuse(s3, "GetBucketEncryption", code)
    findings = examine(feed, s3=s3, sqs=sqs)
    assert wrong(findings) == {}
    (finding,) = [one for one in findings if one.name == "encryption of rwt-results"]
    assert "is not known" in finding.found
    assert "s3:GetEncryptionConfiguration" in finding.found


def test_a_bucket_of_old_that_says_it_has_no_default_has_none(feed, provisioned, s3, sqs):
    refuse(s3, "GetBucketEncryption", "ServerSideEncryptionConfigurationNotFoundError")
    assert wrong(examine(feed, s3=s3, sqs=sqs)) == {}
