"""Who gets which object store.

What belongs here: the resources. What does not: the requests (`resources/s3_objects.py`).
Dagster documentation: "External resources", "Testing assets" (resources in tests).
"""

import os
from abc import ABC, abstractmethod
from threading import Lock
from typing import Final

import boto3
import dagster as dg
from dagster_aws.s3 import S3Resource
from pydantic import PrivateAttr

from rwt_assets.links import object_page
from rwt_assets.object_store import ObjectStore
from rwt_assets.resources.quick_s3_objects import QuickS3Objects
from rwt_assets.resources.s3_objects import S3Objects

# With others of its settings, the credentials are not those of a plain session.
PLAIN_SETTINGS: Final = {"max_attempts", "region_name", "endpoint_url", "profile_name"}
_CONNECTING = Lock()


def connect_objects() -> S3Objects:
    """An object store from the environment's credentials, region and endpoint."""
    return _objects_of(S3Resource(max_attempts=5))


def page_of(uri: str) -> str:
    """The address at which a browser shows the object of a URI, on the endpoint in use.

    The endpoint is that of the AWS SDKs' settings (AWS SDKs and Tools Reference Guide:
    "Service-specific endpoints").
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    settings = os.environ
    endpoint = settings.get("AWS_ENDPOINT_URL_S3") or settings.get("AWS_ENDPOINT_URL") or ""
    return object_page(bucket, key, endpoint=endpoint)


def _objects_of(s3: S3Resource) -> S3Objects:
    """The store that this client's settings make; the quick one if they are plain."""
    client = s3.get_client()
    fields = type(s3).model_fields
    plain = all(
        getattr(s3, name) == field.default
        for name, field in fields.items()
        if name not in PLAIN_SETTINGS
    )
    if not plain:
        return S3Objects(client)
    return QuickS3Objects(client, boto3.Session(profile_name=s3.profile_name))


class ObjectStoreResource(dg.ConfigurableResource, ABC):  # type: ignore[type-arg]
    """Gives assets and sensors their object store; tests put an in-memory one in its place."""

    @abstractmethod
    def objects(self) -> ObjectStore:
        """The object store."""


class S3ObjectStoreResource(ObjectStoreResource):
    """The object store on S3. Credentials are not settings: they come from the environment."""

    s3: dg.ResourceDependency[S3Resource]
    _objects: S3Objects | None = PrivateAttr(default=None)

    def objects(self) -> ObjectStore:
        """An object store over one client, which threads share."""
        with _CONNECTING:  # boto3's default session is not safe to use from several threads
            if self._objects is None:
                self._objects = _objects_of(self.s3)
            return self._objects
