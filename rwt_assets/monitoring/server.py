"""Serves `/metrics` and `/healthz`, from a reading that is taken beside.

What belongs here: the thread that takes readings, and two pages. What does not: what is read
(`readings.py`) and what it is called (`metrics.py`). Prometheus documentation: "Writing exporters";
Kubernetes documentation: "Liveness, Readiness and Startup Probes".

A request is answered from the latest reading, so it costs the same with 100 shards and with
100,000, and however many ask. The pause between two readings is at least four times as long as one
takes. There is no authentication, as there is none in Dagster's webserver: it listens on loopback
unless a person says otherwise, and tells no archive's name.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from threading import Event, Lock, Thread
from time import time
from typing import TYPE_CHECKING, Any, Final, Self, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from rwt_assets.monitoring.metrics import families
from rwt_assets.runtime import from_extra
from rwt_assets.status import Problem, stale_reading

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType

    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector

    from rwt_assets.monitoring.readings import Reading, Readings

PAUSE_TO_READING: Final = 4
STALE_READINGS: Final = 10  # so many intervals without a reading are a problem
LEAST_STALE_SECONDS: Final = 60.0
log = logging.getLogger(__name__)


class _QuietHandler(WSGIRequestHandler):
    """Logs nothing: a scrape every few seconds is no news."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Log nothing."""


class Watcher:
    """Takes readings in a thread of its own and knows the latest; a context manager.

    Args:
        readings: opens what readings are taken from; in the thread, since Dagster's SQLite storages
            are best used by one.
        every: seconds from the beginning of one reading to the next, at least.
    """

    def __init__(
        self, readings: "Callable[[], AbstractContextManager[Readings]]", *, every: float
    ) -> None:
        self._readings = readings
        self._every = every
        self._lock = Lock()
        self._latest: Reading | None = None
        self._failure: tuple[Problem, ...] = ()
        self._stop, self._looked = Event(), Event()
        self._began = time()
        self._thread = Thread(target=self._watch, name="readings", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=self._every)

    def wait_for_first(self, seconds: float) -> bool:
        """Wait until the first reading was taken or failed; whether that was in time."""
        return self._looked.wait(seconds)

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong now; a first reading under way is waited for and no problem."""
        with self._lock:
            latest, failure = self._latest, self._failure
        at = self._began if latest is None else latest.at + latest.seconds
        bound = max(LEAST_STALE_SECONDS, STALE_READINGS * self._every)
        stale = stale_reading(taken_at=at, now=time(), stale_after=bound)
        return (*failure, *(() if latest is None else latest.problems), *stale)

    def latest(self) -> "Reading | None":
        """The latest reading; None if there was none yet."""
        with self._lock:
            return self._latest

    def collect(self) -> "Iterator[Metric]":
        """The metrics of the latest reading, as prometheus_client asks for them."""
        return families(self.latest(), self.problems())

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                with self._readings() as readings:
                    while not self._stop.is_set():
                        reading = readings.take()
                        with self._lock:
                            self._latest, self._failure = reading, ()
                        self._looked.set()
                        pause = max(
                            self._every - reading.seconds, PAUSE_TO_READING * reading.seconds
                        )
                        self._stop.wait(pause)
            except Exception as error:
                # Whatever a database or its driver raises; the next look opens it again.
                log.exception("a reading failed")
                problem = Problem("storage", f"Dagster's storage: {type(error).__name__}")
                with self._lock:
                    self._failure = (problem,)
                self._looked.set()
                self._stop.wait(self._every)


def exposition(watcher: Watcher) -> bytes:
    """The metrics as text.

    Raises:
        MissingExtraError: prometheus_client is not installed.
    """
    with from_extra("metrics", "a page of metrics"):
        from prometheus_client import generate_latest  # noqa: PLC0415 - of an extra

    return generate_latest(_registry(watcher))


def health(watcher: Watcher) -> tuple[bool, dict[str, Any]]:
    """Whether all is well, and a document that says what is not."""
    problems = watcher.problems()
    latest = watcher.latest()
    healthy = not problems and latest is not None
    return healthy, {
        "healthy": healthy,
        "reasons": [f"{one.kind}: {one.reason}" for one in problems]
        or ([] if latest else ["the first look at the catalog has not ended"]),
        "looked_at": None if latest is None else latest.at,
    }


def metrics_server(watcher: Watcher, *, host: str, port: int) -> WSGIServer:
    """A server of both pages that is not yet serving; port 0 takes any.

    Raises:
        OSError: the port is taken.
        MissingExtraError: prometheus_client is not installed.
    """
    with from_extra("metrics", "a page of metrics"):
        from prometheus_client import make_wsgi_app  # noqa: PLC0415 - of an extra
        from prometheus_client.exposition import ThreadingWSGIServer  # noqa: PLC0415 - likewise

    metrics = make_wsgi_app(_registry(watcher))

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environ, start_response)  # type: ignore[no-any-return]
        if path == "/healthz":
            healthy, document = health(watcher)
            status = "200 OK" if healthy else "503 Service Unavailable"
            start_response(status, [("Content-Type", "application/json")])
            return [json.dumps(document).encode() + b"\n"]
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"There are /metrics and /healthz.\n"]

    return make_server(host, port, application, ThreadingWSGIServer, handler_class=_QuietHandler)


def _registry(watcher: Watcher) -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry  # noqa: PLC0415 - of an extra

    registry = CollectorRegistry(auto_describe=False)
    registry.register(cast("Collector", watcher))  # it only asks for `collect`
    return registry
