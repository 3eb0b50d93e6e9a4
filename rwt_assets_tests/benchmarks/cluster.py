"""40 archives of 20 MB through the cluster with 1, 2 and 3 workers.

What belongs here: the archives, what is measured, and the table. What does not: the cluster
(`rwt_assets_tests/cluster/`). All servers and workers share the cores of one machine, so more
workers cannot be faster than the cores: what the table shows is that they are not slower, and
where the time goes.
"""

import os
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import dagster as dg
import psutil
from rich.console import Console
from rich.table import Table

from rwt_assets.catalog.standing import take_standing
from rwt_assets.embedded.processes import STACK_VARIABLE
from rwt_assets.runtime.run_tags import STEP_TAG
from rwt_assets_tests.archives import TIMES, make_zip
from rwt_assets_tests.cluster.running_cluster import RunningCluster

STOPS = 30
PATIENCE_SECONDS = 3_600
PARTS = {
    "postgres": "PostgreSQL",
    "beam.smp": "RabbitMQ",
    "loopback_server": "S3 and SQS",
    "celery -A": "workers",
    "dagster._daemon": "daemon",
    "dagster_webserver": "webserver",
    "grpc": "code server (sensors)",
    "code-server": "code server (sensors)",
}


@dataclass(slots=True)
class Throughput:
    """What a cluster of some workers came to."""

    workers: int
    archives: int
    megabytes: float
    seconds: float = 0.0
    waited: "dict[str, list[float]]" = field(default_factory=dict)
    worked: "dict[str, list[float]]" = field(default_factory=dict)
    cpu: "Counter[str]" = field(default_factory=Counter)

    @property
    def waiting_share(self) -> float:
        """Of the time from the request of a run to its end, how much it had no worker."""
        waited = sum(map(sum, self.waited.values()))
        return waited / (waited + sum(map(sum, self.worked.values())))


def measure_cluster(archives: int = 40, megabytes: int = 20) -> None:
    """Print the table; each number of workers has a new cluster."""
    body = archive_of(megabytes << 20)
    print(f"{archives} archives of {len(body) / 1e6:.1f} MB, {STOPS + 1} shards each", flush=True)
    measured = [_measure(workers, archives, body) for workers in (1, 2, 3)]
    table = Table("", *(f"{one.workers} workers" for one in measured))
    rows = {
        "seconds": [f"{one.seconds:.0f}" for one in measured],
        "archives a minute": [f"{60 * one.archives / one.seconds:.1f}" for one in measured],
        "MB of ZIP a second": [f"{one.megabytes / one.seconds:.2f}" for one in measured],
        "runs: share of time waiting": [f"{one.waiting_share:.0%}" for one in measured],
    }
    for step in ("split", "enrich", "deliver"):
        rows[f"{step}: median s waiting + working"] = [
            f"{median(one.waited[step]):.1f} + {median(one.worked[step]):.1f}" for one in measured
        ]
    for part in dict.fromkeys(PARTS.values()):
        rows[f"CPU s, {part}"] = [f"{one.cpu[part]:.0f}" for one in measured]
    rows["cores busy with it"] = [
        f"{sum(one.cpu.values()) / one.seconds:.2f} of {os.cpu_count()}" for one in measured
    ]
    for name, values in rows.items():
        table.add_row(name, *values)
    Console(width=110).print(table)


def archive_of(size: int) -> bytes:
    """A timetable whose ZIP has about this many bytes."""
    pseudo = random.Random(1)
    lines = [",".join(TIMES)]
    trips = size // (STOPS * 15)
    for _ in range(trips):
        trip = f"{pseudo.getrandbits(64):016x}"
        for stop in range(STOPS):
            minute = f"{8 + stop // 60:02d}:{stop % 60:02d}"
            seconds = pseudo.randrange(60)
            lines.append(
                f"{trip},{minute}:{seconds:02d},{minute}:59,S{pseudo.getrandbits(40):x},{stop}"
            )
    places = ["stop_id,stop_name,stop_lat,stop_lon", "S1,One,1.5,2.5"]
    return make_zip({"stop_times.txt": "\n".join(lines) + "\n", "stops.txt": "\n".join(places)})


def _measure(workers: int, archives: int, body: bytes) -> Throughput:
    folder = Path(tempfile.mkdtemp(prefix="rwt-cluster-"))
    folder.chmod(0o755)
    result = Throughput(workers, archives, archives * len(body) / 1e6)
    with RunningCluster(folder / "state", workers=workers, tell=lambda _: None) as cluster:
        before = _cpu(cluster.state)
        began = time.monotonic()
        for number in range(archives):
            cluster.upload(f"load-{number}.zip", body)
        cluster.wait_for(lambda: _delivered(cluster) == archives, PATIENCE_SECONDS)
        result.seconds = time.monotonic() - began
        result.cpu = _cpu(cluster.state)
        result.cpu.subtract(before)
        with cluster.instance() as instance:
            records = instance.get_run_records()
        for record in records:
            assert record.dagster_run.status is dg.DagsterRunStatus.SUCCESS, record
            assert record.start_time is not None
            assert record.end_time is not None
            step = record.dagster_run.tags.get(STEP_TAG, "automation")
            created = record.create_timestamp.timestamp()
            result.waited.setdefault(step, []).append(record.start_time - created)
            result.worked.setdefault(step, []).append(record.end_time - record.start_time)
    shutil.rmtree(folder)
    print(f"{workers} workers: {result.seconds:.0f} s", flush=True)
    return result


def _delivered(cluster: RunningCluster) -> int:
    done = cluster.ask(take_standing).done
    return sum(entry.asset == "zip_archive" for entry in done)


def _cpu(state: Path) -> "Counter[str]":
    """Processor seconds of every part so far, its ended children included."""
    seconds: Counter[str] = Counter()
    for process in psutil.process_iter():
        try:
            if process.environ().get(STACK_VARIABLE) != str(state):
                continue
            command, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.Error:
            continue
        part = next((name for mark, name in PARTS.items() if mark in command), None)
        if part is not None:
            seconds[part] += sum(times[:4])
    return seconds
