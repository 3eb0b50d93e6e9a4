"""How the text of one member is written: found out from its beginning, or given by the feed.

What belongs here: encoding, delimiter, quote, escape, comments, header. What does not:
records (`records.py`) and fields (`fields.py`). Rules: RFC 4180, section 2, is the default;
the WHATWG "Encoding" standard reads as Windows-1252 what is no Unicode; Python documentation,
"csv", for what a dialect is.

A guess is made of what is `auto` and of nothing else, from the first part of the member
alone, so it is the same each time. The columns that the feed needs are the best witness: the
delimiter under which they are found in the header is the right one.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice, product
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from rwt_assets.feed import AUTO, NONE, Dialect

SAMPLE_BYTES: Final = 256 << 10
BOM: Final = b"\xef\xbb\xbf"
DELIMITERS: Final = (",", ";", "\t", "|")
QUOTES: Final = ('"', "'")
_SAMPLE_ROWS: Final = 500
_SAMPLE_CHARACTERS: Final = 64 << 10
_SKIPPED_AT_MOST: Final = 20
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
_UNDECODED: Final = re.compile("[\udc80-\udcff]")


class CsvDialect(BaseModel):
    """The dialect of one member, everything decided; kept in the manifest.

    `encoding` is that of the member; shards are always UTF-8. `quote`, `escape` and `comment`
    are one ASCII character or None.
    """

    # A later version may have written fields that this one does not know: it reads past them.
    model_config = ConfigDict(extra="ignore", frozen=True)

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    comment: str | None = None
    skip_lines: int = 0
    header: bool = True
    trailing_delimiter: bool = False


def find_encoding(sample: bytes, declared: str = AUTO) -> str:
    """The encoding of a member, from its beginning.

    A byte order mark decides. Without one, many zero bytes at every other place are UTF-16;
    what is mostly valid UTF-8 is UTF-8; the rest is Windows-1252, or Latin-1 where it has
    bytes that Windows-1252 lacks. Given an encoding, it is that one; UTF-16 and UTF-32 without
    a mark are little-endian.
    """
    if declared in _WITH_MARK and not sample.startswith(_WITH_MARK[declared]):
        return f"{declared}-le"
    if declared != AUTO:
        return declared
    for mark, encoding in _BOMS:
        if sample.startswith(mark):
            return encoding
    return _utf16_by_zeros(sample) or _utf8_or_single_byte(sample)


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


def find_dialect(
    sample: bytes, declared: Dialect, needed: Sequence[str], *, encoding: str, whole: bool
) -> CsvDialect:
    """Decide what is `auto`.

    Args:
        sample: the beginning of the member, in UTF-8.
        declared: what the feed says.
        needed: the columns that the feed relies on, as far as it names them.
        encoding: of the member.
        whole: the sample is all there is.

    Returns:
        The dialect. Of equally good ones it is the first in the order of `DELIMITERS` and
        `QUOTES`, without an escape before one with it, with the fewest lines skipped.
    """
    text = _whole_lines(sample.decode(errors="replace"), whole=whole)
    judge = _Judge(text, declared, frozenset(needed))
    comment = _comment(text, declared)
    guesses: list[_Guess] = []
    for delimiter, quote, escape in _candidates(text, declared):
        own = CsvDialect(
            encoding=encoding, delimiter=delimiter, quote=quote, escape=escape, comment=comment
        )
        begun = [
            judge.guess(own.model_copy(update={"skip_lines": skip}))
            for skip in _skips(text, declared)
        ]
        guesses.append(max(begun, key=lambda guess: guess.beginning))
    return max(guesses, key=lambda guess: guess.merit).dialect


@dataclass(frozen=True, slots=True)
class _Guess:
    """A dialect and how well the sample fits it; larger is better.

    `beginning` judges where the first record is: needed columns are there, or it is as wide as
    most. A row that does not fit, further down, says nothing about that.
    """

    dialect: CsvDialect
    merit: tuple[int, bool, int, bool, bool, float]
    beginning: tuple[int, bool]


@dataclass(frozen=True, slots=True)
class _Judge:
    """Tells how well a dialect fits a text, and what of it only the rows can tell."""

    text: str
    declared: Dialect
    needed: frozenset[str]

    def guess(self, dialect: CsvDialect) -> _Guess:
        """Judge needed columns, several columns, an early beginning, quotes, rows of one width."""
        rows, regular = _rows(_without_lines(self.text, dialect.skip_lines), dialect)
        header = self._has_header(rows)
        trailing = self._trails(rows, header=header)
        decided = dialect.model_copy(update={"header": header, "trailing_delimiter": trailing})
        if not rows:
            return _Guess(decided, (0, False, 0, regular, True, 0.0), (0, False))
        named_trailing = trailing and rows[0][-1] == ""
        width = len(rows[0]) - named_trailing
        body = rows[1:] if header else rows
        fitting = sum(len(row) == width + trailing for row in body) / max(len(body), 1)
        found = len(self.needed & set(rows[0])) if header else 0
        most = Counter(map(len, rows)).most_common(1)[0][0]
        bare = not any(len(name) > 1 and name[0] == name[-1] == "'" for name in rows[0])
        merit = (found, width > 1, -dialect.skip_lines, regular, bare, round(fitting, 1))
        return _Guess(decided, merit, (found, 1 < len(rows[0]) == most))

    def _has_header(self, rows: list[list[str]]) -> bool:
        """Names are there, differ, and are no numbers."""
        if self.declared.header != AUTO:
            return bool(self.declared.header)
        if not rows or self.needed:
            return not rows or bool(self.needed & set(rows[0]))
        names = [name.strip() for name in rows[0]]
        return all(names) and len(set(names)) == len(names) and not any(map(_is_number, names))

    def _trails(self, rows: list[list[str]], *, header: bool) -> bool:
        """Every record ends in a delimiter; the header may do without."""
        if self.declared.trailing_delimiter != AUTO:
            return bool(self.declared.trailing_delimiter)
        body = rows[1:] if header else rows
        if not body:
            return False
        named = len(rows[0]) > 1 and rows[0][-1] == ""
        expected = len(rows[0]) + (header and not named)
        return expected > 1 and all(len(row) == expected and row[-1] == "" for row in body)


def _skips(text: str, declared: Dialect) -> Sequence[int]:
    if declared.skip_lines != AUTO:
        return [int(declared.skip_lines)]
    lines = sum(1 for _ in islice(StringIO(text, newline=""), _SKIPPED_AT_MOST))
    return range(max(lines, 1))


def _candidates(text: str, declared: Dialect) -> Iterator[tuple[str, str | None, str | None]]:
    """Combinations worth a look: a character that is not there decides nothing."""
    delimiters: Sequence[str] = [declared.delimiter]
    if declared.delimiter == AUTO:
        delimiters = [DELIMITERS[0], *(one for one in DELIMITERS[1:] if one in text)]
    quotes = _quotes(text) if declared.quote == AUTO else [declared.quote]
    escapes: Sequence[str] = [declared.escape]
    if declared.escape == AUTO:
        escapes = [NONE, *(["\\"] if any(f"\\{quote}" in text for quote in quotes) else [])]
    for delimiter, quote, escape in product(delimiters, quotes, escapes):
        marks = [one for one in (delimiter, quote, escape, declared.comment) if one != NONE]
        if len(set(marks)) == len(marks):
            yield delimiter, _character(quote), _character(escape)


def _quotes(text: str) -> Sequence[str]:
    """An apostrophe is worth a look only where no quotation mark is."""
    return QUOTES if '"' not in text and "'" in text else QUOTES[:1]


def _character(value: str) -> str | None:
    return None if value == NONE else value


def _rows(text: str, dialect: CsvDialect) -> tuple[list[list[str]], bool]:
    """The first rows of a text, and whether every quote stands where one can."""
    lines: Iterable[str] = StringIO(text, newline="")
    if dialect.comment is not None:
        mark = dialect.comment
        lines = (line for line in StringIO(text, newline="") if not line.startswith(mark))
    reader = csv.reader(
        lines,
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        quoting=csv.QUOTE_MINIMAL if dialect.quote is not None else csv.QUOTE_NONE,
        strict=True,
    )
    rows: list[list[str]] = []
    try:
        rows.extend(row for row in islice(reader, _SAMPLE_ROWS) if row)
    except csv.Error as error:
        # A sample may end within a record.
        return rows, "unexpected end of data" in str(error)
    return rows, True


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).replace(",", "", 1).isdigit()


def _comment(text: str, declared: Dialect) -> str | None:
    if declared.comment != AUTO:
        return _character(declared.comment)
    return "#" if any(line.startswith("#") for line in islice(StringIO(text), 50)) else None


def _whole_lines(text: str, *, whole: bool) -> str:
    """The beginning of a text, up to a line end if there is more of it."""
    if whole and len(text) <= _SAMPLE_CHARACTERS:
        return text
    cut = text[:_SAMPLE_CHARACTERS]
    end = max(cut.rfind("\n"), cut.rfind("\r"))
    return cut if end < 0 else cut[: end + 1]


def _without_lines(text: str, count: int) -> str:
    lines = StringIO(text, newline="")
    for _ in range(count):
        lines.readline()
    return lines.read()


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
    wrong = len(_UNDECODED.findall(text))
    right = len(text) - len(text.encode("ascii", "ignore")) - wrong
    if wrong == 0 or right > wrong:
        return "utf-8"
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "iso8859-1"
    return "cp1252"


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
