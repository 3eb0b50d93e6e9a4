"""Writes down each operation of S3, SQS and STS that is asked for, whichever library asks.

What belongs here: what an operation is, and about what. S3 is seen on the wire, where boto3,
obstore and Arrow look alike (Amazon S3 API Reference: the request syntax of each operation); SQS,
whose queue stands in the body, and STS by the one function of botocore that makes a call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from botocore.client import BaseClient

from rwt_assets.feed.feed import Feed
from rwt_assets.permissions.aws_calls import Place
from rwt_assets_tests.end_to_end.faulty_proxy import FaultyProxy

OF_BUCKETS = {
    ("HEAD", ""): "HeadBucket",
    ("PUT", ""): "CreateBucket",
    ("GET", "list-type"): "ListObjectsV2",
    ("POST", "delete"): "DeleteObjects",
    ("GET", "versioning"): "GetBucketVersioning",
    ("PUT", "versioning"): "PutBucketVersioning",
    ("GET", "notification"): "GetBucketNotificationConfiguration",
    ("PUT", "notification"): "PutBucketNotificationConfiguration",
    ("GET", "encryption"): "GetBucketEncryption",
}
OF_OBJECTS = {
    ("HEAD", ""): "HeadObject",
    ("GET", ""): "GetObject",
    ("PUT", ""): "PutObject",
    ("DELETE", ""): "DeleteObject",
    ("POST", "uploads"): "CreateMultipartUpload",
    ("PUT", "uploadId"): "UploadPart",
    ("POST", "uploadId"): "CompleteMultipartUpload",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
NAMES = ("QueueUrl", "QueueName", "SourceArn")  # of a queue
OF_STS = {"AssumeRole": Place.ROLE, "GetCallerIdentity": Place.CALLER}
PAID = b"\r\nx-amz-request-payer: requester\r\n"
# Parts of a query that say how, not what.
HOW = {"prefix", "delimiter", "start-after", "continuation-token", "encoding-type", "max-keys"}
HOW |= {"partNumber", "x-id"}


def operation(method: str, key: str, query: str) -> str:
    """The operation of a request; of one that is not known, the request itself."""
    what = sorted(set(parse_qs(query, keep_blank_values=True)) - HOW)
    known = OF_OBJECTS if key else OF_BUCKETS
    return known.get((method, ",".join(what)), f"{method} ?{','.join(what)}")


class RecordingProxy(FaultyProxy):
    """Passes everything on; `asked` has what was asked of S3, SQS and STS, for a feed.

    `paid` has what was asked of S3 with the word that the requester pays, `unpaid` what without.
    """

    def __init__(self, upstream_port: int, feed: Feed) -> None:
        super().__init__(upstream_port, error_share=0)
        self._feed = feed
        self.asked: set[tuple[str, str]] = set()
        self.paid: set[tuple[str, str]] = set()
        self.unpaid: set[tuple[str, str]] = set()

    def _choose(self, head: bytes) -> str:
        method, target, _ = head.decode("latin-1").split(" ", 2)
        url = urlsplit(target)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        if bucket and b"\r\nx-amz-target: amazonsqs." not in head.lower():
            name = operation(method, key, url.query)
            for_objects = name == "DeleteObjects"  # of which the body has the names
            call = name, self._place(bucket, key, for_objects=for_objects)
            self.asked.add(call)
            (self.paid if PAID in head.lower() else self.unpaid).add(call)
        return super()._choose(head)

    def _place(self, bucket: str, key: str, *, for_objects: bool) -> str:
        source, target = self._feed.source, self._feed.target
        if bucket == target.bucket and (for_objects or key.startswith(f"{target.prefix}/")):
            return Place.RESULTS
        if bucket == source.bucket and key.startswith(source.prefix) and key:
            return Place.ARCHIVES
        places = {source.bucket: Place.SOURCE, target.bucket: Place.TARGET}
        return f"s3://{bucket}/{key}" if key else places.get(bucket, bucket)

    @contextmanager
    def of_queues(self) -> Iterator[None]:
        """Write down what is asked of SQS and STS as well, until the end."""
        source, asked, make = self._feed.source, self.asked, BaseClient._make_api_call
        places = {source.queue: Place.QUEUE, source.dead_letter_queue: Place.DEAD_LETTERS}

        def recorded(client, name, parameters):
            # Clients that lead elsewhere are the test's own.
            ours = client.meta.endpoint_url == self.url
            if ours and client.meta.service_model.service_name == "sts":
                asked.add((name, OF_STS.get(name, name)))
            if ours and client.meta.service_model.service_name == "sqs":
                named = next(parameters[one] for one in NAMES if one in parameters)
                queue = named.rpartition("/")[2].rpartition(":")[2]
                asked.add((name, places.get(queue, queue)))
            return make(client, name, parameters)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseClient, "_make_api_call", recorded)
            yield
