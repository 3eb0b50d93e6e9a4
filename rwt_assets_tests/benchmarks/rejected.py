"""What rejected rows cost beside good ones: processor seconds and peak memory by rule and share.

What belongs here: which rows, and the table. Each figure is of a process of its own that takes an
archive of one member the whole way to Parquet, of good rows and of rejected ones, without the
network and without Dagster.
"""

import json
import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile

GOOD: Final = b"%d,name,2026-01-01,5\n"
BAD: Final = {
    "ragged_row": b"%d,name,2026-01-01,5,6\n",
    "blank": b" \n",
    "stray_quote": b'%d,na"me,2026-01-01,5\n',
    "unclosed_quote": b'%d,"name,2026-01-01,5\n',
    "encoding": b"%d,na\xff\xc3\xa9\xc3\xa9,2026-01-01,5\n",
    "zero_byte": b"%d,na\0me,2026-01-01,5\n",
    "split value": b"%d,name,2026-99-%d,5\n",
    "qty: integer": b"%d,name,2026-01-01,x%d\n",
    "qty: minimum": b"%d,name,2026-01-01,-5\n",
}
SHARES: Final = (0.0, 0.05, 1.0)
ROWS: Final = (200_000, 2_000_000)
_WHOLE_WAY: Final = """
from rwt_assets.runtime import configure_process
configure_process()
import json, resource, sys, time
from pathlib import Path
from tempfile import TemporaryFile
from rwt_assets.orchestration.steps.enriched import EnrichedShard
from rwt_assets.feed.feed import Feed
from rwt_assets.orchestration.steps.frames import member_frame_type
from rwt_assets.storage.notifications import ArchiveRevision
from rwt_assets.authoring.preview import LOCAL, LocalArchive
from rwt_assets.orchestration.steps.parquet_io_manager import encode_shard
from rwt_assets.shard.unpacking import OnePassWriter, unpack_archive

feed = Feed.model_validate(json.loads(sys.argv[2]) | {"one_pass": True, "keep_shards": False})
file = Path(sys.argv[1])
kind = member_frame_type("Rows", feed.members[0])

def write(run):
    with TemporaryFile() as body:
        encode_shard(EnrichedShard(run, kind), body)

def whole_way():
    revision = ArchiveRevision("incoming", file.name, LOCAL, file.stat().st_size)
    store = LocalArchive(file, file.name, lambda _: None)
    writer = OnePassWriter(check=lambda _rule, _table: None, write=write)
    return unpack_archive(store, feed, revision, enriched=writer)

began = time.process_time()
manifest = whole_way()
seconds = time.process_time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([seconds, peak, manifest.rows_read]))
"""


def member_of(rule: str, share: float, rows: int) -> bytes:
    """A member of which a share of the rows is rejected by a rule."""
    chosen = random.Random(1)
    lines = [b"id,name,day,qty\n"]
    for number in range(rows):
        line = BAD[rule] if chosen.random() < share else GOOD
        lines.append(line.replace(b"%d", b"%d" % number))
    return b"".join(lines)


def declaration(rule: str) -> dict[str, object]:
    """A feed that takes such a member."""
    columns = {
        "id": {"type": "integer"},
        "name": {},
        "day": {"type": "date"},
        "qty": {"type": "integer", "minimum": 0},
    }
    taken: dict[str, object] = {"include": ["*"], "columns": columns}
    if rule == "split value":
        taken["split_by"] = "day"
    return {
        "name": "rejected",
        "source": {"bucket": "incoming", "queue": "rejected"},
        "target": {"bucket": "results", "prefix": "rejected"},
        "limits": {"ratio": 1_000_000},
        "members": [taken],
    }


def measure_rejected() -> None:
    """Print seconds and peaks, and what they are to those of good rows."""
    print("\n| rule | rows | share | cpu s | to good | peak MB | to good |\n"
          "|---|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    for rows in ROWS:
        for rule in BAD:
            good: tuple[float, float] | None = None
            for share in SHARES:
                seconds, peak = _measured(rule, share, rows)
                good = good or (seconds, peak)
                print(
                    f"| {rule} | {rows:,} | {share:.0%} | {seconds:.2f} | {seconds / good[0]:.1f} "
                    f"| {peak:.0f} | {peak / good[1]:.2f} |",
                    flush=True,
                )


def _measured(rule: str, share: float, rows: int) -> tuple[float, float]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rejected.zip"
        with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("a.csv", member_of(rule, share, rows))
        done = subprocess.run(
            [sys.executable, "-c", _WHOLE_WAY, str(file), json.dumps(declaration(rule))],
            check=True,
            capture_output=True,
            text=True,
        )
    seconds, peak, read = json.loads(done.stdout)
    assert read == rows, f"{read} rows were read of {rows}"
    return float(seconds), float(peak)
