"""The whole stack on one machine: server, code server, run server, webserver and daemon.

What belongs here: starting them in order, watching them, stopping them. Everything they keep
is below one state folder:

    dagster/      Dagster's home: runs, events, partitions, `dagster.yaml`
    server/       objects, queues and settings of the S3 and SQS server
    logs/         output of each process
    stack.json    addresses, while the stack runs
    lock          held while the stack runs

Only the owner may read the folder and what the stack writes there, and every port that it opens is
on loopback.

With the endpoint of a server that somebody else runs, there is no `server/`: the stack waits
until that server answers, makes what the feeds lack, and leaves it alone from then on. If it
goes away, what needs it fails and is tried again. If it comes back without queues and settings,
anyone who started it again runs `rwt sweep` after making them again.

Dagster documentation: "Dagster OSS deployment architecture", "Workspace file".
"""

import fcntl
import json
import os
import sys
import tempfile
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import IO, Self
from uuid import uuid4

import dagster as dg
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel

from rwt_assets.aws import provision
from rwt_assets.catalog import FeedCatalog, sweep
from rwt_assets.embedded.interruption import fail_interrupted, mark_interrupted
from rwt_assets.embedded.processes import (
    LOOPBACK,
    OWN_ALONE,
    SOCKET_VARIABLE,
    STACK_VARIABLE,
    ChildProcess,
    choose_port,
    end_leftovers,
    listens,
)
from rwt_assets.embedded.server import DEFAULT_PORT, EmbeddedServer, local_environment
from rwt_assets.embedded.state_folder import (
    LOCK_FILE,
    make_state_folder,
    open_lock,
    refuse_of_others,
)
from rwt_assets.embedded.storage import opened, storage_settings, write_url
from rwt_assets.feed import Feed
from rwt_assets.graph import REPORTED_TOGETHER, refuse_unloaded
from rwt_assets.resources import connect_objects
from rwt_assets.runtime import (
    PROJECT_VARIABLE,
    StackError,
    current_project,
    wants_json,
)

UI_PORT = 3000
CODE_PORT = 4266
START_SECONDS = 120.0
STOP_SECONDS = 10.0
ENDPOINT_SECONDS = 120.0
PROVISIONING_TRIES = 5
PROVISIONING_PAUSE_SECONDS = 2.0
RESTARTS = 3
RESTART_WINDOW_SECONDS = 60.0
WATCH_SECONDS = 0.5
STACK_FILE = "stack.json"


class StackRecord(BaseModel):
    """What `stack.json` says while a stack runs."""

    pid: int
    ui_url: str
    endpoint_url: str


class EmbeddedStack:
    """Everything that `rwt up` starts; a context manager.

    Args:
        state: the state folder.
        feeds: what is provisioned and swept before the daemon starts.
        tell: gets one line for each thing that a person wants to know.
        endpoint: URL of an S3 and SQS server that somebody else runs and that accepts any
            credentials; without one, the stack starts a server of its own.
        storage: URL of a PostgreSQL database for Dagster's runs, events and schedules; without
            one, they are in SQLite below the state folder.
    """

    def __init__(
        self,
        state: Path,
        feeds: tuple[Feed, ...],
        tell: Callable[[str], None],
        *,
        endpoint: str = "",
        storage: str = "",
    ) -> None:
        self.state = state.resolve()
        self._storage_url = storage
        self._feeds = feeds
        self._tell = tell
        self._lock: IO[str] | None = None
        self._umask = OWN_ALONE
        self._restarts: deque[float] = deque(maxlen=RESTARTS)
        before = read_record(self.state)
        self._server: EmbeddedServer | None = None
        if not endpoint:
            self._server = EmbeddedServer(
                log=self.state / "logs" / "server.log",
                state=self.state / "server",
                port=_port_of(before.endpoint_url if before else "", DEFAULT_PORT),
                owner=self.state,
            )
        self._endpoint_url = self._server.endpoint_url if self._server else endpoint.rstrip("/")
        self._ui_port = choose_port(_port_of(before.ui_url if before else "", UI_PORT))
        self._code_port = choose_port(CODE_PORT)
        project = current_project()
        self._environment = {
            **local_environment(self._endpoint_url, os.environ),
            "DAGSTER_HOME": str(dagster_home(self.state)),
            STACK_VARIABLE: str(self.state),
            PROJECT_VARIABLE: str(project.folder),
            "PYTHONUNBUFFERED": "1",
            # Events of one output, and those planned for one run, are stored together.
            "DAGSTER_EVENT_BATCH_SIZE": str(REPORTED_TOGETHER),
            # A socket's path has at most 107 bytes, which a state folder's may exceed.
            SOCKET_VARIABLE: str(Path(tempfile.gettempdir()) / f"rwt-{uuid4().hex[:12]}.socket"),
        }
        log_format = ["--log-format", "json"] if wants_json() else []
        self._code_server = self._child(
            "code server",
            "code_server",
            ["dagster", "code-server", "start", "-m", project.definitions_module],
            [
                *("-p", str(self._code_port), "-h", LOOPBACK),
                # Dagster looks for modules there, else in the working folder (see `SAFE_PATH`).
                *("--working-directory", str(dagster_home(self.state))),
                *("--use-python-environment-entry-point", *log_format),
            ],
        )
        self._run_server = self._child(
            "run server",
            "run_server",
            ["rwt_assets.embedded.run_server", self._environment[SOCKET_VARIABLE]],
            [],
        )
        workspace = ["-w", str(dagster_home(self.state) / "workspace.yaml"), *log_format]
        self._webserver = self._child(
            "webserver",
            "webserver",
            ["rwt_assets.embedded.webserver", "-h", LOOPBACK, "-p", str(self._ui_port)],
            workspace,
        )
        self._daemon = self._child(
            "daemon", "daemon", ["rwt_assets.embedded.daemon", "run"], workspace
        )

    @property
    def ui_url(self) -> str:
        """Where the UI is."""
        return f"http://{LOOPBACK}:{self._ui_port}"

    @property
    def endpoint_url(self) -> str:
        """Where S3 and SQS are."""
        return self._endpoint_url

    def __enter__(self) -> Self:
        make_state_folder(self.state)
        self._take_lock()
        self._umask = os.umask(OWN_ALONE)
        try:
            ended = end_leftovers(self.state)
            if ended:
                self._tell(f"Ended {ended} processes that an earlier stack had left behind.")
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def watch(self) -> None:
        """Wait half a second; start again what has ended.

        Raises:
            StackError: something ends again and again.
        """
        sleep(WATCH_SECONDS)
        own = [self._server.process] if self._server else []
        for child in (
            *own,
            self._code_server,
            self._run_server,
            self._webserver,
            self._daemon,
        ):
            if child.alive:
                continue
            error = child.ended_unexpectedly()
            now = monotonic()
            if len(self._restarts) == RESTARTS and now - self._restarts[0] < RESTART_WINDOW_SECONDS:
                raise error
            self._restarts.append(now)
            self._tell(f"The {child.name} ended; it is started again (its log: {child.log}.1).")
            self._restart(child)

    def _restart(self, child: ChildProcess) -> None:
        if self._server and child is self._server.process:
            self._server.start()
            self._provision()
            return
        child.start()

    def _start(self) -> None:
        os.environ.update(self._environment)
        for name in [name for name in os.environ if name not in self._environment]:
            del os.environ[name]
        home = dagster_home(self.state)
        home.mkdir(exist_ok=True)
        settings = home / "dagster.yaml"
        settings.touch(mode=0o600)
        settings.chmod(0o600)  # an earlier version wrote the storage's password into it
        settings.write_text(
            storage_settings(self._storage_url, home)
            + Path(__file__).with_name("dagster.yaml").read_text()
        )
        write_url(self._storage_url, home)
        workspace = {"grpc_server": {"host": LOOPBACK, "port": self._code_port}}
        workspace["grpc_server"]["location_name"] = "rwt_assets"
        (home / "workspace.yaml").write_text(json.dumps({"load_from": [workspace]}))
        with opened(home) as instance:
            interrupted = fail_interrupted(instance)
        if interrupted:
            self._tell(f"{interrupted} runs were interrupted; their steps are asked for again.")
        self._code_server.start()
        self._run_server.start()
        if self._server:
            self._server.start()
        else:
            _wait_for_answer(self._endpoint_url)
        self._provision()
        self._code_server.wait_until(lambda: listens(self._code_port), seconds=START_SECONDS)
        self._daemon.start()
        self._webserver.start()
        self._webserver.wait_until(self._ui_answers, seconds=START_SECONDS)
        refuse_unloaded(self.ui_url, effect="Everything was stopped again.")
        record = StackRecord(pid=os.getpid(), ui_url=self.ui_url, endpoint_url=self._endpoint_url)
        (self.state / STACK_FILE).write_text(record.model_dump_json(indent=1))

    def _provision(self) -> None:
        """Make what the server lacks and find what was never announced, in a few tries."""
        for left in reversed(range(PROVISIONING_TRIES)):
            try:
                self._provision_once()
            except (StackError, ClientError, BotoCoreError) as error:
                if not left:
                    raise
                self._tell(f"Buckets and queues are not ready; it is tried again. {error}")
                sleep(PROVISIONING_PAUSE_SECONDS)
            else:
                return

    def _provision_once(self) -> None:
        with dg.DagsterInstance.from_config(str(dagster_home(self.state))) as instance:
            for feed in self._feeds:
                for made in provision(feed, everything=True).made:
                    self._tell(f"Made {made}.")
                for key in sweep(FeedCatalog(instance, feed), connect_objects(feed)).recorded:
                    self._tell(f"Found {key}, which no message had announced.")

    def _stop(self) -> None:
        for child in (self._daemon, self._webserver):
            child.stop(seconds=STOP_SECONDS)
        if self._run_server.alive:
            with dg.DagsterInstance.from_config(str(dagster_home(self.state))) as instance:
                mark_interrupted(instance)
        for child in (self._run_server, self._code_server):
            child.stop(seconds=STOP_SECONDS)
        end_leftovers(self.state, sparing=self._server.process.pid if self._server else 0)
        if self._server:
            self._server.stop()
        Path(self._environment[SOCKET_VARIABLE]).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
        os.umask(self._umask)

    def _take_lock(self) -> None:
        self._lock = open_lock(self.state)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            record = read_record(self.state)
            where = f" at {record.ui_url}" if record else ""
            self._lock.close()
            raise StackError(
                f"a stack already runs{where}",
                where=f"state folder {self.state}",
                effect="Nothing was started.",
                fix="Use it with `rwt submit` and `rwt status`, or give another --state.",
            ) from error

    def _child(self, name: str, log: str, module: list[str], arguments: list[str]) -> ChildProcess:
        return ChildProcess(
            name,
            [sys.executable, "-m", *module, *arguments],
            environment=self._environment,
            log=self.state / "logs" / f"{log}.log",
        )

    def _ui_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.ui_url}/server_info", timeout=5) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's "OK"
        except (urllib.error.URLError, OSError):
            return False


def dagster_home(state: Path) -> Path:
    """Where the stack of a state folder keeps Dagster's home."""
    return state.resolve() / "dagster"


def read_record(state: Path) -> StackRecord | None:
    """The addresses of the stack that runs, or ran last, in a state folder.

    Raises:
        StateFolderError: the folder is another user's.
    """
    refuse_of_others(state)
    with suppress(OSError, ValueError):
        return StackRecord.model_validate_json((state / STACK_FILE).read_text())
    return None


def runs(state: Path) -> bool:
    """Whether a stack runs in a state folder."""
    try:
        with (state / LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def enter_environment(state: Path) -> bool:
    """Point this process at the stack of a state folder; False if there never was one.

    Without a stack, the environment stays as it is: that of a deployment.
    """
    record = read_record(state)
    if record is None:
        return False
    wanted = local_environment(record.endpoint_url, os.environ)
    wanted["DAGSTER_HOME"] = str(dagster_home(state))
    # What earlier versions wrote into dagster.yaml has to be set; only the stack launches runs.
    wanted.setdefault(SOCKET_VARIABLE, "")
    for name in [name for name in os.environ if name not in wanted]:
        del os.environ[name]
    os.environ.update(wanted)
    return True


def _wait_for_answer(endpoint_url: str) -> None:
    """Wait for any answer at all, a refusal included."""
    deadline = monotonic() + ENDPOINT_SECONDS
    while True:
        try:
            urllib.request.urlopen(endpoint_url, timeout=5).close()  # noqa: S310 - a person gave it
        except urllib.error.HTTPError as answer:
            answer.close()
            return
        except (OSError, HTTPException) as error:
            if monotonic() > deadline:
                raise StackError(
                    f"the S3 and SQS server did not answer within {ENDPOINT_SECONDS:.0f} s",
                    where=endpoint_url,
                    effect="Everything that was stored is kept.",
                    fix="Start it, or look at --endpoint and RWT_ENDPOINT_URL.",
                ) from error
            sleep(WATCH_SECONDS)
        else:
            return


def _port_of(url: str, default: int) -> int:
    port = url.rpartition(":")[2]
    return int(port) if port.isdigit() else default
