"""Ours beside scripts that do the same work, and beside what each step costs alone.

What belongs here: the order of runs, and the tables. What does not: the work (`contenders/`,
`floors.py`) and the plots (`plots.py`). All sides run one after the other in every round, each
in a process of its own, against one S3 server in memory; before that each runs once and its
results are compared with ours. Results are removed again after each run, unseen by the clock.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil

from rwt_assets.embedded.server import EmbeddedServer, local_environment
from rwt_assets_tests.benchmarks.contenders import DIRECT, KEPT, Contender, contenders
from rwt_assets_tests.benchmarks.contenders.endpoint import ARCHIVE, SOURCE, TARGET
from rwt_assets_tests.benchmarks.contenders.sameness import hold_to_ours, remove_below
from rwt_assets_tests.benchmarks.floors import CHOSEN
from rwt_assets_tests.benchmarks.generated import SHOWN, Archive, archive_file
from rwt_assets_tests.benchmarks.plots import Bar, write_bars

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

OURS = {KEPT: "ours", DIRECT: "ours_direct"}
FIGURES = ("wall", "cpu", "server_cpu", "peak_mb")
Medians = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The server of a benchmark, with the archive on it."""

    s3: "S3Client"
    process: psutil.Process
    environment: Mapping[str, str]

    def run(self, module: str, *arguments: str) -> Any:
        """Run a module of the benchmarks in a process of its own; what it printed as JSON."""
        before = sum(self.process.cpu_times()[:2])
        answer = subprocess.run(
            [sys.executable, "-m", f"rwt_assets_tests.benchmarks.{module}", *arguments],
            env=dict(self.environment), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if answer.returncode:
            raise RuntimeError(f"{module} {arguments} failed:\n{answer.stderr[-2_000:]}")
        found = json.loads(answer.stdout)
        if isinstance(found, dict):
            found["server_cpu"] = sum(self.process.cpu_times()[:2]) - before
        return found


@contextmanager
def endpoint(archive: Archive, *, on_disk: bool = False) -> Iterator[Endpoint]:
    """A server that has the archive; in memory, unless its results would not fit there."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer(
            log=Path(folder) / "server.log", state=Path(folder) / "state" if on_disk else None
        ) as server,
    ):
        environment = local_environment(server.endpoint_url, os.environ)
        # Each client has its own idea of a default checksum. The server computes pyarrow's in
        # Python, 28 ms for each object, so all go without.
        environment["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
        s3 = boto3.client(
            "s3",
            endpoint_url=server.endpoint_url,
            region_name=environment["AWS_REGION"],
            aws_access_key_id="bench",
            aws_secret_access_key="bench",
        )
        for bucket in (SOURCE, TARGET):
            s3.create_bucket(Bucket=bucket)
        s3.upload_file(str(archive_file(archive)), SOURCE, ARCHIVE)
        yield Endpoint(s3, psutil.Process(server.process.pid), environment)


def run_scripts(
    archive: Archive, name: str, rounds: int, results: Path, plots: Path, only: Sequence[str] = ()
) -> None:
    """Compare, time, print, and write `scripts-NAME.json` and the plots."""
    found = {key: one for key, one in contenders().items() if not only or key in only}
    taken: dict[str, list[dict[str, float]]] = {key: [] for key in found}
    floors: list[list[dict[str, Any]]] = []
    with endpoint(archive) as server:
        compare(server, found)
        for _ in range(rounds):
            for key in found:
                taken[key].append(server.run("contenders", key))
                remove_below(server.s3, f"{key}/")
            floors.append(server.run("floors", str(server.process.pid)))
            remove_below(server.s3, "floors/")
    rows = {one["rows"] for runs in taken.values() for one in runs}
    assert rows == {archive.members * archive.rows}, f"they did not do the same work: {rows}"
    medians = {
        key: {figure: statistics.median(one[figure] for one in runs) for figure in FIGURES}
        for key, runs in taken.items()
    }
    alone = {
        step["step"]: {
            figure: statistics.median(one[place][figure] for one in floors)
            for figure in ("wall", "cpu", "server_cpu")
        }
        for place, step in enumerate(floors[0])
    }
    size = archive_file(archive).stat().st_size / 1e6
    print(f"\n{name}: {size:.0f} MB of ZIP, {rows.pop():,} rows, {rounds} rounds, medians")
    for form in (KEPT, DIRECT):
        _print_form(form, found, medians)
    bound = _print_floors(alone, found, medians)
    results.mkdir(parents=True, exist_ok=True)
    (results / f"scripts-{name}.json").write_text(
        json.dumps({"archive_mb": size, "rounds": rounds, "medians": medians, "floors": alone,
                    "bound_seconds": bound, "runs": taken}, indent=1)
    )  # fmt: skip
    _plot(name, found, medians, plots)


def compare(server: Endpoint, found: Mapping[str, Contender]) -> None:
    """Run each once and hold its results to ours.

    Raises:
        AssertionError: one that does other work than ours.
    """
    server.run("contenders", "ours")
    for key, one in found.items():
        if key != "ours":
            server.run("contenders", key)
        hold_to_ours(server.s3, one, "ours")
        if key != "ours":
            remove_below(server.s3, f"{key}/")
    remove_below(server.s3, "ours/")
    print(f"the results of {len(found)} contenders are the same: {', '.join(found)}", flush=True)


def _print_form(form: str, found: Mapping[str, Contender], medians: Medians) -> None:
    """The table of one form, in the Markdown of docs/performance.md."""
    own = medians.get(OURS[form])
    print(
        f"\n| {form} | wall s | CPU s | server CPU s | peak MB | wall, ours = 1 | CPU, ours = 1 |\n"
        "|---|---:|---:|---:|---:|---:|---:|"
    )
    for key, one in found.items():
        if one.form == form:
            figures = medians[key]
            ratios = [
                f"{figures[figure] / own[figure]:.2f}" if own else "" for figure in ("wall", "cpu")
            ]
            cells = [f"{figures[figure]:.2f}" for figure in ("wall", "cpu", "server_cpu")]
            cells.append(f"{figures['peak_mb']:.0f}")
            print(f"| {' | '.join([one.label, *cells, *ratios])} |")


def _print_floors(alone: Medians, found: Mapping[str, Contender], medians: Medians) -> float:
    """The table of the steps alone; the seconds that their sum takes on all cores."""
    print("\n| step alone | wall s | CPU s | server CPU s |\n|---|---:|---:|---:|")
    for step, figures in alone.items():
        cells = [f"{figures[figure]:.2f}" for figure in ("wall", "cpu", "server_cpu")]
        star = " *" if step in CHOSEN else ""
        print(f"| {step}{star} | {' | '.join(cells)} |")
    cores = os.cpu_count() or 1
    total = sum(alone[step]["cpu"] + alone[step]["server_cpu"] for step in CHOSEN)
    print(f"\nsum of * with the server: {total:.2f} s, on {cores} cores {total / cores:.2f} s;")
    for key, figures in medians.items():
        print(f"  {found[key].label}, {found[key].form}: {figures['wall'] / total * cores:.2f}"
              " times that")  # fmt: skip
    return total / cores


def _plot(name: str, found: Mapping[str, Contender], medians: Medians, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for figure, title, unit in (
        ("wall", "Wall time", "s"),
        ("peak_mb", "Peak memory of the process", "MB"),
    ):
        groups = {
            form: [
                Bar(one.label, medians[key][figure], own=key in OURS.values())
                for key, one in found.items()
                if one.form == form
            ]
            for form in (KEPT, DIRECT)
        }
        file = folder / f"scripts-{name}-{figure.split('_')[0]}.svg"
        write_bars(file, f"{title}, {SHOWN[name]}", unit, groups)
