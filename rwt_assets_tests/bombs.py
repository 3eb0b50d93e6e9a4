"""Archives that are small and would come to very much, and a process that measures reading them.

python -m rwt_assets_tests.bombs FILE      reads everything, prints outcomes and figures
"""

import bz2
import json
import lzma
import struct
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from backports import zstd
from inflate64 import Deflater

from rwt_assets_tests.odd_archives import STORED, Entry, archive

MIB = 1 << 20
GIB = 1 << 30
LARGE_MIB = 300
LIE = 100 * 1024  # what the directory of a lying archive says


def zeros_deflated(mebibytes: int) -> bytes:
    """So many MiB of zeros, without taking the time to compress them all."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(10 * MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    repeated = deflate.compress(bytes(10 * MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return block + repeated * (mebibytes // 10 - 1) + deflate.flush()


def zeros_by_lzma(mebibytes: int, dictionary: int = 64 * MIB) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 0, "dict_size": dictionary}]
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=filters)
    body = b"".join(packer.compress(bytes(MIB)) for _ in range(mebibytes)) + packer.flush()
    return struct.pack("<2BHBI", 9, 20, 5, 93, dictionary) + body


def zeros_by_zstandard(mebibytes: int, window: int = 26) -> bytes:
    options = {zstd.CompressionParameter.window_log: window}
    packer = zstd.ZstdCompressor(options=options)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(mebibytes)) + packer.flush()


def zeros_by_deflate64(mebibytes: int) -> bytes:
    packer = Deflater()
    return b"".join(packer.deflate(bytes(MIB)) for _ in range(mebibytes)) + packer.flush()


def zeros_by_xz(mebibytes: int) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 64 * MIB}]
    packer = lzma.LZMACompressor(lzma.FORMAT_XZ, filters=filters)
    return b"".join(packer.compress(bytes(MIB)) for _ in range(mebibytes)) + packer.flush()


def _lying(method: int, body: bytes) -> bytes:
    return archive([Entry("a.csv", bytes(LIE), method, body=body)])


def _one_member() -> bytes:
    """More than 4 GB, so its size stands in a Zip64 field."""
    extra = struct.pack("<2HQ", 1, 8, 10 * GIB)
    return archive(
        [Entry("a.csv", method=8, body=zeros_deflated(10_240), size=0xFFFF_FFFF, extra=extra)]
    )


def _many_members() -> bytes:
    body = zeros_deflated(10)
    return archive(
        [Entry(f"{number}.csv", method=8, body=body, size=10 * MIB) for number in range(1000)]
    )


def _overlapping() -> bytes:
    body = zeros_deflated(1000)
    kernel = Entry("0.csv", method=8, body=body, size=1000 * MIB)
    copies = [
        Entry(f"{number}.csv", method=8, body=b"", size=1000 * MIB, offset=0,
              compressed_size=len(body))
        for number in range(1, 100)
    ]  # fmt: skip
    return archive([kernel, *copies])


def _nested(method: int) -> bytes:
    inner = archive([Entry("a.csv", method=8, body=zeros_deflated(1000), size=1000 * MIB)])
    whole = [Entry(f"{number}.zip", inner, method) for number in range(10)]
    return archive([*whole, Entry("good.csv", b"a,b\n1,2\n")])


def _deep() -> bytes:
    """Each level holds ten of the next, as 42.zip does."""
    body = archive([Entry("a.csv", method=8, body=zeros_deflated(1000), size=1000 * MIB)])
    for _ in range(4):
        body = archive([Entry(f"{number}.zip", body) for number in range(10)])
    return body


def _many_tiny_streams() -> bytes:
    return _lying(12, bz2.compress(b"") * 700_000)


BOMBS: dict[str, Callable[[], bytes]] = {
    "one member of 10 GB": _one_member,
    "a thousand members of 10 MB": _many_members,
    "a hundred members in one place": _overlapping,
    "stored archives within": lambda: _nested(STORED),
    "compressed archives within": lambda: _nested(8),
    "archives within archives within archives": _deep,
    "deflate that lies": lambda: _lying(8, zeros_deflated(10_240)),
    "deflate64 that lies": lambda: _lying(9, zeros_by_deflate64(512)),
    "bzip2 that lies": lambda: _lying(12, bz2.compress(bytes(100 * MIB)) * 100),
    "lzma that lies": lambda: _lying(14, zeros_by_lzma(512)),
    "zstandard that lies": lambda: _lying(93, zeros_by_zstandard(1024) * 10),
    "xz that lies": lambda: _lying(95, zeros_by_xz(512)),
    "a million empty streams": _many_tiny_streams,
}
# Read to the end with limits.ratio raised: memory must not depend on the content.
LARGE: dict[str, Callable[[], tuple[int, bytes]]] = {
    "deflate": lambda: (8, zeros_deflated(LARGE_MIB)),
    "deflate64": lambda: (9, zeros_by_deflate64(LARGE_MIB)),
    "bzip2": lambda: (12, bz2.compress(bytes(100 * MIB)) * 3),
    "lzma": lambda: (14, zeros_by_lzma(LARGE_MIB)),
    "zstandard": lambda: (93, zeros_by_zstandard(LARGE_MIB)),
    "xz": lambda: (95, zeros_by_xz(LARGE_MIB)),
}


def large(kind: str) -> bytes:
    method, body = LARGE[kind]()
    crc = 0
    for _ in range(LARGE_MIB):
        crc = zlib.crc32(bytes(MIB), crc)
    entry = Entry("a.csv", method=method, body=body, size=LARGE_MIB * MIB, crc=crc)
    return archive([Entry("in.zip", archive([entry])), entry])


def peak_bytes() -> int:
    """The most memory that this process had; getrusage would count its parent's in."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def read(path: Path, ratio: int) -> dict[str, object]:
    from rwt_assets.archive import open_archive  # noqa: PLC0415 - only the process loads these
    from rwt_assets.feed.feed import Feed  # noqa: PLC0415
    from rwt_assets.runtime.errors import RwtError  # noqa: PLC0415
    from rwt_assets.storage.byte_ranges import FileRanges  # noqa: PLC0415

    feed = Feed.model_validate(
        {
            "name": "bombs",
            "source": {"bucket": "incoming", "queue": "bombs"},
            "target": {"bucket": "results", "prefix": "bombs"},
            "members": [{"include": ["*.csv"]}],
            "limits": {"ratio": ratio, "nesting": 8},
        }
    )

    class Counted(FileRanges):
        streams = 0

        def stream(self, start, end):
            self.streams += 1
            return super().stream(start, end)

    loaded = peak_bytes()
    started = time.perf_counter()
    outcomes: dict[str, str] = {}
    yielded = largest = 0
    with path.open("rb") as file:
        source = Counted(file)
        try:
            for found in open_archive(source, feed, "here"):
                name = found.member.name
                try:
                    if found.broken is not None:
                        raise found.broken
                    if found.rule is not None:
                        for chunk in found.chunks("here"):
                            yielded += len(chunk)
                            largest = max(largest, len(chunk))
                        outcomes[name] = "whole"
                except RwtError as error:
                    outcomes[name] = f"{type(error).__name__}: {error}"
        except RwtError as error:
            outcomes[""] = f"{type(error).__name__}: {error}"
    return {
        "outcomes": outcomes,
        "yielded": yielded,
        "largest": largest,
        "streams": source.streams,
        "seconds": time.perf_counter() - started,
        "peak": peak_bytes() - loaded,
    }


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]), int(sys.argv[2]))))
