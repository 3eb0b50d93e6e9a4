"""A network of the cluster's own: a bridge, and a namespace for each worker.

What belongs here: addresses, namespaces, and cutting a worker off. What does not: what runs in
them (`running_cluster.py`). Needs root, for `ip` (iproute2: "ip-netns(8)", "ip-neighbour(8)") and
`unshare` (util-linux). Elsewhere all processes share the loopback address, and `cut_off` is not
to be had.

Linux never routes 10.213.0.0/16 out of here: the bridge has no uplink and nothing is forwarded.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
NETWORKS = range(1, 200)
NOBODY = "02:00:00:00:00:01"  # a hardware address that no interface of the bridge has
OWN_FOLDER = Path("/mnt")


class NamespaceNetwork:
    """Each worker has interfaces and a file tree of its own.

    `servers` is where PostgreSQL and the broker listen, `endpoint` is where S3 and SQS do.
    """

    def __init__(self, workers: int) -> None:
        self._workers = range(1, workers + 1)
        self._number = 0
        self.servers = ""
        self.endpoint = ""

    def __enter__(self) -> Self:
        self._number = self._take_number()
        self.servers, self.endpoint = self._address(1), self._address(2)
        try:
            for address in (self.servers, self.endpoint):
                _ip("address", "add", f"{address}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for worker in self._workers:
                self._make_namespace(worker)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._remove()

    def place(self, folder: Path) -> Path:
        """Where a worker finds its own folder."""
        del folder
        return OWN_FOLDER

    def enter(self, worker: int, folder: Path, state: Path) -> Sequence[str]:
        """Its own folder is at OWN_FOLDER; of the others' it sees an empty one."""
        script = (
            'mount --bind "$1" "$2" && mount -t tmpfs -o size=64k,mode=0555 tmpfs "$3"'
            ' && cd "$2" && shift 3 && exec "$@"'
        )
        return [
            *("unshare", "--mount", "--propagation", "private", "--"),
            *("sh", "-c", script, "sh", str(folder), str(OWN_FOLDER), str(state)),
            *("ip", "netns", "exec", self._namespace(worker)),
        ]

    def cut_off(self, worker: int) -> None:
        """From now on what a worker sends to S3 and SQS is lost, without a word."""
        self._neighbour(worker, "replace", "lladdr", NOBODY, "nud", "permanent")

    def reconnect(self, worker: int) -> None:
        """It reaches S3 and SQS again."""
        self._neighbour(worker, "del")

    def _neighbour(self, worker: int, verb: str, *more: str) -> None:
        namespace = self._namespace(worker)
        _ip("-n", namespace, "neighbour", verb, self.endpoint, *more, "dev", "eth0")

    def _take_number(self) -> int:
        """The first network that nobody on this machine has made."""
        for number in NETWORKS:
            with suppress(subprocess.CalledProcessError):
                _ip("link", "add", f"rwt{number}", "type", "bridge")
                return number
        raise RuntimeError("all networks rwt1 to rwt199 are there; `ip link delete` what is left")

    def _make_namespace(self, worker: int) -> None:
        name, outside = self._namespace(worker), self._outside(worker)
        _ip("netns", "add", name)
        _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", outside, "master", self._bridge, "up")
        _ip("-n", name, "address", "add", f"{self._address(10 + worker)}/24", "dev", "eth0")
        for interface in ("lo", "eth0"):
            _ip("-n", name, "link", "set", interface, "up")

    def _remove(self) -> None:
        for worker in self._workers:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", self._namespace(worker))
            with suppress(subprocess.CalledProcessError):  # the kernel may still be at it
                _ip("link", "delete", self._outside(worker))
        with suppress(subprocess.CalledProcessError):
            _ip("link", "delete", self._bridge)

    def _address(self, host: int) -> str:
        return f"10.213.{self._number}.{host}"

    @property
    def _bridge(self) -> str:
        return f"rwt{self._number}"

    def _namespace(self, worker: int) -> str:
        return f"rwt{self._number}-worker-{worker}"

    def _outside(self, worker: int) -> str:
        return f"rwt{self._number}w{worker}"


class LoopbackNetwork:
    """All on one address: where namespaces are not permitted."""

    servers = LOOPBACK
    endpoint = LOOPBACK

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing was made."""

    def place(self, folder: Path) -> Path:
        """Where a worker finds its own folder."""
        return folder

    def enter(self, worker: int, folder: Path, state: Path) -> Sequence[str]:
        """Nothing: it is a process among others."""
        del worker, folder, state
        return []


Network = NamespaceNetwork | LoopbackNetwork


def why_no_namespaces() -> str:
    """Why this machine has no namespaces for us; empty if it has."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "the commands ip (iproute2) and unshare (util-linux) are not installed"
    probe = ["unshare", "--net", "--mount", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def network_for(workers: int) -> Network:
    """The best that this machine permits."""
    return LoopbackNetwork() if why_no_namespaces() else NamespaceNetwork(workers)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
