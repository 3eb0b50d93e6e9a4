"""Small archives that would come to very much: refused early, in little memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rwt_assets_tests.bombs import BOMBS, LARGE, LIE, MIB, large, zeros_by_lzma, zeros_by_zstandard
from rwt_assets_tests.odd_archives import Entry, archive

PEAK_BYTES = 100 * MIB  # beyond what the process had before it read
ON_LINUX = Path("/proc/self/status").exists()
REFUSED = {
    "one member of 10 GB": "LimitError: the archive has",
    "a thousand members of 10 MB": "LimitError: the archive has",
    "a hundred members in one place": "NotAZipError",
    "archives within archives within archives": None,
    "stored archives within": None,
    "compressed archives within": None,
}

pytestmark = [
    pytest.mark.skipif(not ON_LINUX, reason="peak memory is read from /proc"),
    pytest.mark.mostly_long(one_in=2),
]


def read(path, body, ratio=500):
    path.write_bytes(body)
    command = [sys.executable, "-m", "rwt_assets_tests.bombs", str(path), str(ratio)]
    answer = subprocess.run(command, capture_output=True, check=True)
    figures = json.loads(answer.stdout)
    print(f"{figures['seconds']:.2f} s, {figures['peak'] >> 20} MiB, {len(body)} bytes")
    return figures


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_comes_to_nothing(tmp_path, kind):
    figures = read(tmp_path / "bomb.zip", BOMBS[kind]())
    assert figures["peak"] < PEAK_BYTES
    bad = {name: said for name, said in figures["outcomes"].items() if name != "good.csv"}
    assert bad
    assert not [said for said in bad.values() if said == "whole"]
    if REFUSED.get(kind):
        assert bad[""].startswith(REFUSED[kind])
        assert figures["streams"] == 0, "the directory alone tells"
    elif kind in REFUSED:
        assert all("limits." in said for said in bad.values())
        assert figures["yielded"] < MIB
    else:
        assert bad["a.csv"].startswith("MemberCorruptError")
        assert figures["yielded"] <= LIE


@pytest.mark.parametrize("kind", LARGE)
def test_memory_does_not_depend_on_the_content(tmp_path, kind):
    figures = read(tmp_path / "large.zip", large(kind), ratio=10_000_000)
    assert figures["outcomes"] == {"in.zip/a.csv": "whole", "a.csv": "whole"}
    assert figures["peak"] < PEAK_BYTES
    assert figures["largest"] <= 16 * MIB


@pytest.mark.parametrize(
    ("method", "body"),
    [(93, zeros_by_zstandard(200, window=27)), (14, zeros_by_lzma(200, dictionary=128 * MIB))],
)
def test_what_needs_much_memory_to_unpack_is_not_unpacked(tmp_path, method, body):
    bomb = archive([Entry("a.csv", method=method, body=body, size=200 * MIB)])
    figures = read(tmp_path / "bomb.zip", bomb, ratio=10_000_000)
    assert "needs more than 64 MiB of memory" in figures["outcomes"]["a.csv"]
    assert figures["peak"] < PEAK_BYTES
