"""PostgreSQL and RabbitMQ as Debian packages them, each in a folder of the cluster's own.

What belongs here: starting, stopping and restarting them. What does not: installing them
(`install_servers.sh`). Both refuse to be root, so they run as the users that their packages made;
where we are no root, as the one we are. PostgreSQL documentation: "Server Setup and Operation";
RabbitMQ documentation: "Configuration".
"""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from secrets import token_urlsafe
from time import monotonic, sleep

from rwt_assets.embedded.processes import STACK_VARIABLE, ChildProcess, choose_port

START_SECONDS = 90.0
STOP_SECONDS = 30.0
DATABASE = "dagster"
SETTINGS = Path(__file__).parents[2] / "docs" / "deploy" / "celery"
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
POSTGRESQL_VERSIONS = Path("/usr/lib/postgresql")


class PostgreSQL:
    """A new database with PostgreSQL's own defaults: each commit waits for the disk."""

    def __init__(self, folder: Path, *, host: str, owner: Path) -> None:
        self._host, self._port = host, choose_port(0)
        self._data = folder / "data"
        self._password = token_urlsafe(16)
        self._programs = postgresql_programs()
        _own(folder, "postgres")
        self._process = ChildProcess(
            "PostgreSQL",
            [
                *_as("postgres"),
                *(str(self._programs / "postgres"), "-D", str(self._data)),
                *("-h", host, "-p", str(self._port), "-k", "", "-c", "max_connections=200"),
            ],
            environment=_environment(owner),
            log=folder.parent / "logs" / "postgresql.log",
        )

    @property
    def url(self) -> str:
        """As `dagster.yaml` wants it."""
        where = f"{self._host}:{self._port}/{DATABASE}"
        return f"postgresql+psycopg2://postgres:{self._password}@{where}"

    def start(self) -> None:
        """Start it, for the first time with a new database."""
        new = not self._data.exists()
        if new:
            self._make_data()
        self._process.start()
        self._process.wait_until(lambda: _answers(self._host, self._port), seconds=START_SECONDS)
        if new:
            self._make_database()

    def stop(self) -> None:
        """End it at once but in order ("fast shutdown"): transactions are rolled back."""
        if self._process.alive:
            os.kill(self._process.pid, signal.SIGINT)
            deadline = monotonic() + STOP_SECONDS
            while self._process.alive and monotonic() < deadline:
                sleep(0.1)
            self._process.kill()

    def _make_data(self) -> None:
        secret = self._data.with_name("password")
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        _own(secret, "postgres")
        initdb = [*_as("postgres"), str(self._programs / "initdb"), "-D", str(self._data)]
        options = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(secret), "-E", "UTF8"]
        subprocess.run([*initdb, *options], check=True, capture_output=True, text=True)
        secret.unlink()
        access = self._data / "pg_hba.conf"
        access.write_text(f"host all postgres {self._host}/24 scram-sha-256\n")

    def _make_database(self) -> None:
        import psycopg2  # type: ignore[import-untyped]

        server = self.url.replace("+psycopg2", "").removesuffix(DATABASE) + "postgres"
        while True:
            try:
                connection = psycopg2.connect(server)
                break
            except psycopg2.OperationalError as error:
                if "starting up" not in str(error):
                    raise
                sleep(0.1)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE}")
        connection.close()


class RabbitMQ:
    """A broker with one user, whose password is new each time."""

    def __init__(self, folder: Path, *, host: str, owner: Path) -> None:
        self._host, self._port = host, choose_port(0)
        self._folder = folder
        self._password = token_urlsafe(16)
        distribution, names = choose_port(0), choose_port(0)
        environment = {
            **_environment(owner),
            "HOME": str(folder),  # of Erlang's cookie
            "RABBITMQ_NODENAME": f"rwt{self._port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # One scheduler: it would spin on both cores.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        self._process = ChildProcess(
            "RabbitMQ",
            [*_as("rabbitmq"), str(RABBITMQ)],
            environment=environment,
            log=folder.parent / "logs" / "rabbitmq.log",
        )

    @property
    def url(self) -> str:
        """As Celery wants it."""
        return f"pyamqp://rwt:{self._password}@{self._host}:{self._port}//"

    def start(self) -> None:
        """Start it and wait until it answers."""
        if not self._folder.exists():
            self._folder.mkdir()
            own = {
                "listeners.tcp.default": f"{self._host}:{self._port}",
                "default_user": "rwt",
                "default_pass": self._password,
                "loopback_users": "none",
                "log.console": "true",
                "log.console.level": "warning",
                "log.file": "false",
            }
            lines = "".join(f"{name} = {value}\n" for name, value in own.items())
            shared = (SETTINGS / "rabbitmq.conf").read_text()
            (self._folder / "rabbitmq.conf").write_text(shared + lines)
            (self._folder / "enabled_plugins").write_text("[].\n")
            _own(self._folder, "rabbitmq")
        self._process.start()
        self._process.wait_until(lambda: _answers(self._host, self._port), seconds=START_SECONDS)

    def stop(self) -> None:
        """End it in order."""
        self._process.stop(seconds=STOP_SECONDS)

    def kill(self) -> None:
        """End it without a warning."""
        self._process.kill()


def why_no_servers() -> str:
    """Why the cluster cannot run here; empty if it can."""
    missing = [
        *([] if RABBITMQ.exists() else ["rabbitmq-server"]),
        *([] if list(POSTGRESQL_VERSIONS.glob("*/bin/postgres")) else ["postgresql"]),
    ]
    if missing:
        return f"not installed: {', '.join(missing)} (rwt_assets_tests/cluster/install_servers.sh)"
    return ""


def postgresql_programs() -> Path:
    """The folder of the newest PostgreSQL that Debian installed."""
    folders = sorted(POSTGRESQL_VERSIONS.glob("*/bin"), key=lambda folder: int(folder.parent.name))
    return folders[-1]


def _as(user: str) -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "--"]


def _own(folder: Path, user: str) -> None:
    if not folder.exists():
        folder.mkdir()
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            shutil.chown(path, user, user)


def _environment(owner: Path) -> Mapping[str, str]:
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", STACK_VARIABLE: str(owner)}


def _answers(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0
