"""The cluster, started with the settings of `docs/deploy/celery/`, and what tests ask of it.

What belongs here: which processes there are, in which order, and ending, cutting off and starting
them again. What does not: the servers (`servers.py`), the network (`network.py`), and what is
tried (`experiments.py`).

    PostgreSQL, RabbitMQ, S3 and SQS      a server each
    code server, webserver, daemon        one DAGSTER_HOME each, on loopback
    worker-1, worker-2, ...               a namespace, a DAGSTER_HOME and a work folder each

Dagster documentation: "Dagster OSS deployment architecture", "Using Celery with Dagster".
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import boto3
import dagster as dg
from botocore.config import Config

from rwt_assets.aws.provisioning import provision
from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.definitions import declared_feeds
from rwt_assets.embedded.processes import (
    LOOPBACK,
    STACK_VARIABLE,
    ChildProcess,
    choose_port,
    end_leftovers,
    listens,
)
from rwt_assets.embedded.server import EmbeddedServer, local_environment
from rwt_assets.graph.reporting import REPORTED_TOGETHER
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets.runtime.project import PROJECT_VARIABLE, current_project
from rwt_assets_tests.cluster.network import Network, network_for
from rwt_assets_tests.cluster.servers import SETTINGS, PostgreSQL, RabbitMQ
from rwt_assets_tests.declared import declared_feed
from rwt_assets_tests.end_to_end.faulty_proxy import FaultyProxy

if TYPE_CHECKING:
    from rwt_assets.feed.feed import Feed

START_SECONDS = 120.0
STOP_SECONDS = 20.0
LOG_BUCKET = "rwt-logs"
T = TypeVar("T")


class RunningCluster:
    """Everything, in one state folder; a context manager.

    Args:
        state: a folder that does not exist yet; users of PostgreSQL and RabbitMQ must reach it.
        workers: how many.
        tell: gets a line for each thing that was started.
        failing_endpoint: S3 and SQS stand behind `proxy`, whose requests can be made to fail.
    """

    def __init__(
        self,
        state: Path,
        *,
        workers: int = 3,
        tell: Callable[[str], None] = print,
        failing_endpoint: bool = False,
    ) -> None:
        self.state = state
        self.feeds: tuple[Feed, ...] = declared_feeds()
        self.feed = declared_feed("gtfs")
        self.network: Network = network_for(workers)
        self.proxy: FaultyProxy | None = None
        self._failing_endpoint = failing_endpoint
        self._worker_count = workers
        self._tell = tell
        self._stack = ExitStack()
        self._environment: dict[str, str] = {}
        self.workers: dict[int, ChildProcess] = {}

    def __enter__(self) -> Self:
        self.state.mkdir(mode=0o755, parents=True)
        self._stack.callback(end_leftovers, self.state)
        try:
            self._stack.enter_context(self.network)
            self._start_servers()
            self._start_dagster()
            for number in range(1, self._worker_count + 1):
                self._make_worker(number)
                self.start_worker(number)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def ui_url(self) -> str:
        """Of the webserver."""
        return f"http://{LOOPBACK}:{self._ui_port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """In which `rwt` works on the cluster."""
        return self._environment

    def start_worker(self, number: int) -> None:
        """Start a worker, for the first time or again."""
        self.workers[number].start()

    def kill_worker(self, number: int) -> None:
        """End a worker and the runs in it, without a warning."""
        self.workers[number].kill()

    def worker_of(self, run_id: str) -> int:
        """The worker that carries out a run, by its log; 0 if none does."""
        for number, worker in self.workers.items():
            log = self.state / "logs" / f"worker-{number}.log"
            if worker.alive and run_id in log.read_text(errors="replace"):
                return number
        return 0

    def _start_servers(self) -> None:
        address = self.network.servers
        self.postgresql = PostgreSQL(self.state / "postgresql", host=address, owner=self.state)
        self.broker = RabbitMQ(self.state / "rabbitmq", host=address, owner=self.state)
        self.endpoint = EmbeddedServer(
            log=self.state / "logs" / "endpoint.log",
            state=self.state / "endpoint",
            owner=self.state,
            host=LOOPBACK if self._failing_endpoint else self.network.endpoint,
        )
        for name, server in (
            ("PostgreSQL", self.postgresql),
            ("RabbitMQ", self.broker),
            ("S3 and SQS", self.endpoint),
        ):
            self._stack.callback(server.stop)
            server.start()
            self._tell(f"{name} runs.")
        self.endpoint_url = self.endpoint.endpoint_url
        if self._failing_endpoint:
            self.proxy = FaultyProxy(
                self.endpoint.port, error_share=0.0, host=self.network.endpoint
            )
            self._stack.enter_context(self.proxy)
            self.endpoint_url = self.proxy.url
        self._environment = self._common_environment()
        self.objects = S3Objects(self._client("s3"))
        self._client("s3").create_bucket(Bucket=LOG_BUCKET)
        self._provision()

    def _provision(self) -> None:
        outside = dict(os.environ)
        os.environ.update(self._environment)
        try:
            for feed in self.feeds:
                provision(feed)
        finally:
            os.environ.clear()
            os.environ.update(outside)

    def _common_environment(self) -> dict[str, str]:
        inherited = ("PATH", "LANG", "VIRTUAL_ENV")
        project = current_project()
        self._code_port, self._ui_port = choose_port(0), choose_port(0)
        return {
            **{name: os.environ[name] for name in inherited if name in os.environ},
            **local_environment(self.endpoint_url, {}),
            STACK_VARIABLE: str(self.state),
            PROJECT_VARIABLE: str(project.folder),
            "RWT_STORAGE_URL": self.postgresql.url,
            "RWT_BROKER_URL": self.broker.url,
            "RWT_RESULTS_URL": f"db+{self.postgresql.url}",
            "RWT_LOG_BUCKET": LOG_BUCKET,
            "RWT_CODE_HOST": LOOPBACK,
            "RWT_CODE_PORT": str(self._code_port),
            "DAGSTER_EVENT_BATCH_SIZE": str(REPORTED_TOGETHER),
            "DAGSTER_HOME": str(self._home("control")),
            "HOME": str(self.state),
            "TMPDIR": str(self._temporary("control")),
            "PYTHONUNBUFFERED": "1",
        }

    def _temporary(self, owner: str) -> Path:
        folder = self.state / owner / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _home(self, owner: str) -> Path:
        """A DAGSTER_HOME with the settings of the deployment."""
        home = self.state / owner / "dagster"
        home.mkdir(parents=True, exist_ok=True)
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(SETTINGS / name, home)
        return home

    def _start_dagster(self) -> None:
        module = current_project().definitions_module
        workspace = ["-w", str(SETTINGS / "workspace.yaml")]
        self.code_server = self._process(
            "code-server",
            ["dagster", "code-server", "start", "-m", module, "-h", LOOPBACK],
            ["-p", str(self._code_port), "--use-python-environment-entry-point"],
        )
        self.daemon = self._process("daemon", ["dagster._daemon", "run"], workspace)
        self.webserver = self._process(
            "webserver",
            ["dagster_webserver", "-h", LOOPBACK, "-p", str(self._ui_port)],
            workspace,
        )
        self.code_server.start()
        self.code_server.wait_until(lambda: listens(self._code_port), seconds=START_SECONDS)
        # The first to open the instance makes the tables, so it must be one.
        with self.instance():
            pass
        self.daemon.start()
        self.webserver.start()
        self.webserver.wait_until(lambda: listens(self._ui_port), seconds=START_SECONDS)
        self._tell(f"Code server, daemon and webserver run; the UI is at {self.ui_url}")

    def _process(self, name: str, module: list[str], arguments: list[str]) -> ChildProcess:
        environment = self._environment | {"DAGSTER_HOME": str(self._home(name))}
        child = ChildProcess(
            name,
            [sys.executable, "-m", *module, *arguments],
            environment=environment,
            log=self.state / "logs" / f"{name}.log",
        )
        self._stack.callback(child.stop, seconds=STOP_SECONDS)
        return child

    def _make_worker(self, number: int) -> None:
        name = f"worker-{number}"
        folder = self._home(name).parent
        self._temporary(name)
        place = self.network.place(folder)
        environment = self._environment | {
            "DAGSTER_HOME": str(place / "dagster"),
            "HOME": str(place),
            "TMPDIR": str(place / "tmp"),
            "PYTHONPATH": str(SETTINGS),
            "CELERY_BROKER_URL": self._environment["RWT_BROKER_URL"],
            "CELERY_RESULT_BACKEND": self._environment["RWT_RESULTS_URL"],
        }
        command = [sys.executable, "-m", "celery", "-A", "dagster_celery.app", "worker"]
        options = ["-n", f"{name}@{name}", "-Q", "dagster", "--concurrency", "1"]
        self.workers[number] = ChildProcess(
            name,
            [*self.network.enter(number, folder, self.state), *command, *options, "-l", "INFO"],
            environment=environment,
            log=self.state / "logs" / f"{name}.log",
        )
        self._stack.callback(self.workers[number].stop, seconds=STOP_SECONDS)

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint.endpoint_url,
            region_name=self._environment["AWS_REGION"],
            aws_access_key_id=self._environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._environment["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"max_attempts": 5}),
        )

    def upload(self, name: str, body: bytes) -> None:
        """An archive of the feed of timetables."""
        self.objects.put(self.feed.source.bucket, f"{self.feed.source.prefix}{name}", body)

    def instance(self) -> dg.DagsterInstance:
        """Dagster's instance, as this process sees it."""
        for name in ("RWT_STORAGE_URL", "RWT_BROKER_URL", "RWT_RESULTS_URL", "RWT_LOG_BUCKET"):
            os.environ[name] = self._environment[name]
        return dg.DagsterInstance.from_config(self._environment["DAGSTER_HOME"])

    def ask(self, question: Callable[[FeedCatalog], T]) -> T:
        """An answer from the catalog of the feed of timetables."""
        with self.instance() as instance:
            return question(FeedCatalog(instance, self.feed))

    def wait_for(self, holds: Callable[[], bool], seconds: float) -> None:
        """Wait until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited {seconds} s in vain; logs: {self.state}"
            time.sleep(1.0)
