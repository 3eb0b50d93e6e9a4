"""What a feed expects an archive to hold, as declared.

What belongs here: the declarations of a control file, of a trailer's figures, of references and of
checks in SQL, and what makes them wrong. What does not: holding an archive against them
(`completeness.py`, `table_checks.py`) and reading the control file (`control_file.py`) and trailers
(`trailers.py`). Rule: RE2 documentation, "Syntax" (named groups).
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Final, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from rwt_assets.runtime import MissingExtraError, need
from rwt_assets.text import matches
from rwt_assets.values import check_pattern

Severity = Literal["warn", "fail"]
DIGESTS: Final = ("crc32", "md5", "sha1", "sha256")
SUM: Final = "sum_"
ROWS: Final = "rows"
GROUPS: Final = ("member", "rows", "bytes", *DIGESTS)
_NAMED_GROUP: Final = re.compile(r"\(\?P?<[A-Za-z_]")
_NO_WORD: Final = re.compile(r"\W", re.ASCII)
ARCHIVE_COMPLETE: Final = "archive_complete"
REFERENCES_HOLD: Final = "references_hold"
ROWS_AS_USUAL: Final = "rows_as_usual"
BUILT_IN: Final = frozenset(
    {
        ARCHIVE_COMPLETE,
        REFERENCES_HOLD,
        "reconciled",
        "quarantine_within_tolerance",
        "contract_kept",
        "deliveries_intact",
        ROWS_AS_USUAL,
    }
)


def parse_reference(target: str) -> tuple[str, str]:
    """The member and the column of `stops.txt.stop_id`.

    Raises:
        ValueError: the text names no column.
    """
    member, _, column = target.rpartition(".")
    if not member or not column:
        msg = f"{target!r} names no member and column, such as customers.csv.customer_id"
        raise ValueError(msg)
    return member, column


def _references(references: dict[str, str]) -> dict[str, str]:
    for target in references.values():
        parse_reference(target)
    if references:
        _need_query("a reference")
    return references


def _need_query(what: str) -> None:
    """Refuse a setting that is asked of the rows by DuckDB, where that is not installed."""
    try:
        need("query", what, effect="")
    except MissingExtraError as error:
        raise ValueError(str(error)) from error


References = Annotated[dict[str, str], AfterValidator(_references)]


def _one_select(sql: str) -> str:
    _need_query("a check in SQL")
    import duckdb  # noqa: PLC0415 - of an extra

    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        msg = f"it is no SQL that DuckDB understands: {str(error).splitlines()[0]}"
        raise ValueError(msg) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise ValueError("it must be one SELECT; the rows that it returns are what is wrong")
    return sql


@cache
def stated_groups(pattern: str) -> tuple[str, ...]:
    """The named groups of a trailer's pattern, each of which states a figure.

    Raises:
        ValueError: a group states nothing that is known, or has no name beside those that have.
    """
    check_pattern(pattern)
    if not _NAMED_GROUP.search(pattern):
        return ()
    try:
        names = [field.name for field in pc.extract_regex(pa.array([""]), pattern).type]
    except pa.ArrowInvalid as error:
        msg = f"trailer {pattern!r} has a group without a name: write (?:...) for it"
        raise ValueError(msg) from error
    unknown = [name for name in names if name != ROWS and not name.startswith(SUM)]
    if unknown:
        msg = f"trailer: the group {unknown[0]!r} is none of {ROWS}, {SUM}<column>"
        raise ValueError(msg)
    if len({*names}) < len(names):
        raise ValueError("trailer: two groups have one name")
    return tuple(names)


def check_trailer(pattern: str) -> str:
    """The pattern of a trailer, if it can be run and all that it states can be compared.

    Raises:
        ValueError: it is not so.
    """
    if any(name.startswith(SUM) for name in stated_groups(pattern)):
        _need_query("a sum that a trailer states")
    return pattern


def column_of(group: str, columns: Sequence[str]) -> str:
    """The column that a group `sum_<column>` is about.

    A group's name has letters, digits and `_` alone, so `sum_amount_eur` is about `Amount (EUR)`
    as well, unless a column is named `amount_eur`.
    """
    wanted = group.removeprefix(SUM)
    alike = [one for one in columns if _plain(one) == _plain(wanted)]
    return wanted if wanted in columns or len(alike) != 1 else alike[0]


def _plain(text: str) -> str:
    return "_".join(filter(None, _NO_WORD.sub("_", text).split("_"))).lower()


class _Declaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Declaration):
    """A question in SQL about an archive: the rows that it returns are what is wrong.

    `sql` is one SELECT of DuckDB's SQL over the rows of the archive that would be delivered; a
    member's table has its name without folders and suffix, as in `rwt query`. `severity` says
    whether rows fail the delivery or are told. A statement that takes longer than `seconds`, or
    too much memory, is stopped, and that is told as rows that are wrong would be.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    sql: Annotated[str, AfterValidator(_one_select)]
    severity: Severity = "fail"
    seconds: float = Field(default=600, gt=0, le=86_400, allow_inf_nan=False)
    description: str = ""

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.name in BUILT_IN:
            msg = f"the name {self.name!r} is taken by a check that every feed has"
            raise ValueError(msg)
        return self


class Volume(_Declaration):
    """How much an archive holds, compared with the last ones: a check warns beyond these bounds.

    `deliveries` is with how many it is compared; 0 turns the check off. For each kind of member
    (its name without numbers) rows are unusual below `rows_from` or above `rows_to` times the
    median, and nulls of a column if their share is more than the median's by `nulls_more`. Nothing
    is said before there are `at_least` deliveries with that kind of member.
    """

    deliveries: int = Field(default=10, ge=0, le=100)
    at_least: int = Field(default=3, ge=1, le=100)
    rows_from: float = Field(default=0.5, ge=0, le=1)
    rows_to: float = Field(default=2, ge=1, le=1e12)
    nulls_more: float = Field(default=0.2, ge=0, le=1)


def _sums(sums: dict[str, str]) -> dict[str, str]:
    if sums:
        _need_query("a sum that a control file states")
    return sums


class ControlColumns(_Declaration):
    """The columns of a control file that is a table; only `member` is needed.

    `sums` gives, for a column of the member, the column of the control file with its sum.
    """

    member: str
    rows: str = ""
    bytes: str = ""
    crc32: str = ""
    md5: str = ""
    sha1: str = ""
    sha256: str = ""
    sums: Annotated[dict[str, str], AfterValidator(_sums)] = Field(default_factory=dict)


class Control(_Declaration):
    """The member in which the sender says what the archive holds.

    `member` is a pattern of its name. It is a table with a header, whose `columns` are named here,
    or a text of which each line that fits the regular expression `line` is a statement: by its
    groups `member`, `rows`, `bytes`, `crc32`, `md5`, `sha1`, `sha256` and `sum_<column>`. A
    statement without a member is about the archive as a whole. `decimal_mark` and `thousands_mark`
    say how its numbers are written. An archive without it is incomplete unless `required` is
    false.
    """

    member: str = Field(min_length=1)
    columns: ControlColumns | None = None
    line: str = ""
    decimal_mark: Literal[".", ","] = "."
    thousands_mark: Literal["", ".", ",", " ", "'"] = ""
    required: bool = True

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if (self.columns is None) == (not self.line):
            raise ValueError("control needs either columns or line")
        if self.decimal_mark == self.thousands_mark:
            raise ValueError("decimal_mark and thousands_mark must differ")
        if self.line:
            try:
                groups = re.compile(self.line).groupindex
            except re.error as error:
                msg = f"line {self.line!r} is no regular expression: {error}"
                raise ValueError(msg) from error
            known = [name for name in groups if name in GROUPS or name.startswith(SUM)]
            if {*known} <= {"member"}:
                msg = f"line needs a group named one of {', '.join(GROUPS[1:])} or sum_<column>"
                raise ValueError(msg)
            if any(name.startswith(SUM) for name in known):
                _need_query("a sum that a control file states")
        return self

    def takes(self, member: str) -> bool:
        """Whether a member of this name is the control file."""
        return matches(member, self.member)

    @property
    def stated(self) -> tuple[str, ...]:
        """What it has a column for, sums aside: a table states each for every member."""
        names = () if self.columns is None else ("rows", "bytes", *DIGESTS)
        return tuple(name for name in names if getattr(self.columns, name))

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests that it states and that a ZIP does not have by itself."""
        if self.columns is not None:
            stated = {name for name in DIGESTS if getattr(self.columns, name)}
        else:
            stated = {*re.compile(self.line).groupindex}
        return tuple(name for name in DIGESTS if name in stated and name != "crc32")


class Expected(_Declaration):
    """How many rows of a member should be delivered, and which rows of others they name.

    `required` says that an archive without a member of the rule is incomplete. `min_rows` and
    `max_rows` hold for each member of the rule, and count the rows that are delivered.
    `references` gives, for a column, the member and column in which each of its values must be.
    """

    required: bool = False
    min_rows: int | None = Field(default=None, ge=0, le=10**12)
    max_rows: int | None = Field(default=None, ge=0, le=10**12)
    references: References = Field(default_factory=dict)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if (
            self.min_rows is not None
            and self.max_rows is not None
            and self.min_rows > self.max_rows
        ):
            raise ValueError("min_rows is more than max_rows")
        return self
