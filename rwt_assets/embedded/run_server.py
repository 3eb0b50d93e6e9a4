"""A process that has everything loaded and forks one child for each run.

Starting Python and importing Dagster, pandas and the code location takes several seconds of a
processor, for runs that work for one. The embedded stack's runs are forked from this process
instead; each executes Dagster's own `dagster api execute_run`, as a run in a container does
(Dagster documentation: "Run launchers"). It opens no connection and starts no thread, so that
forking is safe. What that command begins with, making the definitions from their declarations,
it does beforehand: Dagster keeps them in a process for each job's origin.

Only the embedded stack uses this; a deployment has the run launcher of its platform.
"""

import importlib
import json
import logging
import os
import random
import signal
import sys
from importlib.util import find_spec
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from time import monotonic, sleep
from typing import NoReturn

from rwt_assets.dagster_internals.launching import (
    ExecuteRunArgs,
    deserialize_value,
    recon_job_from_origin,
)
from rwt_assets.runtime import StackError, configure_process, current_project

PACKAGE = Path(__file__).parent.parent
ANSWER_SECONDS = 60.0
PAUSE_SECONDS = 0.1
RESTARTING = "restarting"

log = logging.getLogger(__name__)


def request_run(address: str, arguments: str) -> int:
    """Ask the run server for a run.

    Args:
        address: path of its socket.
        arguments: what `dagster api execute_run` takes, as JSON.

    Returns:
        The process id of the run.

    Raises:
        StackError: no answer within a minute.
    """
    deadline = monotonic() + ANSWER_SECONDS
    while monotonic() < deadline:
        try:
            with Client(address, "AF_UNIX") as connection:
                connection.send_bytes(arguments.encode())
                answer = json.loads(connection.recv_bytes())
        except (OSError, EOFError):
            answer = RESTARTING
        if answer != RESTARTING:
            return int(answer)
        sleep(PAUSE_SECONDS)
    raise StackError(
        "the run server does not answer",
        where=address,
        effect="The run was not started.",
        fix="See logs/run_server.log in the state folder.",
    )


def serve(address: str) -> NoReturn:
    """Fork a run for each request, until a signal ends the process."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended runs leave no zombies
    Path(address).unlink(missing_ok=True)
    listener = Listener(address, "AF_UNIX")
    code = _code_stamp()
    _load()
    while True:
        try:
            connection = listener.accept()
            arguments = connection.recv_bytes().decode()
        except (OSError, EOFError):
            continue  # anyone who asked is gone
        if _code_stamp() != code:
            # A person edited the code or a feed: runs must not execute the old one.
            connection.send_bytes(json.dumps(RESTARTING).encode())
            os.execv(sys.executable, [sys.executable, "-m", __spec__.name, address])  # noqa: S606
        _load_code_of(arguments)
        pid = os.fork()
        if pid == 0:
            listener.close()
            _execute(connection, arguments)
        connection.send_bytes(json.dumps(pid).encode())
        connection.close()


def _load() -> None:
    try:
        importlib.import_module(current_project().definitions_module).defs()
        importlib.import_module("rwt_assets.dagster_internals.running")
        importlib.import_module("rwt_assets.embedded.event_storage")
        if find_spec("dagster_postgres") is not None:
            importlib.import_module("rwt_assets.embedded.postgresql_storage")
    except Exception:
        # Each run loads the code itself and reports what is wrong with it as its own failure.
        log.exception("the code location does not load")


def _load_code_of(arguments: str) -> None:
    """Make the definitions that a run asks for; Dagster keeps them, and so the child has them."""
    try:
        origin = deserialize_value(arguments, ExecuteRunArgs).job_origin
        recon_job_from_origin(origin).get_definition()
    except Exception:
        # The run comes upon the same and reports it.
        log.exception("the code of a run does not load")


def _execute(connection: Connection, arguments: str) -> NoReturn:
    """The forked child: execute one run and end."""
    status = 1
    try:
        connection.close()
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        random.seed()
        api = importlib.import_module("rwt_assets.dagster_internals.running").api_cli
        api.main(["execute_run", arguments], standalone_mode=False)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        log.exception("the run ended with an error")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _code_stamp() -> int:
    project = current_project()
    root = find_spec(project.definitions_module.partition(".")[0])
    folders = {PACKAGE, *map(Path, (root and root.submodule_search_locations) or ())}
    files = {path for one in folders for kind in ("*.py", "*.yaml") for path in one.rglob(kind)}
    return hash(tuple(sorted((str(path), path.stat().st_mtime_ns) for path in files)))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    configure_process()  # before what is loaded for runs imports Arrow
    serve(sys.argv[1])
