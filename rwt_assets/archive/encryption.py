"""The two ways of encryption that ZIP archives have: PKWARE's traditional one and WinZip AES.

What belongs here: from encrypted chunks to compressed ones. What does not: where the password
comes from (`secrets.py`); it is in no text that leaves this module. Rules: PKWARE
APPNOTE.TXT 6.1 (traditional encryption); WinZip, "AES Encryption Information: Encryption
Specification AE-1 and AE-2".

A ZIP archive does not say how its password was written: `spellings` are the ways in use. The
traditional way is a chain from byte to byte, done in Python
at a MB or two a second; AES is as fast as the processor.
"""

import hmac
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from hashlib import pbkdf2_hmac, sha1
from typing import Final

import numpy as np

from rwt_assets.runtime import from_extra

TRADITIONAL_HEADER: Final = 12
AES_VERIFIER: Final = 2
AES_CODE: Final = 10
AES_ROUNDS: Final = 1000
AES_BLOCK: Final = 16
DECRYPT_BYTES: Final = 256 << 10
HEAD_BYTES: Final = AES_BLOCK + AES_VERIFIER  # salt and verifier; the traditional has fewer
# In the order in which they are tried: today's tools, DOS and Windows of Western Europe, others.
ENCODINGS: Final = (
    "utf-8", "cp437", "cp850", "cp1252", "latin-1", "iso8859-15", "cp852", "cp1250", "cp866",
    "cp1251", "cp737", "cp1253", "cp857", "cp1254", "cp932", "gbk", "big5", "cp949",
)  # fmt: skip


class WrongPasswordError(Exception):
    """Another password was used."""


class TamperedError(Exception):
    """The bytes are not those that were encrypted."""


def spellings(password: str) -> tuple[bytes, ...]:
    """The bytes that a password may have been: one for ASCII, else one for each encoding of it.

    The password as it is given comes first, in UTF-8; then composed (as Windows and Linux type
    it) and decomposed (as a Mac may) in every encoding of `ENCODINGS` that can write it.
    """
    found = [password.encode("utf-8", "surrogateescape")]
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, password)
        for encoding in ENCODINGS:
            try:
                found.append(text.encode(encoding))
            except UnicodeEncodeError:
                continue
    return tuple(dict.fromkeys(found))


def traditional(chunks: Iterable[bytes], password: bytes, check: int) -> Iterator[bytes]:
    """Decrypt PKWARE's traditional encryption.

    Args:
        chunks: the member's bytes.
        password: of the archive.
        check: the byte in which the header ends; it finds 255 of 256 wrong passwords.

    Yields:
        The decrypted bytes behind the header.

    Raises:
        WrongPasswordError: the header ends in another byte.
        TamperedError: there is no header.
    """
    cipher = _Traditional(password)
    header = bytearray()
    for chunk in chunks:
        data = chunk
        if len(header) < TRADITIONAL_HEADER:
            missing = TRADITIONAL_HEADER - len(header)
            header += cipher.decrypt(data[:missing])
            data = data[missing:]
            if len(header) == TRADITIONAL_HEADER and header[-1] != check:
                raise WrongPasswordError
        for start in range(0, len(data), DECRYPT_BYTES):
            yield cipher.decrypt(data[start : start + DECRYPT_BYTES])
    if len(header) < TRADITIONAL_HEADER:
        raise TamperedError("its encryption header is cut off")


class _Traditional:
    """The three keys of APPNOTE 6.1.5, which every decrypted byte changes."""

    def __init__(self, password: bytes) -> None:
        self._keys = (0x12345678, 0x23456789, 0x34567890)
        for byte in password:
            self._update(byte)

    def _update(self, byte: int) -> None:
        key0, key1, key2 = self._keys
        key0 = _CRC[(key0 ^ byte) & 0xFF] ^ (key0 >> 8)
        key1 = ((key1 + (key0 & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
        key2 = _CRC[(key2 ^ (key1 >> 24)) & 0xFF] ^ (key2 >> 8)
        self._keys = key0, key1, key2

    def decrypt(self, data: bytes) -> bytes:
        key0, key1, key2 = self._keys
        table, stream = _CRC, _STREAM
        out = bytearray()
        for byte in data:
            plain = byte ^ stream[key2 & 0xFFFF]
            out.append(plain)
            key0 = table[(key0 ^ plain) & 0xFF] ^ (key0 >> 8)
            key1 = ((key1 + (key0 & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
            key2 = table[(key2 & 0xFF) ^ (key1 >> 24)] ^ (key2 >> 8)
        self._keys = key0, key1, key2
        return bytes(out)


def _crc_table() -> list[int]:
    # The CRC of one byte without the two inversions is that byte's entry of the table.
    return [zlib.crc32(bytes([byte]), 0xFFFFFFFF) ^ 0xFFFFFFFF for byte in range(256)]


_CRC: Final = _crc_table()
# The byte that APPNOTE 6.1.7 takes from the third key, for all that it looks at of it.
_STREAM: Final = bytes((((key | 2) * ((key | 2) ^ 1)) >> 8) & 0xFF for key in range(1 << 16))


def winzip_aes(
    chunks: Iterable[bytes], password: bytes, key_bytes: int, compressed_bytes: int
) -> Iterator[bytes]:
    """Decrypt WinZip AES. The authentication code is compared at the end.

    Args:
        chunks: the member's bytes: salt, verifier, content, authentication code.
        password: of the archive.
        key_bytes: 16, 24 or 32; the salt has half as many.
        compressed_bytes: how many bytes the chunks come to.

    Yields:
        The decrypted content, which is of no use if this raises.

    Raises:
        WrongPasswordError: the verifier is another; it finds all but one of 65,536.
        TamperedError: too short, or the authentication code is another.
        MissingExtraError: AES is read with the extra `zip`.
    """
    head_bytes = key_bytes // 2 + AES_VERIFIER
    left = compressed_bytes - head_bytes - AES_CODE
    if left < 0:
        raise TamperedError("it is too short for its encryption")
    cipher: _Aes | None = None
    held = b""
    for chunk in chunks:
        data = chunk
        if cipher is None:
            held += data
            if len(held) < head_bytes:
                continue
            cipher = _Aes(password, held[: head_bytes - AES_VERIFIER], key_bytes)
            if not hmac.compare_digest(cipher.verifier, held[head_bytes - 2 : head_bytes]):
                raise WrongPasswordError
            data, held = held[head_bytes:], b""
        content = data[:left]
        held += data[left:]
        left -= len(content)
        for start in range(0, len(content), DECRYPT_BYTES):
            yield cipher.decrypt(content[start : start + DECRYPT_BYTES])
    if cipher is None or not hmac.compare_digest(cipher.code(), held):
        raise TamperedError("its authentication code is another than its bytes give")


class _Aes:
    """AES in counter mode with a counter that WinZip writes little-endian, from 1."""

    def __init__(self, password: bytes, salt: bytes, key_bytes: int) -> None:
        with from_extra("zip", "its encryption (WinZip AES)"):
            from cryptography.hazmat.primitives.ciphers import (  # noqa: PLC0415 - of an extra
                Cipher,
                algorithms,
                modes,
            )
        keys = pbkdf2_hmac("sha1", password, salt, AES_ROUNDS, 2 * key_bytes + AES_VERIFIER)
        self.verifier = keys[-AES_VERIFIER:]
        self._code = hmac.new(keys[key_bytes : 2 * key_bytes], digestmod=sha1)
        # Blocks of the counter are made here and encrypted one by one: that is counter mode.
        self._blocks = Cipher(algorithms.AES(keys[:key_bytes]), modes.ECB()).encryptor()  # noqa: S305
        self._counter = 1
        self._stream = np.empty(0, dtype=np.uint8)

    def decrypt(self, data: bytes) -> bytes:
        self._code.update(data)
        missing = len(data) - len(self._stream)
        if missing > 0:
            self._stream = np.concatenate([self._stream, self._more(-(-missing // AES_BLOCK))])
        plain = np.frombuffer(data, dtype=np.uint8) ^ self._stream[: len(data)]
        self._stream = self._stream[len(data) :]
        return plain.tobytes()

    def _more(self, blocks: int) -> np.ndarray:
        counters = np.zeros((blocks, 2), dtype="<u8")
        counters[:, 0] = np.arange(self._counter, self._counter + blocks, dtype=np.uint64)
        self._counter += blocks
        return np.frombuffer(self._blocks.update(counters.tobytes()), dtype=np.uint8)

    def code(self) -> bytes:
        return self._code.digest()[:AES_CODE]
