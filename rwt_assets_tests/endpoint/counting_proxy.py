"""Counts the requests that pass, no matter who makes them: boto3, obstore or pyarrow.

What belongs here: what a request is, as S3 charges for it. What does not: how many there may
be. Amazon S3 User Guide, "Billing and usage reporting": PUT, COPY, POST and LIST cost alike, GET
and HEAD a twelfth of it, DELETE nothing.
"""

import re
from collections import Counter
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from rwt_assets_tests.end_to_end.faulty_proxy import FaultyProxy

SQS = "AmazonSQS."
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `kind` is "list" for a listing and else the method in lower case."""

    kind: str
    bucket: str
    key: str
    bytes: int  # of the body of a put; asked for by the range of a get, 0 for a whole object


class CountingProxy(FaultyProxy):
    """Passes everything on and keeps what was asked: of S3 in `seen`, of SQS by action."""

    def __init__(self, upstream_port: int) -> None:
        super().__init__(upstream_port, error_share=0)
        self.seen: list[Request] = []
        self.of_queue: Counter[str] = Counter()

    def _choose(self, head: bytes) -> str:
        method, target, _ = head.decode("latin-1").split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (
                line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:]
            )
        }
        url = urlsplit(target)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        action = headers.get("x-amz-target", "")
        if action.startswith(SQS):
            self.of_queue[action.removeprefix(SQS)] += 1
        elif bucket:
            listing = (method == "GET" and not key) or "list-type" in parse_qs(url.query)
            kind = "list" if listing else method.lower()
            self.seen.append(Request(kind, bucket, key, _size(method, headers)))
        return super()._choose(head)

    def taken(self) -> list[Request]:
        """What was asked since this was called last."""
        seen, self.seen = self.seen, []
        return seen


def by_folder(requests: list[Request], archive: str, prefix: str) -> Counter[tuple[str, str]]:
    """Requests by kind and place: "archive", or the folder below the feed's target prefix."""
    return Counter((one.kind, _place(one.key, archive, prefix)) for one in requests)


def _place(key: str, archive: str, prefix: str) -> str:
    if key == archive:
        return "archive"
    folder = key.removeprefix(f"{prefix}/").partition("/")[0]
    return "row-numbers" if "/row-numbers-" in key else folder


def _size(method: str, headers: dict[str, str]) -> int:
    if method == "PUT":
        decoded = headers.get("x-amz-decoded-content-length")
        return int(decoded or headers.get("content-length", 0))
    found = RANGE.fullmatch(headers.get("range", ""))
    if found is None:
        return 0
    first, last = found.groups()
    return int(last) - int(first) + 1 if first else int(last)
