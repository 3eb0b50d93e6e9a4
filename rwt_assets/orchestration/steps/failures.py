"""Failures that explain themselves, in the run, in its tags and in `rwt status`.

Dagster documentation: "Op retries" (`Failure(allow_retries=False)`), "Run tags".
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as NoConnectionError

from rwt_assets.catalog import FeedCatalog
from rwt_assets.runtime import (
    DAMAGE_TAG,
    OUTAGE_TAG,
    REASON_TAG,
    RETRY_FAILURE_TAG,
    TERMINAL_TAG,
    RwtError,
    ShardDamagedError,
    is_shortage,
)
from rwt_assets.text import is_fit, told, told_in_full, traceback_of, visible

REASON_LENGTH = 1_000
SERVER_ERROR = 500
NO_ROOM = (
    "the machine of the run has no room, files or memory left: {}. No attempt is counted, the step "
    "is tried again; look at its memory and at the folder of TMPDIR"
)
OVERLOADED = {"SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "Throttling"}


@contextmanager
def explained(context: dg.AssetExecutionContext, catalog: FeedCatalog) -> Iterator[None]:
    """Turn an error into a failure of the run whose reason stands in the run's tags.

    An error that is the same each time (`RwtError.terminal`) is not tried again, nor does Dagster
    repeat its run, whatever `dagster/max_retries` says, as that of automation does. Where shards
    are damaged, a split of their archive is asked for. An outage is that whatever error of ours it
    was wrapped in, such as that of an own enrichment which found the disk full.
    """
    try:
        yield
    except RwtError as error:
        if is_shortage(error):
            context.instance.add_run_tags(context.run.run_id, outage_tags(error))
            if not is_fit(error):
                raise _fit_failure(error) from None
            raise
        if isinstance(error, ShardDamagedError) and error.archive:
            catalog.ask_split_again(error.archive, error.what)
        tags = {REASON_TAG: str(error)[:REASON_LENGTH]}
        if isinstance(error, ShardDamagedError):
            tags[DAMAGE_TAG] = "true"
        if error.terminal:
            tags |= {TERMINAL_TAG: "true", RETRY_FAILURE_TAG: "false"}
        context.instance.add_run_tags(context.run.run_id, tags)
        raise dg.Failure(
            description=visible(error),
            metadata={
                "what": error.what,
                "where": error.where,
                "what happened to the data": error.effect,
                "what to do": error.fix,
                **_unfit(error),
            },
            allow_retries=not error.terminal,
        ) from (error if is_fit(error) else None)
    except Exception as error:
        tags = {REASON_TAG: told(error)[:REASON_LENGTH]}
        if is_outage(error):
            tags = outage_tags(error)
        context.instance.add_run_tags(context.run.run_id, tags)
        if not is_fit(error):
            raise _fit_failure(error) from None
        raise


@contextmanager
def fit_errors() -> Iterator[None]:
    """An error that quotes what would act in a log becomes a failure that tells it.

    For what runs outside `explained`: sensors, jobs, and the reads of an IO manager. Dagster's
    daemon writes the errors of sensors into a log of its own.
    """
    try:
        yield
    except Exception as error:
        if is_fit(error):
            raise
        raise dg.Failure(description=told_in_full(error)) from None


def _fit_failure(error: Exception) -> dg.Failure:
    return dg.Failure(description=told(error), metadata=_unfit(error))


def _unfit(error: Exception) -> dict[str, str]:
    """The traceback as metadata, where Dagster may not have the error itself."""
    return {} if is_fit(error) else {"traceback": traceback_of(error)}


def outage_tags(error: Exception) -> dict[str, str]:
    """The tags of a run that failed with what it runs on."""
    reason = NO_ROOM.format(told(error)) if is_shortage(error) else told(error)
    return {REASON_TAG: reason[:REASON_LENGTH], OUTAGE_TAG: "true"}


def is_outage(error: Exception) -> bool:
    """Whether the endpoint or the machine failed, which says nothing about the data.

    It did not answer, or it answered that the fault is its own (Amazon S3 API Reference: "Error
    responses"), and still did after boto3's own retries; or the machine ran short of something.
    """
    if is_shortage(error):
        return True
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = error.response.get("Error", {}).get("Code", "")
        return status >= SERVER_ERROR or code in OVERLOADED
    return isinstance(error, HTTPClientError | NoConnectionError | IncompleteReadError)
