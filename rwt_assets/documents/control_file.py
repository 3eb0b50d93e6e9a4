"""What a sender states about an archive in its control file.

What belongs here: reading the statements. What does not: holding the archive against them
(`completeness.py`).

Every text is read: what cannot be is told as a problem, with its line, and never raised.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, Protocol

from rwt_assets.documents.manifest import Claim
from rwt_assets.feed import DIGESTS, SUM, Control, ControlColumns
from rwt_assets.member import SAMPLE_BYTES, find_encoding, without_end_mark
from rwt_assets.text import folded

MOST_COUNTED: Final = 2**63 - 1
QUOTED_AT_MOST: Final = 60
AT_MOST_BYTES: Final = 16 << 20
LINE_CHARACTERS: Final = 8_192
PROBLEMS_TOLD: Final = 20
DELIMITERS: Final = ",;\t|"
TITLES: Final = 10  # lines, among which the header is looked for
QUOTES: Final = "\"'"


class WrittenNumbers(Protocol):
    """How the numbers of a statement are written."""

    @property
    def decimal_mark(self) -> str:
        """What stands before the fraction."""
        ...

    @property
    def thousands_mark(self) -> str:
        """What may stand between groups of digits; "" for nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Statements:
    """What a control file or a trailer states, and what of it could not be understood."""

    claims: tuple[Claim, ...] = ()
    problems: tuple[str, ...] = ()


def read_control_file(data: bytes, control: Control, name: str) -> Statements:
    """Read a control file.

    Args:
        data: its bytes.
        control: how it is written.
        name: of the member, for places.
    """
    text = _text(data)
    problems: list[str] = []
    if control.columns is not None:
        found = _from_table(text, control.columns, problems)
    else:
        found = _from_lines(text, control, problems)
    claims: list[Claim] = []
    for line, fields in found:
        claim = claim_of(fields, control, f"{name}, line {line}", problems)
        if claim is not None:
            claims.append(claim)
    if not claims and not problems:
        problems.append("it states nothing that could be read")
    more = len(problems) - PROBLEMS_TOLD
    told = [f"{name}: {problem}" for problem in problems[:PROBLEMS_TOLD]]
    return Statements(tuple(claims), (*told, *([f"{name}: and {more} more"] if more > 0 else ())))


def claim_of(
    fields: Mapping[str, str], control: WrittenNumbers, place: str, problems: list[str]
) -> Claim | None:
    """One statement, from texts by the names of `Control.line`'s groups; None if it says nothing.

    What is not a number is added to `problems`.
    """
    given = {name: text.strip() for name, text in fields.items() if text and text.strip()}
    counts: dict[str, int] = {}
    for name in ("rows", "bytes"):
        number = number_in(given[name], control) if name in given else None
        if number is not None and _is_count(number):
            counts[name] = int(number)
        elif name in given:
            problems.append(f"{place}: {_quoted(given[name])} is no number of {name}")
    sums = {name.removeprefix(SUM): text for name, text in given.items() if name.startswith(SUM)}
    read = {name: number_in(text, control) for name, text in sums.items()}
    for name, number in read.items():
        if number is None:
            problems.append(f"{place}: {_quoted(sums[name])} is no sum of {name}")
    claim = Claim(
        place=place,
        member=given.get("member", ""),
        rows=counts.get("rows"),
        bytes=counts.get("bytes"),
        digests={name: given[name].lower() for name in DIGESTS if name in given},
        sums={name: str(number) for name, number in read.items() if number is not None},
    )
    states = claim.rows is not None or claim.bytes is not None or claim.digests or claim.sums
    return claim if states or claim.member else None


def _quoted(text: str) -> str:
    """The beginning of a value, so that what is said of it is read as well."""
    return repr(text if len(text) <= QUOTED_AT_MOST else f"{text[:QUOTED_AT_MOST]}…")


def _is_count(number: Decimal) -> bool:
    """Whether it can be a number of rows or bytes; Python refuses to read much longer ones."""
    return 0 <= number <= MOST_COUNTED and number == number.to_integral_value()


def number_in(text: str, control: WrittenNumbers) -> Decimal | None:
    """A number as the sender writes it; None if it is none."""
    point, mark = re.escape(control.decimal_mark), re.escape(control.thousands_mark)
    grouped = rf"|[1-9]\d{{0,2}}(?:{mark}\d{{3}})+" if mark else ""
    shape = rf"[+-]?(?:(?:\d+{grouped})(?:{point}\d*)?|{point}\d+)"
    plain = text.strip()
    if not re.fullmatch(shape, plain, flags=re.ASCII):
        return None
    if mark:
        plain = plain.replace(control.thousands_mark, "")
    plain = plain.replace(control.decimal_mark, ".")
    try:
        return Decimal(plain)
    except InvalidOperation:
        return None


def _text(data: bytes) -> str:
    data = b"".join(without_end_mark([data]))
    found = find_encoding(data[:SAMPLE_BYTES])
    if found.startswith(("utf-16", "utf-32")):
        return data.decode(found, "replace")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")


def _from_lines(
    text: str, control: Control, problems: list[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    pattern = re.compile(control.line)
    found = False
    for number, line in enumerate(text.splitlines(), 1):
        fit = pattern.fullmatch(line[:LINE_CHARACTERS].strip())
        if fit is not None:
            found = True
            yield number, {name: value or "" for name, value in fit.groupdict().items()}
    if not found:
        problems.append(f"no line of it fits {control.line!r}")


def _from_table(
    text: str, columns: ControlColumns, problems: list[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    wanted = {name: getattr(columns, name) for name in ("member", "rows", "bytes", *DIGESTS)}
    wanted |= {f"{SUM}{name}": column for name, column in columns.sums.items()}
    wanted = {name: column for name, column in wanted.items() if column}
    lines = text.splitlines()
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if not filled:
        problems.append("it is empty")
        return
    sought = [folded(column) for column in wanted.values()]
    # Above the header may stand what a spreadsheet writes for itself, a title or a comment.
    start = next((n for n in filled[:TITLES] if {*sought} <= {*_header(lines[n])}), filled[0])
    first = lines[start].lstrip()[0]
    quote = first if first in QUOTES else QUOTES[0]
    reader = csv.reader(
        io.StringIO("\n".join(lines[start:])), delimiter=_delimiter(lines[start]), quotechar=quote
    )
    try:
        header = [folded(name.strip()) for name in next(reader)]
        missing = [column for column in wanted.values() if folded(column) not in header]
        if missing:
            problems.append(f"it has no column {', '.join(map(repr, missing))}")
            return
        places = {name: header.index(folded(column)) for name, column in wanted.items()}
        for row in reader:
            if any(field.strip() for field in row):
                yield start + reader.line_num, _picked(row, places)
    except csv.Error as error:
        problems.append(f"line {start + reader.line_num}: {error}")


def _delimiter(header: str) -> str:
    return max(DELIMITERS, key=header.count)


def _header(line: str) -> list[str]:
    """The names that a line would have as a header."""
    return [folded(name.strip().strip(QUOTES)) for name in line.split(_delimiter(line))]


def _picked(row: list[str], places: Mapping[str, int]) -> dict[str, str]:
    return {name: row[place] if place < len(row) else "" for name, place in places.items()}


def joined(parts: Iterable[bytes]) -> bytes | None:
    """The bytes of a control file; None if it is larger than one may be."""
    data = bytearray()
    for part in parts:
        data += part
        if len(data) > AT_MOST_BYTES:
            return None
    return bytes(data)
