"""`make bench`: what the data path costs beside pandas scripts, and what the daemon adds.

python -m rwt_assets_tests.benchmarks [scripts] [daemon] [shards] [sweep] [--rounds N] [--shards N]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import boto3
import psutil
import pyarrow as pa

from rwt_assets.embedded.server import EmbeddedServer, local_environment
from rwt_assets_tests.benchmarks.contenders import ARCHIVE, CONTENDERS, SOURCE, TARGET
from rwt_assets_tests.benchmarks.daemon import measure_daemon
from rwt_assets_tests.benchmarks.generated import make_archive
from rwt_assets_tests.benchmarks.orchestration import measure_orchestration
from rwt_assets_tests.benchmarks.sweeping import measure_sweep


def machine() -> str:
    """What the figures were taken on."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Python {platform.python_version()}, pyarrow {pa.__version__}"
    )


def run_scripts(rounds: int) -> None:
    """Each contender in a process of its own, interleaved, on one S3 server in memory."""
    body = make_archive()
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(log=Path(folder) / "server.log") as server,
    ):
        environment = local_environment(server.endpoint_url, os.environ)
        s3 = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            region_name=environment["AWS_REGION"],
            aws_access_key_id="bench",
            aws_secret_access_key="bench",
        )
        for bucket in (SOURCE, TARGET):
            s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=SOURCE, Key=ARCHIVE, Body=body)
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
        for _ in range(rounds):
            for name in CONTENDERS:
                command = [sys.executable, "-m", "rwt_assets_tests.benchmarks.contenders", name]
                answer = subprocess.run(command, env=environment, capture_output=True, check=True)
                taken[name].append(json.loads(answer.stdout))
    rows = {one["rows"] for found in taken.values() for one in found}
    assert len(rows) == 1, f"they did not do the same work: {rows}"
    print(f"{len(body) / 1e6:.0f} MB of ZIP, {rows.pop():,} rows, {rounds} rounds, medians\n")
    print(f"{'':<20}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}{'wall ratio':>12}{'CPU ratio':>11}")
    median = {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for name, found in taken.items()
    }
    own = median["ours"]
    for name, one in median.items():
        print(
            f"{name:<20}{one['wall']:>9.2f}{one['cpu']:>9.2f}{one['peak_mb']:>9.0f}"
            f"{one['wall'] / own['wall']:>11.2f}x{one['cpu'] / own['cpu']:>10.2f}x"
        )


def main() -> None:
    """Run what is named; everything if nothing is."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("what", nargs="*", default=["scripts", "daemon", "shards", "sweep"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shards", type=int, default=10_000)
    arguments = parser.parse_args()
    print(f"{time.strftime('%Y-%m-%d')}, {machine()}\n")
    if "scripts" in arguments.what:
        run_scripts(arguments.rounds)
    if "daemon" in arguments.what:
        measure_daemon(arguments.rounds)
    if "shards" in arguments.what:
        measure_orchestration(arguments.shards)
    if "sweep" in arguments.what:
        measure_sweep()


if __name__ == "__main__":
    main()
