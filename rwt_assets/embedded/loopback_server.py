"""The process of the S3 and SQS server: ministack, for programs of this machine and no browser.

What belongs here: what is refused before ministack sees it, and what is taken from its answers.
What does not: how the process is started (`server.py`). Rules: Fetch Standard, "CORS protocol" and
"`Origin` header"; Fetch Metadata Request Headers, `Sec-Fetch-Site`; RFC 6761, section 6.3
(`localhost`); ASGI specification, "HTTP & WebSocket ASGI Message Format".

ministack asks for no credentials and answers every origin (`Access-Control-Allow-Origin: *`): any
page in a browser of this machine could read archives and send messages. A browser says where a
request comes from; boto3, Arrow and the AWS CLI say nothing of the kind.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from importlib import import_module
from ipaddress import ip_address
from typing import Any, Final

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

ALLOWS: Final = b"access-control-"
SAME_MACHINE: Final = b"same-site"  # another port of loopback
ELSEWHERE: Final = frozenset({b"cross-site", SAME_MACHINE})
READS: Final = frozenset({"GET", "HEAD"})
REFUSED: Final = b"This server answers programs of this machine, and no page of a browser.\n"


class ProgramsOnly:
    """An application that refuses what a page of a browser asks, and allows no other origin."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request: 403 if a page asks, else what the application answers."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif comes_from_a_page(scope):
            await _refuse(send)
        else:
            await self._application(scope, receive, _without_permissions(send))


def comes_from_a_page(scope: Message) -> bool:
    """Whether a browser sends this for a page, or for a name that leads here by DNS alone.

    A link of the UI to an object is answered: a page of this machine that leads to it, and no more.
    """
    headers = dict(scope["headers"])
    site = headers.get(b"sec-fetch-site", b"")
    linked = (
        site == SAME_MACHINE
        and scope["method"] in READS
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
        and not scope["query_string"]
    )
    return (
        b"origin" in headers
        or (site in ELSEWHERE and not linked)
        or not is_local(headers.get(b"host", b"").decode("latin-1"))
    )


def is_local(host: str) -> bool:
    """Whether a `Host` cannot be another's name: an address, or a name that is loopback's."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    with suppress(ValueError):
        return bool(ip_address(name))
    return not name or name == "localhost" or name.endswith(".localhost")


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(REFUSED))]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSED})


def _without_permissions(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [one for one in message["headers"] if not one[0].lower().startswith(ALLOWS)]
            message = {**message, "headers": kept}
        await send(message)

    return sent


def main() -> None:
    """Serve until a signal ends it; settings come from the environment."""
    ministack = import_module("ministack.app")  # it reads them as it is imported
    own = vars(ministack)
    own["app"] = ProgramsOnly(own["app"])
    ministack.main()


if __name__ == "__main__":
    main()
