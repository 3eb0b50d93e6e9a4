"""How the characters of one member are written: found out from its beginning, or given.

What belongs here: finding the encoding, telling whether that was a guess, and transcoding. What
does not: delimiters and quotes (`dialect.py`). Rules: The Unicode Standard, "Byte Order Mark
(BOM)"; the WHATWG "Encoding" standard reads as Windows-1252 what is no Unicode;
charset-normalizer's documentation, for what is neither.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final, Literal

import numpy as np
from charset_normalizer import from_bytes

from rwt_assets.feed import AUTO

SAMPLE_BYTES: Final = 256 << 10
BOM: Final = b"\xef\xbb\xbf"
_BOMS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins with the mark of UTF-16, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
_WITH_MARK: Final = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
_UNREADABLE: Final = "rwt_unreadable"
_BEYOND_ASCII: Final = 0x80
_LEADS: Final = 0xC0  # and above: the first byte of a character (RFC 3629, section 3)
# What a text may be that is neither Unicode nor Windows-1252.
_CODE_PAGES: Final = (
    "cp1252", "cp1251", "koi8_r", "cp932", "gb18030", "big5", "euc_jp", "euc_kr",
)  # fmt: skip
_GUESSED_FROM: Final = 16 << 10  # bytes
_GUESSED_FROM_AT_LEAST: Final = 4  # bytes beyond ASCII


def find_encoding(sample: bytes, declared: str = AUTO) -> str:
    """The encoding of a member, from its beginning.

    A byte order mark decides. Without one, many zero bytes at every other place are UTF-16;
    what is mostly valid UTF-8 is UTF-8; for the rest it is guessed which of a few encodings makes
    words of it, else it is Windows-1252, or Latin-1 where it has bytes that Windows-1252 lacks.
    Given an encoding, it is that one; UTF-16 and UTF-32 without a mark are little-endian.
    """
    if declared in _WITH_MARK and not sample.startswith(_WITH_MARK[declared]):
        return f"{declared}-le"
    if declared != AUTO:
        return declared
    for mark, encoding in _BOMS:
        if sample.startswith(mark):
            return encoding
    return _utf16_by_zeros(sample) or _utf8_or_single_byte(sample)


def is_guess(encoding: str, declared: str) -> bool:
    """Whether neither the feed nor the member itself says that this is its encoding."""
    told = {"utf-8", *(name for _, name in _BOMS)}
    return declared == AUTO and encoding not in told


def to_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The same text in UTF-8, without a byte order mark.

    What is no text in `encoding` becomes bytes that are no UTF-8, at its place, so that the
    record which has it is set aside and the others are not.
    """
    begun = False
    held = b""
    for data in chunks if encoding == "utf-8" else _transcoded(chunks, encoding):
        if begun:
            yield data
            continue
        held += data
        if len(held) >= len(BOM):
            begun = True
            yield held.removeprefix(BOM)
    if not begun:
        yield held.removeprefix(BOM)


class GuessEvidence:
    """What the whole of a member says of its encoding, gathered while it is read."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._right = 0
        self._wrong = 0

    @property
    def says_utf8(self) -> bool:
        """Whether what is no ASCII is mostly UTF-8."""
        return self._right > self._wrong

    def taken_of(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks."""
        for chunk in chunks:
            if not chunk.isascii():
                right, wrong = _beyond_ascii(self._decoder.decode(chunk))
                self._right, self._wrong = self._right + right, self._wrong + wrong
            yield chunk


def _beyond_ascii(text: str) -> tuple[int, int]:
    """How many characters are no ASCII, and how many bytes are no UTF-8."""
    # Bytes that are no UTF-8 are surrogates in the text (Python, PEP 383), which "ignore" drops.
    written = np.frombuffer(text.encode("utf-8", "ignore"), np.uint8)
    ascii_characters = int(np.count_nonzero(written < _BEYOND_ASCII))
    characters = ascii_characters + int(np.count_nonzero(written >= _LEADS))
    return characters - ascii_characters, len(text) - characters


def _utf16_by_zeros(sample: bytes) -> Literal["utf-16-le", "utf-16-be"] | None:
    """Latin text in UTF-16 has a zero byte in most characters, nearly always on the same side."""
    pairs = len(sample) // 2
    even, odd = (sample[side : 2 * pairs : 2].count(0) for side in (0, 1))
    if odd * 2 > pairs and odd > 4 * even:
        return "utf-16-le"
    if even * 2 > pairs and even > 4 * odd:
        return "utf-16-be"
    return None


def _utf8_or_single_byte(sample: bytes) -> str:
    # An incremental decoder leaves a character that the sample's end cuts.
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(sample)
    right, wrong = _beyond_ascii(text)
    if wrong == 0 or right > wrong:
        return "utf-8"
    guess = _guess(sample)
    if guess != "cp1252":
        return guess
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "iso8859-1"
    return "cp1252"


def _guess(sample: bytes) -> str:
    """The code page that makes words of what is no ASCII; `cp1252` if none does."""
    lines = re.split(rb"[\r\n]+", sample)
    beyond = [line for line in lines[: max(1, len(lines) - 1)] if not line.isascii()] or lines[-1:]
    size = accumulate(len(line) for line in beyond)
    text = b"\n".join(line for line, end in zip(beyond, size, strict=True) if end <= _GUESSED_FROM)
    if sum(byte >= 0x80 for byte in text) < _GUESSED_FROM_AT_LEAST:  # noqa: PLR2004
        return "cp1252"
    best = from_bytes(text, cp_isolation=[*_CODE_PAGES]).best()
    return codecs.lookup(best.encoding).name if best is not None else "cp1252"


def _transcoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)(_UNREADABLE)
    for chunk in chunks:
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _mark_unreadable(error: UnicodeError) -> tuple[str, int]:
    """A lone surrogate for what is no text: it has no UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(_UNREADABLE, _mark_unreadable)
