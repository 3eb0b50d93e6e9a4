"""What the embedded server keeps over a stop, and what it forgets when it is killed."""

import os

import boto3
import pytest

from rwt_assets.aws.provisioning import provision
from rwt_assets.embedded.server import EmbeddedServer, local_environment
from rwt_assets.resources.object_store import connect_objects
from rwt_assets.resources.queue import connect_queue
from rwt_assets_tests.declared import declared_feed

pytestmark = [
    pytest.mark.endpoint,
    pytest.mark.extended,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
KEY = "gtfs/unread.zip"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A server that keeps its state, with an archive that nobody has read the message of."""
    server = EmbeddedServer(log=tmp_path / "server.log", state=tmp_path / "state")
    for name, value in local_environment(server.endpoint_url, os.environ).items():
        monkeypatch.setenv(name, value)
    server.start()
    try:
        provision(declared_feed())
        boto3.client("s3").put_object(Bucket="rwt-incoming", Key=KEY, Body=b"x")
        yield server
    finally:
        server.stop()


def unread():
    bodies = [message.body for message in connect_queue().receive("rwt-gtfs", wait_seconds=1)]
    return [body for body in bodies if KEY in body]


def test_a_stop_keeps_objects_queues_and_unread_messages(kept):
    kept.stop()
    kept.start()
    assert provision(declared_feed()).made == ()
    assert len(unread()) == 1
    assert connect_objects().read("rwt-incoming", KEY) == b"x"


def test_a_kill_keeps_objects_and_what_it_forgets_is_made_again(kept):
    kept.process.kill()
    kept.start()
    assert connect_objects().read("rwt-incoming", KEY) == b"x"
    assert "queue rwt-gtfs" in provision(declared_feed()).made
    assert unread() == []
