"""The webserver of the stack answers its own pages and programs, and no page of another origin."""

import asyncio

import pytest
from dagster_webserver import app as dagster_app

from rwt_assets.embedded import webserver
from rwt_assets.embedded.webserver import GuardedWebserver, OwnPagesOnly

HERE = "http://127.0.0.1:3000"
TYPED = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
LINK = TYPED | {"Sec-Fetch-Site": "cross-site"}
OWN = {"Origin": HERE, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
OTHERS = OWN | {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}


async def application(_scope, _receive, send):
    """Stands in for Dagster's webserver; it answers everything."""
    await send({"type": "answered"})


async def page(_scope, _receive, send):
    """The same with what an answer begins with."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})


def ask(kind, method, address, headers, answers=application):
    """The messages that a server is sent by the guarded application (ASGI specification)."""
    path, _, query = address.partition("?")
    sent = {"Host": "127.0.0.1:3000"} | headers
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }
    messages = []

    async def send(message):
        messages.append(message)

    asyncio.run(OwnPagesOnly(answers)(scope, None, send))
    return messages


ANSWERED = {
    "a program": ("POST", "/graphql", {}),
    "the page for queries": ("GET", "/graphql", {}),
    "our page": ("POST", "/graphql", OWN),
    "our page by another name": (
        "POST",
        "/graphql",
        OWN | {"Host": "localhost:3000", "Origin": "http://localhost:3000"},
    ),
    "our page through a forwarded port": (
        "POST",
        "/graphql",
        OWN | {"Host": "localhost:8123", "Origin": "http://localhost:8123"},
    ),
    "by IPv6": ("POST", "/graphql", OWN | {"Host": "[::1]:3000", "Origin": "http://[::1]:3000"}),
    "an address that was typed": ("GET", "/overview", TYPED),
    "a link of another page": ("GET", "/assets/gtfs/delivery", LINK),
    "the page for queries, typed": ("GET", "/graphql", TYPED),
    "a notebook in our page": (
        "GET",
        "/notebook?path=a.ipynb",
        {"Sec-Fetch-Site": "same-origin"},
    ),
    "what our page loads": ("GET", "/a.js", {"Sec-Fetch-Site": "same-origin"}),
}
REFUSED = {
    "a page that needs no permission": (
        "POST",
        "/graphql",
        OTHERS | {"Content-Type": "text/plain"},
    ),
    "a page with JSON": ("POST", "/graphql", OTHERS | {"Content-Type": "application/json"}),
    "a page that asks for permission": ("OPTIONS", "/graphql", OTHERS),
    "a page of no origin": ("POST", "/graphql", {"Origin": "null"}),
    "a page of another port": ("POST", "/graphql", OWN | {"Origin": "http://127.0.0.1:8000"}),
    "a page of another port that reads": ("GET", "/logs", {"Sec-Fetch-Site": "same-site"}),
    "a page of a browser that says little": ("POST", "/graphql", {"Origin": "http://evil.example"}),
    "a form that says not where it is": ("POST", "/graphql", {"Sec-Fetch-Site": "cross-site"}),
    "an image in a browser that says nothing": ("GET", "/graphql?query=mutation{x}", {}),
    "a query that was typed": ("GET", "/graphql?query=mutation{x}", TYPED),
    "a link to a query": ("GET", "/graphql?query=mutation{x}", LINK),
    "a link to a query with a slash": ("GET", "/graphql/?query=mutation{x}", LINK),
    "a link to a file shown as a notebook": ("GET", "/notebook?path=a.ipynb", LINK),
    "the same by an older name": ("GET", "/dagit/notebook?path=a.ipynb", {}),
    "an address that stands for all": ("GET", "/runs", {"Host": "0.0.0.0:3000"}),
    "all addresses of IPv6": ("GET", "/runs", {"Host": "[::]:3000"}),
    "loopback as IPv6 writes IPv4": ("GET", "/runs", {"Host": "[::ffff:7f00:1]:3000"}),
    "an address of the network": ("GET", "/runs", {"Host": "192.168.0.7:3000"}),
    "our page at an address that stands for all": (
        "POST",
        "/graphql",
        {"Host": "0.0.0.0:3000", "Origin": "http://0.0.0.0:3000"},
    ),
    "a query by a path that ends a line": ("GET", "/graphql\n?query=mutation{x}", {}),
    "a notebook by a path that ends a line": ("GET", "/notebook\n?path=a.ipynb", LINK),
    "a host behind brackets": ("GET", "/runs", {"Host": "[127.0.0.1].evil.example"}),
    "a host behind a port": ("GET", "/runs", {"Host": "127.0.0.1:3000@evil.example"}),
    "a host in the place of a port": ("GET", "/runs", {"Host": "localhost:evil.example"}),
    "a frame of another page": ("GET", "/runs", LINK | {"Sec-Fetch-Dest": "iframe"}),
    "an image of another page": (
        "GET",
        "/runs",
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ),
    "a name that leads here": ("POST", "/graphql", {"Host": "evil.example:3000"}),
    "a page under a name that leads here": (
        "POST",
        "/graphql",
        OWN | {"Host": "evil.example:3000", "Origin": "http://evil.example:3000"},
    ),
    "a name that begins as ours": ("GET", "/", {"Host": "127.0.0.1.evil.example"}),
    "a name that begins as localhost": ("GET", "/", {"Host": "localhost.evil.example:3000"}),
}


@pytest.mark.parametrize("who", ANSWERED)
def test_our_pages_programs_and_links_are_answered(who):
    assert ask("http", *ANSWERED[who]) == [{"type": "answered"}]


@pytest.mark.parametrize("who", REFUSED)
def test_a_page_of_another_origin_is_refused(who):
    start, body = ask("http", *REFUSED[who])
    assert start["status"] == 403
    assert b"its own pages" in body["body"]
    assert [name for name, _ in start["headers"] if name.startswith(b"access-control")] == []


def test_no_page_is_shown_in_a_frame_of_another_origin():
    (start,) = ask("http", "GET", "/runs", {}, page)
    assert start["headers"] == [(b"a", b"b"), (b"x-frame-options", b"SAMEORIGIN")]


@pytest.mark.parametrize("headers", [{}, {"Origin": HERE}, OWN])
def test_our_pages_and_programs_may_listen(headers):
    assert ask("websocket", "", "/graphql", headers) == [{"type": "answered"}]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        LINK,
        {"Host": "evil.example"},
    ],
)
def test_a_page_of_another_origin_may_not_listen(headers):
    (closed,) = ask("websocket", "", "/graphql", headers)
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


def test_the_guard_comes_first_in_the_webserver_that_is_started(monkeypatch):
    monkeypatch.setattr(dagster_app, "DagsterWebserver", dagster_app.DagsterWebserver)
    started = []
    monkeypatch.setattr(webserver.cli, "main", lambda: started.append(dagster_app.DagsterWebserver))
    webserver.main()
    assert started == [GuardedWebserver]
    first, *others = GuardedWebserver.build_middleware(object.__new__(GuardedWebserver))
    assert first.cls is OwnPagesOnly
    assert others
