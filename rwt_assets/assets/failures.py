"""Failures that explain themselves, in the run, in its tags and in `rwt status`.

Dagster documentation: "Op retries" (`Failure(allow_retries=False)`), "Run tags".
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from rwt_assets.errors import RwtError
from rwt_assets.feed_graph import REASON_TAG, TERMINAL_TAG

REASON_LENGTH = 1_000


@contextmanager
def explained(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Turn an error into a failure of the run whose reason stands in the run's tags.

    An error that is the same each time (`RwtError.terminal`) is not tried again.
    """
    try:
        yield
    except RwtError as error:
        tags = {REASON_TAG: str(error)[:REASON_LENGTH]}
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
        reason = f"{type(error).__name__}: {error}"[:REASON_LENGTH]
        context.instance.add_run_tags(context.run.run_id, {REASON_TAG: reason})
        raise
