"""The proxy of the soak test passes bytes on unchanged, and fails as often as it is told."""

import http.client
import threading
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rwt_assets.embedded.processes import choose_port
from rwt_assets_tests.end_to_end.faulty_proxy import (
    ANSWER_LOST,
    FAULTS,
    INTERNAL_ERROR,
    PASSED,
    SLOW_DOWN,
    UNREACHABLE,
    FaultyProxy,
)

SECONDS = 30
LARGE = bytes(range(256)) * 20_000


class Echo(BaseHTTPRequestHandler):
    """Answers with the body it got, of the length it got."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(body)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, *_):
        """Say nothing."""


class EchoServer(ThreadingHTTPServer):
    """Its clients go away in the middle of a request, which is no news."""

    def handle_error(self, *_):
        """Say nothing."""


@pytest.fixture
def server():
    with EchoServer(("127.0.0.1", 0), Echo) as running:
        running.seen = []
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join(SECONDS)


@contextmanager
def connected(proxy):
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def outcome(proxy, method="POST", path="/bucket/key", body=b"x", **headers):
    """Status and body, or "closed"."""
    with connected(proxy) as connection:
        try:
            connection.request(method, path, body, headers)
            with connection.getresponse() as answer:
                return answer.status, answer.read()
        except (ConnectionError, http.client.HTTPException):
            return "closed"


def test_bodies_of_any_size_pass_both_ways_unchanged(server):
    with FaultyProxy(server.server_port, error_share=0) as proxy:
        assert outcome(proxy, body=LARGE) == (200, LARGE)
        assert outcome(proxy, body=b"") == (200, b"")
        assert outcome(proxy, body=iter([b"one", b"two"])) == (200, b"onetwo"), "chunked"
        assert proxy.counts == {PASSED: 3}


def test_the_client_is_told_that_the_connection_ends(server):
    with FaultyProxy(server.server_port, error_share=0) as proxy, connected(proxy) as connection:
        for _ in range(3):  # http.client connects again where it was told so
            connection.request("POST", "/", b"x", {"Connection": "keep-alive"})
            with connection.getresponse() as answer:
                assert answer.getheader("Connection") == "close"
                assert answer.read() == b"x"


def test_a_body_is_sent_after_the_server_has_said_continue(server):
    with FaultyProxy(server.server_port, error_share=0) as proxy, connected(proxy) as connection:
        connection.putrequest("POST", "/")
        connection.putheader("Content-Length", "3")
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        assert connection.sock.recv(1 << 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(b"abc")
        with connection.getresponse() as answer:
            assert answer.read() == b"abc"


def test_about_the_given_share_fails_and_a_seed_fails_the_same_requests(server):
    runs = []
    for seed in (1, 1, 2):
        with FaultyProxy(server.server_port, error_share=0.3, seed=seed) as proxy:
            runs.append([outcome(proxy) for _ in range(100)])
            assert 15 <= proxy.injected <= 45
            assert proxy.requests == 100
    assert runs[0] == runs[1] != runs[2]


def test_a_request_fails_in_each_of_the_four_ways(server):
    with FaultyProxy(server.server_port, error_share=1) as proxy:
        outcomes = [outcome(proxy, body=LARGE) for _ in range(40)]
        assert set(proxy.counts) == set(FAULTS)
    statuses = [one[0] for one in outcomes if isinstance(one, tuple)]
    assert statuses.count(503) == proxy.counts[SLOW_DOWN]
    assert statuses.count(500) == proxy.counts[INTERNAL_ERROR]
    assert len(server.seen) == proxy.counts[ANSWER_LOST], "carried out, but not answered"
    refusal = next(one[1] for one in outcomes if isinstance(one, tuple) and one[0] == 503)
    assert b"<Code>SlowDown</Code>" in refusal


def test_a_head_request_is_refused_without_a_body(server):
    with FaultyProxy(server.server_port, error_share=1) as proxy:
        refusals = [outcome(proxy, "HEAD") for _ in range(20)]
    assert {one[1] for one in refusals if isinstance(one, tuple)} == {b""}


def test_health_is_never_refused(server):
    with FaultyProxy(server.server_port, error_share=1) as proxy:
        answers = [outcome(proxy, "GET", "/_ministack/health", None) for _ in range(5)]
    assert answers == [(200, b"")] * 5


def test_a_server_that_is_down_closes_the_connection():
    with FaultyProxy(choose_port(0), error_share=0) as proxy:
        assert outcome(proxy) == "closed"
        assert proxy.counts == {UNREACHABLE: 1}


def test_requests_that_are_under_way_end_when_the_proxy_is_stopped(server):
    with ExitStack() as connections:
        with FaultyProxy(server.server_port, error_share=0) as proxy:
            idle, waiting = (connections.enter_context(connected(proxy)) for _ in range(2))
            idle.connect()
            waiting.putrequest("POST", "/")
            waiting.putheader("Content-Length", "3")
            waiting.endheaders()
            assert outcome(proxy) == (200, b"x")
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            waiting.getresponse()
