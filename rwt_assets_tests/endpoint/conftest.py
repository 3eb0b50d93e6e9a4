"""A real S3 and SQS endpoint, in memory, one for the session, emptied for each test."""

import os
import urllib.request

import boto3
import dagster as dg
import pytest
from botocore.config import Config

from rwt_assets.aws.provisioning import provision
from rwt_assets.definitions import declared_feeds
from rwt_assets.embedded.server import EmbeddedServer, local_environment
from rwt_assets.resources.queue import SqsQueue
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets_tests.declared import declared_feed


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "server.log"
    with EmbeddedServer(log=log, services="s3,sqs,sts") as running:
        yield running


@pytest.fixture
def endpoint(server, monkeypatch):
    """The server, empty; boto3's environment leads to it."""
    environment = local_environment(server.endpoint_url, os.environ)
    for name in [name for name in os.environ if name not in environment]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    reset, signed = (
        f"{server.endpoint_url}/_ministack/reset",
        {"Authorization": "AWS4-HMAC-SHA256 any"},
    )
    request = urllib.request.Request(reset, headers=signed, method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    return server


@pytest.fixture
def s3(endpoint):
    client = boto3.client("s3", config=Config(retries={"max_attempts": 1}))
    yield client
    client.close()


@pytest.fixture
def sqs(endpoint):
    client = boto3.client("sqs", config=Config(retries={"max_attempts": 1}))
    yield client
    client.close()


@pytest.fixture
def feed(endpoint):
    return declared_feed()


@pytest.fixture
def provisioned(feed, s3, sqs):
    """What all feeds need is there; what was made for `feed`."""
    for other in declared_feeds():
        if other.name != feed.name:
            provision(other, s3=s3, sqs=sqs)
    # The last, since each change of a bucket's notifications sends a message to all its queues.
    return provision(feed, s3=s3, sqs=sqs)


@pytest.fixture
def objects(s3):
    return S3Objects(s3)


@pytest.fixture
def queue(sqs):
    return SqsQueue(sqs)


@pytest.fixture
def instance():
    """In memory: what is tested here is what goes to the endpoint, not what Dagster stores."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made
