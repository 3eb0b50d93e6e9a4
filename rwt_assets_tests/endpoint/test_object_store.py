"""`ObjectStore`, the same for S3 and for the stand-in of the other tests."""

import io
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5

import boto3
import pytest
from dagster_aws.s3 import S3Resource

from rwt_assets.resources.object_store import S3ObjectStoreResource
from rwt_assets.resources.quick_s3_objects import QuickS3Objects
from rwt_assets.resources.s3_objects import MULTIPART_BYTES, S3Objects
from rwt_assets.runtime.errors import ArchiveMissingError
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


NO_SUCH = "0" * 32


def test_what_must_not_be_there_yet_is_written_once(store):
    etag = store.put_if("box", "a", b"first", etag="")
    assert etag == store.head("box", "a").etag == md5(b"first", usedforsecurity=False).hexdigest()
    assert store.put_if("box", "a", b"second", etag="") == ""
    assert store.put_if("box", "a", b"first", etag="") == ""  # whatever the content is
    assert store.read("box", "a") == b"first"


def test_what_is_there_is_replaced_by_who_knows_it(store):
    first = store.put_if("box", "a", b"first", etag="")
    second = store.put_if("box", "a", b"second", etag=first)
    assert second == store.head("box", "a").etag != first
    assert store.put_if("box", "a", b"third", etag=first) == ""
    assert store.put_if("box", "a", b"third", etag=NO_SUCH) == ""
    assert store.read_tagged("box", "a") == (b"second", second)


def test_what_is_gone_is_not_replaced(store):
    assert store.put_if("box", "a", b"new", etag=NO_SUCH) == ""
    with pytest.raises(ArchiveMissingError):
        store.read_tagged("box", "a")
    store.put_if("box", "a", b"first", etag="")
    etag = store.head("box", "a").etag
    store.delete("box", ["a"])
    assert store.put_if("box", "a", b"second", etag=etag) == ""
    assert list(store.list("box", "")) == []


@pytest.mark.parametrize("etag", ["", "first"])
def test_of_two_that_write_at_once_one_wins(store, etag):
    first = store.put_if("box", "a", b"first", etag="") if etag else ""
    for number in range(10):
        key = "a" if etag else f"new-{number}"
        with ThreadPoolExecutor(4) as pool:
            answers = list(
                pool.map(
                    lambda body, key=key, etag=first: store.put_if("box", key, body, etag=etag),
                    [f"{number}-{body}".encode() for body in range(4)],
                )
            )
        (first_or_new,) = filter(None, answers)
        body = f"{number}-{answers.index(first_or_new)}".encode()
        assert store.read_tagged("box", key) == (body, first_or_new)
        first = first_or_new if etag else ""


def test_a_file_that_must_not_be_there_yet_goes_up_in_parts(store, s3, monkeypatch):
    monkeypatch.setattr("rwt_assets.resources.s3_objects.MULTIPART_BYTES", 5 << 20)
    body = bytes(5 << 20) + b"end"
    etag = store.put_if("box", "large", io.BytesIO(body), etag="")
    assert etag == store.head("box", "large").etag
    assert store.put_if("box", "large", io.BytesIO(b"other"), etag="") == ""
    assert store.tail("box", "large", 3) == (b"end", len(body))
    if not isinstance(store, InMemoryObjects):
        assert "Uploads" not in s3.list_multipart_uploads(Bucket="box")


def test_nothing_is_left_of_a_file_whose_upload_failed(s3, monkeypatch):
    s3.create_bucket(Bucket="box")

    class Fails(io.BytesIO):
        def read(self, *sizes):
            data = super().read(*sizes)
            if self.tell() > 3:
                raise OSError("the disk is gone")
            return data

    monkeypatch.setattr("rwt_assets.resources.s3_objects.MULTIPART_BYTES", 3)
    with pytest.raises(OSError, match="disk"):
        S3Objects(s3).put_if("box", "large", Fails(b"0123456789"), etag="")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="box")


def test_folders_are_those_directly_below_and_each_once(store):
    for key in ("a/b/1", "a/b/2", "a/c d/1/2", "a/e", "f/1"):
        store.put("box", key, b"")
    assert list(store.folders("box", "a/")) == ["a/b/", "a/c d/"]
    assert list(store.folders("box", "none/")) == []


def test_folders_are_listed_over_several_pages(objects, s3):
    s3.create_bucket(Bucket="box")
    for number in range(1_005):
        s3.put_object(Bucket="box", Key=f"a/{number:05d}/x", Body=b"")
        if number % 100 == 0:
            s3.put_object(Bucket="box", Key=f"a/{number:05d}/y", Body=b"")
    assert list(objects.folders("box", "a/")) == [f"a/{number:05d}/" for number in range(1_005)]


def test_beyond_the_end_there_is_nothing(store):
    store.put("box", "a", b"012")
    assert store.read("box", "a", 2, 9) == b"2"
    assert store.read("box", "a", 3, 9) == b""
    assert store.read("box", "a", 7) == b""
    store.put("box", "empty", b"")
    assert store.read("box", "empty", 0, 5) == b""
    assert store.tail("box", "empty", 5) == (b"", 0)
