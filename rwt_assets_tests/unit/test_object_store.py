import io

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from rwt_assets.resources.s3_objects import S3Objects


@pytest.fixture
def client(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    return boto3.client("s3", region_name="eu-central-1")


def test_an_object_that_could_not_be_deleted_is_an_error_although_the_request_succeeds(client):
    with Stubber(client) as stub:
        refused = {"Key": "b", "Code": "AccessDenied", "Message": "Access Denied"}
        stub.add_response("delete_objects", {"Errors": [refused]})
        with pytest.raises(ClientError, match=r"AccessDenied.*Access Denied \(object b\)"):
            S3Objects(client).delete("bucket", ["a", "b"])


def test_nothing_is_asked_for_no_keys(client):
    with Stubber(client):
        S3Objects(client).delete("bucket", [])


@pytest.mark.parametrize(("more", "parts"), [(0, [5]), (1, [5, 1])])
def test_a_file_of_exactly_one_part_goes_up_as_one(client, monkeypatch, more, parts):
    monkeypatch.setattr("rwt_assets.resources.s3_objects.MULTIPART_BYTES", 5)
    of_upload = {"Bucket": "bucket", "Key": "key", "UploadId": "u"}
    done = [{"PartNumber": number + 1, "ETag": f'"{size}"'} for number, size in enumerate(parts)]
    with Stubber(client) as stub:
        stub.add_response("create_multipart_upload", {"UploadId": "u"})
        for number, size in enumerate(parts):
            body = {"PartNumber": number + 1, "Body": b"x" * size}
            stub.add_response("upload_part", {"ETag": f'"{size}"'}, of_upload | body)
        together = of_upload | {"MultipartUpload": {"Parts": done}, "IfNoneMatch": "*"}
        stub.add_response("complete_multipart_upload", {"ETag": '"whole"'}, together)
        file = io.BytesIO(b"x" * (5 + more))
        assert S3Objects(client).put_if("bucket", "key", file, etag="") == "whole"
        stub.assert_no_pending_responses()
