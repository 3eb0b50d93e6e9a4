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
