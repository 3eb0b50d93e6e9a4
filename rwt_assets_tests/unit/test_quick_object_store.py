"""The quicker client tells what boto3 would tell, whatever a server answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import boto3
import pytest

from rwt_assets.resources.quick_s3_objects import QuickS3Objects

CONFLICT = (409, b"<Error><Code>ConditionalRequestConflict</Code></Error>")
THERE = (412, b"<Error><Code>PreconditionFailed</Code></Error>")
WRITTEN = (200, b"")


@contextmanager
def store_that_answers(monkeypatch, *answers) -> Iterator[QuickS3Objects]:
    """A server that gives each put the next of these answers, which all have to be asked for."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self):
            self.rfile.read(int(self.headers["content-length"]))
            status, body = left.pop(0)
            self.send_response(status)
            self.send_header("ETag", '"tag"')
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        session = boto3.Session(region_name="us-east-1")
        endpoint = f"http://127.0.0.1:{server.server_port}"
        yield QuickS3Objects(session.client("s3", endpoint_url=endpoint), session)
    finally:
        server.shutdown()
        server.server_close()
    assert not left


@pytest.mark.parametrize(
    ("answers", "etag"),
    [
        ([WRITTEN], "tag"),
        ([THERE], ""),
        ([CONFLICT, WRITTEN], "tag"),
        ([CONFLICT, CONFLICT, CONFLICT, WRITTEN], "tag"),
        ([CONFLICT, THERE], ""),
    ],
)
def test_a_conflict_with_another_request_is_no_object_that_is_there(monkeypatch, answers, etag):
    with store_that_answers(monkeypatch, *answers) as store:
        assert store.put_if("bucket", "rwt/a.parquet", b"x", etag="") == etag
