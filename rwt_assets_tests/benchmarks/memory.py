"""The peak of ours, whatever the archive: by bytes of CSV and by number of split values.

What belongs here: which archives, and the table. The process has no Dagster daemon around it,
but everything that the assets import. The server keeps its objects on disk, since results of
6 GB of CSV would not fit beside it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from rwt_assets_tests.benchmarks.contenders import contenders
from rwt_assets_tests.benchmarks.generated import LARGE, MEDIUM, SMALL, Archive, archive_file
from rwt_assets_tests.benchmarks.plots import Bar, write_bars
from rwt_assets_tests.benchmarks.scripts import OURS, endpoint

TARGET_MB = 500
MANY_VALUES = 20_000
CASES = (
    ("small", "150 MB, 50 values", SMALL),
    ("medium", "1.5 GB, 50 values", MEDIUM),
    ("large", "6 GB, 50 values", LARGE),
    ("small", f"150 MB, {MANY_VALUES:,} values", Archive(1, 1_500_000, MANY_VALUES)),
    ("medium", f"1.5 GB, {MANY_VALUES:,} values", Archive(1, 15_000_000, MANY_VALUES)),
)


def measure_memory(sizes: Sequence[str], results: Path, plots: Path) -> None:
    """Print the peaks of both forms beside the target; `memory.json` and a plot."""
    found = {key: one for key, one in contenders().items() if key in OURS.values()}
    taken: dict[str, dict[str, dict[str, float]]] = {}
    print("\n| CSV, values a member | form | rows | shards | wall s | peak MB | target |\n"
          "|---|---|---:|---:|---:|---:|---:|")  # fmt: skip
    for size, label, archive in CASES:
        if size not in sizes:
            continue
        archive_file(archive)
        for key, one in found.items():
            with endpoint(archive, on_disk=True) as server:
                figures = server.run("contenders", key)
            taken.setdefault(one.form, {})[label] = figures
            kept = "kept" if figures["peak_mb"] <= TARGET_MB else "missed"
            print(
                f"| {label} | {one.form} | {archive.members * archive.rows:,} | "
                f"{archive.members * archive.values:,} | {figures['wall']:.1f} | "
                f"{figures['peak_mb']:.0f} | {TARGET_MB}: {kept} |",
                flush=True,
            )
    results.mkdir(parents=True, exist_ok=True)
    (results / "memory.json").write_text(json.dumps(taken, indent=1))
    plots.mkdir(parents=True, exist_ok=True)
    groups = {
        form: [Bar(label, one["peak_mb"], own=one["peak_mb"] <= TARGET_MB)
               for label, one in found_.items()]
        for form, found_ in taken.items()
    }  # fmt: skip
    write_bars(plots / "memory.svg", "Peak memory of rwt_assets", "MB", groups)
