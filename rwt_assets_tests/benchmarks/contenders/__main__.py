"""Runs one contender: python -m rwt_assets_tests.benchmarks.contenders NAME.

It prints wall and CPU seconds and the peak of the process's memory as JSON; imports are not
counted in the seconds.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

from rwt_assets_tests.benchmarks.contenders import contenders


def peak_mb() -> float:
    """The largest resident set of this process so far, in units of 10^6 bytes."""
    # getrusage would give the peak of the process that started this one, if that is larger.
    status = Path("/proc/self/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024 / 1e6


def main(name: str) -> None:
    work = contenders()[name].prepare()
    wall, cpu = time.perf_counter(), time.process_time()
    rows = work()
    taken = {
        "rows": rows,
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak_mb": peak_mb(),
    }
    print(json.dumps(taken), flush=True)
    os._exit(0)  # nothing of the interpreter's end is measured or of interest


if __name__ == "__main__":
    main(sys.argv[1])
