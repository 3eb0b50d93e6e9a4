"""A first declaration of a feed, from one archive.

What belongs here: which members are tables, which of them are of one kind, and the declaration
that takes them. What does not: types of columns (`table_profile.py`) and quoting
(`declaration.py`). Members are read by the pipeline's own code, and what was found is held
against a preview: a rule under which the archive itself would be quarantined is made looser.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretStr

from rwt_assets.archive import SUFFIXES, Found, Member, open_archive
from rwt_assets.authoring.preview import Preview, preview_archive
from rwt_assets.authoring.table_profile import ColumnProfile, TableProfile, keeps, settle_together
from rwt_assets.feed import (
    AUTO,
    KEY_AT_MOST,
    NONE,
    Dialect,
    Feed,
    MemberRule,
    flow,
    head,
    scalar,
    shown,
    stays_text,
)
from rwt_assets.member import CsvDialect
from rwt_assets.runtime import EncodingGuessError, LimitError, MemberError, NoMatchingMemberError
from rwt_assets.shard import MemberRows
from rwt_assets.storage import FileRanges

TABLE_SUFFIXES: Final = (".csv", ".tsv", ".psv", ".tab", ".txt", ".dat")
REJECTED_AT_MOST: Final = 0.05  # of its records, or a member is no table
ROUNDS: Final = 3
READ, HELD = "is read", "is held against the declaration"
NAMES_SHOWN: Final = 5
KEY_NAMES: Final = ("id", "key")  # ends of the names of columns that refer to another table
_IN_ANY_CASE: Final = {
    suffix: "".join(f"[{one}{one.upper()}]" if one.isalpha() else one for one in suffix)
    for suffix in SUFFIXES
}
ALL_BUT_ARCHIVES: Final = MemberRule(
    include=("*",), exclude=tuple(f"*{suffix}" for suffix in _IN_ANY_CASE.values())
)
# What a member is read as first, and what it is read as if that does not fit.
GUESSES: Final = (
    Dialect(header="auto"),
    Dialect(header="auto", comment=AUTO, skip_lines="auto"),
)
_DIGITS: Final = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class NoTable:
    """A member for which there is no rule, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Inference:
    """A declaration and what is known of it.

    `rows_rejected` are records of the sample that are no rows; they would be quarantined by any
    declaration. `sample` is what the feed would make of the sample.
    """

    text: str
    feed: Feed
    members: int
    rows: int
    rows_rejected: int
    sample: Preview
    not_taken: tuple[NoTable, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """An archive of which a declaration is made.

    `password` opens encrypted members; it is read by the caller, from the environment variable
    `password_variable`, which is all that the declaration says of it. `on_read` is told what is
    done, `READ` or `HELD`, and of how many more bytes of the file; by other threads, too.
    """

    file: Path
    name: str
    password_variable: str = ""
    password: SecretStr | None = None
    on_read: Callable[[str, int], None] = lambda _step, _bytes: None

    @property
    def frame(self) -> dict[str, Any]:
        """The attributes of a declaration that come before its members."""
        text = head(self.name, "", self.password_variable)
        attributes: dict[str, Any] = yaml.safe_load(text)["attributes"]
        return attributes


@dataclass(slots=True)
class _Table:
    """A member that reads as a table."""

    name: str
    rows: int
    rejected: int
    dialect: CsvDialect
    profile: TableProfile

    @property
    def good(self) -> int:
        """How many rows would be delivered."""
        return self.rows - self.rejected

    @property
    def may_have_a_title(self) -> bool:
        """Whether the header may be a title: it has one name, or none for the last column."""
        *_, last = self.profile.columns
        return len(self.profile.columns) == 1 or last == f"column_{len(self.profile.columns)}"


@dataclass(slots=True)
class _Rule:
    """A rule in the making: tables with the same columns, in the same dialect."""

    tables: list[_Table]
    include: list[str] = field(default_factory=list)
    with_columns: bool = True
    with_dialect: bool = True

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def profile(self) -> TableProfile:
        """Of all its tables."""
        return self.tables[0].profile

    @property
    def key_column(self) -> str | None:
        key = self.profile.key_column() if self.with_columns else None
        return key.name if key is not None and stays_text(key.name) else None


def infer_feed(sample: Sample) -> Inference:
    """Make a first declaration.

    Args:
        sample: the archive, and the name of the feed.

    Returns:
        A declaration that takes every member which reads as a table.

    Raises:
        NotAZipError: no ZIP file.
        NoMatchingMemberError: nothing in it reads as a table.
        LimitError: a limit on the archive as a whole.
    """
    tables, not_taken = _read(sample)
    if not tables:
        told = "; ".join(f"{one.name!r}: {one.why}" for one in not_taken[:NAMES_SHOWN])
        raise NoMatchingMemberError(
            f"no member of the archive reads as a table ({told or 'it is empty'})",
            where=str(sample.file),
            effect="No declaration was written.",
            fix="Declare the feed by hand; docs/feeds.md has one in ten lines.",
        )
    rules = _grouped(tables)
    _settle_types(rules)
    _name_members(rules, tables, not_taken)
    feed, found = _loosened(sample, rules)
    text = _written(sample, rules, not_taken)
    return Inference(
        text=text,
        feed=feed,
        members=len(tables),
        rows=sum(table.rows for table in tables),
        rows_rejected=sum(table.rejected for table in tables),
        sample=found,
        not_taken=tuple(not_taken),
    )


def _read(sample: Sample) -> tuple[list[_Table], list[NoTable]]:
    """The members that are tables, and the others."""
    probe = Feed.model_validate({**sample.frame, "members": [ALL_BUT_ARCHIVES.model_dump()]})
    tables: list[_Table] = []
    others: list[NoTable] = []
    with sample.file.open("rb") as body:
        for found in open_archive(FileRanges(body), probe, str(sample.file), sample.password):
            own = found.member.stored_name
            if found.ignored:
                others.append(NoTable(own, found.ignored))
            elif found.broken is not None:
                others.append(NoTable(own, found.broken.what))
            else:
                table = _MemberReader(sample, probe, found).read()
                if isinstance(table, NoTable):
                    others.append(table)
                else:
                    tables.append(table)
    return tables, others


@dataclass(slots=True)
class _MemberReader:
    """Reads one member, as often as it takes to find out how it is written."""

    sample: Sample
    probe: Feed
    found: Found
    _times: int = 0

    @property
    def member(self) -> Member:
        """What the archive says of it."""
        return self.found.member

    def read(self) -> _Table | NoTable:
        """The member as the table that it most likely is."""
        tried = [self._with_header(GUESSES[0])]
        first = tried[0]
        if isinstance(first, NoTable) or first.rejected or first.may_have_a_title:
            tried.append(self._with_header(GUESSES[1]))
        tables = [one for one in tried if isinstance(one, _Table)]
        if not tables:
            return tried[0]
        # Of equally good ones the plain one. What leaves rows out is no better for rejecting less.
        most = max(one.good for one in tables)
        return min(tables, key=lambda one: (one.may_have_a_title, one.good < most, one.rejected))

    def _with_header(self, dialect: Dialect) -> _Table | NoTable:
        """With its first record as a header unless it has a number or a day as the others."""
        found = self._as(dialect)
        if isinstance(found, NoTable) or found.dialect.header:
            return found
        named = self._as(dialect.model_copy(update={"header": True}))
        if isinstance(named, NoTable) or any(
            map(_is_named_by_a_value, named.profile.columns.values())
        ):
            return found
        return named

    def _as(self, dialect: Dialect) -> _Table | NoTable:
        try:
            return self._under(ALL_BUT_ARCHIVES.model_copy(update={"dialect": dialect}))
        except EncodingGuessError:
            return self._as(dialect.model_copy(update={"encoding": "utf-8"}))

    def _under(self, rule: MemberRule) -> _Table | NoTable:
        rows = MemberRows(rule, self.probe.limits, where=self.member.name, all_fields=True)
        profile: TableProfile | None = None
        try:
            for batch in rows.batches(self._chunks()):
                profile = profile or TableProfile.of(rows.columns)
                profile.add(batch.fields, batch.row_numbers)
        except EncodingGuessError:
            raise
        except (MemberError, LimitError) as error:
            return NoTable(self.member.stored_name, error.what)
        why = _no_table(self.member, rows)
        if why:
            return NoTable(self.member.stored_name, why)
        profile = profile or TableProfile.of(rows.columns)
        rejected = rows.rejected.rows
        return _Table(self.member.stored_name, rows.rows_read, rejected, rows.dialect, profile)

    def _chunks(self) -> Iterator[bytes]:
        """The member's bytes; the first time they are read, how far that is is told."""
        one, self._times = self.member, self._times + 1
        first, ratio = self._times == 1, one.compressed_bytes / max(1, one.uncompressed_bytes)
        for chunk in self.found.chunks(one.name):
            if first:
                self.sample.on_read(READ, round(len(chunk) * ratio))
            yield chunk


def _is_named_by_a_value(column: ColumnProfile) -> bool:
    return column.type != "string" and keeps(column.name, column.reading)


def _no_table(member: Member, rows: MemberRows) -> str:
    """Why a member that can be read is no table, or nothing."""
    rejected = rows.rejected.rows
    if rejected > REJECTED_AT_MOST * rows.rows_read:
        return f"{rejected} of {rows.rows_read} records have other fields than the first"
    named = member.stored_name.lower().endswith(TABLE_SUFFIXES)
    if not named and (len(rows.columns) == 1 or not rows.rows_read):
        return "it has one column or no rows, and a name that promises no table"
    return ""


def _grouped(tables: Sequence[_Table]) -> list[_Rule]:
    """A rule for each kind of table; tables of one name are of one kind, whatever they have."""
    rules: dict[Any, _Rule] = {}
    of_name: dict[str, _Rule] = {}
    for table in tables:
        kind = tuple(table.profile.columns), repr(_dialect(table.dialect))
        rule = of_name.get(table.name) or rules.setdefault(kind, _Rule([]))
        of_name[table.name] = rule
        if rule.tables and (*rule.profile.columns,) != (*table.profile.columns,):
            rule.with_columns = rule.with_dialect = False
        elif rule.tables:
            rule.profile.join(table.profile)
        rule.tables.append(table)
    return [*rules.values()]


def _settle_types(rules: Sequence[_Rule]) -> None:
    """Types that need a look at other columns, or at other tables: a key has one type in all."""
    named: dict[str, list[ColumnProfile]] = {}
    for rule in rules:
        rule.profile.settle()
        for column in rule.profile.columns.values():
            named.setdefault(column.name, []).append(column)
    for name, columns in named.items():
        is_key = name.lower().endswith(KEY_NAMES) or any(one.is_key for one in columns)
        if is_key and len({one.reading for one in columns}) > 1:
            settle_together(columns)


def _name_members(rules: list[_Rule], tables: Sequence[_Table], others: list[NoTable]) -> None:
    """Give each rule its patterns: digits stand for any where no other member is taken then."""
    names = {table.name for table in tables} | {one.name for one in others}
    for rule in rules:
        own = {table.name for table in rule.tables}
        strangers = names - own
        for name in sorted(own):
            loose = pattern_of(_DIGITS.split(name), "*")
            exact = pattern_of([name], "")
            taken = any(MemberRule(include=(loose,)).takes(stranger) for stranger in strangers)
            pattern = exact if taken or not name.strip("0123456789") else loose
            if pattern not in rule.include:
                rule.include.append(pattern)
    # What is named most exactly comes first: an exact name may have had to be made vague.
    rules.sort(key=lambda rule: sum(pattern.count("?") for pattern in rule.include))


def pattern_of(pieces: Sequence[str], between: str) -> str:
    """A pattern that takes names of these pieces, which stand for themselves.

    A character that no pattern or declaration can have stands as `?`.
    """
    pattern = between.join(map(_escaped, pieces))
    return pattern if stays_text(pattern) else re.sub(r"[{}]", "?", pattern)


def _escaped(text: str) -> str:
    escapes = {"*": "[*]", "?": "[?]", "[": "?", "]": "?"}
    return "".join(escapes.get(one, one if one.isprintable() else "?") for one in text)


def _loosened(sample: Sample, rules: Sequence[_Rule]) -> tuple[Feed, Preview]:
    """The feed, after rules under which its own sample would be quarantined were made looser."""
    for number in range(ROUNDS + 1):
        feed = Feed.model_validate({**sample.frame, "members": [*map(_attributes, rules)]})
        found = preview_archive(
            sample.file,
            feed,
            password=sample.password,
            on_read=partial(sample.on_read, HELD),
        )
        strict = {feed.members.index(rule) for rule in _rules_that_set_aside(found, feed, rules)}
        if not strict or number == ROUNDS:
            break
        for place in strict:
            # Of a member that still does not go through, nothing is known for sure.
            rules[place].with_dialect = rules[place].with_columns and rules[place].with_dialect
            rules[place].with_columns = False
    return feed, found


def _rules_that_set_aside(
    found: Preview, feed: Feed, rules: Sequence[_Rule]
) -> Iterator[MemberRule]:
    known = {table.name: table.rejected for rule in rules for table in rule.tables}
    for member in found.members:
        rule = feed.rule_for(member.stored_name)
        worse = member.outcome == "broken" or member.rows_quarantined > known.get(
            member.stored_name, 0
        )
        if rule is not None and worse:
            yield rule


def _attributes(rule: _Rule) -> dict[str, Any]:
    """A rule as the declaration has it."""
    told: dict[str, Any] = {"include": rule.include}
    if rule.key_column is not None:
        told["key_column"] = rule.key_column
    dialect = _dialect(rule.tables[0].dialect) if rule.with_dialect else {}
    if dialect:
        told["dialect"] = dialect
    if rule.with_columns and all(0 < len(name) <= KEY_AT_MOST for name in rule.profile.columns):
        told["columns"] = {one.name: _column(one) for one in rule.profile.columns.values()}
    return told


def _column(column: ColumnProfile) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if column.type != "string":
        told["type"] = column.type
    if not column.nullable:
        told["nullable"] = False
    settings = {
        name: [*value] if isinstance(value, tuple) else value
        for name, value in column.reading.settings
    }
    if column.null_values:
        settings["null_values"] = column.null_values
    return told | settings


def _dialect(found: CsvDialect) -> dict[str, Any]:
    """What has to be declared of a dialect: what is found out again and plain is left out."""
    plain = CsvDialect()
    told: dict[str, Any] = {}
    for name in ("encoding", "delimiter", "quote", "escape", "comment"):
        value = getattr(found, name)
        if value != getattr(plain, name):
            told[name] = NONE if value is None else value
    if found.skip_lines:
        told["skip_lines"] = found.skip_lines
    if not found.header:
        told["header"] = False
    return told if _is_dialect(told) else {}


def _is_dialect(told: dict[str, Any]) -> bool:
    try:
        Dialect.model_validate(told)
    except ValueError:
        return False
    return all(stays_text(value) for value in told.values() if isinstance(value, str))


def _written(sample: Sample, rules: Sequence[_Rule], others: Sequence[NoTable]) -> str:
    """The declaration with its comments."""
    tables = sum(len(rule.tables) for rule in rules)
    rows = sum(rule.rows for rule in rules)
    lines = [
        f"A first declaration, from {shown(sample.file.name)} (tables: {tables}, rows: {rows:,}).",
        "It says what is true of that one archive. Loosen what the partner did not promise, and",
        "look at other archives with `rwt feed preview`. Every attribute: rwt_assets/feed/feed.py.",
    ]
    text = head(sample.name, "\n".join(lines), sample.password_variable)
    text += "".join(map(_rule_text, rules))
    if others:
        text += "    # No rule takes these:\n"
        text += "".join(
            f"    #   {shown(one.name)}: {shown(one.why, 100)}\n" for one in others[:NAMES_SHOWN]
        )
        more = len(others) - NAMES_SHOWN
        text += f"    #   and {more} more\n" if more > 0 else ""
    return text


def _rule_text(rule: _Rule) -> str:
    told = _attributes(rule)
    names = ", ".join(shown(table.name) for table in rule.tables[:NAMES_SHOWN])
    more = len(rule.tables) - NAMES_SHOWN
    names += f" and {more} more" if more > 0 else ""
    lines = [
        f"    # {names}: {rule.rows:,} rows.",
        f"    - include: [{', '.join(scalar(one) for one in told['include'])}]",
    ]
    split = rule.profile.split_column() if rule.with_columns else None
    if split is not None and split.counts is not None and stays_text(split.name):
        lines.append(f"      # {_why_split(split)}")
        lines.append(f"      # split_by: {scalar(split.name)}")
    if "key_column" in told:
        lines.append("      # Each row has a value of its own here; its CRC-32 is added.")
        lines.append(f"      key_column: {scalar(told['key_column'])}")
    if "dialect" in told:
        if rule.tables[0].dialect.encoding_guessed:
            lines.append("      # The encoding is a guess: nothing in the member states it.")
        lines.append(f"      dialect: {flow(told['dialect'])}")
    columns = told.get("columns", {})
    lines += ["      columns:"] if columns else []
    lines += [
        f"        {scalar(name)}: {flow(settings) if settings else '{}'}"
        f"{_nearly(rule.profile.columns[name])}"
        for name, settings in columns.items()
    ]
    return "\n".join(lines) + "\n"


def _nearly(column: ColumnProfile) -> str:
    """A comment that names the few texts which make a column text."""
    if column.nearly is None:
        return ""
    kind, misfits = column.nearly
    told = ", ".join(shown(repr(text), 20) for text in misfits)
    return f"  # {kind} but for {told} in {misfits.total():,} rows"


def _why_split(column: ColumnProfile) -> str:
    counts: Mapping[str, int] = column.counts or {}
    most = max(counts.values())
    empty = f", {column.empty:,} rows without one" if column.empty else ""
    return (
        f"One shard for each value would make {len(counts):,}, of {column.rows // len(counts):,} "
        f"rows on average and {most:,} at most{empty}:"
    )
