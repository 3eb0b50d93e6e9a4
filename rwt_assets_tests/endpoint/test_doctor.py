"""Each thing the doctor looks at, broken for real or by a stubbed refusal, and fixed."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from botocore.awsrequest import AWSResponse
from botocore.stub import Stubber
from typer.testing import CliRunner

from rwt_assets.aws.doctor import examine
from rwt_assets.aws.provisioning import provision
from rwt_assets.cli.main import app

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture
def ill(feed, s3, sqs):
    """What is not ok, by name."""

    def look():
        findings = examine(feed, s3=s3, sqs=sqs)
        assert all(finding.found for finding in findings)
        assert all(bool(finding.fix) is not finding.ok for finding in findings)
        return {finding.name: finding for finding in findings if not finding.ok}

    return look


def test_what_was_set_up_is_healthy_and_nothing_is_left_behind(ill, provisioned, s3):
    assert ill() == {}
    assert s3.list_objects_v2(Bucket="rwt-results")["KeyCount"] == 0


def test_an_empty_account_lacks_everything_and_is_told_how_to_make_it(ill):
    found = ill()
    assert len(found) == 8
    assert {one.found for one in found.values()} == {"is not there"}
    assert {one.fix for one in found.values()} == {"Make it: `rwt aws setup --apply`."}


def suspend_versioning(s3, sqs, urls):
    status = {"Status": "Suspended"}
    s3.put_bucket_versioning(Bucket="rwt-incoming", VersioningConfiguration=status)


def remove_notification(s3, sqs, urls):
    s3.put_bucket_notification_configuration(Bucket="rwt-incoming", NotificationConfiguration={})


def announce_another_prefix(s3, sqs, urls):
    now = s3.get_bucket_notification_configuration(Bucket="rwt-incoming")
    rules = {rule["Id"]: rule for rule in now["QueueConfigurations"]}
    rules["rwt-gtfs"]["Filter"]["Key"]["FilterRules"][0]["Value"] = "gtfs/berlin/"
    s3.put_bucket_notification_configuration(
        Bucket="rwt-incoming", NotificationConfiguration={"QueueConfigurations": [*rules.values()]}
    )


def forbid_sending(s3, sqs, urls):
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    sqs.set_queue_attributes(QueueUrl=urls.queue_url, Attributes={"Policy": policy})


def untie_dead_letters(s3, sqs, urls):
    sqs.set_queue_attributes(QueueUrl=urls.queue_url, Attributes={"RedrivePolicy": ""})


@pytest.mark.parametrize(
    ("break_it", "name", "says"),
    [
        (suspend_versioning, "versioning of rwt-incoming", "is Suspended"),
        (remove_notification, "announcements to rwt-gtfs", "no rule of the bucket"),
        (announce_another_prefix, "announcements to rwt-gtfs", "no rule of the bucket"),
        (forbid_sending, "S3 may send to rwt-gtfs", "does not let it"),
        (untie_dead_letters, "dead letters of rwt-gtfs", "is not tied to the queue"),
    ],
)
def test_what_is_broken_is_found_and_mended_by_the_set_up(
    ill, provisioned, feed, s3, sqs, break_it, name, says
):
    break_it(s3, sqs, provisioned)
    found = ill()
    assert set(found) == {name}
    assert says in found[name].found
    assert provision(feed, s3=s3, sqs=sqs).made
    assert ill() == {}


def test_messages_hidden_too_shortly_are_found(ill, provisioned, sqs):
    short = {"VisibilityTimeout": "5"}
    sqs.set_queue_attributes(QueueUrl=provisioned.queue_url, Attributes=short)
    (finding,) = ill().values()
    assert (finding.name, finding.found) == ("queue rwt-gtfs", "hides messages for 5 s only")
    assert "60 s" in finding.fix


def head(**changes):
    date = format_datetime(datetime.now(UTC) + timedelta(**changes), usegmt=True)
    return {"ResponseMetadata": {"HTTPHeaders": {"date": date}}}


@pytest.mark.parametrize(("minutes", "ok"), [(0, True), (-20, False), (20, False)])
def test_a_clock_that_is_wrong_is_found(feed, s3, sqs, minutes, ok):
    with Stubber(s3) as stub:
        stub.add_response("head_bucket", head(minutes=minutes))
        clock = next(one for one in examine(feed, s3=s3, sqs=sqs) if one.name == "clock")
    assert clock.ok is ok
    assert ok or "clock" in clock.fix


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("AccessDenied", "rwt aws setup --policy"),
        ("InvalidAccessKeyId", "credentials in the environment"),
        ("SlowDown", "AWS documentation"),
    ],
)
def test_each_refusal_has_its_own_fix(feed, s3, sqs, code, fix):
    with Stubber(s3) as stub:
        stub.add_response("head_bucket", head())
        stub.add_client_error("list_objects_v2", code)
        findings = examine(feed, s3=s3, sqs=sqs)
    archives = next(one for one in findings if one.name == "archives in rwt-incoming")
    assert not archives.ok
    assert "ListObjectsV2" in archives.found
    assert fix in archives.fix


def refuse(client, operation, code="AccessDenied", message="no"):
    """Let one operation be refused; everything else goes to the server."""
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPHeaders": {}}}
    answer = (AWSResponse("", 403, {}, None), error)
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"before-call.{service}.{operation}", lambda **_: answer)


def test_a_key_that_refuses_is_told_from_a_bucket_that_does(ill, provisioned, s3):
    said = "User: a is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:..."
    refuse(s3, "PutObject", message=said)
    (finding,) = ill().values()
    assert finding.found == "PutObject: kms:GenerateDataKey is denied"
    assert finding.fix.startswith("Allow kms:GenerateDataKey on the key: name it (`kms_key`")


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("GetBucketVersioning", "s3:GetBucketVersioning"),
        ("GetBucketNotificationConfiguration", "s3:GetBucketNotification"),
    ],
)
def test_what_only_the_doctor_asks_is_not_sought_in_the_policy_of_the_pipeline(
    ill, provisioned, s3, operation, action
):
    refuse(s3, operation)
    (finding,) = ill().values()
    assert finding.found == f"{operation} is denied"
    assert finding.fix.startswith(f"Allow {action} to anyone who runs the doctor")


def test_a_probe_that_cannot_be_deleted_is_named(ill, provisioned, s3):
    refuse(s3, "DeleteObject")
    (finding,) = ill().values()
    (left,) = s3.list_objects_v2(Bucket="rwt-results")["Contents"]
    assert f"s3://rwt-results/{left['Key']} stays" in finding.found
    assert "s3:DeleteObject" in finding.fix


def test_a_queue_that_may_not_be_read_is_found_and_messages_in_it_are_not_counted(
    ill, provisioned, sqs
):
    queue = {"QueueUrl": provisioned.queue_url}
    sqs.purge_queue(**queue)
    refuse(sqs, "ReceiveMessage")
    (finding,) = ill().values()
    assert (finding.name, finding.found) == ("queue rwt-gtfs", "ReceiveMessage is denied")
    assert "sqs:ReceiveMessage" in finding.fix
    sqs.send_message(**queue, MessageBody="a")
    assert ill() == {}


def test_credentials_that_have_expired_are_told_as_such(ill, provisioned, sqs):
    refuse(sqs, "GetQueueUrl", "ExpiredToken")
    assert {one.found for one in ill().values()} == {"GetQueueUrl: ExpiredToken"}
    assert all("credentials" in one.fix for one in ill().values())


@pytest.mark.parametrize("service", ["", "events.amazonaws.com"])
def test_announcements_by_way_of_eventbridge_need_a_queue_that_takes_them(
    feed, provisioned, s3, sqs, service
):
    s3.put_bucket_notification_configuration(
        Bucket="rwt-incoming", NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    if service:
        statement = {"Effect": "Allow", "Principal": {"Service": service}}
        statement |= {"Action": "sqs:SendMessage", "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
        sqs.set_queue_attributes(QueueUrl=provisioned.queue_url, Attributes={"Policy": policy})
    findings = {one.name: one for one in examine(feed, s3=s3, sqs=sqs)}
    assert findings["announcements to rwt-gtfs"].ok is bool(service)


def test_a_profile_that_is_not_there_is_a_finding(feed, endpoint, monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nope")
    (finding,) = examine(feed)
    assert (finding.name, finding.ok) == ("credentials", False)
    assert "AWS_PROFILE" in finding.fix


def test_an_endpoint_that_is_away_is_told_for_each_thing(feed, monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    findings = [one for one in examine(feed) if not one.ok]
    assert len(findings) == 9
    assert all("AWS_ENDPOINT_URL" in one.fix for one in findings)


def test_without_credentials_or_region_nothing_else_is_looked_at(feed, endpoint, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    findings = examine(feed)
    assert [(one.name, one.ok) for one in findings] == [("credentials", False), ("region", False)]


@pytest.fixture
def home(tmp_path, monkeypatch, endpoint):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))


def rwt(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


def test_the_set_up_is_tried_then_made_then_healthy(home, feed):
    tried = rwt("aws", "setup")
    assert "gtfs: would make bucket rwt-incoming" in tried.stdout
    assert rwt("doctor").exit_code == 1
    assert "gtfs: made queue rwt-gtfs" in rwt("aws", "setup", "--apply").stdout
    assert rwt("aws", "setup").stdout.splitlines() == [
        "gtfs: nothing was missing",
        "sec_filings: nothing was missing",
        "web_shop: nothing was missing",
    ]
    healthy = rwt("doctor")
    assert healthy.exit_code == 0, healthy.stdout
    told = json.loads(rwt("doctor", "--json").stdout)
    assert [*told] == ["gtfs", "sec_filings", "web_shop"]
    assert all(finding["ok"] for findings in told.values() for finding in findings)
    assert "embedded" not in healthy.stdout, "the secret was shown"


def test_the_policy_is_json_of_this_account(home, feed):
    unknown = rwt("aws", "setup", "--policy")
    assert "put your account's id in place of 123456789012" in unknown.stderr
    assert json.loads(unknown.stdout)["Version"] == "2012-10-17"
    assert rwt("aws", "setup", "--apply").exit_code == 0
    policy = json.loads(rwt("aws", "setup", "--policy").stdout)
    resources = [statement["Resource"] for statement in policy["Statement"]]
    assert "arn:aws:sqs:us-east-1:000000000000:rwt-gtfs" in resources
