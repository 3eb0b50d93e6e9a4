"""Celery's run launcher, which also sees that a run has lost its worker.

What belongs here: telling run monitoring how a run's worker is. What does not: launching, ending
and everything else, which is Celery's and dagster-celery's. Dagster documentation: "Run
monitoring", "Using Celery with Dagster". Celery documentation: "Tasks" (`acks_late`,
`reject_on_worker_lost`).

The broker keeps a task until its worker acknowledges it, which is when the run has ended
(`docs/deploy/celery/dagster_celery_config.py`). If the worker is lost, another gets the task; but
Dagster ignores a run that starts for the second time while run monitoring is on, so the second
task ends well at once. dagster-celery's launcher then reports success for a run that stays
"started" for ever: that a task has ended while its run has not is what is told apart here.
A broker that was away also hands tasks out again; a run that then counts as failed, and goes on
all the same, writes what its successor writes.

Needs the packages of the extra `cluster`.
"""

import dagster as dg

from rwt_assets.runtime import from_extra

with from_extra("cluster", "the run launcher of a cluster"):
    from dagster_celery.launcher import CeleryRunLauncher

from rwt_assets.dagster_internals.launching import CheckRunHealthResult, WorkerStatus


class WatchfulCeleryRunLauncher(CeleryRunLauncher):
    """dagster-celery's launcher; a run whose task has ended without it has failed."""

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """How the worker of a run is that Dagster takes for started.

        Run monitoring asks again whether the run has ended meanwhile before it acts on this.
        """
        health = super().check_run_worker_health(run)
        if health.status is WorkerStatus.SUCCESS:
            return CheckRunHealthResult(
                WorkerStatus.FAILED,
                "Its worker was lost in the middle of it, or the broker was: it gave the task to"
                " another worker, which left the run alone. What is missing is asked for again.",
            )
        return health
