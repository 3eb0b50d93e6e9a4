"""Conditional writes as this package makes them, by both clients.

Rules: Amazon S3 User Guide, "How to prevent object overwrites with conditional writes"; Amazon S3
API Reference, "CompleteMultipartUpload", "ListObjectsV2" (common prefixes).
"""

import io
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError

from rwt_assets.resources.quick_s3_objects import QuickS3Objects
from rwt_assets.resources.s3_objects import S3Objects

pytestmark = pytest.mark.endpoint

KEY = "a b+c%2B é.json"
PART_BYTES = 5 << 20


@pytest.fixture(params=["boto3", "quick"])
def store(request, s3):
    if request.param == "boto3":
        return S3Objects(s3)
    return QuickS3Objects(s3, boto3.Session("contract", "contract"))


def test_a_document_is_written_once_and_replaced_by_who_knows_it(store, bucket):
    first = store.put_if(bucket, KEY, b"first", etag="")
    assert store.put_if(bucket, KEY, b"other", etag="") == ""
    second = store.put_if(bucket, KEY, b"second", etag=first)
    assert store.put_if(bucket, KEY, b"other", etag=first) == ""
    assert store.read_tagged(bucket, KEY) == (b"second", second)
    assert store.put_if(bucket, "none", b"other", etag=second) == ""


def write_at_once(store, bucket, key, etag):
    """Four write at the same time; the answers."""
    with ThreadPoolExecutor(4) as pool:
        bodies = [f"of {number}".encode() for number in range(4)]
        return list(pool.map(lambda body: store.put_if(bucket, key, body, etag=etag), bodies))


def test_of_several_that_write_the_first_at_once_one_wins(store, bucket):
    for number in range(10):
        answers = write_at_once(store, bucket, f"{KEY}{number}", "")
        (won,) = filter(None, answers)
        body = f"of {answers.index(won)}".encode()
        assert store.read_tagged(bucket, f"{KEY}{number}") == (body, won)


def test_of_several_that_replace_one_at_once_one_wins(store, bucket):
    for number in range(10):
        first = store.put_if(bucket, f"{KEY}{number}", b"first", etag="")
        answers = write_at_once(store, bucket, f"{KEY}{number}", first)
        (won,) = filter(None, answers)
        body = f"of {answers.index(won)}".encode()
        assert store.read_tagged(bucket, f"{KEY}{number}") == (body, won)


def test_a_file_in_parts_that_is_there_already_is_not_written_over(store, bucket, monkeypatch):
    monkeypatch.setattr("rwt_assets.resources.s3_objects.MULTIPART_BYTES", PART_BYTES)
    body = bytes(PART_BYTES) + b"end"
    etag = store.put_if(bucket, KEY, io.BytesIO(body), etag="")
    assert etag == store.head(bucket, KEY).etag
    assert store.put_if(bucket, KEY, io.BytesIO(bytes(PART_BYTES) + b"new"), etag="") == ""
    assert store.tail(bucket, KEY, 3) == (b"end", len(body))


def test_the_folders_of_a_listing_come_over_pages_each_once(s3, bucket):
    for number in range(12):
        for name in ("x", "y"):
            s3.put_object(Bucket=bucket, Key=f"in/{number:02d}/{name}", Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix="in/", Delimiter="/", PaginationConfig={"PageSize": 5}
    )
    found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ())]
    assert found == [f"in/{number:02d}/" for number in range(12)]


class OfSmallPages:
    """A boto3 client whose listings have five entries a page."""

    def __init__(self, client):
        self._client = client

    def get_paginator(self, name):
        return self

    def paginate(self, **settings):
        pages = self._client.get_paginator("list_objects_v2")
        return pages.paginate(**settings, PaginationConfig={"PageSize": 5})


def test_our_client_names_each_folder_once_over_pages(s3, bucket):
    for number in range(12):
        for name in ("x", "y"):
            s3.put_object(Bucket=bucket, Key=f"in/{number:02d}/{name}", Body=b"")
    s3.put_object(Bucket=bucket, Key="in/file", Body=b"")
    folders = S3Objects(OfSmallPages(s3)).folders(bucket, "in/")
    assert list(folders) == [f"in/{number:02d}/" for number in range(12)]


def test_beyond_the_end_nothing_is_read(store, bucket):
    store.put(bucket, KEY, b"012")
    assert store.read(bucket, KEY, 2, 9) == b"2"
    assert store.read(bucket, KEY, 3, 9) == store.read(bucket, KEY, 7) == b""
    store.put(bucket, KEY, b"")
    assert store.read(bucket, KEY, 0, 5) == b""
    assert store.tail(bucket, KEY, 5) == (b"", 0)


def test_a_document_is_removed_only_as_it_was_seen(store, bucket):
    first = store.put_if(bucket, KEY, b"first", etag="")
    second = store.put_if(bucket, KEY, b"second", etag=first)
    assert not store.delete_if(bucket, KEY, etag=first)
    assert store.read_tagged(bucket, KEY) == (b"second", second)
    assert store.delete_if(bucket, KEY, etag=second)
    assert not store.delete_if(bucket, KEY, etag=second)
    assert [*store.list(bucket, KEY)] == []


def test_a_removal_of_another_content_is_refused(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key=KEY, Body=b"first")["ETag"]
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"second")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.delete_object(Bucket=bucket, Key=KEY, IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key=KEY)["Body"].read() == b"second"
