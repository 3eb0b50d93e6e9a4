"""Objects: ranges, conditions, checksums, versions, listings.

Rules: Amazon S3 API Reference, "GetObject", "PutObject", "CompleteMultipartUpload",
"ListObjectsV2", "DeleteObjects"; Amazon S3 User Guide, "Add preconditions to S3 operations",
"Checking object integrity".
"""

import base64
import hashlib
import zlib

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.endpoint

KEY = "in/a b+c%2B é.zip"
BODY = bytes(range(256)) * 4
PART_BYTES = 5 << 20
OTHER_ETAG = '"00000000000000000000000000000000"'


@pytest.fixture
def stored(s3, bucket):
    """A bucket with one object."""
    s3.put_object(Bucket=bucket, Key=KEY, Body=BODY)
    return bucket


def read(s3, bucket, key=KEY, **more):
    return s3.get_object(Bucket=bucket, Key=key, **more)["Body"].read()


def refusal(call, **arguments):
    """Status and error code of a call that has to be refused."""
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def keys(page):
    return [entry["Key"] for entry in page.get("Contents", [])]


def base64_of(digest):
    return base64.b64encode(digest).decode()


def md5_of(body):
    return hashlib.md5(body, usedforsecurity=False)


def test_an_object_is_read_as_it_was_put_and_its_etag_is_its_md5(s3, stored):
    answer = s3.head_object(Bucket=stored, Key=KEY)
    assert read(s3, stored) == BODY
    assert answer["ContentLength"] == len(BODY)
    assert answer["ETag"] == f'"{md5_of(BODY).hexdigest()}"'


@pytest.mark.parametrize(
    ("wanted", "bytes_wanted"),
    [
        pytest.param("bytes=0-99", BODY[:100], id="first"),
        pytest.param("bytes=100-199", BODY[100:200], id="middle"),
        pytest.param("bytes=-22", BODY[-22:], id="suffix"),
        pytest.param("bytes=1000-", BODY[1000:], id="open"),
        pytest.param("bytes=1000-9999", BODY[1000:], id="past the end"),
        pytest.param("bytes=-9999", BODY, id="suffix longer than the object"),
    ],
)
def test_a_range_gives_its_bytes(s3, stored, wanted, bytes_wanted):
    assert read(s3, stored, Range=wanted) == bytes_wanted


@pytest.mark.parametrize("wanted", ["bytes=0-99", "bytes=-100", "bytes=924-"])
def test_a_range_is_answered_with_status_206(s3, stored, wanted):
    answer = s3.get_object(Bucket=stored, Key=KEY, Range=wanted)
    answer["Body"].read()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206


@pytest.mark.parametrize(
    ("wanted", "said"),
    [("bytes=0-99", "bytes 0-99/1024"), ("bytes=-100", "bytes 924-1023/1024")],
)
def test_a_range_says_where_it_lies_and_how_large_the_object_is(s3, stored, wanted, said):
    answer = s3.get_object(Bucket=stored, Key=KEY, Range=wanted)
    answer["Body"].read()
    assert answer["ContentRange"] == said
    assert answer["ContentLength"] == 100


def test_a_range_behind_the_end_is_refused(s3, stored):
    range_refused = refusal(s3.get_object, Bucket=stored, Key=KEY, Range="bytes=1024-")
    assert range_refused == (416, "InvalidRange")


def test_a_range_of_an_empty_object_is_refused(s3, bucket):
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"")
    range_refused = refusal(s3.get_object, Bucket=bucket, Key=KEY, Range="bytes=0-9")
    assert range_refused == (416, "InvalidRange")


def test_the_end_of_an_empty_object_is_empty(s3, bucket):
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"")
    assert read(s3, bucket, Range="bytes=-9") == b""


def test_a_get_of_another_content_is_refused(s3, stored):
    etag = s3.head_object(Bucket=stored, Key=KEY)["ETag"]
    assert read(s3, stored, IfMatch=etag) == BODY
    assert read(s3, stored, IfMatch=etag, Range="bytes=0-9") == BODY[:10]
    for more in ({}, {"Range": "bytes=0-9"}):
        refused = refusal(s3.get_object, Bucket=stored, Key=KEY, IfMatch=OTHER_ETAG, **more)
        assert refused == (412, "PreconditionFailed")


def test_a_get_takes_an_etag_without_quotes(s3, stored):
    etag = s3.head_object(Bucket=stored, Key=KEY)["ETag"]
    assert read(s3, stored, IfMatch=etag.strip('"')) == BODY


def test_a_head_of_another_content_is_refused(s3, stored):
    assert refusal(s3.head_object, Bucket=stored, Key=KEY, IfMatch=OTHER_ETAG)[0] == 412


def test_what_is_not_there_is_named_so(s3, bucket, name):
    assert refusal(s3.get_object, Bucket=bucket, Key="none") == (404, "NoSuchKey")
    assert refusal(s3.head_object, Bucket=bucket, Key="none") == (404, "404")
    assert refusal(s3.get_object, Bucket=f"{name}-none", Key="none") == (404, "NoSuchBucket")
    assert refusal(s3.head_bucket, Bucket=f"{name}-none") == (404, "404")


def test_a_put_that_must_be_the_first_is_refused_the_second_time(s3, bucket):
    put = {"Bucket": bucket, "Key": KEY, "IfNoneMatch": "*"}
    s3.put_object(**put, Body=b"first")
    assert refusal(s3.put_object, **put, Body=b"second") == (412, "PreconditionFailed")
    assert read(s3, bucket) == b"first"


def test_a_put_over_another_content_is_refused(s3, stored):
    etag = s3.head_object(Bucket=stored, Key=KEY)["ETag"]
    put = {"Bucket": stored, "Key": KEY, "Body": b"new"}
    assert refusal(s3.put_object, **put, IfMatch=OTHER_ETAG) == (412, "PreconditionFailed")
    assert read(s3, stored) == BODY
    s3.put_object(**put, IfMatch=etag)
    assert read(s3, stored) == b"new"


def test_a_put_over_what_is_not_there_is_refused(s3, bucket):
    put = {"Bucket": bucket, "Key": "none", "Body": b"new", "IfMatch": OTHER_ETAG}
    assert refusal(s3.put_object, **put) == (404, "NoSuchKey")


def upload(s3, bucket, *bodies):
    """An upload in parts but for its completion: the arguments of that."""
    target = {"Bucket": bucket, "Key": KEY}
    target["UploadId"] = s3.create_multipart_upload(**target)["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(**target, PartNumber=number, Body=body)["ETag"],
        }
        for number, body in enumerate(bodies, start=1)
    ]
    return {**target, "MultipartUpload": {"Parts": parts}}


def test_parts_are_joined_and_the_etag_counts_them(s3, bucket):
    bodies = (bytes(PART_BYTES), b"end")
    answer = s3.complete_multipart_upload(**upload(s3, bucket, *bodies))
    digests = b"".join(md5_of(body).digest() for body in bodies)
    assert answer["ETag"] == f'"{md5_of(digests).hexdigest()}-2"'
    assert read(s3, bucket, Range="bytes=-5") == b"\0\0end"
    assert s3.head_object(Bucket=bucket, Key=KEY)["ContentLength"] == PART_BYTES + 3


def test_a_part_that_is_too_small_is_refused(s3, bucket):
    uploaded = upload(s3, bucket, b"small", b"end")
    assert refusal(s3.complete_multipart_upload, **uploaded) == (400, "EntityTooSmall")


def test_an_upload_in_parts_is_not_there_before_it_is_complete(s3, bucket):
    uploaded = upload(s3, bucket, b"part")
    assert refusal(s3.get_object, Bucket=bucket, Key=KEY) == (404, "NoSuchKey")
    s3.abort_multipart_upload(**{name: uploaded[name] for name in ("Bucket", "Key", "UploadId")})
    assert keys(s3.list_objects_v2(Bucket=bucket)) == []


def test_an_upload_in_parts_that_must_be_the_first_is_refused_the_second_time(s3, bucket):
    s3.complete_multipart_upload(**upload(s3, bucket, b"first"), IfNoneMatch="*")
    refused = refusal(
        s3.complete_multipart_upload, **upload(s3, bucket, b"second"), IfNoneMatch="*"
    )
    assert refused == (412, "PreconditionFailed")
    assert read(s3, bucket) == b"first"


def refuses_checksum(s3, bucket, **checksum):
    refused = refusal(s3.put_object, Bucket=bucket, Key=KEY, Body=BODY, **checksum)
    return refused == (400, "BadDigest") and keys(s3.list_objects_v2(Bucket=bucket)) == []


def test_a_body_with_the_wrong_md5_is_refused(s3, bucket):
    assert refuses_checksum(s3, bucket, ContentMD5=base64_of(md5_of(b"other").digest()))


def test_a_body_with_the_wrong_sha_256_is_refused(s3, bucket):
    wrong = base64_of(hashlib.sha256(b"other").digest())
    assert refuses_checksum(s3, bucket, ChecksumSHA256=wrong)


def test_a_body_with_the_wrong_crc_32_is_refused(s3, bucket):
    wrong = base64_of(zlib.crc32(b"other").to_bytes(4))
    assert refuses_checksum(s3, bucket, ChecksumCRC32=wrong)


def test_the_right_checksums_are_taken(s3, bucket):
    s3.put_object(Bucket=bucket, Key=KEY, Body=BODY, ContentMD5=base64_of(md5_of(BODY).digest()))
    right = base64_of(hashlib.sha256(BODY).digest())
    s3.put_object(Bucket=bucket, Key=KEY, Body=BODY, ChecksumSHA256=right)
    right = base64_of(zlib.crc32(BODY).to_bytes(4))
    s3.put_object(Bucket=bucket, Key=KEY, Body=BODY, ChecksumCRC32=right)
    assert read(s3, bucket) == BODY


def test_every_version_can_be_read(s3, versioned):
    bodies = [b"one", b"two", b"three"]
    versions = [s3.put_object(Bucket=versioned, Key=KEY, Body=body)["VersionId"] for body in bodies]
    assert [read(s3, versioned, VersionId=version) for version in versions] == bodies
    head = s3.head_object(Bucket=versioned, Key=KEY)
    assert (head["VersionId"], head["ContentLength"]) == (versions[-1], len(bodies[-1]))
    listed = s3.list_object_versions(Bucket=versioned, Prefix=KEY)["Versions"]
    assert [one["VersionId"] for one in listed] == versions[::-1]
    assert [one["IsLatest"] for one in listed] == [True, False, False]


def test_a_deleted_object_comes_back_without_its_delete_marker(s3, versioned):
    version = s3.put_object(Bucket=versioned, Key=KEY, Body=BODY)["VersionId"]
    marker = s3.delete_object(Bucket=versioned, Key=KEY)
    assert marker["DeleteMarker"]
    assert refusal(s3.get_object, Bucket=versioned, Key=KEY) == (404, "NoSuchKey")
    assert read(s3, versioned, VersionId=version) == BODY
    s3.delete_object(Bucket=versioned, Key=KEY, VersionId=marker["VersionId"])
    assert read(s3, versioned) == BODY


def test_several_objects_are_deleted_at_once(s3, bucket):
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"{number} +%", Body=b"")
    wanted = [{"Key": key} for key in ("0 +%", "1 +%", "never was")]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
    assert "Errors" not in answer
    assert keys(s3.list_objects_v2(Bucket=bucket)) == ["2 +%"]


def pages(s3, bucket, **more):
    return list(s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **more))


def test_a_listing_goes_over_pages_in_the_order_of_the_keys_bytes(s3, bucket):
    put = ["in/b", "in/a b", "in/a/1", "in/a-1", "in/Z", "in/é", "in/ü", "in/a", "out"]
    for key in put:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    found = pages(s3, bucket, Prefix="in/", PaginationConfig={"PageSize": 3})
    assert [len(keys(page)) for page in found] == [3, 3, 2]
    assert [key for page in found for key in keys(page)] == sorted(put[:-1], key=str.encode)
    assert [page["IsTruncated"] for page in found] == [True, True, False]


def test_a_listing_gives_sizes_etags_and_times(s3, stored):
    (entry,) = s3.list_objects_v2(Bucket=stored)["Contents"]
    head = s3.head_object(Bucket=stored, Key=KEY)
    assert entry["Key"] == KEY
    assert entry["Size"] == len(BODY)
    assert entry["ETag"] == head["ETag"]
    assert entry["LastModified"].replace(microsecond=0) == head["LastModified"]


def test_a_listing_starts_after_a_key_and_goes_on_over_pages(s3, bucket):
    put = [f"{number:02d}" for number in range(10)]
    for key in put:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    found = pages(s3, bucket, StartAfter="03", PaginationConfig={"PageSize": 4})
    assert [keys(page) for page in found] == [put[4:8], put[8:]]
    found = pages(s3, bucket, StartAfter="03 is not there", PaginationConfig={"PageSize": 4})
    assert [key for page in found for key in keys(page)] == put[4:]
