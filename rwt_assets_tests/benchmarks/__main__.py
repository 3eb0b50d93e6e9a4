"""`make bench`: what the data path costs beside scripts, and what the daemon adds.

    python -m rwt_assets_tests.benchmarks
        [scripts] [memory] [rejected] [daemon] [shards] [scale] [sweep] [growth] [cluster]
        [--size small|medium|large] [--rounds N] [--archives N] [--shards N] [--only NAME ...]
        [--results FOLDER] [--plots FOLDER] [--storage sqlite|postgresql]
        [--catalog ARCHIVES SHARDS]

`--size` is that of `scripts`: 150 MB, 1.5 GB or 6 GB of CSV. `memory` takes all three, unless
one is named.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import psutil
import pyarrow as pa

from rwt_assets_tests.benchmarks.cluster import measure_cluster
from rwt_assets_tests.benchmarks.daemon import measure_daemon
from rwt_assets_tests.benchmarks.event_size import measure_event
from rwt_assets_tests.benchmarks.generated import CACHE, SIZES
from rwt_assets_tests.benchmarks.memory import measure_memory
from rwt_assets_tests.benchmarks.orchestration import measure_orchestration
from rwt_assets_tests.benchmarks.rejected import measure_rejected
from rwt_assets_tests.benchmarks.scale import measure_scale
from rwt_assets_tests.benchmarks.scripts import run_scripts
from rwt_assets_tests.benchmarks.storage_growth import measure_growth
from rwt_assets_tests.benchmarks.sweeping import measure_sweep


def machine() -> str:
    """What the figures were taken on."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Python {platform.python_version()}, pyarrow {pa.__version__}"
    )


def main() -> None:
    """Run what is named; everything if nothing is."""
    _run(_arguments())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    everything = ["scripts", "memory", "rejected", "daemon", "shards", "scale", "sweep", "growth"]
    everything.append("cluster")
    parser.add_argument("what", nargs="*", default=everything)
    parser.add_argument("--size", choices=SIZES)
    parser.add_argument("--archives", type=int, default=40, help="of `cluster`, 20 MB each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument(
        "--catalog", type=int, nargs=2, default=[5_000, 100_000], help="archives and shards in it"
    )
    parser.add_argument("--storage", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--only", nargs="*", default=[], help="contenders; all without it")
    parser.add_argument("--results", type=Path, default=CACHE / "results", help="for JSON")
    parser.add_argument("--plots", type=Path, help="for SVG; without it beside the JSON")
    arguments = parser.parse_args()
    if unknown := {*arguments.what} - {*everything}:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    return arguments


def _run(arguments: argparse.Namespace) -> None:
    results: Path = arguments.results
    plots: Path = arguments.plots or results
    print(f"{time.strftime('%Y-%m-%d')}, {machine()}\n", flush=True)
    if "scripts" in arguments.what:
        size = arguments.size or "small"
        run_scripts(SIZES[size], size, arguments.rounds, results, plots, arguments.only)
    if "memory" in arguments.what:
        measure_memory([arguments.size] if arguments.size else list(SIZES), results, plots)
    if "rejected" in arguments.what:
        measure_rejected()
    if "daemon" in arguments.what:
        measure_daemon(arguments.rounds, arguments.storage)
    if "shards" in arguments.what:
        measure_orchestration(arguments.shards, arguments.storage)
    if "scale" in arguments.what:
        measure_scale(*arguments.catalog)
    if "sweep" in arguments.what:
        measure_sweep()
    if "cluster" in arguments.what:
        measure_cluster(arguments.archives)
    if "growth" in arguments.what:
        measure_event()
        measure_growth()


if __name__ == "__main__":
    main()
