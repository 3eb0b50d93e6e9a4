"""Who gets which object store.

What belongs here: the resources. What does not: the requests (`s3_objects.py`).
Dagster documentation: "External resources", "Testing assets" (resources in tests).
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from threading import Lock
from typing import Final

import boto3
import dagster as dg
from botocore.config import Config
from dagster_aws.s3 import S3Resource
from pydantic import PrivateAttr

from rwt_assets.feed import Access, Feed, accesses
from rwt_assets.resources.account_access import one_account, pay, role_session
from rwt_assets.resources.quick_s3_objects import QuickS3Objects
from rwt_assets.resources.routed_objects import RoutedObjects
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets.storage import ObjectStore
from rwt_assets.text import object_page

# With others of its settings, the credentials are not those of a plain session.
PLAIN_SETTINGS: Final = {"max_attempts", "region_name", "endpoint_url", "profile_name"}
KEYS: Final = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
_CONNECTING = Lock()


def connect_objects(*feeds: Feed) -> ObjectStore:
    """An object store from the environment's credentials, region and endpoint.

    Args:
        feeds: whose places are reached in the way that they say, by a role for example.
    """
    s3 = S3Resource(max_attempts=5)
    return _routed(s3, _objects_of(s3), accesses(*feeds))


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
    if not _is_plain(s3):
        return S3Objects(client)
    return QuickS3Objects(client, boto3.Session(profile_name=s3.profile_name))


def _is_plain(s3: S3Resource, beside: Collection[str] = ()) -> bool:
    """Whether the quick client can do what this one can; `beside` names settings it is given."""
    return all(
        getattr(s3, name) == field.default
        for name, field in type(s3).model_fields.items()
        if name not in PLAIN_SETTINGS and name not in beside
    )


def _routed(s3: S3Resource, plain: ObjectStore, ways: Sequence[Access]) -> ObjectStore:
    """The store for keys that are reached in different ways; the plain one if there are none."""
    return RoutedObjects(plain, [(one, _objects_at(s3, one)) for one in ways]) if ways else plain


def _objects_at(s3: S3Resource, access: Access) -> S3Objects:
    """The store for one place, with all settings of the client but its credentials."""
    role = None if one_account() else access.role
    if role is None:
        client, session = s3.get_client(), boto3.Session(profile_name=s3.profile_name)
        quick = _is_plain(s3)
    else:
        given = {name: getattr(s3, name) for name in KEYS if getattr(s3, name) is not None}
        session = role_session(
            role, access.session_name, profile=s3.profile_name, region_name=s3.region_name, **given
        )
        client = session.client(
            "s3",
            region_name=s3.region_name,
            use_ssl=s3.use_ssl,
            verify=s3.verify,
            endpoint_url=s3.endpoint_url,
            config=Config(retries={"max_attempts": s3.max_attempts, "mode": "standard"}),
        )
        quick = _is_plain(s3, beside=KEYS)
    if access.requester_pays:
        pay(client)
    if not quick:
        return S3Objects(client)
    return QuickS3Objects(client, session, requester_pays=access.requester_pays)


class ObjectStoreResource(dg.ConfigurableResource, ABC):  # type: ignore[type-arg]
    """Gives assets and sensors their object store; tests put an in-memory one in its place."""

    @abstractmethod
    def objects(self) -> ObjectStore:
        """The object store."""

    def objects_at(self, ways: Sequence[Access]) -> ObjectStore:  # noqa: ARG002
        """The object store by which places of a feed are reached in the way that it says.

        Args:
            ways: `accesses(feed)`. A store that knows no roles leaves them out.
        """
        return self.objects()


class S3ObjectStoreResource(ObjectStoreResource):
    """The object store on S3. Credentials are not settings: they come from the environment."""

    s3: dg.ResourceDependency[S3Resource]
    _objects: S3Objects | None = PrivateAttr(default=None)
    _stores: dict[tuple[Access, ...], ObjectStore] = PrivateAttr(default_factory=dict)

    def objects(self) -> ObjectStore:
        """An object store over one client, which threads share."""
        with _CONNECTING:  # boto3's default session is not safe to use from several threads
            if self._objects is None:
                self._objects = _objects_of(self.s3)
            return self._objects

    def objects_at(self, ways: Sequence[Access]) -> ObjectStore:
        """One store for each set of ways, which threads share."""
        plain, key = self.objects(), tuple(ways)
        with _CONNECTING:
            if key not in self._stores:
                self._stores[key] = _routed(self.s3, plain, key)
            return self._stores[key]
