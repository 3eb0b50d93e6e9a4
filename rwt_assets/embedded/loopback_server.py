"""The process of the S3 and SQS server: ministack, for programs of this machine and no browser.

What belongs here: what is refused before ministack sees it, and what is taken from its answers.
What does not: how the process is started (`server.py`). Rules: Fetch Standard, "CORS protocol" and
"`Origin` header"; Fetch Metadata Request Headers, `Sec-Fetch-Site`; RFC 6761, section 6.3
(`localhost`); ASGI specification, "HTTP & WebSocket ASGI Message Format".

ministack asks for no credentials and answers every origin (`Access-Control-Allow-Origin: *`): any
page in a browser of this machine could read archives and send messages. A browser says where a
request comes from, but not every browser and not for every address; boto3, Arrow and the AWS CLI
say nothing of the kind and sign what they send, which no image, form or link of a page can.
"""

import os
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from importlib import import_module
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

ALLOWS: Final = b"access-control-"
# An object may be a page of a partner's: opened by a link, it runs and loads nothing.
INERT: Final = (
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
)
# What a browser is shown of an object; it keeps other kinds in a file.
AS_TEXT: Final = (b"text/plain; charset=utf-8", b"inline")
AS_FILE: Final = (b"application/octet-stream", b"attachment")
TEXTS: Final = (b"text/", b"application/json", b"application/xml")
SIGNED: Final = (b"AWS4-HMAC-SHA256 ", b"AWS ")
HEALTH: Final = "/_ministack/health"
HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]*))(?::[0-9]{1,5})?", re.ASCII)
SAME_MACHINE: Final = b"same-site"  # another port of loopback
NO_PAGE: Final = frozenset({b"", b"none"})  # none: typed or bookmarked
IPV6_LOOPBACK: Final = IPv6Address("::1")
READS: Final = frozenset({"GET", "HEAD"})
REFUSED: Final = b"This server answers programs of this machine, and no page of a browser.\n"


class ProgramsOnly:
    """An application that refuses what a page of a browser asks, and allows no other origin.

    Args:
        application: the server.
        address: that it listens on, where that is not loopback.
    """

    def __init__(self, application: Application, address: str = "") -> None:
        self._application = application
        self._address = address

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request: 403 if a page asks, else what the application answers."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif comes_from_a_page(scope, self._address):
            await _refuse(send)
        else:
            shown = b"text/html" in dict(scope["headers"]).get(b"accept", b"")
            await self._application(scope, receive, _made_harmless(send, to_a_browser=shown))


def comes_from_a_page(scope: Message, address: str = "") -> bool:
    """Whether a browser sends this for a page, or for a name that leads here by DNS alone.

    A link of the UI to an object is answered: a page of this machine that leads to it, and no more.

    Args:
        scope: of the request.
        address: that is the server's own, beside those of loopback.
    """
    headers = dict(scope["headers"])
    host = headers.get(b"host", b"").decode("latin-1")
    signed = headers.get(b"authorization", b"").startswith(SIGNED)
    linked = (
        headers.get(b"sec-fetch-site") == SAME_MACHINE
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )
    return (
        b"origin" in headers
        or not (headers.get(b"sec-fetch-site", b"") in NO_PAGE or linked)
        or not (_reads_an_object(scope, headers) or (signed and not linked))
        or not (is_local(host) or name_of(host) == address)
    )


def _reads_an_object(scope: Message, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request asks for one object, or for the server's health, and for nothing else."""
    bucket, _, key = scope["path"].removeprefix("/").partition("/")
    one = scope["path"] == HEALTH or (key != "" and not bucket.startswith("_"))
    acts = scope["query_string"] or b"x-amz-target" in headers
    return scope["method"] in READS and one and not acts


def name_of(host: str) -> str | None:
    """The name or address in a `Host`, without its port; None if there can be no such host."""
    found = HOST.fullmatch(host)
    return None if found is None else found[1] or found[2] or ""


def is_local(host: str) -> bool:
    """Whether a `Host` is loopback's: an address, or a name that can be no other machine's.

    `0.0.0.0`, `::` and IPv4 written as IPv6 lead here, too, but browsers do not tell of themselves
    there (Secure Contexts, "Is origin potentially trustworthy?"), and no program of ours uses them.
    """
    name = name_of(host)
    if name is None:
        return False
    with suppress(ValueError):
        address = ip_address(name)
        return address == IPV6_LOOPBACK or (
            isinstance(address, IPv4Address) and address.is_loopback
        )
    return not name or name == "localhost" or name.endswith(".localhost")


async def _refuse(send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(REFUSED))]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSED})


def _made_harmless(send: Send, *, to_a_browser: bool) -> Send:
    """What is sent, without permissions for pages; a browser is shown no page of a partner's."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [one for one in message["headers"] if not one[0].lower().startswith(ALLOWS)]
            kept = _as_no_page(kept) if to_a_browser else kept
            message = {**message, "headers": [*kept, *INERT]}
        await send(message)

    return sent


def _as_no_page(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
    kind, shown = AS_TEXT if kind.lower().startswith(TEXTS) else AS_FILE
    said = {b"content-type", b"content-disposition"}
    kept = [one for one in headers if one[0].lower() not in said]
    return [*kept, (b"content-type", kind), (b"content-disposition", shown)]


def main() -> None:
    """Serve until a signal ends it; settings come from the environment."""
    ministack = import_module("ministack.app")  # it reads them as it is imported
    own = vars(ministack)
    own["app"] = ProgramsOnly(own["app"], os.environ.get("BIND_HOST", ""))
    ministack.main()


if __name__ == "__main__":
    main()
