"""STS on loopback that gives out credentials, or refuses, and writes down what it was asked.

What belongs here: AssumeRole, as far as tests need it: how long credentials last, and a refusal
(AWS STS API Reference, "AssumeRole"). What does not: S3, which the endpoint's server plays.
"""

import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qsl

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
GIVEN = """<AssumeRoleResponse xmlns="{space}"><AssumeRoleResult><Credentials>
<AccessKeyId>{account}</AccessKeyId><SecretAccessKey>any</SecretAccessKey>
<SessionToken>any</SessionToken><Expiration>{until}</Expiration>
</Credentials></AssumeRoleResult></AssumeRoleResponse>"""
REFUSED = """<ErrorResponse xmlns="{space}"><Error><Type>Sender</Type><Code>AccessDenied</Code>
<Message>User: rwt is not authorized to perform: sts:AssumeRole, as {external_id}</Message>
</Error></ErrorResponse>"""


class StsStandIn:
    """A context manager. `asked` has the parameters of each call of AssumeRole.

    Credentials belong to the account of the role and last for `lasts`; without one it refuses, and
    quotes the external id. With
    `other` it answers as a server that knows no STS.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.lasts: timedelta | None = timedelta(hours=1)
        self.other = b""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                status, body = stand_in.answer(dict(parse_qsl(self.rfile.read(length).decode())))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, asked: dict[str, str]) -> tuple[int, bytes]:
        if self.other:
            return 400, self.other
        assert asked["Action"] == "AssumeRole"
        self.asked.append(asked)
        if self.lasts is None:
            return 403, REFUSED.format(
                space=NAMESPACE, external_id=asked.get("ExternalId", "nobody")
            ).encode()
        until = (datetime.now(UTC) + self.lasts).strftime("%Y-%m-%dT%H:%M:%SZ")
        account = asked["RoleArn"].split(":")[4]
        return 200, GIVEN.format(space=NAMESPACE, account=account, until=until).encode()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
