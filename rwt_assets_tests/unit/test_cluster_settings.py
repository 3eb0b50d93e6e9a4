"""The settings of a cluster agree with one another, and its launcher tells of a lost worker.

Not covered here: that they work together, which `make cluster` shows.
"""

import re
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.launcher import WorkerStatus
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from rwt_assets.cluster.run_launcher import WatchfulCeleryRunLauncher

SETTINGS = Path(__file__).parents[2] / "docs" / "deploy" / "celery"


@pytest.fixture
def launcher():
    return WatchfulCeleryRunLauncher(
        default_queue="dagster", broker="memory://", backend="cache+memory://"
    )


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("STARTED", WorkerStatus.RUNNING),
        ("FAILURE", WorkerStatus.FAILED),
        ("SUCCESS", WorkerStatus.FAILED),
        ("PENDING", WorkerStatus.UNKNOWN),
    ],
)
def test_a_run_that_outlives_its_task_has_lost_its_worker(launcher, state, status):
    task = f"a task that is {state}"
    launcher.celery.backend.store_result(task, 0, state)
    run = dg.DagsterRun(
        job_name="enrich",
        status=dg.DagsterRunStatus.STARTED,
        tags={DAGSTER_CELERY_TASK_ID_TAG: task},
    )
    assert launcher.check_run_worker_health(run).status is status


def test_the_broker_leaves_a_task_to_its_worker_for_longer_than_a_run_may_take():
    broker = (SETTINGS / "rabbitmq.conf").read_text()
    milliseconds = int(re.search(r"^consumer_timeout = (\d+)$", broker, re.MULTILINE)[1])
    settings = yaml.safe_load((SETTINGS / "dagster.yaml").read_text())
    assert milliseconds / 1000 > settings["run_monitoring"]["max_runtime_seconds"]


def test_runs_wait_for_a_worker_in_dagster_and_not_in_the_broker():
    concurrency = yaml.safe_load((SETTINGS / "dagster.yaml").read_text())["concurrency"]
    assert concurrency["pools"]["default_limit"] == concurrency["runs"]["max_concurrent_runs"]
