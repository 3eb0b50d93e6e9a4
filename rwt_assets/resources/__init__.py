"""Connections to S3 and SQS, and the secrets of a feed.

Dagster documentation: "Resources".
"""

from rwt_assets.resources.account_access import (
    caller_account,
    client_of,
    external_id,
    one_account,
    queue_named,
    session_of,
)
from rwt_assets.resources.object_store import (
    ObjectStoreResource,
    S3ObjectStoreResource,
    connect_objects,
    page_of,
)
from rwt_assets.resources.queue import (
    QueueResource,
    SqsQueue,
    SqsQueueResource,
    connect_queue,
)
from rwt_assets.resources.s3_objects import missing
from rwt_assets.resources.secrets import EnvironmentSecretsResource, SecretsResource, read_secret

__all__ = [
    "EnvironmentSecretsResource",
    "ObjectStoreResource",
    "QueueResource",
    "S3ObjectStoreResource",
    "SecretsResource",
    "SqsQueue",
    "SqsQueueResource",
    "caller_account",
    "client_of",
    "connect_objects",
    "connect_queue",
    "external_id",
    "missing",
    "one_account",
    "page_of",
    "queue_named",
    "read_secret",
    "session_of",
]
