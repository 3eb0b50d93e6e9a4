"""ZIP archives byte by byte, so that anything in them can be odd.

Rule: PKWARE APPNOTE.TXT 4.3 to 4.5; WinZip, "AES Encryption Information".
"""

import bz2
import hmac
import lzma
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import pbkdf2_hmac, sha1

from backports import zstd
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from inflate64 import Deflater

STORED, DEFLATE, DEFLATE64, BZIP2, LZMA, ZSTD, XZ = 0, 8, 9, 12, 14, 93, 95
METHODS = [STORED, DEFLATE, DEFLATE64, BZIP2, LZMA, 20, ZSTD, XZ]
UTF8 = 1 << 11
SALT = bytes(range(1, 17))


def compressed(content: bytes, method: int) -> bytes:
    return _COMPRESSORS.get(method, bytes)(content)


def _by_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def _by_deflate64(content: bytes) -> bytes:
    packer = Deflater()
    return packer.deflate(content) + packer.flush()


def _by_lzma(content: bytes) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}]
    body = lzma.compress(content, lzma.FORMAT_RAW, filters=filters)
    return struct.pack("<2BHBI", 9, 20, 5, 93, 1 << 16) + body


_COMPRESSORS = {
    8: _by_deflate,
    9: _by_deflate64,
    12: bz2.compress,
    14: _by_lzma,
    20: zstd.compress,
    93: zstd.compress,
    95: lzma.compress,
}


def encrypted(content: bytes, password: bytes, check: int) -> bytes:
    """PKWARE's traditional encryption, as slowly as the specification has it."""
    keys = [0x12345678, 0x23456789, 0x34567890]

    def crc(value: int, byte: int) -> int:
        return zlib.crc32(bytes([byte]), value ^ 0xFFFFFFFF) ^ 0xFFFFFFFF

    def update(byte: int) -> None:
        keys[0] = crc(keys[0], byte)
        keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        keys[2] = crc(keys[2], keys[1] >> 24)

    for byte in password:
        update(byte)
    out = bytearray()
    for byte in bytes(11) + bytes([check]) + content:
        mixed = keys[2] | 2
        out.append(byte ^ (((mixed * (mixed ^ 1)) >> 8) & 0xFF))
        update(byte)
    return bytes(out)


def aes_encrypted(content: bytes, password: bytes, strength: int) -> bytes:
    size = {1: 16, 2: 24, 3: 32}[strength]
    salt = SALT[: size // 2]
    keys = pbkdf2_hmac("sha1", password, salt, 1000, 2 * size + 2)
    blocks = Cipher(algorithms.AES(keys[:size]), modes.ECB()).encryptor()  # noqa: S305
    stream = b"".join(
        blocks.update((number + 1).to_bytes(16, "little"))
        for number in range(len(content) // 16 + 1)
    )
    body = bytes(a ^ b for a, b in zip(content, stream, strict=False))
    code = hmac.new(keys[size : 2 * size], body, sha1).digest()[:10]
    return salt + keys[-2:] + body + code


@dataclass
class Entry:
    """One file of an archive; what is given wins over what would be right."""

    name: str | bytes
    content: bytes = b""
    method: int = DEFLATE
    password: str = ""
    aes: int = 0  # the strength, 1 to 3
    ae: int = 2
    flags: int | None = None
    extra: bytes = b""
    local_extra: bytes = b""
    local_name: bytes | None = None
    local_method: int | None = None
    system: int = 3
    mode: int = 0o100644
    descriptor: bool = False
    time: int = 0x5A5A
    size: int | None = None
    compressed_size: int | None = None
    crc: int | None = None
    body: bytes | None = None
    offset: int | None = None
    disk: int = 0
    key: bytes = b""  # the bytes of the password, if they are not its UTF-8

    @property
    def raw_name(self) -> bytes:
        return self.name.encode() if isinstance(self.name, str) else self.name

    def made(self) -> tuple[bytes, bytes, bytes]:
        """Its local part, and its entry but for the offset at the end and what follows that."""
        flags = self.flags
        if flags is None:
            named_in_utf8 = isinstance(self.name, str) and not self.name.isascii()
            flags = (UTF8 if named_in_utf8 else 0) | (8 if self.descriptor else 0)
            flags |= 1 if self.password else 0
        crc = zlib.crc32(self.content)
        method, extra = self.method, self.extra
        body = compressed(self.content, method) if self.body is None else self.body
        if self.aes:
            extra += struct.pack("<2HH2sBH", 0x9901, 7, self.ae, b"AE", self.aes, method)
            method, crc = 99, 0 if self.ae == 2 else crc
            body = aes_encrypted(body, self.key or self.password.encode(), self.aes)
        elif self.password and self.body is None:
            check = self.time >> 8 if flags & 8 else crc >> 24
            body = encrypted(body, self.key or self.password.encode(), check & 0xFF)
        size = len(self.content) if self.size is None else self.size
        small = len(body) if self.compressed_size is None else self.compressed_size
        crc = crc if self.crc is None else self.crc
        local_name = self.raw_name if self.local_name is None else self.local_name
        local_extra = self.local_extra or extra
        early = (0, 0, 0) if flags & 8 else (crc, small & 0xFFFFFFFF, size & 0xFFFFFFFF)
        local = struct.pack(
            "<4s5H3I2H",
            b"PK\x03\x04",
            20,
            flags,
            method if self.local_method is None else self.local_method,
            self.time,
            0x5555,
            *early,
            len(local_name),
            len(local_extra),
        )
        local += local_name + local_extra + body
        if flags & 8:
            local += b"PK\x07\x08" + struct.pack("<3I", crc, small & 0xFFFFFFFF, size & 0xFFFFFFFF)
        entry = struct.pack(
            "<4s2B5H3I5HI",
            b"PK\x01\x02",
            20,
            self.system,
            20,
            flags,
            method,
            self.time,
            0x5555,
            crc,
            small,
            size,
            len(self.raw_name),
            len(extra),
            0,
            self.disk,
            0,
            self.mode << 16,
        )
        return local, entry, self.raw_name + extra


def archive(
    entries: Sequence[Entry],
    *,
    before: bytes = b"",
    comment: bytes = b"",
    after: bytes = b"",
    count: int | None = None,
    disk: int = 0,
    zip64: bool = False,
    shift: int = 0,
) -> bytes:
    """An archive of these entries. `shift` is added to all offsets."""
    body, directory = before, b""
    for entry in entries:
        local, head, tail = entry.made()
        offset = len(body) - len(before) + shift if entry.offset is None else entry.offset
        directory += head + struct.pack("<I", offset) + tail
        body += local
    start = len(body) - len(before) + shift
    number = len(entries) if count is None else count
    end = b""
    if zip64:
        at = start + len(directory)
        end += struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, disk, disk, number, number,
                           len(directory), start)  # fmt: skip
        end += struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
        tail64 = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
        end += struct.pack("<4s4H2IH", b"PK\x05\x06", *tail64, len(comment))
    else:
        end += struct.pack("<4s4H2IH", b"PK\x05\x06", disk, disk, number, number, len(directory),
                           start, len(comment))  # fmt: skip
    return body + directory + end + comment + after


class Ranges:
    """Bytes that count how often they are asked for."""

    def __init__(self, body: bytes, chunk: int = 1000) -> None:
        self.body = body
        self.chunk = chunk
        self.reads = self.streams = 0

    @property
    def size(self) -> int:
        return len(self.body)

    def read(self, start: int, end: int) -> bytes:
        self.reads += 1
        return self.body[start:end]

    def stream(self, start, end):
        self.streams += 1
        for offset in range(start, end, self.chunk):
            yield self.body[offset : min(offset + self.chunk, end)]
