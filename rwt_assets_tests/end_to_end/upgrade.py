"""`make upgrade`: a deployment of an earlier version goes on with this one, and back again.

    python -m rwt_assets_tests.end_to_end.upgrade [--storage sqlite postgresql] [--fixture FILE]
                                                  [--earlier COMMIT] [--same-dagster]

What belongs here: an earlier commit of this package on an earlier minor version of Dagster
delivers archives; this version migrates Dagster's schema, goes on, and delivers more; the earlier
one goes on with what this one left. What must be the same is held to be the same, the rest is
told. What does not: what one version does (`one_version.py`). Dagster documentation: "Upgrading
Dagster" (`dagster instance migrate`).

`--fixture` keeps what the earlier version left, for `assets/test_upgrade.py`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import dagster as dg

from rwt_assets.aws.provisioning import provision
from rwt_assets.definitions import declared_feeds
from rwt_assets.embedded.server import EmbeddedServer, local_environment
from rwt_assets.resources.s3_objects import S3Objects
from rwt_assets_tests.archives import make_zip, timetable
from rwt_assets_tests.benchmarks.databases import database
from rwt_assets_tests.end_to_end.running_stack import RunningStack

PROJECT = Path(__file__).parents[2]
EARLIER_COMMIT = "c595642"  # 2026-11-24, the last of that day
EARLIER_DAGSTER = PROJECT / "rwt_assets_tests" / "earlier-dagster.txt"
ONE_VERSION = Path(__file__).with_name("one_version.py")
OF_DAGSTER = ("dagster", "dagster-aws", "dagster-pandas", "dagster-postgres", "dagster-webserver")
GIT = ("git", "-C", str(PROJECT))
KEPT = ("zip_archive", "archive_manifest", "csv_shard", "enriched_shard", "delivery")
BAD_ROWS = "trip_id,arrival_time,stop_id,stop_sequence\nday,8h00,market,1\nday,08:05:00,bridge,2\n"
PATIENCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Version:
    """A version of the package with a Python in which it is installed."""

    name: str
    tree: Path
    python: Path


@dataclass(slots=True)
class Deployment:
    """Dagster's home and an S3 and SQS server, used by one version at a time."""

    folder: Path
    endpoint: str
    account: list[str] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "state" / "dagster"

    def environment(self, version: Version) -> dict[str, str]:
        base = {k: v for k, v in os.environ.items() if not k.startswith(("RWT_", "DAGSTER"))}
        return {
            **local_environment(self.endpoint, base),
            "DAGSTER_HOME": str(self.home),
            "PYTHONPATH": str(version.tree),
        }

    def ask(self, version: Version, *arguments: str) -> dict[str, Any]:
        """What `one_version.py` answers."""
        done = subprocess.run(
            [str(version.python), str(ONE_VERSION), *arguments],
            cwd=version.tree,
            env=self.environment(version),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def migrate(self, version: Version) -> tuple[str, float]:
        """The revisions that `dagster instance migrate` tells, and the seconds it took."""
        began = time.monotonic()
        done = subprocess.run(
            [str(version.python.with_name("dagster")), "instance", "migrate"],
            env=self.environment(version),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told = [line.strip() for line in done.stdout.splitlines() if "current:" in line]
        return f"{told[0]} before, {told[-1]} after", time.monotonic() - began

    def upload(self, name: str, body: bytes) -> None:
        feed = declared_feeds()[0]
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - the local server accepts any
        )
        client.put_object(Bucket=feed.source.bucket, Key=f"gtfs/{name}", Body=body)
        client.close()

    def tell(self, line: str) -> None:
        print(f"  {line}", flush=True)
        self.account.append(line)


@contextmanager
def earlier_versions(
    folder: Path, commit: str, *, same_dagster: bool
) -> Iterator[tuple[Version, Version]]:
    """The earlier commit in a work tree of its own, with the earlier Dagster and with this one."""
    tree, name = folder / "earlier", f"commit {commit}"
    _run([*GIT, "worktree", "add", "--quiet", "--detach"], tree, commit)
    try:
        locked = [f"{one}=={version(one)}" for one in OF_DAGSTER]
        own = locked if same_dagster else ["--override", EARLIER_DAGSTER]
        before = _environment(folder / "venv", tree, *own)
        after = _environment(folder / "venv-stepping", tree, *locked)
        yield Version(name, tree, before), Version(name, tree, after)
    finally:
        _run([*GIT, "worktree", "remove", "--force"], tree)


def _environment(folder: Path, tree: Path, *more: object) -> Path:
    """A virtual environment with the package of a tree; its Python."""
    uv, variables = str(PROJECT / ".venv/bin/uv"), {**os.environ, "VIRTUAL_ENV": str(folder)}
    _run([uv, "venv", "--quiet", "--python", sys.executable], folder)
    install = [uv, "pip", "install", "--quiet", "--system-certs", "--editable", str(tree)]
    _run([*install, "dagster-postgres"], *more, environment=variables)
    return folder / "bin" / "python"


def _run(command: Sequence[str], *more: object, environment: dict[str, str] | None = None) -> None:
    subprocess.run([*command, *map(str, more)], env=environment, check=True)


@contextmanager
def deployment(folder: Path, storage: str) -> Iterator[Deployment]:
    """A new one; the server keeps its state below it."""
    with database(storage) as url:
        home = folder / "state" / "dagster"
        home.mkdir(parents=True)
        settings = "telemetry: { enabled: false }\n"
        if url:
            # Without our own storages, which the earlier version does not have.
            settings += f"storage: {json.dumps({'postgres': {'postgres_url': url}})}\n"
        (home / "dagster.yaml").write_text(settings)
        server = EmbeddedServer(log=folder / "server.log", state=folder / "state" / "server")
        with server:
            os.environ.update(local_environment(server.endpoint_url, os.environ))
            for feed in declared_feeds():
                provision(feed)
            yield Deployment(folder, server.endpoint_url)


def begin(one: Deployment, earlier: Version) -> dict[str, Any]:
    """The earlier version delivers two archives and has split a third; what it sees then."""
    one.upload("a.zip", timetable(trips=3, stops=4))
    one.upload("b.zip", make_zip({"stop_times.txt": BAD_ROWS}))
    one.ask(earlier, "process")
    one.ask(earlier, "automation", str(one.folder / "cursor.json"))
    one.upload("c.zip", timetable(trips=2, stops=3, name="C"))
    left = one.ask(earlier, "process", "--one-step")
    one.tell(f"{earlier.name}, Dagster {left['dagster']}: {_told(left)}")
    one.tell(f"  asked for next: {_asked(left)}")
    return left


def go_on(one: Deployment, present: Version, stepping: Version, left: dict[str, Any]) -> None:
    """This version reads it, migrates it, finishes what was open, and delivers one more."""
    read = one.ask(present, "look")
    one.tell(f"this version, Dagster {read['dagster']}, before migrating: {_told(read)}")
    _same(read, left)
    assert read["documents_refused"] == [], "documents of the earlier version are not read"
    assert read["asked"] == left["asked"], "something else is asked for than before"
    told, seconds = one.migrate(present)
    one.tell(f"dagster instance migrate: {told}; {seconds:.0f} s")
    _same(one.ask(present, "look"), left)
    one.ask(stepping, "automation", str(one.folder / "stepping.json"))
    one.upload("d.zip", timetable(trips=2, stops=3, name="D"))
    after = one.ask(present, "process")
    one.tell(f"after c.zip was finished and d.zip delivered: {_told(after)}")
    assert after["standing"] == {
        "done": len(after["archives"]) + len(after["shards"]),
        "waiting": 0,
        "failed": 0,
        "forgotten": 0,
    }
    again = [
        f"{name} of {key}"
        for name in KEPT
        for key, number in left["events"][name].items()
        if after["events"][name].get(key) != number
    ]
    assert again == [], "what was done was done again"
    one.tell(f"  of what was done, processed again: {len(again)}")
    for name in ("archive_manifest", "enriched_shard", "delivery"):
        old = {v: n for v, n in after["made_by"][name].items() if v != after["code_version"][name]}
        one.tell(
            f"  {name}: {sum(old.values())} of {sum(after['made_by'][name].values())} partitions "
            "were made by another code version"
        )
    for cursor, how in (
        ("cursor.json", "both versions changed at once"),
        ("stepping.json", "Dagster first, this package after a look of automation"),
    ):
        asked = one.ask(present, "automation", str(one.folder / cursor))
        counts = ", ".join(f"{sum(ticks)} of {name}" for name, ticks in asked.items())
        one.tell(f"  declarative automation, {how}: asks for {counts}")


def go_back(one: Deployment, earlier: Version, present: Version) -> None:
    """The earlier version reads what this one left, and delivers one more."""
    left = one.ask(present, "look")
    read = one.ask(earlier, "look")
    one.tell(f"back to {earlier.name}, Dagster {read['dagster']}: {_told(read)}")
    _same(read, left)
    one.tell(f"  documents that it cannot read: those of {', '.join(read['documents_refused'])}")
    one.upload("e.zip", timetable(trips=2, stops=3, name="E"))
    after = one.ask(earlier, "process")
    one.tell(f"after e.zip was delivered: {_told(after)}")
    for reason in after["reasons"]:
        one.tell(f"  failed: {reason}")
    assert after["standing"]["forgotten"] == 0
    forth = one.ask(present, "process")
    one.tell(f"and forth again: {_told(forth)}")
    assert forth["standing"]["forgotten"] == forth["standing"]["failed"] == 0


def start_the_stack(one: Deployment) -> None:
    """`rwt up` of this version on the same folder."""
    stack = RunningStack(one.folder / "state")
    stack.start()
    try:
        stack.upload("f.zip", timetable(trips=2, stops=3, name="F"))

        def delivered() -> bool:
            with stack.instance() as instance:
                key = dg.AssetKey(["gtfs", "delivery"])
                wanted = dg.AssetRecordsFilter(key, asset_partitions=["gtfs/f.zip"])
                return bool(instance.fetch_materializations(wanted, limit=1).records)

        stack.wait_for(delivered, PATIENCE_SECONDS)
        status = stack.rwt("status")
        assert status.returncode == 0, status.stdout
        one.tell("rwt up on this folder: f.zip delivered; rwt status:")
        for line in status.stdout.splitlines()[:5]:
            one.tell(f"    {line}")
    finally:
        stack.stop()


def pack(one: Deployment, left: dict[str, Any], file: Path) -> None:
    """Keep Dagster's home, all objects and what the earlier version saw."""
    client = boto3.client("s3")
    objects = S3Objects(client)
    feed = declared_feeds()[0]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("seen.json", json.dumps(left))
        packed.writestr("cursor.json", (one.folder / "cursor.json").read_text())
        for path in sorted(one.home.rglob("*.db")):
            packed.write(path, f"dagster/{path.relative_to(one.home)}")
        for bucket in (feed.source.bucket, feed.target.bucket):
            for head in objects.list(bucket, ""):
                packed.writestr(f"objects/{bucket}/{head.key}", objects.read(bucket, head.key))
    client.close()
    one.tell(f"kept in {file}: {file.stat().st_size:,} bytes")


def _same(read: dict[str, Any], left: dict[str, Any]) -> None:
    for name in ("archives", "shards", "events", "made_by", "runs"):
        assert read[name] == left[name], f"{name} differ"


def _told(seen: dict[str, Any]) -> str:
    counts = ", ".join(f"{number} {name}" for name, number in seen["standing"].items())
    events = sum(len(seen["events"][name]) for name in KEPT)
    return (
        f"{len(seen['archives'])} archives, {len(seen['shards'])} shards, {events} partitions "
        f"with events, {len(seen['runs'])} runs; {counts}"
    )


def _asked(seen: dict[str, Any]) -> str:
    return ", ".join(f"{job} of {archive}" for job, archive in seen["asked"]) or "nothing"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make upgrade")
    parser.add_argument("--storage", nargs="+", default=["sqlite", "postgresql"])
    parser.add_argument("--fixture", type=Path)
    parser.add_argument("--earlier", metavar="COMMIT", default=EARLIER_COMMIT)
    parser.add_argument("--same-dagster", action="store_true", help="for a commit that needs it")
    arguments = parser.parse_args()
    present = Version("this version", PROJECT, Path(sys.executable))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        with earlier_versions(folder, arguments.earlier, same_dagster=arguments.same_dagster) as (
            earlier,
            stepping,
        ):
            for storage in arguments.storage:
                print(f"{storage}:")
                own = folder / storage
                own.mkdir()
                with deployment(own, storage) as one:
                    left = begin(one, earlier)
                    if arguments.fixture and storage == "sqlite":
                        pack(one, left, arguments.fixture)
                    go_on(one, present, stepping, left)
                    go_back(one, earlier, present)
                if storage == "sqlite":
                    start_the_stack(one)
                shutil.rmtree(own)


if __name__ == "__main__":
    main()
