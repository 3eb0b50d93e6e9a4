"""Every way in which a member of a ZIP archive may be compressed, in bounded memory.

What belongs here: from compressed chunks to chunks. What does not: where the bytes come from
and whether they are the right ones (`archive.py`). Rules: PKWARE APPNOTE.TXT 4.4.5 (methods)
and 5.8 (LZMA); RFC 1951; RFC 8878 (Zstandard).

Each decompressor gives at most about a MiB at a time, whatever it is given, but for
Deflate64, which gives all that it can: it is fed so little that this is at most 15 MiB.
"""

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol, cast

from isal import igzip_lib

from rwt_assets.runtime import from_extra

CHUNK_BYTES: Final = 1 << 20
INPUT_BYTES: Final = 256 << 10
JOINED_INPUT_BYTES: Final = 32 << 10  # what follows a stream's end is copied for the next
# A match of Deflate64 has up to 65,538 bytes and takes 18 bits at least.
DEFLATE64_INPUT_BYTES: Final = 512
# Streams after one another: parallel compressors write large ones, tiny ones would take ages.
STREAMS: Final = 1000
STREAM_BYTES: Final = 1024
WINDOW_LOG: Final = 26
WINDOW_BYTES: Final = 1 << WINDOW_LOG  # the most that a decompressor may keep of what it gave
XZ_BYTES: Final = WINDOW_BYTES + (16 << 20)  # with its other tables
DAMAGE: Final[tuple[type[Exception], ...]] = (
    zlib.error,
    cast("type[Exception]", igzip_lib.error),
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
)
METHODS: Final = {
    1: "Shrink", 2: "Reduce", 3: "Reduce", 4: "Reduce", 5: "Reduce", 6: "Implode",
    7: "Tokenize", 10: "PKWARE Implode", 16: "IBM CMPSC", 18: "IBM TERSE", 19: "IBM LZ77",
    94: "MP3", 96: "JPEG", 97: "WavPack", 98: "PPMd",
}  # fmt: skip


class DamagedError(Exception):
    """The compressed bytes can be no such stream."""


class UnsupportedError(Exception):
    """A compression that is not read here, or that would need too much memory."""


class Decompressor(Protocol):
    """What bz2, lzma, Zstandard and ISA-L all are."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing to give before more is put in."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What was put in after the end of the stream."""
        ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Put in some bytes; take out at most so many."""
        ...


def decompressed(compressed: Iterable[bytes], method: int, size: int) -> Iterator[bytes]:
    """The content of compressed chunks. The whole input is taken, also behind a stream's end.

    Args:
        compressed: the chunks.
        method: the number of the method.
        size: what it should come to; it bounds what LZMA keeps in memory.

    Yields:
        Chunks of a MiB at most (15 MiB of Deflate64), which may come to more than `size`.

    Raises:
        DamagedError: no such stream.
        UnsupportedError: a method that is not read here.
        MissingExtraError: one that is read with the extra `zip`.
    """
    if method == 0:
        return iter(compressed)
    if method == LZMA:
        return _pieces(compressed, lambda: _Lzma(size), INPUT_BYTES)
    if method not in _MAKERS:
        name = METHODS.get(method)
        raise UnsupportedError(
            f"its compression method {method}{f' ({name})' if name else ''} is not read here"
        )
    if method == DEFLATE64:
        return _pieces(compressed, _Deflate64, DEFLATE64_INPUT_BYTES)
    joined = method in _JOINED
    bytes_at_once = JOINED_INPUT_BYTES if joined else INPUT_BYTES
    return _pieces(compressed, _MAKERS[method], bytes_at_once, joined=joined)


def _pieces(
    compressed: Iterable[bytes],
    make: Callable[[], Decompressor],
    input_bytes: int,
    *,
    joined: bool = False,
) -> Iterator[bytes]:
    """Feed a decompressor; where streams may be `joined` a new one follows each that ended."""
    decompressor = make()
    streams, taken = 1, 0
    for chunk in compressed:
        for start in range(0, len(chunk), input_bytes):
            data = chunk[start : start + input_bytes]
            taken += len(data)
            while data or not (decompressor.needs_input or decompressor.eof):
                if decompressor.eof:
                    if not joined:
                        break
                    streams += 1
                    if streams > STREAMS + taken // STREAM_BYTES:
                        raise DamagedError("it consists of too many tiny streams")
                    decompressor = make()
                piece = _step(decompressor, data)
                if not piece and not data:
                    break
                data = decompressor.unused_data if decompressor.eof else b""
                if piece:
                    yield piece


def _step(decompressor: Decompressor, data: bytes) -> bytes:
    try:
        return decompressor.decompress(data, CHUNK_BYTES)
    except DAMAGE as error:
        if isinstance(error, lzma.LZMAError) and "Memory usage limit" in str(error):
            raise _too_much_memory() from error
        raise DamagedError(str(error)) from error


def _too_much_memory() -> UnsupportedError:
    return UnsupportedError(f"unpacking it needs more than {WINDOW_BYTES >> 20} MiB of memory")


class _Deflate64:
    """`Decompressor` over a library that has no bound of its own."""

    needs_input = True
    unused_data = b""

    def __init__(self) -> None:
        with from_extra("zip", "its compression (Deflate64)"):
            from inflate64 import Inflater  # noqa: PLC0415 - of an extra
        self._inflater: Any = Inflater()

    @property
    def eof(self) -> bool:
        return bool(self._inflater.eof)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:  # noqa: ARG002
        return bytes(self._inflater.inflate(data))


class _Zstandard:
    """`Decompressor` over a library with errors of its own."""

    def __init__(self) -> None:
        with from_extra("zip", "its compression (Zstandard)"):
            from backports import zstd  # noqa: PLC0415 - of an extra
        self._zstd = zstd.ZstdDecompressor(
            options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG}
        )
        self._error = zstd.ZstdError

    @property
    def eof(self) -> bool:
        return self._zstd.eof

    @property
    def needs_input(self) -> bool:
        return self._zstd.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._zstd.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        try:
            return self._zstd.decompress(data, max_length)
        except self._error as error:
            if "memory" in str(error):
                raise _too_much_memory() from error
            raise DamagedError(str(error)) from error


class _Lzma:
    """`Decompressor` for what APPNOTE 5.8.8 describes: a small header, then raw LZMA."""

    HEADER = struct.Struct("<2BH")
    PROPERTIES = struct.Struct("<BI")

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = b""
        self._lzma: lzma.LZMADecompressor | None = None

    @property
    def eof(self) -> bool:
        return self._lzma is not None and self._lzma.eof

    @property
    def needs_input(self) -> bool:
        return self._lzma is None or self._lzma.needs_input

    @property
    def unused_data(self) -> bytes:
        return b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if self._lzma is None:
            self._held += data
            begin = self.HEADER.size + self.PROPERTIES.size
            if len(self._held) < begin:
                return b""
            self._lzma = self._open(self._held)
            data, self._held = self._held[begin:], b""
        return self._lzma.decompress(data, max_length)

    def _open(self, header: bytes) -> lzma.LZMADecompressor:
        _, _, length = self.HEADER.unpack_from(header)
        packed, dictionary = self.PROPERTIES.unpack_from(header, self.HEADER.size)
        if length != self.PROPERTIES.size:
            raise ValueError("its LZMA properties have another length")
        rest, literal_bits = divmod(packed, 9)
        position_bits, literal_position_bits = divmod(rest, 5)
        # Nothing refers to more than the content has, however large a dictionary was named.
        dictionary = max(4096, min(dictionary, self._size))
        if dictionary > WINDOW_BYTES:
            raise _too_much_memory()
        return lzma.LZMADecompressor(
            lzma.FORMAT_RAW,
            filters=[
                {
                    "id": lzma.FILTER_LZMA1,
                    "dict_size": dictionary,
                    "lc": literal_bits,
                    "lp": literal_position_bits,
                    "pb": position_bits,
                }
            ],
        )


def _deflate() -> Decompressor:
    made: Decompressor = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE)
    return made


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_BYTES)


DEFLATE64: Final = 9
LZMA: Final = 14
_MAKERS: Final[dict[int, Callable[[], Decompressor]]] = {
    8: _deflate,
    DEFLATE64: _Deflate64,
    12: bz2.BZ2Decompressor,
    20: _Zstandard,  # the number it had first
    93: _Zstandard,
    95: _xz,
}
_JOINED: Final = frozenset({12, 20, 93, 95})  # parallel compressors write several streams
