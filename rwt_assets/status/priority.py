"""Which archive goes first: small ones before giant ones, and no giant one never.

What belongs here: numbers made from an archive's bytes. What does not: asking for runs
(`dispatch.py`) and the queue they wait in, which is Dagster's. Dagster documentation:
"Customizing run queue priority" (tag `dagster/priority`: larger first, 0 without the tag),
"Dagster Celery" (tag `dagster-celery/run_priority`); RabbitMQ documentation: "Classic Queues
Support Priorities" (0 to 10 in the queue that Dagster declares; larger first, 0 without).

An archive of 5 GB works for minutes, one of 1 MB for a second. In the order of arrival a person
who sends the small one waits for the giant. So each run says by its priority how large its archive
is, and the run queue takes the smaller ones first. That alone would starve the giant: as long as
small ones come quickly enough, there is always one before it. Two rules of dispatch keep both
going:

- **Places.** Of the archives that have a run under way, larger ones may be so many only
  (`places_for`), so a smaller one always finds a place in the run queue. Dispatch goes by arrival:
  a small one that came later takes no place from a giant that came before.
- **Patience.** A run that has not begun after `patience_seconds` holds back what is smaller:
  dispatch asks for none of it until the run has begun. What was asked for before goes first, at
  most one step of as many archives as have a place; nothing is added. So a giant waits for its
  patience, and for those. It holds nothing back while one of its runs is at work: an archive of
  many ranges of shards gets one turn after the other, with small ones in between.

This holds on a broker too, since there a run has been launched and has not begun. Priorities never
stop a run that has begun: a pool that is full of giants stays full until one ends. Only a pool of
its own (`pool` of the feed) keeps room for what must not wait for that.
"""

from typing import Final

SMALL_BYTES: Final = 16 * 2**20
FACTOR: Final = 4
LOWEST: Final = -5  # more than 4 GiB
PATIENCE_SECONDS: Final = 900.0
PLACES: Final = 10  # tenths
CELERY_HIGHEST: Final = 10


def run_priority(archive_bytes: int) -> int:
    """The value of `dagster/priority` for the runs of an archive.

    Args:
        archive_bytes: of the ZIP; 0 if unknown, which counts as small.

    Returns:
        0 up to 16 MiB, one less for each further factor of four, -5 above 4 GiB. Never above 0, so
        that a run without the tag, such as a person's backfill, waits for small archives no longer
        than in the order of arrival.
    """
    priority, bound = 0, SMALL_BYTES
    while archive_bytes > bound and priority > LOWEST:
        priority, bound = priority - 1, bound * FACTOR
    return priority


def celery_priority(priority: int) -> int:
    """The value of `dagster-celery/run_priority` for a run priority: 10 for 0, 0 for -5.

    RabbitMQ takes no number below 0, and reads a run without the tag as 0.
    """
    return max(0, min(CELERY_HIGHEST, CELERY_HIGHEST + 2 * priority))


def places_for(priority: int, at_most: int) -> int:
    """How many archives of this priority and lower ones may have a run under way or waiting.

    Args:
        priority: as `run_priority` says.
        at_most: how many archives of any size may.

    Returns:
        All for 0, a tenth less for each step down, so half for the largest; at least one.
    """
    return max(1, at_most * (PLACES + priority) // PLACES)


def patience_seconds(priority: int) -> float:
    """How long a run waits before smaller archives are held back for it.

    A quarter of an hour for each step down: who takes longer can be expected to wait longer. For 0
    there is no smaller one.
    """
    return -priority * PATIENCE_SECONDS
