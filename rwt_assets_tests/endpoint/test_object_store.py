"""`ObjectStore`, the same for S3 and for the stand-in of the other tests."""

import io
from hashlib import md5

import boto3
import pytest
from dagster_aws.s3 import S3Resource

from rwt_assets.errors import ArchiveMissingError
from rwt_assets.resources.object_store import S3ObjectStoreResource
from rwt_assets.resources.quick_s3_objects import QuickS3Objects
from rwt_assets.resources.s3_objects import MULTIPART_BYTES, S3Objects
from rwt_assets_tests.stand_ins import InMemoryObjects

pytestmark = pytest.mark.endpoint


@pytest.fixture(params=["s3", "s3, quick", "in memory"])
def store(request):
    if request.param == "in memory":
        return InMemoryObjects()
    s3 = request.getfixturevalue("s3")
    s3.create_bucket(Bucket="box")
    return QuickS3Objects(s3, boto3.Session()) if "quick" in request.param else S3Objects(s3)


class Counted:
    """A boto3 client that notes which requests are made of it."""

    def __init__(self, client):
        self._client = client
        self.made = []

    def __getattr__(self, name):
        if name in ("get_object", "put_object"):
            self.made.append(name)
        return getattr(self._client, name)


BODY = bytes(range(256)) * 10


def test_objects_are_read_whole_by_range_from_the_end_and_as_a_stream(store):
    store.put("box", "a/b c+%.bin", BODY)
    assert store.read("box", "a/b c+%.bin") == BODY
    assert store.read("box", "a/b c+%.bin", 10, 20) == BODY[10:20]
    assert store.read("box", "a/b c+%.bin", 2500) == BODY[2500:]
    assert store.read("box", "a/b c+%.bin", 5, 5) == b""
    assert store.tail("box", "a/b c+%.bin", 7) == (BODY[-7:], len(BODY))
    assert store.tail("box", "a/b c+%.bin", 10_000) == (BODY, len(BODY))
    assert b"".join(store.stream("box", "a/b c+%.bin", 1, 2000)) == BODY[1:2000]


def test_the_head_says_size_and_etag(store):
    store.put("box", "a", memoryview(BODY))
    head = store.head("box", "a")
    assert (head.size, head.etag) == (len(BODY), md5(BODY, usedforsecurity=False).hexdigest())


def test_a_replaced_object_is_not_read(store):
    store.put("box", "a", b"old")
    etag = store.head("box", "a").etag
    assert store.read("box", "a", etag=etag) == b"old"
    store.put("box", "a", b"new")
    with pytest.raises(ArchiveMissingError, match="replaced"):
        store.read("box", "a", etag=etag)
    with pytest.raises(ArchiveMissingError, match="replaced"):
        list(store.stream("box", "a", 0, 3, etag=etag))


def test_what_is_not_there_is_an_error_of_ours(store):
    for ask in (
        lambda: store.read("box", "none"),
        lambda: store.head("box", "none"),
        lambda: store.tail("box", "none", 5),
        lambda: list(store.stream("box", "none", 0, 5)),
    ):
        with pytest.raises(ArchiveMissingError, match="s3://box/none"):
            ask()


def test_objects_are_listed_by_prefix_and_deleted(store):
    for key in ("a/1", "a/2", "b/1"):
        store.put("box", key, key.encode())
    assert [head.key for head in store.list("box", "a/")] == ["a/1", "a/2"]
    store.delete("box", ["a/1", "never/was"])
    assert [head.key for head in store.list("box", "")] == ["a/2", "b/1"]
    store.delete("box", [])


def test_a_file_goes_up_in_parts(store):
    body = b"0123456789abcdef" * (MULTIPART_BYTES // 16) + b"end"
    store.put("box", "large", io.BytesIO(body))
    assert store.head("box", "large").size == len(body)
    assert store.tail("box", "large", 5)[0] == b"efend"


def test_many_objects_are_listed_over_several_pages(objects, s3):
    s3.create_bucket(Bucket="box")
    for number in range(1005):
        s3.put_object(Bucket="box", Key=f"{number:05d}", Body=b"")
    assert sum(1 for _ in objects.list("box", "")) == 1005
    objects.delete("box", (f"{number:05d}" for number in range(1005)))
    assert list(objects.list("box", "")) == []


def test_boto3_makes_a_request_again_that_fails_with_the_quick_client(s3):
    s3.create_bucket(Bucket="box")
    counted = Counted(s3)
    store = QuickS3Objects(counted, boto3.Session())
    store.put("box", "a", BODY)
    assert store.read("box", "a", 1, 3) == BODY[1:3]
    assert store.tail("box", "a", 3)[0] == BODY[-3:]
    assert counted.made == []
    store.put("box", "a//b", BODY)  # which is no path for the quick client
    assert store.read("box", "a//b") == BODY
    assert counted.made == ["put_object", "get_object"]
    with pytest.raises(ArchiveMissingError):
        store.read("box", "none")  # which nobody would find
    assert counted.made == ["put_object", "get_object"]


def test_the_quick_client_is_for_plain_settings(endpoint):
    plain = S3ObjectStoreResource(s3=S3Resource(max_attempts=5)).objects()
    assert isinstance(plain, QuickS3Objects)
    keyed = S3Resource(use_unsigned_session=True)
    assert type(S3ObjectStoreResource(s3=keyed).objects()) is S3Objects
