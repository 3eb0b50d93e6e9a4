"""The stack's webserver: Dagster's own, for its own pages and for programs of this machine.

What belongs here: what is refused before Dagster sees it. What does not: the webserver, which is
`dagster-webserver`. Rules: Fetch Standard, "`Origin` header"; Fetch Metadata Request Headers,
`Sec-Fetch-Site`, `Sec-Fetch-Mode`; RFC 6455, section 10.2 (origins of WebSockets); Dagster
documentation: "Dagster webserver" (it has no users and no passwords).

Dagster's webserver answers every origin and every name: any page in a browser of this machine could
start, stop and wipe, by a request that needs no permission (`text/plain`) or by a link to
`/graphql?query=`. A browser says where a request comes from; programs say nothing of the kind.
"""

from collections.abc import Mapping
from typing import Any, Final

from dagster_webserver import app, cli
from dagster_webserver.webserver import DagsterWebserver
from starlette.middleware import Middleware

from rwt_assets.embedded.loopback_server import (
    READS,
    Application,
    Message,
    Receive,
    Send,
    is_local,
)
from rwt_assets.runtime import redact_records

OWN: Final = frozenset({b"", b"same-origin", b"none"})  # none: typed or bookmarked
GRAPHQL: Final = "/graphql"
NOTEBOOK: Final = "/notebook"  # reads a file of the code location and shows it as HTML
SAME_ORIGIN: Final = b"same-origin"
NO_FRAME: Final = (b"x-frame-options", b"SAMEORIGIN")  # RFC 7034
REFUSED: Final = b"This webserver answers its own pages and programs of this machine alone.\n"


class OwnPagesOnly:
    """An application that refuses what a page of another origin, or under another name, asks."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request: 403 if another page asks, else what the application answers."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif is_our_own(scope):
            await self._application(scope, receive, _in_no_frame(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        else:
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(REFUSED))]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": REFUSED})


def is_our_own(scope: Message) -> bool:
    """Whether a request is one of our pages, of a program, or a link to a page of ours."""
    headers = dict(scope["headers"])
    host, origin = headers.get(b"host", b""), headers.get(b"origin")
    if not is_local(host.decode("latin-1")):
        return False  # a name that leads here by DNS alone
    if origin is not None and origin not in {b"http://" + host, b"https://" + host}:
        return False
    if scope["type"] == "http" and scope["method"] in READS and _asks_a_query(scope, headers):
        return False  # Dagster would carry out a mutation; its pages and clients send POST
    return headers.get(b"sec-fetch-site", b"") in OWN or (
        scope["type"] == "http"
        and scope["method"] in READS
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest", b"document") == b"document"
    )


def _asks_a_query(scope: Message, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a link, or an image in a browser that says nothing of itself, would do something."""
    path, site = scope["path"].rstrip("/"), headers.get(b"sec-fetch-site")
    if not path.isprintable():
        return True  # Starlette's `$` also matches before a line end
    return bool(scope["query_string"]) and (
        path.endswith(GRAPHQL) or (path.endswith(NOTEBOOK) and site != SAME_ORIGIN)
    )


def _in_no_frame(send: Send) -> Send:
    """Have the browser show a page in no page of another origin, whatever it says of itself."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], NO_FRAME]}
        await send(message)

    return sent


class GuardedWebserver(DagsterWebserver[Any, Any]):
    """Dagster's, with the guard before everything else."""

    def build_middleware(self) -> list[Middleware]:
        """Dagster's own, after the guard."""
        return [Middleware(OwnPagesOnly), *super().build_middleware()]


def main() -> None:
    """Serve as `dagster-webserver` does, which makes the class that it finds under this name."""
    vars(app)["DagsterWebserver"] = GuardedWebserver
    cli.main()


if __name__ == "__main__":
    redact_records()
    main()
