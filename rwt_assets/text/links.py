"""Where a person looks at an object or a partition.

What belongs here: addresses. What does not: who shows them. An object on AWS has its page in
the console (Amazon S3 User Guide: "Viewing object properties"); on another server it has its
plain address, not a presigned one, since a presigned address carries a credential and events are
kept. Addresses of the UI begin at its root, so they hold on whatever host it runs.
"""

from typing import Final
from urllib.parse import quote, urlencode

CONSOLE: Final = "https://console.aws.amazon.com/s3/object/"


def object_page(bucket: str, key: str, *, endpoint: str = "") -> str:
    """The address at which a browser shows an object.

    Args:
        bucket: its bucket.
        key: its key, as it is.
        endpoint: of a server that is not AWS; empty for AWS.
    """
    if endpoint:
        return f"{endpoint.rstrip('/')}/{bucket}/{quote(key, errors='surrogatepass')}"
    return f"{CONSOLE}{bucket}?{urlencode({'prefix': key}, errors='surrogatepass')}"


def partition_page(asset: tuple[str, ...], partition_key: str) -> str:
    """The address of a partition's page in the Dagster UI, from the UI's root.

    Args:
        asset: parts of the asset key.
        partition_key: of the partition.
    """
    path = "/".join(quote(part, safe="") for part in asset)
    asked = {"view": "partitions", "partition": partition_key}
    return f"/assets/{path}?{urlencode(asked, errors='surrogatepass')}"
