"""The local S3 and SQS server: who reaches it, what it is given, who may read what it keeps."""

import http.client
import os
from urllib.parse import urlencode, urlsplit

import boto3
import psutil
import pytest

from rwt_assets.embedded.processes import choose_port
from rwt_assets.embedded.server import EmbeddedServer, local_environment
from rwt_assets_tests.listening import beyond_loopback, listening

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
MARK = "what-the-server-need-not-know"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A server that keeps its state, started by somebody who has credentials, with a message."""
    folder = tmp_path_factory.mktemp("opened")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "GITHUB_TOKEN", "RWT_STORAGE_URL"):
            patch.setenv(name, MARK)
        server = EmbeddedServer(log=folder / "server.log", state=folder / "state")
        with server:
            for name, value in local_environment(server.endpoint_url, os.environ).items():
                patch.setenv(name, value)
            patch.delenv("AWS_PROFILE")
            boto3.client("s3").create_bucket(Bucket="incoming")
            boto3.client("s3").put_object(Bucket="incoming", Key="a.txt", Body=b"a partner's")
            boto3.client("sqs").create_queue(QueueName="queue")
            yield server


def ask(server, method, path, body="", **headers):
    address = urlsplit(server.endpoint_url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        answer = connection.getresponse()
        return answer.status, answer.read(), {n.lower(): v for n, v in answer.getheaders()}
    finally:
        connection.close()


def processes(server):
    first = psutil.Process(server.process.pid)
    return [first, *first.children(recursive=True)]


def test_it_listens_on_loopback_alone_and_on_nothing_but_its_port(opened):
    assert opened.process.alive
    found = listening(processes(opened))
    assert beyond_loopback(found) == []
    assert found == {("127.0.0.1", opened.port)}


def test_it_is_given_no_credentials_of_whoever_starts_it(opened):
    for process in processes(opened):
        environment = process.environ()
        assert MARK not in environment.values()
        assert [name for name in environment if name.startswith("AWS_")] == []
        assert "HOME" not in environment


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_program_is_answered_and_no_origin_is_allowed(opened, method):
    status, _, headers = ask(opened, method, "/incoming/a.txt")
    assert status == 200
    assert [name for name in headers if name.startswith("access-control")] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"},
        {"Sec_Fetch_Site": "same-origin"},  # an object that is a page
        {"Host": "rebound.example.org:4566"},
        {"Host": "0.0.0.0:4566"},  # to which browsers tell nothing of themselves
        {"Host": "[::]:4566"},
        {"Host": "[::ffff:7f00:1]:4566"},
        {"Host": "192.168.0.7:4566"},
    ],
)
def test_a_page_of_a_browser_is_answered_nothing(opened, headers):
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        status, body, names = ask(opened, method, "/incoming/a.txt", **headers)
        assert status == 403, method
        assert b"partner" not in body
        assert [name for name in names if name.startswith("access-control")] == []
    form = urlencode({"Action": "SendMessage", "MessageBody": "{}"})
    kind = {"Content_Type": "application/x-www-form-urlencoded"}
    status, _, _ = ask(opened, "POST", "/000000000000/queue", form, **kind, **headers)
    assert status == 403
    status, _, _ = ask(opened, "POST", "/_ministack/reset", **headers)
    assert status == 403
    assert ask(opened, "GET", "/incoming/a.txt")[1] == b"a partner's"
    url = boto3.client("sqs").get_queue_url(QueueName="queue")["QueueUrl"]
    assert "Messages" not in boto3.client("sqs").receive_message(QueueUrl=url)


def test_a_link_of_the_ui_shows_an_object_and_a_link_sends_no_message(opened):
    link = {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "navigate"}
    link["Sec_Fetch_Dest"] = "document"
    assert ask(opened, "GET", "/incoming/a.txt", **link)[1] == b"a partner's"
    asked = urlencode({"Action": "SendMessage", "MessageBody": "{}"})
    assert ask(opened, "GET", f"/000000000000/queue?{asked}", **link)[0] == 403


def test_a_browser_that_tells_nothing_of_itself_reads_an_object_and_no_more(opened):
    asked = urlencode({"Action": "CreateQueue", "QueueName": "theirs"})
    assert ask(opened, "GET", f"/?{asked}")[0] == 403
    kind = {"Content_Type": "application/x-www-form-urlencoded"}
    assert ask(opened, "POST", "/", asked, **kind)[0] == 403
    assert ask(opened, "PUT", "/incoming/b.txt", "b")[0] == 403
    assert ask(opened, "GET", "/incoming/a.txt")[0] == 200
    (queue,) = boto3.client("sqs").list_queues()["QueueUrls"]
    assert queue.endswith("/queue")


@pytest.mark.parametrize("path", ["/", "/incoming", "/incoming/", "/_ministack/sqs/messages"])
@pytest.mark.parametrize("signature", ["", "Basic YTpi", "x"])
def test_without_a_signature_nothing_but_an_object_is_read(opened, path, signature):
    headers = {"Authorization": signature} if signature else {}
    assert ask(opened, "GET", path, **headers)[0] == 403
    target = {"X_Amz_Target": "AmazonSQS.ListQueues", **headers}
    assert ask(opened, "GET", "/incoming/a.txt", **target)[0] == 403


@pytest.mark.parametrize(
    ("kind", "shown", "disposition"),
    [
        ("text/html", "text/plain; charset=utf-8", "inline"),
        ("image/svg+xml", "application/octet-stream", "attachment"),
        ("application/zip", "application/octet-stream", "attachment"),
        ("text/csv", "text/plain; charset=utf-8", "inline"),
    ],
)
def test_a_browser_is_shown_no_page_of_a_partner_and_loads_nothing_for_it(
    opened, kind, shown, disposition
):
    page = b"<img src='http://evil.example/x.png'>"
    boto3.client("s3").put_object(Bucket="incoming", Key="page", Body=page, ContentType=kind)
    status, body, headers = ask(opened, "GET", "/incoming/page", Accept="text/html,*/*;q=0.8")
    assert (status, body) == (200, page)
    assert headers["content-type"] == shown
    assert headers["content-disposition"] == disposition
    assert headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert headers["x-content-type-options"] == "nosniff"
    assert ask(opened, "GET", "/incoming/page")[2]["content-type"] == kind  # a program


def test_it_follows_no_link_of_another_user_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    precious, port = tmp_path / "precious", choose_port(0)
    precious.write_text("precious")
    (tmp_path / f"ministack-{port}.pid").symlink_to(precious)
    with EmbeddedServer(log=tmp_path / "logs" / "server.log", port=port) as server:
        assert server.port == port
        assert precious.read_text() == "precious"
    assert precious.read_text() == "precious"
    assert (tmp_path / "logs" / "server-temporary").stat().st_mode & 0o777 == 0o700


def test_addresses_and_names_of_loopback_are_answered(opened):
    for host in (
        "localhost",
        "localhost:4566",
        "127.0.0.1:1",
        "127.0.0.2",
        "[::1]:4566",
        "incoming.localhost",
    ):
        assert ask(opened, "GET", "/_ministack/health", Host=host)[0] == 200, host


def test_what_it_keeps_can_be_read_by_its_owner_alone(opened):
    folder = opened.process.log.parent
    kept = [path for path in folder.rglob("*") if not path.is_symlink()]
    assert [path for path in kept if path.name.startswith("a.txt")]
    assert [path for path in kept if path.stat().st_mode & 0o077] == []
