"""`rwt metrics`: figures for Prometheus, and whether all is well."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Annotated

import dagster as dg
import typer
from pydantic_core import to_jsonable_python

from rwt_assets.definitions import declared_feeds
from rwt_assets.embedded import stack as embedded
from rwt_assets.monitoring import (
    HEARTBEAT_SECONDS,
    SETTLES_SECONDS,
    Readings,
    Watcher,
    exposition,
    health,
    metrics_server,
)
from rwt_assets.resources import connect_objects, connect_queue
from rwt_assets.runtime import need
from rwt_assets.terminal import DEFAULT_STATE, State, console, enter, errors_told, stop_with, tell

FIRST_READING_SECONDS = 600.0
JOIN_SECONDS = 5.0


def metrics_command(  # noqa: PLR0913, PLR0917 - one for each option
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes any that is free.")] = 9464,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on. There is no authentication.")
    ] = "127.0.0.1",
    every: Annotated[
        float, typer.Option("--every", min=1, help="Seconds between two looks at the catalog.")
    ] = 15.0,
    webserver: Annotated[
        str,
        typer.Option(
            "--webserver",
            envvar="RWT_WEBSERVER_URL",
            metavar="URL",
            help="Dagster's webserver, which is asked whether the code locations load.",
        ),
    ] = "",
    heartbeat: Annotated[
        float,
        typer.Option("--heartbeat", min=60, help="How many seconds old a heartbeat may be."),
    ] = HEARTBEAT_SECONDS,
    once: Annotated[
        bool, typer.Option("--once", help="Print the metrics as text and end; serve nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print health and figures as JSON and end.")
    ] = False,
    state: State = DEFAULT_STATE,
) -> None:
    """Serve /metrics for Prometheus and /healthz for anyone who restarts things.

    /healthz answers 200, or 503 with the reasons: a daemon is silent, a code location does not
    load, the endpoint or Dagster's storage is away. SIGTERM and Ctrl-C end it with status 0.

    For example:

        rwt metrics --port 9464
        rwt metrics --once > /var/lib/node_exporter/rwt.prom
        rwt metrics --json

    With --once or --json, status 1 if /healthz would answer 503.
    """
    with errors_told():
        if not as_json:
            need("metrics", "`rwt metrics`")
        if enter(state):
            webserver = webserver or _own_webserver(state)
        settles = 0.0 if once or as_json else SETTLES_SECONDS

        @contextmanager
        def opened() -> Iterator[Readings]:
            feeds = declared_feeds()
            with dg.DagsterInstance.get() as instance:
                yield Readings(
                    instance,
                    feeds,
                    connect_queue(),
                    connect_objects(*feeds),
                    webserver=webserver,
                    heartbeat_seconds=heartbeat,
                    settles_seconds=settles,
                )

        with Watcher(opened, every=every) as watcher:
            if once or as_json:
                _print(watcher, as_json=as_json)
            else:
                _serve(watcher, host, port)


def _own_webserver(state: Path) -> str:
    record = embedded.read_record(state)
    return record.ui_url if record else ""


def _print(watcher: Watcher, *, as_json: bool) -> None:
    if not watcher.wait_for_first(FIRST_READING_SECONDS):
        stop_with(f"Nothing was found within {FIRST_READING_SECONDS:.0f} s.", None)
    healthy, document = health(watcher)
    if as_json:
        # `asdict` takes the items of a Counter for what it counts.
        figures = to_jsonable_python(watcher.latest())
        console.print_json(json.dumps({**document, "reading": figures}))
    else:
        console.write(exposition(watcher).decode())
    raise typer.Exit(0 if healthy else 1)


def _serve(watcher: Watcher, host: str, port: int) -> None:
    ended = Event()
    try:
        server = metrics_server(watcher, host=host, port=port)
    except OSError as error:
        stop_with(f"{host}:{port} cannot be listened on: {error.strerror}", None)
    with server:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: ended.set())
        serving = Thread(target=server.serve_forever, name="metrics", daemon=True)
        serving.start()
        tell(f"Metrics at http://{host}:{server.server_port}/metrics, also /healthz")
        ended.wait()
        server.shutdown()
        serving.join(JOIN_SECONDS)
    tell("Stopped.")
