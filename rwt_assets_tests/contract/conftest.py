"""Two local servers in place of AWS, and what the contract tests need of them.

What belongs here: starting the servers, clients, buckets and queues, and marking the tests that
a server is known to fail. Every test runs once on each server. Nothing is emptied between tests:
each makes its buckets and queues under names of its own.
"""

import json
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rwt_assets.embedded.processes import LOOPBACK, ChildProcess, choose_port, listens
from rwt_assets_tests.contract.differences import (
    MINISTACK,
    ROTO,
    SERVERS,
    contract_of,
    difference_at,
)

REGION = "us-east-1"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
# How long a test waits for a message that should come, and for one that is known not to.
PATIENCE_SECONDS = 30.0
SHORT_PATIENCE_SECONDS = 2.0
# What shows a difference: it is not true, not refused, or refused. Any other error is a fault.
FAILURES = (AssertionError, pytest.fail.Exception, ClientError)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """These tests are of the servers; one that its server is known to fail has to fail."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.extended)
            if known := _difference_of(item):
                item.add_marker(pytest.mark.xfail(strict=True, raises=FAILURES, reason=known.does))


def _difference_of(item):
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if "server" not in parameters:
        return None
    return difference_at(parameters["server"], contract_of(item.originalname))


def ministack(port, folder):
    environment = {
        **os.environ,
        "GATEWAY_PORT": str(port),
        "BIND_HOST": LOOPBACK,  # it listens on all interfaces otherwise
        "MINISTACK_HOST": LOOPBACK,
        "MINISTACK_REGION": REGION,
        "SERVICES": "s3,sqs,sns,events",
        "LOG_LEVEL": "WARNING",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
    }
    command = [sys.executable, "-m", "ministack"]
    return ChildProcess(MINISTACK, command, environment=environment, log=folder / "server.log")


def roto(port, folder):
    program = shutil.which("roto-server", path=sysconfig.get_path("scripts"))
    assert program, "roto-aws is not installed in this environment"
    command = [program, "--host", LOOPBACK, "--port", str(port), "--ephemeral"]
    return ChildProcess(ROTO, command, environment=os.environ, log=folder / "server.log")


STARTERS = {MINISTACK: ministack, ROTO: roto}


@pytest.fixture(scope="session", params=SERVERS)
def server(request, tmp_path_factory):
    """The URL of a running server, in memory, on a free port of loopback."""
    port = choose_port(0)
    process = STARTERS[request.param](port, tmp_path_factory.mktemp(request.param))
    process.start()
    try:
        process.wait_until(lambda: listens(port), seconds=START_SECONDS)
        yield f"http://{LOOPBACK}:{port}"
    finally:
        process.stop(seconds=STOP_SECONDS)


@pytest.fixture(scope="session")
def connect(server):
    """Makes a client of a service, which is closed at the end."""
    session = boto3.session.Session(
        aws_access_key_id="contract",
        aws_secret_access_key="contract",  # noqa: S106 - the servers take any
        region_name=REGION,
    )
    config = Config(
        retries={"total_max_attempts": 1},
        proxies={},  # none, whatever the environment says
        s3={"addressing_style": "path"},
    )
    clients = []

    def make(service):
        clients.append(session.client(service, endpoint_url=server, config=config))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def s3(connect):
    return connect("s3")


@pytest.fixture(scope="session")
def sqs(connect):
    return connect("sqs")


@pytest.fixture(scope="session")
def sns(connect):
    return connect("sns")


@pytest.fixture(scope="session")
def events(connect):
    return connect("events")


def unique_name():
    return f"contract-{uuid4().hex[:12]}"


@pytest.fixture
def name():
    """A name that no other test has."""
    return unique_name()


@pytest.fixture
def bucket(s3, name):
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def versioned(s3, bucket):
    """A bucket that keeps versions."""
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


@pytest.fixture
def patience(request):
    """Seconds to wait for what should come."""
    return SHORT_PATIENCE_SECONDS if _difference_of(request.node) else PATIENCE_SECONDS


@dataclass(frozen=True)
class QueueOfTest:
    """A queue, and the calls that tests make again and again."""

    client: Any
    url: str
    arn: str
    patience: float

    def send(self, *bodies):
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body)

    def receive(self, *, wait=0, most=10, **more):
        """One call; every system attribute comes with the messages."""
        answer = self.client.receive_message(
            QueueUrl=self.url,
            WaitTimeSeconds=wait,
            MaxNumberOfMessages=most,
            MessageSystemAttributeNames=["All"],
            **more,
        )
        return answer.get("Messages", [])

    def await_messages(self, count, **more):
        """As many calls as it takes to get so many messages; they stay in flight."""
        messages = []
        deadline = monotonic() + self.patience
        while len(messages) < count:
            assert monotonic() < deadline, f"only {len(messages)} of {count} messages came"
            messages += self.receive(wait=1, most=min(10, count - len(messages)), **more)
        return messages

    def take(self, count=1):
        """The bodies of so many messages, which are deleted."""
        messages = self.await_messages(count)
        for message in messages:
            self.delete(message)
        return [message["Body"] for message in messages]

    def delete(self, message):
        self.client.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])

    def hide(self, message, seconds):
        self.client.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=seconds
        )

    def attributes(self, *names):
        answer = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=list(names))
        return answer["Attributes"]

    def counts(self):
        """Visible messages, and those in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.attributes(*names)
        return tuple(int(attributes[name]) for name in names)


@pytest.fixture
def make_queue(sqs, patience):
    """Makes queues that S3, SNS and EventBridge may send to."""

    def make(**attributes):
        name = unique_name()
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = answer["Attributes"]["QueueArn"]
        policy = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {
                        "Service": [f"{one}.amazonaws.com" for one in ("s3", "sns", "events")]
                    },
                    "Action": "sqs:SendMessage",
                    "Resource": arn,
                }
            ],
        }
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
        return QueueOfTest(sqs, url, arn, patience)

    return make


@pytest.fixture
def queue(make_queue):
    return make_queue()
