"""Child processes that can be found and ended, also those that others left behind.

What belongs here: starting, watching and ending processes. What does not: which ones there
are (`server.py`, `stack.py`). Every child carries `RWT_STACK`, the state folder it works for,
in its environment, and hands it to its own children; so a run that outlived the process that
started it is found as well.
"""

import fcntl
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from rwt_assets.runtime import StackError, from_extra

if TYPE_CHECKING:
    import psutil

STACK_VARIABLE = "RWT_STACK"
SOCKET_VARIABLE = "RWT_RUN_SOCKET"  # path of the run server's socket
LOOPBACK = "127.0.0.1"
# Python's documentation, "Command line and environment": `-m` does not look for modules in the
# working folder, which may be another user's; nor do the processes that a child starts.
SAFE_PATH = {"PYTHONSAFEPATH": "1"}
OWN_ALONE = 0o077  # umask: what is written can be read by its owner alone
PAUSE_SECONDS = 0.1
TOLD_LINES = 15
_RESERVED: dict[int, int] = {}


class ChildProcess:
    """A process in a session of its own, so that Ctrl-C reaches only the one that watches it.

    Args:
        name: for messages, and of the log file.
        command: program and arguments.
        environment: all of it; nothing is inherited.
        log: where its output goes; the one of the start before is kept as `<log>.1`.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id; 0 if it was never started."""
        return self._process.pid if self._process is not None else 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it."""
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        self.log.touch(mode=0o600)
        with self.log.open("wb") as output:  # the child has a handle of its own
            self._process = subprocess.Popen(  # noqa: S603 - the commands are our own
                self._command,
                env={**self._environment, **SAFE_PATH},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=OWN_ALONE,
            )

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until it answers.

        Raises:
            StackError: it ended, or did not answer in time; with the end of its log.
        """
        deadline = monotonic() + seconds
        while not ready():
            if not self.alive:
                raise self._error("ended before it answered")
            if monotonic() > deadline:
                raise self._error(f"did not answer within {seconds:.0f} s")
            sleep(PAUSE_SECONDS)

    def stop(self, *, seconds: float) -> None:
        """Ask it to end, and end it and its session if it does not."""
        if self._process is None:
            return
        if self.alive:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it and every process of its session at once."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self._process.wait()

    def ended_unexpectedly(self) -> StackError:
        """The error of a process that should run and does not."""
        code = self._process.poll() if self._process is not None else None
        return self._error(f"ended with status {code}")

    def _error(self, what: str) -> StackError:
        return StackError(
            f"the {self.name} {what}; the end of its log:\n{self._tail()}\n",
            where=str(self.log),
            effect="Everything that was stored is kept.",
            fix="Read the log; `rwt up` goes on where it stopped.",
        )

    def _tail(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "  (no log)"
        return "\n".join(f"  {line}" for line in lines[-TOLD_LINES:])


def end_leftovers(state: Path, *, sparing: int = 0, seconds: float = 5.0) -> int:
    """End every other process that works for a state folder; how many there were.

    Args:
        state: the state folder.
        sparing: process id of one that is left alone.
        seconds: how long they get to end by themselves.

    Raises:
        MissingExtraError: psutil is not installed.
    """
    with from_extra("local", "the stack of this machine"):
        import psutil  # noqa: PLC0415 - of an extra

    found = [process for process in leftovers(state) if process.pid != sparing]
    _signal_all(found, psutil.Process.terminate)
    _, alive = psutil.wait_procs(found, seconds)
    _signal_all(alive, psutil.Process.kill)
    psutil.wait_procs(alive, seconds)
    return len(found)


def leftovers(state: Path) -> "list[psutil.Process]":
    """Every other process that carries this state folder in its environment."""
    with from_extra("local", "the stack of this machine"):
        import psutil  # noqa: PLC0415 - of an extra

    mine = os.getpid()
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != mine and process.environ().get(STACK_VARIABLE) == str(state):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # another user's, or gone
    return found


def _signal_all(
    processes: "Iterable[psutil.Process]", send: "Callable[[psutil.Process], None]"
) -> None:
    import psutil  # noqa: PLC0415 - of an extra

    for process in processes:
        try:
            send(process)
        except psutil.NoSuchProcess:
            continue


def choose_port(preferred: int) -> int:
    """The preferred port of loopback, or another if something listens there or will.

    Two stacks that start at the same moment would both find it free: the one that comes first
    reserves it, as long as its process lives.
    """
    for port in (preferred, 0) if _reserve(preferred) else (0,):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackError("there is no free port", where=LOOPBACK, fix="End some program.")


def _reserve(port: int) -> bool:
    """Whether the port is this process's to use, among the stacks of this machine."""
    if port in _RESERVED:
        return True
    try:
        lock = os.open(
            Path(tempfile.gettempdir()) / f"rwt-port-{port}.lock",
            os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
        )
    except OSError:  # it is another person's, or a link that leads elsewhere
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return False
    _RESERVED[port] = lock
    return True


def listens(port: int) -> bool:
    """Whether something accepts connections on a port of loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0
