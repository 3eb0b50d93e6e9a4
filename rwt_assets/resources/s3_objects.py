"""The object store on S3 by boto3.

What belongs here: `ObjectStore` over boto3. What does not: who gets it
(`object_store.py`) and the quicker client for what is done many times
(`quick_s3_objects.py`). Credentials, region and endpoint come from the environment
alone (Boto3 documentation: "Credentials", "Configuration"; `AWS_ENDPOINT_URL` for a local
server). Rules: Amazon S3 API Reference, "GetObject", "PutObject", "ListObjectsV2",
"DeleteObjects", "DeleteObject".
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from rwt_assets.runtime import ArchiveInGlacierError, ArchiveMissingError
from rwt_assets.storage import ObjectHead, replaced
from rwt_assets.text import command

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

STREAM_CHUNK_BYTES = 1 << 20
MULTIPART_BYTES = 64 << 20
DELETE_BATCH = 1_000  # the most that DeleteObjects takes
MISSING = {"404", "NoSuchKey", "NoSuchVersion", "NoSuchBucket", "NotFound"}
REPLACED = {"412", "PreconditionFailed"}
BEYOND_THE_END = {"416", "InvalidRange"}
FROZEN = {"InvalidObjectState"}
CONFLICTED = {"409", "ConditionalRequestConflict"}  # another conditional write was under way
CONFLICTS_AT_MOST = 5


class S3Objects:
    """`ObjectStore` on S3, over one boto3 client, which threads may share."""

    def __init__(self, client: "S3Client") -> None:
        self._client = client

    def head(self, bucket: str, key: str, *, version_id: str | None = None) -> ObjectHead:
        """See `ObjectStore.head`."""
        pin = {"VersionId": version_id} if version_id else {}
        with _missing_explained(bucket, key):
            answer = self._client.head_object(Bucket=bucket, Key=key, **pin)  # type: ignore[arg-type]
        return ObjectHead(
            key=key,
            size=answer["ContentLength"],
            etag=answer["ETag"].strip('"'),
            last_modified=answer["LastModified"],
            version_id=answer.get("VersionId"),
        )

    def read(
        self, bucket: str, key: str, start: int = 0, end: int | None = None, *, etag: str = ""
    ) -> bytes:
        """See `ObjectStore.read`."""
        if end is not None and end <= start:
            return b""
        whole = start == 0 and end is None
        extra = {} if whole else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        if etag:
            extra["IfMatch"] = etag
        try:
            with _missing_explained(bucket, key):
                return self._client.get_object(Bucket=bucket, Key=key, **extra)["Body"].read()  # type: ignore[arg-type]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code", "") in BEYOND_THE_END:
                return b""
            raise

    def read_tagged(self, bucket: str, key: str) -> tuple[bytes, str]:
        """See `ObjectStore.read_tagged`."""
        with _missing_explained(bucket, key):
            answer = self._client.get_object(Bucket=bucket, Key=key)
            return answer["Body"].read(), answer["ETag"].strip('"')

    def tail(self, bucket: str, key: str, length: int) -> tuple[bytes, int]:
        """See `ObjectStore.tail`."""
        try:
            with _missing_explained(bucket, key):
                answer = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes=-{length}")
                body = answer["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code", "") in BEYOND_THE_END:
                return b"", 0  # the end of an empty object
            raise
        size = answer.get("ContentRange", "").rpartition("/")[2]
        return body, int(size) if size.isdigit() else len(body)

    def stream(
        self, bucket: str, key: str, start: int, end: int, *, etag: str = ""
    ) -> Iterator[bytes]:
        """See `ObjectStore.stream`."""
        if end <= start:
            return
        extra = {"IfMatch": etag} if etag else {}
        with _missing_explained(bucket, key):
            body = self._client.get_object(
                Bucket=bucket,
                Key=key,
                Range=f"bytes={start}-{end - 1}",
                **extra,  # type: ignore[arg-type]
            )["Body"]
        try:
            yield from body.iter_chunks(STREAM_CHUNK_BYTES)
        finally:
            body.close()

    def put(self, bucket: str, key: str, body: bytes | memoryview | BinaryIO) -> None:
        """See `ObjectStore.put`. A file goes up in parts, which S3 joins at the end."""
        if isinstance(body, bytes | memoryview):
            self._client.put_object(Bucket=bucket, Key=key, Body=bytes(body))
        else:
            parts = TransferConfig(
                multipart_threshold=MULTIPART_BYTES,
                multipart_chunksize=MULTIPART_BYTES,
                use_threads=False,
            )
            self._client.upload_fileobj(body, bucket, key, Config=parts)

    def put_if(
        self, bucket: str, key: str, body: bytes | memoryview | BinaryIO, *, etag: str
    ) -> str:
        """See `ObjectStore.put_if`. A file goes up in parts; the condition is for joining them."""
        condition = {"IfMatch": f'"{etag}"'} if etag else {"IfNoneMatch": "*"}
        for _ in range(CONFLICTS_AT_MOST):
            try:
                if isinstance(body, bytes | memoryview):
                    answer = self._client.put_object(
                        Bucket=bucket,
                        Key=key,
                        Body=bytes(body),
                        **condition,  # type: ignore[arg-type]
                    )
                    return answer["ETag"].strip('"')
                return self._put_parts(bucket, key, body, condition)
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code in REPLACED or (etag and code in MISSING):
                    return ""
                if code not in CONFLICTED:
                    raise
                if not isinstance(body, bytes | memoryview):
                    body.seek(0)
        return ""  # somebody else is writing it all the time

    def _put_parts(self, bucket: str, key: str, body: BinaryIO, condition: dict[str, str]) -> str:
        """Upload a file in parts; nothing of it is left behind if that fails."""
        upload = self._client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        parts: list[CompletedPartTypeDef] = []
        try:
            while data := body.read(MULTIPART_BYTES):
                number = len(parts) + 1
                part = self._client.upload_part(
                    Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data
                )
                parts.append({"PartNumber": number, "ETag": part["ETag"]})
            answer = self._client.complete_multipart_upload(
                Bucket=bucket,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **condition,  # type: ignore[arg-type]
            )
            return answer["ETag"].strip('"')
        except BaseException:
            with suppress(ClientError):  # such as of an upload that a lost answer had completed
                self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            raise

    def folders(self, bucket: str, prefix: str) -> Iterator[str]:
        """See `ObjectStore.folders`."""
        pages = self._client.get_paginator("list_objects_v2")
        before = ""
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            for entry in page.get("CommonPrefixes", ()):
                if entry["Prefix"] != before:  # one server has some twice, at the borders of pages
                    before = entry["Prefix"]
                    yield before

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[ObjectHead]:
        """See `ObjectStore.list`."""
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, StartAfter=start_after):
            for entry in page.get("Contents", ()):
                yield ObjectHead(
                    key=entry["Key"],
                    size=entry["Size"],
                    etag=entry["ETag"].strip('"'),
                    last_modified=entry["LastModified"],
                )

    def now(self, bucket: str, prefix: str) -> datetime:
        """See `ObjectStore.now`. Every answer has the time; of a server without it, it is ours."""
        answer = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
        stated = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        return datetime.now(UTC) if stated is None else parsedate_to_datetime(stated)

    def delete(self, bucket: str, keys: Iterable[str]) -> None:
        """See `ObjectStore.delete`."""
        remaining = iter(keys)
        while batch := list(islice(remaining, DELETE_BATCH)):
            objects = [{"Key": key} for key in batch]
            answer = self._client.delete_objects(
                Bucket=bucket,
                Delete={"Objects": objects, "Quiet": True},  # type: ignore[typeddict-item]
            )
            for refused in answer.get("Errors", ()):
                said = f"{refused.get('Message', '')} (object {refused.get('Key', '')})"
                raise ClientError(
                    {"Error": {"Code": refused.get("Code", ""), "Message": said}}, "DeleteObjects"
                )

    def delete_if(self, bucket: str, key: str, *, etag: str) -> bool:
        """See `ObjectStore.delete_if`.

        The object is looked at before, for servers that do not know the condition.
        """
        for _ in range(CONFLICTS_AT_MOST):
            try:
                if self.head(bucket, key).etag != etag:
                    return False
                self._client.delete_object(Bucket=bucket, Key=key, IfMatch=f'"{etag}"')
            except ArchiveMissingError:
                return False
            except ClientError as error:
                code = error.response.get("Error", {}).get("Code", "")
                if code in REPLACED or code in MISSING:
                    return False
                if code not in CONFLICTED:
                    raise
            else:
                return True
        return False  # somebody else is writing it all the time


@contextmanager
def _missing_explained(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        _explain(error, bucket, key)


def _explain(error: ClientError, bucket: str, key: str) -> NoReturn:
    code = error.response.get("Error", {}).get("Code", "")
    if code in MISSING:
        raise missing(bucket, key) from error
    if code in REPLACED:
        raise replaced(bucket, key) from error
    if code in FROZEN:
        raise frozen(bucket, key, str(error.response.get("StorageClass", ""))) from error
    raise error


def frozen(bucket: str, key: str, storage_class: str = "") -> ArchiveInGlacierError:
    """The error of an object that has to be restored before it can be read.

    Amazon S3 User Guide, "Restoring an archived object"; API Reference, "GetObject"
    (`InvalidObjectState`).
    """
    lies = f"in the storage class {storage_class}" if storage_class else "in S3 Glacier"
    return ArchiveInGlacierError(
        f"the object lies {lies} and cannot be read",
        where=f"s3://{bucket}/{key}",
        effect="Nothing of it was delivered.",
        fix=(
            "Restore it (`aws s3api restore-object`). It is processed by itself when S3 announces "
            f"that it is back (s3:ObjectRestore:Completed); or run `{command('rwt retry', key)}`."
        ),
    )


def missing(bucket: str, key: str) -> ArchiveMissingError:
    """The error of an object that is not there."""
    return ArchiveMissingError(
        "the object is not there",
        where=f"s3://{bucket}/{key}",
        effect="Nothing was read.",
        fix="Upload it again, or remove its partition.",
    )
