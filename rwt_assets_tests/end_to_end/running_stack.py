"""`rwt up` as a process, and what tests and benchmarks ask of it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import boto3
import dagster as dg
import psutil
from botocore.config import Config

from rwt_assets.catalog.catalog import FeedCatalog
from rwt_assets.embedded import stack as embedded
from rwt_assets.embedded.processes import leftovers
from rwt_assets.embedded.server import REGION
from rwt_assets.feed.feed import Feed
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets_tests.declared import declared_feed

START_SECONDS = 180
STOP_SECONDS = 90
T = TypeVar("T")


class RunningStack:
    """`rwt up` in a folder of its own; with an endpoint or a storage, on what the caller runs.

    Args:
        state: the folder.
        endpoint: URL of an S3 and SQS server.
        storage: URL of a PostgreSQL database.
        feed: that the questions are about; `gtfs` without one.
        variables: of the environment, beside those of the caller.
    """

    def __init__(
        self,
        state: Path,
        endpoint: str = "",
        storage: str = "",
        *,
        feed: Feed | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.state = state
        self._variables = dict(variables or {})
        self._elsewhere = ["--endpoint", endpoint] if endpoint else []
        if storage:  # it has a password
            self._variables["RWT_STORAGE_URL"] = storage
        self.feed = feed or declared_feed()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of `rwt up`."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        output = (self.state.parent / "up.log").open("ab")
        (self.state / embedded.STACK_FILE).unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "rwt_assets.cli", "up"),
                *("--state", str(self.state), *self._elsewhere),
            ],
            env=self._environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        output.close()
        self.wait_for(lambda: embedded.read_record(self.state) is not None, START_SECONDS)

    def rwt(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The command, on this stack."""
        return subprocess.run(
            self._command(arguments),
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """The command, if it stays."""
        return subprocess.Popen(
            self._command(arguments), env=self._environment(), stdout=subprocess.PIPE, text=True
        )

    def _environment(self) -> dict[str, str]:
        elsewhere = ("CI", "DAGSTER_HOME", "RWT_ENDPOINT_URL", "RWT_STORAGE_URL")
        own = {name: value for name, value in os.environ.items() if name not in elsewhere}
        return own | self._variables

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "rwt_assets.cli", *arguments, "--state", str(self.state)]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, or what a supervisor sends; the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(STOP_SECONDS)

    def end(self) -> None:
        """Stop, whatever state it is in."""
        try:
            self.stop()
        finally:
            if leftovers(self.state):
                self.kill_everything()

    def kill_everything(self) -> None:
        """SIGKILL to every process, without a warning."""
        assert self._process is not None
        self._process.kill()
        # All at once, so that none has time to finish; again, in case one was being forked.
        while alive := leftovers(self.state):
            for process in alive:
                with suppress(psutil.NoSuchProcess):  # it has ended by itself
                    process.kill()
            psutil.wait_procs(alive, 30)
        self._process.wait()

    def daemon(self) -> psutil.Process:
        for process in leftovers(self.state):
            with suppress(psutil.NoSuchProcess):
                if "rwt_assets.embedded.daemon" in process.cmdline():
                    return process
        raise AssertionError("there is no daemon")

    def kill_daemon(self) -> None:
        self.daemon().kill()

    @property
    def record(self) -> embedded.StackRecord:
        record = embedded.read_record(self.state)
        assert record is not None, self.log()
        return record

    def log(self) -> str:
        return (self.state.parent / "up.log").read_text()

    def s3(self) -> Any:
        return self._client("s3")

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.record.endpoint_url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the local server accepts any
            config=Config(retries={"max_attempts": 5}),
        )

    def objects(self) -> S3Objects:
        return S3Objects(self.s3())

    def upload(self, name: str, body: bytes) -> str:
        """The ETag of what was uploaded."""
        answer = self.s3().put_object(
            Bucket=self.feed.source.bucket, Key=f"{self.feed.source.prefix}{name}", Body=body
        )
        return str(answer["ETag"]).strip('"')

    def tell_queue(self, body: str) -> None:
        """Send what is no announcement of S3."""
        sqs = self._client("sqs")
        queue = sqs.get_queue_url(QueueName=self.feed.source.queue)["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody=body)

    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(embedded.dagster_home(self.state)))

    def ask(self, question: Callable[[FeedCatalog], T]) -> T:
        with self.instance() as instance:
            return question(FeedCatalog(instance, self.feed))

    def wait_for_automation(self, seconds: float) -> None:
        """Until declarative automation has looked at the shards, from now on, once."""
        name, now = f"{self.feed.name}_shard_automation", time.time()

        def has_looked() -> bool:
            with self.instance() as instance:
                states = instance.all_instigator_state()
                ticks = [
                    tick
                    for state in states
                    if state.instigator_name == name
                    for tick in instance.get_ticks(
                        state.instigator_origin_id, state.selector_id, after=now
                    )
                ]
            return any(tick.is_completed for tick in ticks)

        self.wait_for(has_looked, seconds)

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.record.ui_url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            document = json.loads(answer.read())
        assert "errors" not in document, document
        return dict(document["data"])

    def wait_for(
        self, holds: Callable[[], bool], seconds: float, *, pause_seconds: float = 1.0
    ) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert self._process is not None
            assert self._process.poll() is None, f"rwt up ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"waited {seconds} s in vain; rwt up:\n{self.log()}"
            time.sleep(pause_seconds)
