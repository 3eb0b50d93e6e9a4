# ruff: noqa: S608 - names and texts are quoted below; statements are the declaration's own
"""What of an archive can be told from its rows alone: references, sums and checks in SQL.

What belongs here: the questions, put to the Parquet that would be delivered, on this machine's
disk. What does not: how it comes there (`assets/completeness_checks.py`, `preview.py`). DuckDB
documentation: "Securing DuckDB" (what is locked, so that a statement reads these tables alone).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, Final

import duckdb

from rwt_assets.completeness import Finding, named_by
from rwt_assets.expectations import (
    ARCHIVE_COMPLETE,
    REFERENCES_HOLD,
    Check,
    parse_reference,
    stated_groups,
)
from rwt_assets.feed import Feed
from rwt_assets.machine_faults import is_shortage
from rwt_assets.manifest import ArchiveManifest, Claim
from rwt_assets.same_names import matches
from rwt_assets.table_names import quoted, table_names
from rwt_assets.trailers import stated_in_trailers

SHOWN: Final = 5
CELL_CHARACTERS: Final = 60
MEMORY: Final = "1GB"
THREADS: Final = 2
SUM_SCALE: Final = 9

Tables = Mapping[str, Sequence[Path]]  # Parquet files by member


def may_ask_rows(feed: Feed) -> bool:
    """Whether anything may be asked of an archive that needs its rows, whatever it states."""
    sums = (rule.trailer is not None and stated_groups(rule.trailer) for rule in feed.members)
    references = any(rule.references for rule in feed.members)
    return bool(feed.checks or feed.control or references or any(sums))


def asks_rows(feed: Feed, manifest: ArchiveManifest) -> bool:
    """Whether anything is asked of an archive that needs its rows."""
    sums = any(claim.sums for claim in _claims(feed, manifest))
    return bool(feed.checks or sums or any(rule.references for rule in feed.members))


def _claims(feed: Feed, manifest: ArchiveManifest) -> list[Claim]:
    """What the sender states in control files and in trailers."""
    trailers = stated_in_trailers(feed, manifest)
    return [*manifest.control.claims, *(claim for one in trailers for claim in one.claims)]


def find_in_rows(
    feed: Feed, manifest: ArchiveManifest, tables: Tables, folder: Path
) -> list[Finding]:
    """What the rows of an archive tell not to be as expected.

    Args:
        feed: what is expected.
        manifest: of the archive.
        tables: the Parquet that would be delivered, by member; all in `folder`.
        folder: may be written to, for what does not fit in memory.
    """
    with closing(duckdb.connect()) as connection:
        asker = _Asker(connection, tables, folder)
        return [
            *asker.references(feed),
            *asker.sums(feed, manifest),
            *(found for check in feed.checks for found in asker.check(check)),
        ]


class _Asker:
    """Puts questions to the tables of one archive."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, tables: Tables, folder: Path) -> None:
        self._connection = connection
        self._views: dict[str, str] = {}
        self._columns: dict[str, dict[str, str]] = {}
        connection.execute(f"set memory_limit = '{MEMORY}'")
        connection.execute(f"set threads = {THREADS}")
        connection.execute(f"set temp_directory = {_text(str(folder / 'spilled'))}")
        connection.execute("set autoinstall_known_extensions = false")
        connection.execute("set autoload_known_extensions = false")
        connection.execute("set python_enable_replacements = false")
        connection.execute(f"set allowed_directories = [{_text(str(folder))}]")
        connection.execute("set enable_external_access = false")
        connection.execute("set lock_configuration = true")
        names = table_names(member for member, files in tables.items() if files)
        for number, (member, files) in enumerate(tables.items()):
            if files:
                self._views[member] = f"member {number}"
                self._columns[member] = self._view(f"member {number}", files)
                self._view(names[member], files)

    def _view(self, name: str, files: Iterable[Path]) -> dict[str, str]:
        listed = ", ".join(_text(str(file)) for file in files)
        self._connection.execute(
            f"create view {quoted(name)} as from read_parquet([{listed}], union_by_name = true)"
        )
        described = self._connection.execute(f"describe {quoted(name)}").fetchall()
        return {row[0]: row[1] for row in described}

    def references(self, feed: Feed) -> Iterator[Finding]:
        """Values of a column that are not in the column they should be in."""
        for member in self._views:
            rule = feed.rule_for(member)
            for column, target in ({} if rule is None else rule.references).items():
                for what in self._dangling(member, column, *parse_reference(target)):
                    yield Finding(REFERENCES_HOLD, what, feed.dangling)

    def _dangling(self, member: str, column: str, parent: str, key: str) -> Iterator[str]:
        if column not in self._columns[member]:
            return  # a column that is not there is null, and null refers to nothing
        parents = [one for one in self._views if matches(one, parent)]
        parents = [one for one in parents if key in self._columns[one]]
        if not parents:
            yield f"{column} of {member!r} refers to {parent}.{key}, of which there are no rows"
            return
        kinds = {self._columns[one][key] for one in parents}
        same = kinds == {self._columns[member][column]}
        own = quoted(column) if same else f"cast({quoted(column)} as varchar)"
        other = quoted(key) if same else f"cast({quoted(key)} as varchar)"
        known = " union all ".join(
            f"select {other} as k from {quoted(self._views[one])}" for one in parents
        )
        sql = (
            f"select v, count(*) as n from (select {own} as v from {quoted(self._views[member])}) "
            f"where v is not null and v not in (select k from ({known}) where k is not null) "
            "group by v order by n desc, v"
        )
        found = self._connection.execute(f"select count(*), sum(n) from ({sql})").fetchone()
        values, rows = found if found is not None else (0, 0)
        if values:
            first = self._connection.execute(f"{sql} limit {SHOWN}").fetchall()
            shown = ", ".join(_cell(value) for value, _ in first)
            more = f" and {values - len(first)} more" if values > len(first) else ""
            yield (
                f"{rows} rows of {member!r} have in {column} what {parent}.{key} does not have: "
                f"{shown}{more}"
            )

    def sums(self, feed: Feed, manifest: ArchiveManifest) -> Iterator[Finding]:
        """Sums that the sender states and that the rows do not come to."""
        for claim in _claims(feed, manifest):
            for column, stated in claim.sums.items():
                for what in self._sum(claim, column, Decimal(stated), manifest):
                    yield Finding(ARCHIVE_COMPLETE, what, feed.incomplete)

    def _sum(
        self, claim: Claim, column: str, stated: Decimal, manifest: ArchiveManifest
    ) -> Iterator[str]:
        members = [*self._views]
        if claim.member:
            report = named_by(claim, manifest.members)
            members = [] if report is None else [report.name]
        members = [one for one in members if column in self._columns.get(one, {})]
        whose = repr(claim.member) if claim.member else "the archive"
        if not members:
            if stated:
                yield f"{claim.place}: states a sum of {column} for {whose}, which has no such rows"
            return
        total = Decimal(0)
        for one in members:
            cast = f"try_cast({quoted(column)} as decimal(38, {SUM_SCALE}))"
            found = self._connection.execute(
                f"select sum({cast}), count({quoted(column)}) - count({cast}) "
                f"from {quoted(self._views[one])}"
            ).fetchone()
            added, lost = found if found is not None else (None, 0)
            if lost:
                yield f"{claim.place}: {column} of {one!r} has {lost} values that cannot be added"
                return
            total += added or 0
        exponent = stated.as_tuple().exponent
        places = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)
        if total.quantize(min(places, Decimal(1)), ROUND_HALF_EVEN) != stated:
            yield (
                f"{claim.place}: states {stated} as the sum of {column} for {whose}, the rows that "
                f"would be delivered come to {total.normalize():f}"
            )

    def check(self, check: Check) -> Iterator[Finding]:
        """The rows that a declared statement finds wrong."""
        sql = check.sql.strip().rstrip(";")
        try:
            found = self._connection.execute(f"select * from ({sql}\n) limit {SHOWN + 1}")
            names = [column[0] for column in found.description or ()]
            rows = found.fetchall()
            if not rows:
                return
            counted = self._connection.execute(f"select count(*) from ({sql}\n)").fetchone()
        except duckdb.Error as error:
            if is_shortage(error):  # which says nothing about the rows
                raise
            what = f"{check.name} could not be asked: {str(error).splitlines()[0]}"
            yield Finding(check.name, what, check.severity)
            return
        shown = "; ".join(_row(names, row) for row in rows[:SHOWN])
        count = counted[0] if counted is not None else len(rows)
        told = check.description or "rows that are wrong"
        yield Finding(check.name, f"{check.name}: {told}: {count} ({shown})", check.severity)


def _row(names: Sequence[str], row: Sequence[Any]) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in zip(names, row, strict=False))


def _cell(value: Any) -> str:
    text = "null" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}…"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
