"""Failures that explain themselves, in the run, in its tags and in `rwt status`.

Dagster documentation: "Op retries" (`Failure(allow_retries=False)`), "Run tags".
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NoConnectionError

from rwt_assets.catalog import FeedCatalog
from rwt_assets.errors import RwtError, ShardDamagedError
from rwt_assets.feed_graph import DAMAGE_TAG, OUTAGE_TAG, REASON_TAG, TERMINAL_TAG

REASON_LENGTH = 1_000
SERVER_ERROR = 500
OVERLOADED = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling"}


@contextmanager
def explained(context: dg.AssetExecutionContext, catalog: FeedCatalog) -> Iterator[None]:
    """Turn an error into a failure of the run whose reason stands in the run's tags.

    An error that is the same each time (`RwtError.terminal`) is not tried again. Where shards are
    damaged, a split of their archive is asked for.
    """
    try:
        yield
    except RwtError as error:
        if isinstance(error, ShardDamagedError) and error.archive:
            catalog.ask_split_again(error.archive, error.what)
        tags = {REASON_TAG: str(error)[:REASON_LENGTH]}
        if isinstance(error, ShardDamagedError):
            tags[DAMAGE_TAG] = "true"
        if error.terminal:
            tags[TERMINAL_TAG] = "true"
        context.instance.add_run_tags(context.run.run_id, tags)
        raise dg.Failure(
            description=str(error),
            metadata={
                "what": error.what,
                "where": error.where,
                "what happened to the data": error.fate,
                "what to do": error.remedy,
            },
            allow_retries=not error.terminal,
        ) from error
    except Exception as error:
        tags = {REASON_TAG: f"{type(error).__name__}: {error}"[:REASON_LENGTH]}
        if is_outage(error):
            tags[OUTAGE_TAG] = "true"
        context.instance.add_run_tags(context.run.run_id, tags)
        raise


def is_outage(error: Exception) -> bool:
    """Whether the endpoint failed, which says nothing about the data.

    It did not answer, or it answered that the fault is its own (Amazon S3 API Reference: "Error
    responses"), and still did after boto3's own retries.
    """
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        return status >= SERVER_ERROR or code in OVERLOADED
    return isinstance(error, HTTPClientError | NoConnectionError | IncompleteReadError)
