"""How the characters of one member are written: found out from its beginning, or given.

What belongs here: finding the encoding, telling whether that was a guess, and transcoding. What
does not: delimiters and quotes (`dialect.py`). Rules: The Unicode Standard, "Byte Order Mark
(BOM)"; the WHATWG "Encoding" standard reads as Windows-1252 what is no Unicode;
charset-normalizer's documentation, for what is neither.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate
from operator import itemgetter
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
_END_MARKS: Final = 4 << 10  # bytes at the end among which they are looked for
_END_MARK: Final = re.compile(rb"(?<!\x1a)\x1a{1,2048}(?:\r\n?|\n)?\Z")
_BEYOND_ASCII: Final = 0x80
_LEADS_OF_TWO: Final = ((0xC2, 0xC5), (0xCE, 0xD1), (0xD7, 0xD9))
_LEADS: Final = 0xC0  # and above: the first byte of a character (RFC 3629, section 3)
# What a text may be that is neither Unicode nor Windows-1252.
_CODE_PAGES: Final = (
    "cp1252", "cp1251", "koi8_r", "cp932", "gb18030", "big5", "euc_jp", "euc_kr",
)  # fmt: skip
_WESTERN: Final = ("cp1252", "cp850", "mac_roman")
_WORD: Final = re.compile("(?<![A-Za-z])[A-Za-z]*[^\\x00-\\x7f][A-Za-z\\x80-\\uffff]*")
_LOWER: Final = "a-zäöüßéèêëàâáãåæçíìîïñóòôõøœúùûýÿšžðþ"
_UPPER: Final = "A-ZÄÖÜÉÈÊËÀÂÁÃÅÆÇÍÌÎÏÑÓÒÔÕØŒÚÙÛÝŠŽÐÞ"
_WESTERN_WORD: Final = re.compile(f"[{_UPPER}]?[{_LOWER}]+|[{_UPPER}ß]+")
# Quotes, dashes, signs of currency and degree.
_AROUND_WORDS: Final = "„“”\u2018\u2019\u201a«»\u2039\u203a…\u2013—€°²³®™©§¿¡†‡•¢£¥ªº"
_WITHIN_WORDS: Final = re.compile("['\u2019\u2013—·.…µ]")  # 5 µm
_SURE: Final = 0.8  # of the words, or it is no Western text
# EBCDIC: letters, digits, blanks, line ends and what delimits, the same in all of its code pages.
_EBCDIC: Final = bytes.fromhex(
    "05 0d 15 25 40 4b 4d 5d 5e 60 61 6b 6d 7a 7d 7f 81 82 83 84 85 86 87 88 89 91 92 93 94 95 96"
    "97 98 99 a2 a3 a4 a5 a6 a7 a8 a9 c1 c2 c3 c4 c5 c6 c7 c8 c9 d1 d2 d3 d4 d5 d6 d7 d8 d9 e2 e3"
    "e4 e5 e6 e7 e8 e9 f0 f1 f2 f3 f4 f5 f6 f7 f8 f9"
)
_EBCDIC_ENDS: Final = (b"\x15", b"\x25", b"\x0d")
_EBCDIC_SHARE: Final = 0.8
_ASCII_ONLY: Final = re.compile(
    rb"[\n,-;]"
)  # line ends, digits and delimiters, in EBCDIC hardly used
_NEL: Final = "\x85"
_GUESSED_FROM: Final = 16 << 10  # bytes
_GUESSED_FROM_AT_LEAST: Final = 4  # bytes beyond ASCII
_BEYOND_ASCII_RUN: Final = re.compile(rb"([A-Za-z]?)([\x80-\xff]+)(?=([A-Za-z]?))")
_TOGETHER: Final = 2  # accented letters
# What is written in Windows-1252 beside numbers: signs of currency, measure and law, no letters
# (but for the Ø of a diameter and the marks of ordinals); not before what may be the second half
# of a character of Big5 or Shift-JIS.
_SIGN: Final = rb"[\x80\x85\x89\x91-\x97\x99\xa0\xa2-\xaa\xac-\xb3\xb5-\xba\xbc-\xbf\xd7\xd8\xf7]"
_EURO_OF_LATIN_9: Final = b"\xa4"  # in Windows-1252 a sign of any currency, which nobody writes
_SIGNS: Final = re.compile(
    rb"(?:[\x00-\x7f]|(?<![\x80-\xff])(?:[\xa0\x80]%b|%b[\xa0\x80]?)(?![@-~\x80-\xff]))*"
    % (_SIGN, _SIGN)
)


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


def looks_like_ebcdic(sample: bytes) -> bool:
    """Whether nearly all bytes are letters, digits and line ends of EBCDIC, and none of ASCII."""
    if sample.isascii() or _ASCII_ONLY.search(sample):
        return False
    if not any(end in sample for end in _EBCDIC_ENDS):
        return False
    return len(sample.translate(None, _EBCDIC)) <= (1 - _EBCDIC_SHARE) * len(sample)


def is_ebcdic(encoding: str) -> bool:
    """Whether an encoding is a code page of EBCDIC: its A is no A of ASCII."""
    return "A".encode(encoding, "replace") == b"\xc1"


def in_utf8_by_itself(text: bytes, encoding: str) -> np.ndarray | None:
    """Which bytes of a text are characters of UTF-8 that were read as ones of a guessed encoding.

    Args:
        text: transcoded to UTF-8.
        encoding: that it was read in.

    Returns:
        A mask, or None if there is none.
    """
    pattern = _twice_encoded(encoding)
    found = pattern.finditer(text) if pattern is not None else iter(())
    mask: np.ndarray | None = None
    for one in found:
        mask = np.zeros(len(text), np.bool_) if mask is None else mask
        mask[one.start() : one.end()] = True
    return mask


@cache
def _twice_encoded(encoding: str) -> re.Pattern[bytes] | None:
    """What a character of UTF-8 is, read as two or more of an encoding; only in Western ones."""
    if encoding not in {"cp1252", "iso8859-1"}:
        return None

    def any_of(first: int, last: int) -> bytes:
        read = [bytes([byte]).decode(encoding, "replace") for byte in range(first, last + 1)]
        return b"(?:" + b"|".join(re.escape(one.encode()) for one in read if one != "\ufffd") + b")"

    more = any_of(0x80, 0xBF)
    # Latin, Greek, Cyrillic, Hebrew and Arabic; the others may be a capital before a mark.
    leads = b"(?:" + b"|".join(any_of(*one) for one in _LEADS_OF_TWO) + b")"
    return re.compile(
        leads + more
        + b"|" + any_of(0xE0, 0xEF) + more * 2
        + b"|" + any_of(0xF0, 0xF4) + more * 3
    )  # fmt: skip


def to_utf8(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The same text in UTF-8, without a byte order mark.

    What is no text in `encoding` becomes bytes that are no UTF-8, at its place, so that the
    record which has it is quarantined and the others are not. EBCDIC ends lines with its NEL
    (0x15), which becomes LF.
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


def without_end_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same text in UTF-8 without the Ctrl-Z (0x1A) by which DOS programs end a file.

    `copy a.csv+b.csv c.csv` writes one, others fill the last block with them. They are no row and
    no part of a value. Elsewhere the character stays.
    """
    held = b""
    for chunk in chunks:
        held += chunk
        if len(held) > _END_MARKS:
            yield held[:-_END_MARKS]
            held = held[-_END_MARKS:]
    found = _END_MARK.search(held)
    yield held if found is None else held[: found.start()]


class GuessEvidence:
    """What the whole of a member says of its encoding, gathered while it is read."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._right = 0
        self._wrong = 0

    @property
    def says_utf8(self) -> bool:
        """Whether what is no ASCII is mostly UTF-8."""
        return self._right > 0 and self._right >= self._wrong

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
    if wrong == 0 or right >= wrong:
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
    if _SIGNS.fullmatch(text):
        return "iso8859-15" if _EURO_OF_LATIN_9 in text else "cp1252"
    if _is_western(text):
        share, guess = max(
            ((_western_words(text, one), one) for one in _WESTERN), key=itemgetter(0)
        )
        if share > _SURE:
            return guess
    if sum(byte >= 0x80 for byte in text) < _GUESSED_FROM_AT_LEAST:  # noqa: PLR2004
        return "cp1252"
    best = from_bytes(text, cp_isolation=[*_CODE_PAGES]).best()
    return codecs.lookup(best.encoding).name if best is not None else "cp1252"


def _is_western(text: bytes) -> bool:
    """Whether what is no ASCII mostly stands alone between or beside letters of ASCII.

    No word mixes Latin letters with Cyrillic ones or with signs of East Asia.
    """
    runs = _BEYOND_ASCII_RUN.findall(text)
    mixed = sum(1 for before, run, after in runs if len(run) <= _TOGETHER and (before or after))
    return mixed > len(runs) / 2


def _western_words(text: bytes, encoding: str) -> float:
    """The share of words with other letters than those of ASCII that are words of the West.

    Within them are letters of these languages alone, and none is capital after one that is not.
    """
    words = _WORD.findall(text.decode(encoding, "replace"))
    pieces = [_WITHIN_WORDS.split(word.strip(_AROUND_WORDS)) for word in words]
    right = sum(all(not one or _WESTERN_WORD.fullmatch(one) for one in word) for word in pieces)
    return right / max(len(words), 1)


def _transcoded(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    codecs.register_error(_UNREADABLE, _mark_unreadable)
    decoder = codecs.getincrementaldecoder(encoding)(_UNREADABLE)
    ends = is_ebcdic(encoding)
    for chunk in chunks:
        text = decoder.decode(chunk)
        yield (text.replace(_NEL, "\n") if ends else text).encode("utf-8", "surrogatepass")
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _mark_unreadable(error: UnicodeError) -> tuple[str, int]:
    """A lone surrogate for what is no text: it has no UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end
