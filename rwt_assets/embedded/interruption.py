"""Runs that a stop or a crash of the embedded stack cut short.

What belongs here: telling Dagster about them. All runs of the stack are processes of this
machine, so what is under way in the catalog while the stack is down is not under way at all.
A run launcher that can look after its runs (Kubernetes, ECS, Celery) does this by itself
(Dagster documentation: "Run monitoring").
"""

import dagster as dg

from rwt_assets.runtime import INTERRUPTED_TAG

UNDER_WAY = (
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def mark_interrupted(instance: dg.DagsterInstance) -> int:
    """Mark the runs under way, before they are ended; how many there are.

    An interrupted run is no failed attempt: the dispatch sensor asks for its step again.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)))
    for run in runs:
        instance.add_run_tags(run.run_id, {INTERRUPTED_TAG: "true"})
    return len(runs)


def fail_interrupted(instance: dg.DagsterInstance) -> int:
    """Close the runs that are under way in the catalog and have no process; how many."""
    runs = instance.get_runs(dg.RunsFilter(statuses=list(UNDER_WAY)))
    for run in runs:
        instance.add_run_tags(run.run_id, {INTERRUPTED_TAG: "true"})
        instance.report_run_failed(
            run, "The process of this run ended with the stack. Its step is asked for again."
        )
    return len(runs)
