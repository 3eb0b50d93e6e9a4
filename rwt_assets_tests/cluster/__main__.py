"""`make cluster`: bring a cluster up, send archives through it, and take it down.

    python -m rwt_assets_tests.cluster [short] [failures] [--workers N] [--stay] [--only NAME]

`short`, which is what happens if nothing is named, sends archives through and kills a worker
meanwhile; `failures` does the same with each fault of `experiments.py`. `--stay` leaves the
cluster up until Ctrl-C.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.table import Table

from rwt_assets_tests.cluster.experiments import (
    FAULTS,
    KILLED_WORKER,
    Load,
    Outcome,
    cut_a_worker_off,
    strike,
)
from rwt_assets_tests.cluster.network import why_no_namespaces
from rwt_assets_tests.cluster.running_cluster import RunningCluster
from rwt_assets_tests.cluster.servers import why_no_servers


def main() -> int:
    """What the command line says; status 0 only if every archive was delivered whole."""
    parser = argparse.ArgumentParser(prog="make cluster")
    parser.add_argument("what", nargs="*", default=["short"])
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--stay", action="store_true", help="leave it up until Ctrl-C")
    parser.add_argument("--only", default="", help="faults whose name has this in it")
    arguments = parser.parse_args()
    if why_not := why_no_servers():
        print(f"The cluster cannot run here: {why_not}")
        return 1
    if lacking := why_no_namespaces():
        print(f"All workers share the loopback address and its files: {lacking}.")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="rwt-cluster-"))
    folder.chmod(0o755)  # PostgreSQL and RabbitMQ run as other users
    outcomes: list[Outcome] = []
    tell = _clock()
    with RunningCluster(
        folder / "state",
        workers=arguments.workers,
        tell=tell,
        failing_endpoint="failures" in arguments.what,
    ) as cluster:
        tell(f"{arguments.workers} workers run; logs are in {cluster.state / 'logs'}")
        for number, (fault, load) in enumerate(_strikes(arguments.what, arguments.only)):
            tell(f"{fault or 'three archives'} ...")
            outcomes.append(strike(cluster, fault, load, name=f"archive{number}"))
            tell(told(outcomes[-1]))
        if arguments.stay:
            tell(f"rwt works on it after: . {_environment_file(cluster)}")
            _stay(tell)
    tell("Everything has ended.")
    show(outcomes)
    if any(outcome.problems for outcome in outcomes):
        print(f"Not everything was as it should be; {folder} is kept.")
        return 1
    shutil.rmtree(folder)
    return 0


def _strikes(what: list[str], only: str) -> Iterator[tuple[str, Load]]:
    """Which faults, and how much is in work meanwhile."""
    if "short" in what:
        yield KILLED_WORKER, Load(shards=300)
    if "failures" in what:
        for fault, does in FAULTS.items():
            if only in fault and not (does is cut_a_worker_off and why_no_namespaces()):
                yield fault, Load()


def _clock() -> Callable[[str], None]:
    began = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)

    return tell


def _environment_file(cluster: RunningCluster) -> Path:
    """A script that makes a shell one of the cluster; it has the passwords."""
    file = cluster.state / "environment"
    file.touch(mode=0o600)
    names = [name for name in cluster.environment if name not in ("HOME", "PATH", "TMPDIR")]
    lines = [f"export {name}={quote(cluster.environment[name])}\n" for name in sorted(names)]
    file.write_text("".join(lines))
    return file


def _stay(tell: Callable[[str], None]) -> None:
    tell("It stays up until Ctrl-C.")
    with suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)


def told(outcome: Outcome) -> str:
    """An outcome in a line."""
    runs = ", ".join(f"{count} {what}" for what, count in sorted(outcome.runs.items()))
    problems = "; ".join(outcome.problems) or "all rows are there, none twice"
    return (
        f"{outcome.shards} shards, {outcome.rows} rows in {outcome.seconds:.0f} s "
        f"({runs}): {problems}"
    )


def show(outcomes: list[Outcome]) -> None:
    """The table for docs/reliability.md."""
    table = Table("fault", "seconds", "runs that failed", "shards found in place", "rows")
    for one in outcomes:
        table.add_row(
            one.fault or "none",
            f"{one.seconds:.0f}",
            "; ".join(f"{count} x {reason[:90]}" for reason, count in one.reasons.items()) or "0",
            f"{one.kept_before} of {one.shards}",
            "; ".join(one.problems) or f"{one.rows}, all",
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    sys.exit(main())
