"""The S3 and SQS server on loopback: ministack (its README: "Configuration").

What belongs here: starting and stopping it. What does not: buckets and queues
(`provisioning.py`). The demo keeps its state in a folder; tests keep it in memory.

After a SIGKILL its objects are there, but queues, messages and settings are gone: anyone who
starts it provisions and sweeps afterwards.

It listens on loopback alone and gets no credentials of the person who starts it; what it answers to
whom is in `loopback_server.py`.
"""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rwt_assets.embedded.processes import LOOPBACK, STACK_VARIABLE, ChildProcess, choose_port
from rwt_assets.feed import ONE_ACCOUNT

DEFAULT_PORT = 4566
REGION = "us-east-1"
START_SECONDS = 60.0
SAVE_SECONDS = 30.0
# All that the server gets of the environment of anyone who starts it: no credentials, no tokens.
INHERITED: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ")
# What ministack starts beside S3 and SQS: an MQTT broker and SFTP, both on 0.0.0.0, and the removal
# of Docker containers that an earlier ministack, which may be another person's, has made.
NO_MORE: Final[Mapping[str, str]] = {
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    "DOCKER_HOST": "unix:///nowhere",
}


class EmbeddedServer:
    """S3 and SQS with bucket notifications, on an address of this machine; a context manager.

    Args:
        state: folder that it keeps everything in; without one it keeps it in memory.
        log: where its output goes.
        port: preferred; another is taken if something listens there.
        owner: value of `RWT_STACK`, see `processes.py`.
        host: address that it listens on.
        services: what it answers, as ministack names it.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that can be set
        self,
        *,
        log: Path,
        state: Path | None = None,
        port: int = 0,
        owner: Path | None = None,
        host: str = LOOPBACK,
        services: str = "s3,sqs",
    ) -> None:
        self.host = host
        self._state = state
        self._temporary = log.absolute().parent / "server-temporary"
        self.port = choose_port(port)
        environment = {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            **NO_MORE,
            # ministack writes a file of a known name there, and would follow a link of others.
            "TMPDIR": str(self._temporary),
            "GATEWAY_PORT": str(self.port),
            "BIND_HOST": host,
            "MINISTACK_HOST": host,
            "MINISTACK_REGION": REGION,
            "SERVICES": services,
            "LOG_LEVEL": "WARNING",
            "PERSIST_STATE": "0",
            "S3_PERSIST": "0",
        }
        if owner is not None:
            environment[STACK_VARIABLE] = str(owner)
        if state is not None:
            environment |= {
                "PERSIST_STATE": "1",
                "STATE_DIR": str(state / "state"),
                "S3_PERSIST": "1",
                "S3_DATA_DIR": str(state / "objects"),
            }
        self.process = ChildProcess(
            "S3 and SQS server",
            [sys.executable, "-m", "rwt_assets.embedded.loopback_server"],
            environment=environment,
            log=log,
        )

    @property
    def endpoint_url(self) -> str:
        """For `AWS_ENDPOINT_URL`."""
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._state is not None:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.process.start()
        self.process.wait_until(self._healthy, seconds=START_SECONDS)

    def stop(self) -> None:
        """Stop it, with the time it needs to save."""
        self.process.stop(seconds=SAVE_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _healthy(self) -> bool:
        url = f"{self.endpoint_url}/_ministack/health"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback
                return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's "OK"
        except (urllib.error.URLError, OSError):
            return False


def local_environment(endpoint_url: str, base: Mapping[str, str]) -> dict[str, str]:
    """An environment that leads boto3 to the embedded server and nowhere else.

    Args:
        endpoint_url: of the server.
        base: what to take over; nothing of it that concerns AWS.

    Returns:
        The environment. Its credentials are no secret: the server accepts any.
    """
    return {
        **{name: value for name, value in base.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        ONE_ACCOUNT: "1",
    }
