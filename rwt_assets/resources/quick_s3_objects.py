"""The object store on S3, with the requests that each shard makes by a quicker client.

What belongs here: reads and puts of bytes by obstore, the Python side of Rust's `object_store`.
What does not: all other requests, which are boto3's (`s3_objects.py`). obstore
documentation: "Authentication" (boto3 as the provider of credentials).

A key that this client would send otherwise than it is (`/a.zip` as `a.zip`) goes by boto3 at once.

A shard is small, and boto3 takes four to five times as much of the processor for a request.
Credentials, region and endpoint are those of the boto3 client. A request that fails here,
unless what it asks for is not there, is made once more by boto3, so that trying again, and what
an error means, are boto3's alone.
"""

from datetime import timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import urlsplit

import boto3
import obstore
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from rwt_assets.feed import is_plain_path
from rwt_assets.resources.s3_objects import S3Objects, missing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore import GetResult
    from obstore.store import S3Config

AWS_DOMAINS: Final = (".amazonaws.com", ".amazonaws.com.cn")
REQUEST_SECONDS: Final = 120
# boto3 renews credentials ten minutes before they end at the latest, so none is kept beyond that.
ASKED_AGAIN: Final = timedelta(minutes=5)

CONFLICT: Final = "409 Conflict"  # obstore takes it for an object that is there
# What obstore raises; some are OSErrors, and settings that it does not take are ValueErrors.
FAILED: Final = (BaseError, OSError, ValueError)


class QuickS3Objects(S3Objects):
    """`ObjectStore` on S3; threads may share it.

    Args:
        client: for all that is not done here.
        session: where the client has its credentials from.
        requester_pays: whether each request says that it is paid for.
    """

    def __init__(
        self, client: "S3Client", session: boto3.Session, *, requester_pays: bool = False
    ) -> None:
        super().__init__(client)
        self._session = session
        self._requester_pays = requester_pays
        self._stores: dict[str, S3Store] = {}
        self._lock = Lock()

    def read(
        self, bucket: str, key: str, start: int = 0, end: int | None = None, *, etag: str = ""
    ) -> bytes:
        """See `ObjectStore.read`."""
        if end is not None and end <= start:
            return b""
        if not is_plain_path(key):
            return super().read(bucket, key, start, end, etag=etag)
        options: dict[str, Any] = {"if_match": f'"{etag}"'} if etag else {}
        if end is not None:
            options["range"] = (start, end)
        elif start:
            options["range"] = {"offset": start}
        try:
            return bytes(self._get(bucket, key, options).bytes())
        except FAILED:
            return super().read(bucket, key, start, end, etag=etag)

    def tail(self, bucket: str, key: str, length: int) -> tuple[bytes, int]:
        """See `ObjectStore.tail`."""
        if not is_plain_path(key):
            return super().tail(bucket, key, length)
        try:
            found = self._get(bucket, key, {"range": {"suffix": length}})
            size = int(found.meta["size"])
            return bytes(found.bytes()), size
        except FAILED:
            return super().tail(bucket, key, length)

    def put(self, bucket: str, key: str, body: bytes | memoryview | BinaryIO) -> None:
        """See `ObjectStore.put`."""
        if not isinstance(body, bytes | memoryview) or not is_plain_path(key):
            super().put(bucket, key, body)
            return
        try:
            obstore.put(self._store(bucket), key, body, use_multipart=False)
        except FAILED:
            super().put(bucket, key, body)

    def put_if(
        self, bucket: str, key: str, body: bytes | memoryview | BinaryIO, *, etag: str
    ) -> str:
        """See `ObjectStore.put_if`; only what must not be there yet goes by the quicker client."""
        if etag or not isinstance(body, bytes | memoryview) or not is_plain_path(key):
            return super().put_if(bucket, key, body, etag=etag)
        try:
            kept = obstore.put(self._store(bucket), key, body, use_multipart=False, mode="create")
        except AlreadyExistsError as error:
            if CONFLICT in str(error):  # with another request under way; nothing may be there
                return super().put_if(bucket, key, body, etag=etag)
            return ""
        except FAILED:
            return super().put_if(bucket, key, body, etag=etag)
        return str(kept["e_tag"]).strip('"')

    def _get(self, bucket: str, key: str, options: Any) -> "GetResult":
        try:
            return obstore.get(self._store(bucket), key, options=options)
        except FileNotFoundError as error:  # no other request would find it
            raise missing(bucket, key) from error

    def _store(self, bucket: str) -> S3Store:
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = self._open(bucket)
            return self._stores[bucket]

    def _open(self, bucket: str) -> S3Store:
        endpoint = self._client.meta.endpoint_url
        ours = (urlsplit(endpoint).hostname or "").endswith(AWS_DOMAINS)
        settings: S3Config = {
            "region": self._client.meta.region_name,
            "virtual_hosted_style_request": ours and "." not in bucket,
        }
        if not ours:  # without it, the endpoint is that of the region
            settings["endpoint"] = endpoint
        if self._requester_pays:
            settings["request_payer"] = True
        return S3Store(
            bucket,
            config=settings,
            credential_provider=Boto3CredentialProvider(self._session, ttl=ASKED_AGAIN),
            client_options={
                "allow_http": endpoint.startswith("http://"),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
            },
            retry_config={"max_retries": 0},
        )
