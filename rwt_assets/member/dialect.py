"""How the text of one member is written: found out from its beginning, or given by the feed.

What belongs here: delimiter, quote, escape, comments, header. What does not: the encoding
(`encodings.py`), records (`records.py`, `quoting.py`) and fields (`fields.py`). Rules: RFC 4180,
section 2, is the default; Python documentation, "csv", for what a dialect is.

A guess is made of what is `auto` and of nothing else, from the first part of the member
alone, so it is the same each time. The columns that the feed needs are the best witness: the
delimiter under which they are found in the header is the right one.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from io import StringIO
from itertools import islice, product
from typing import Final

from pydantic import BaseModel, ConfigDict

from rwt_assets.feed import AUTO, NONE, Dialect
from rwt_assets.member.delimiters import DELIMITERS, NOT_SPLIT, Likelihood, likelihood
from rwt_assets.member.first_records import is_evident, is_header
from rwt_assets.member.headers import find_names
from rwt_assets.member.preamble import (
    COMMENT_MARK,
    are_comments,
    first_lines,
    is_split_alike,
    may_have_comments,
    may_skip,
    stated_delimiter,
)
from rwt_assets.text import INSENSITIVE, Case

QUOTES: Final = ('"', "'")
_SAMPLE_ROWS: Final = 500
_SAMPLE_CHARACTERS: Final = 64 << 10
_SKIPPED_AT_MOST: Final = 20
_TABLES_WITHOUT_QUOTES: Final = ("\t", "|")
_MOSTLY: Final = 0.5
_ENCLOSED: Final = re.compile(r"(?:^|[,;\t|])'(?:[^']|'')*'(?=[,;\t|\r\n]|\Z)")


class CsvDialect(BaseModel):
    """The dialect of one member, everything decided; kept in the manifest.

    `encoding` is that of the member; shards are always UTF-8. `encoding_guessed` says that neither
    the feed nor the member states it. `quote`, `escape` and `comment` are one ASCII character or
    None. With `lenient_quotes` quotes are taken as they come, with `blank_rows` a blank line is a
    row; a member of several columns never has them.
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
    encoding_guessed: bool = False
    lenient_quotes: bool = False
    blank_rows: bool = False


def find_dialect(  # noqa: PLR0913 - each says one thing about the member
    sample: bytes,
    declared: Dialect,
    needed: Sequence[str],
    *,
    encoding: str,
    whole: bool,
    case: Case = INSENSITIVE,
    decimal_comma: bool = False,
) -> CsvDialect:
    """Decide what is `auto`.

    A first line `sep=;` states the delimiter and is left out, with blank lines before it. No
    quoting is thought of where the delimiter is a tab or a bar, quotes stand where none can, and
    every row fits without them. Lines before the header are few, narrower than it, no table
    themselves, and come before more lines that fit.

    Args:
        sample: the beginning of the member, in UTF-8.
        declared: what the feed says.
        needed: the columns that the feed relies on, as far as it names them.
        encoding: of the member.
        whole: the sample is all there is.
        case: how the needed columns are compared with those of a header.
        decimal_comma: the feed says that numbers have one, so a table may have one column although
            its rows have commas.

    Returns:
        The dialect. Of several delimiters under which the header has several columns and most rows
        fit, it is the one that is no punctuation (`delimiters.py`), then the one that other
        delimiters do not cross, then a tab or a bar, then the one with more columns. Of equally
        good dialects it is the first in the order of `QUOTES`, without an escape before one with
        it, with the fewest lines skipped.
    """
    text = _whole_lines(sample.decode(errors="replace"), whole=whole)
    delimiter, lines = stated_delimiter(text)
    if lines:
        declared, text = _as_stated(declared, delimiter, lines), _without_lines(text, lines)
    best = _found(text, declared, needed, encoding, case, decimal_comma=decimal_comma)
    return best.model_copy(update={"skip_lines": best.skip_lines + lines}) if lines else best


def _found(  # noqa: PLR0913 - as above
    text: str,
    declared: Dialect,
    needed: Sequence[str],
    encoding: str,
    case: Case,
    *,
    decimal_comma: bool,
) -> CsvDialect:
    judge = _Judge(text, declared, frozenset(needed), case)
    marked = declared.comment == AUTO and may_have_comments(text)
    guesses: list[_Guess] = []
    for delimiter, quote, escape in _candidates(text, declared, decimal_comma=decimal_comma):
        own = CsvDialect(
            encoding=encoding,
            delimiter=delimiter,
            quote=quote,
            escape=escape,
            comment=None if declared.comment == AUTO else _character(declared.comment),
            lenient_quotes=declared.quotes == "lenient",
        )
        if marked and _has_comments(text, own):
            own = own.model_copy(update={"comment": COMMENT_MARK})
        begun = [
            judge.guess(own.model_copy(update={"skip_lines": skip}))
            for skip in _skips(text, declared)
        ]
        guesses.append(max(filter(None, begun), key=lambda guess: guess.beginning))
    best = max(guesses, key=lambda guess: guess.merit).dialect
    return judge.without_quoting(best) if declared.quote == AUTO else best


def usual_width(sample: bytes, dialect: CsvDialect, declared: int, *, whole: bool) -> int | None:
    """How many fields most records of a member without a header have.

    Args:
        sample: the beginning of the member, in UTF-8, skipped lines left out.
        dialect: of the member.
        declared: how many columns the feed names, which decides between equally many.
        whole: the sample is all there is.

    Returns:
        The number, the delimiter at the end counted; None if there is no record.
    """
    rows, _ = _rows(_whole_lines(sample.decode(errors="replace"), whole=whole), dialect)
    counts = Counter(map(len, rows))
    named = declared + dialect.trailing_delimiter
    return max(counts, key=lambda width: (counts[width], width == named), default=None)


def _as_stated(declared: Dialect, delimiter: str, lines: int) -> Dialect:
    """What the feed says of the lines below those that state a delimiter."""
    changes: dict[str, object] = {}
    if declared.skip_lines != AUTO:
        changes["skip_lines"] = max(0, int(declared.skip_lines) - lines)
    taken = (declared.quote, declared.escape, declared.comment)
    possible = delimiter.isascii() and not delimiter.isalnum() and delimiter not in taken
    if declared.delimiter == AUTO and possible:
        changes["delimiter"] = delimiter
    return declared.model_copy(update=changes)


_Merit = tuple[int, bool, bool, int, bool, float, bool, bool, bool, int, int, float]


@dataclass(frozen=True, slots=True)
class _Guess:
    """A dialect and how well the sample fits it; larger is better.

    `beginning` judges where the first record is: needed columns are there, or it is as wide as
    most. A row that does not fit, further down, says nothing about that.
    """

    dialect: CsvDialect
    merit: _Merit
    beginning: tuple[int, bool]


_NO_MERIT: Final[_Merit] = (0, False, False, 0, False, 0.0, False, True, False, 0, 0, 0.0)


@dataclass(frozen=True)
class _Judge:
    """Tells how well a dialect fits a text, and what of it only the rows can tell."""

    text: str
    declared: Dialect
    needed: frozenset[str]
    case: Case

    def guess(self, dialect: CsvDialect) -> _Guess | None:
        """Judge needed columns, several columns, an early beginning, the delimiter, quotes.

        None if that beginning is out of the question.
        """
        below = _without_lines(self.text, dialect.skip_lines)
        rows, regular = _rows(below, dialect)
        header = self._has_header(rows)
        trailing = self._trails(rows, header=header)
        decided = dialect.model_copy(update={"header": header, "trailing_delimiter": trailing})
        if not rows:
            if dialect.skip_lines and self.declared.skip_lines == AUTO:
                return None
            return _Guess(decided, (*_NO_MERIT[:7], regular, *_NO_MERIT[8:]), (0, False))
        width = len(rows[0]) - (trailing and rows[0][-1] == "")
        body = rows[1:] if header else rows
        fitting = sum(len(row) == width + trailing for row in body) / max(len(body), 1)
        found = len(find_names(rows[0], self.needed, self.case)) if header else 0
        if self.declared.skip_lines == AUTO and dialect.skip_lines:
            skipped = first_lines(self.text, dialect.skip_lines)
            if not found and is_split_alike(skipped, below, dialect.delimiter):
                return None
            before, _ = _rows(skipped, dialect)
            if not may_skip(before, rows, found=bool(found), fitting=fitting):
                return None
        most = Counter(map(len, rows)).most_common(1)[0][0]
        bare = not any(len(name) > 1 and name[0] == name[-1] == "'" for name in rows[0])
        likely = NOT_SPLIT
        if width > 1:
            likely = self._likelihood(dialect.delimiter, dialect.quote)
        merit = (
            found,
            width > 1,
            fitting > _MOSTLY,
            -dialect.skip_lines,
            likely.apart,
            round(fitting * likely.alone, 1),
            regular,
            bare,
            likely.rare,
            width,
            likely.rank,
            fitting,
        )
        # The title of a spreadsheet is as wide as the table, and most of it is empty.
        named = not header or trailing or bool(rows[0][-1].strip())
        return _Guess(decided, merit, (found, named and 1 < len(rows[0]) == most))

    @cached_property
    def _likelihood(self) -> Callable[[str, str | None], Likelihood]:
        return cache(partial(likelihood, self.text))

    def _has_header(self, rows: list[list[str]]) -> bool:
        """Needed columns are there, or names above values; what is needed may be named again."""
        if self.declared.header != AUTO:
            return bool(self.declared.header)
        if not rows or self.needed:
            found = not rows or bool(find_names(rows[0], self.needed, self.case))
            return found or is_evident(rows)
        return is_header(rows)

    def without_quoting(self, best: CsvDialect) -> CsvDialect:
        """The dialect without quotes, where they are characters of the text and no more.

        That is so where they stand in places where none can and the rows fit all the same: in
        tables of databases and mainframes, which know no quoting. A table with quotes that are
        doubled, escaped or around the header's names, or with most rows quoted, was written by a
        program that knows it.
        """
        if best.quote is None or best.escape is not None:
            return best
        if best.delimiter not in _TABLES_WITHOUT_QUOTES:
            return best
        plain = best.model_copy(update={"quote": None})
        rows, _ = _rows(_without_lines(self.text, best.skip_lines), plain)
        if not rows or (best.header and any(best.quote in cell for cell in rows[0])):
            return best
        quoted = [row for row in rows if any(best.quote in cell for cell in row)]
        right = [row for row in quoted if all(_is_quoted(cell, best.quote) for cell in row)]
        doubled = best.quote * 2
        if len(right) == len(quoted) or len(right) > _MOSTLY * len(rows):
            return best
        if any(doubled in cell[1:-1] for row in right for cell in row):
            return best
        width = len(rows[0]) + (best.trailing_delimiter and rows[0][-1] != "")
        fits = len(rows[0]) > 1 and all(len(row) == width for row in rows[1:])
        return plain if fits else best

    def _trails(self, rows: list[list[str]], *, header: bool) -> bool:
        """Every record ends in a delimiter; the header may do without."""
        if self.declared.trailing_delimiter != AUTO:
            return bool(self.declared.trailing_delimiter)
        body = rows[1:] if header else rows
        if not body:
            return False
        named = len(rows[0]) > 1 and rows[0][-1] == ""
        expected = len(rows[0]) + (header and not named)
        if not header and len(self.needed) >= expected:  # the last one is a column
            return False
        return expected > 1 and all(len(row) == expected and row[-1] == "" for row in body)


def _is_quoted(cell: str, quote: str) -> bool:
    """Whether a cell has no quote, or one at its beginning and one at its end."""
    if quote not in cell:
        return True
    return len(cell) > 1 and cell[0] == cell[-1] == quote and quote not in _halved(cell, quote)


def _halved(cell: str, quote: str) -> str:
    """What is between the quotes of a cell, without those that are doubled."""
    return cell[1:-1].replace(quote * 2, "")


def _skips(text: str, declared: Dialect) -> Sequence[int]:
    if declared.skip_lines != AUTO:
        return [int(declared.skip_lines)]
    lines = sum(1 for _ in islice(StringIO(text, newline=""), _SKIPPED_AT_MOST))
    return range(max(lines, 1))


def _candidates(
    text: str, declared: Dialect, *, decimal_comma: bool
) -> Iterator[tuple[str, str | None, str | None]]:
    """Combinations worth a look: a character that is not there decides nothing.

    Except where numbers have commas: then there may be no delimiter, and one stands for none.
    """
    delimiters: Sequence[str] = [declared.delimiter]
    if declared.delimiter == AUTO:
        delimiters = [DELIMITERS[0], *(one for one in DELIMITERS[1:] if one in text)]
        none_of_them = [one for one in DELIMITERS if one not in text]
        if decimal_comma and "," in text:
            delimiters += none_of_them[:1]
    quotes = _quotes(text) if declared.quote == AUTO else [declared.quote]
    escapes: Sequence[str] = [declared.escape]
    if declared.escape == AUTO:
        escapes = [NONE, *(["\\"] if any(f"\\{quote}" in text for quote in quotes) else [])]
    for delimiter, quote, escape in product(delimiters, quotes, escapes):
        marks = [one for one in (delimiter, quote, escape, declared.comment) if one != NONE]
        if len(set(marks)) == len(marks):
            yield delimiter, _character(quote), _character(escape)


def _quotes(text: str) -> Sequence[str]:
    """An apostrophe is worth a look only where no quotation mark is, and most enclose fields."""
    if '"' in text or "'" not in text:
        return QUOTES[:1]
    lines = [line for line in StringIO(text, newline="") if "'" in line]
    enclosing = sum(bool(_ENCLOSED.search(line)) for line in lines)
    alone = sum(line.count("'") % 2 for line in lines)
    return QUOTES if enclosing > alone else QUOTES[:1]


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


def _has_comments(text: str, dialect: CsvDialect) -> bool:
    """Whether lines with the mark of comments are some, as far as this dialect splits them."""
    marked: list[str] = []
    plain: list[str] = []
    leading = True
    for line in islice(StringIO(text, newline=""), _SAMPLE_ROWS):
        own = line.startswith(COMMENT_MARK)
        leading = leading and not (own and plain)
        if line.strip():
            (marked if own else plain).append(line)
    widths = [sum(map(len, _rows(line, dialect)[0][:1])) for line in marked]
    rows, _ = _rows("".join(plain), dialect)
    return are_comments([*zip(marked, widths, strict=True)], [*map(len, rows)], leading=leading)


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
