# ruff: noqa: S608 - names and texts are quoted below; statements are the declaration's own
"""What of an archive can be told from its rows alone: references, sums and checks in SQL.

What belongs here: the questions, put to the Parquet that would be delivered, on this machine's
disk. What does not: how it comes there (`completeness_checks.py`, `preview.py`). DuckDB
documentation: "Securing DuckDB" (what is locked, so that a statement reads these tables alone).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow.parquet as pq

from rwt_assets.delivery.completeness import Finding, named_by
from rwt_assets.delivery.locked_process import LockedProcess, LockedTables, Raised, python_values
from rwt_assets.delivery.locked_sql import LOCK, shut
from rwt_assets.documents import ArchiveManifest, Claim, MemberReport, stated_in_trailers
from rwt_assets.feed import (
    ARCHIVE_COMPLETE,
    REFERENCES_HOLD,
    Check,
    Feed,
    parse_reference,
    stated_groups,
)
from rwt_assets.member import name_key
from rwt_assets.runtime import QueryError, from_extra, is_shortage
from rwt_assets.shard import table_without_rows
from rwt_assets.text import EXACT, matches, quoted, table_names
from rwt_assets.values import exact_sum, exactly_added, same_values, written

if TYPE_CHECKING:
    import duckdb

SHOWN: Final = 5
CELL_CHARACTERS: Final = 60
MEMORY_MB: Final = 1_000
THREADS: Final = 2
ROWS_AT_ONCE: Final = 100_000
TEXT: Final = "VARCHAR"
TEMPORAL: Final = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"})
SAME_VALUE: Final = "rwt_same_value"
TOLD: Final = Raised(
    effect="Whether rows are wrong is not known.",
    more_time="Give the check more `seconds`, or ask for less.",
    more_memory="Have the check ask for less.",
)
NOT_DELIVERED: Final = "The archive was not delivered."

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

    Raises:
        MissingExtraError: DuckDB is not installed.
    """
    with from_extra("query", "what is asked of the rows of an archive", effect=NOT_DELIVERED):
        import duckdb  # noqa: PLC0415 - of an extra

    tables = {**tables, **_without_rows(feed, manifest, tables, folder)}
    with closing(duckdb.connect()) as connection:
        asker = _Asker(connection, tables, folder)
        found = [
            *asker.references(feed, manifest),
            *asker.sums(feed, manifest),
        ]
    # What a statement makes of foreign rows nobody knows: it is asked where it can be ended.
    with LockedProcess(asker.tables, TOLD) as process:
        found += [one for check in feed.checks for one in _checked(check, process)]
    return found


def _without_rows(
    feed: Feed, manifest: ArchiveManifest, tables: Tables, folder: Path
) -> dict[str, Sequence[Path]]:
    """Tables without rows, of members that were read and have no shard: they have columns, too.

    A member that is split has none if no row of it is good, such as on a day without orders.
    """
    made: dict[str, Sequence[Path]] = {}
    for number, report in enumerate(manifest.members):
        rule = feed.rule_for(report.rule_name) if report.outcome == "split" else None
        if rule is None or tables.get(report.name):
            continue
        path = folder / f"no rows of {number}.parquet"
        pq.write_table(table_without_rows(report, rule, archive=manifest.key), path)
        made[report.name] = [path]
    return made


class _Asker:
    """Puts questions to the tables of one archive."""

    def __init__(
        self, connection: "duckdb.DuckDBPyConnection", tables: Tables, folder: Path
    ) -> None:
        from duckdb.func import PythonUDFType  # noqa: PLC0415 - of an extra

        self._connection = connection
        self._views: dict[str, str] = {}
        self._columns: dict[str, dict[str, str]] = {}
        same = cast("Callable[..., list[Any]]", same_values)  # in fact an Arrow array
        connection.create_function(SAME_VALUE, same, [TEXT], TEXT, type=PythonUDFType.ARROW)
        own = [file for files in tables.values() for file in files]
        spill, views = folder / "spilled", list[str]()
        shut(connection, memory=f"{MEMORY_MB}MB", threads=THREADS, spill=spill, files=own)
        self.tables = LockedTables(spill, MEMORY_MB, THREADS, files=own, views=views)
        connection.execute(LOCK)
        names = table_names(member for member, files in tables.items() if files)
        for number, (member, files) in enumerate(tables.items()):
            if files:
                self._views[member] = f"member {number}"
                self._columns[member] = self._view(f"member {number}", files)
                views.append(_view(names[member], files))

    def _view(self, name: str, files: Iterable[Path]) -> dict[str, str]:
        self._connection.execute(_view(name, files))
        described = self._connection.execute(f"describe {quoted(name)}").fetchall()
        return {row[0]: row[1] for row in described}

    def references(self, feed: Feed, manifest: ArchiveManifest) -> Iterator[Finding]:
        """Values of a column that are not in the column they should be in."""
        for report in manifest.members:
            rule = feed.rule_for(report.rule_name) if report.name in self._views else None
            for column, target in ({} if rule is None else rule.references).items():
                for what in self._dangling(report, column, target, feed, manifest):
                    yield Finding(REFERENCES_HOLD, what, feed.dangling)

    def _dangling(
        self, report: MemberReport, name: str, target: str, feed: Feed, manifest: ArchiveManifest
    ) -> Iterator[str]:
        import duckdb  # noqa: PLC0415 - of an extra

        column = self._column(report.name, name, feed)
        if column is None:
            rule = feed.rule_for(report.rule_name)
            # A declared column that is not there is null, and null refers to nothing.
            if rule is None or name not in rule.columns:
                yield f"{report.name!r} has no column {name!r}, which should refer to {target}"
            return
        parent, key = parse_reference(target)
        there = [one.name for one in manifest.members if one.name in self._views]
        rule_names = {one.name: one.rule_name for one in manifest.members}
        there = [one for one in there if _is_called(rule_names[one], parent, feed)]
        keys = {one: self._column(one, key, feed) for one in there}
        parents = {one: found for one, found in keys.items() if found is not None}
        try:
            values, rows, shown = self._not_there(report.name, column, parents)
        except duckdb.Error as error:
            told = str(error).splitlines()[0]
            yield f"{name} of {report.name!r} cannot be compared with {target}: {told}"
            return
        if values and not parents:
            lacks = "which has no such column" if there else "of which there are no rows"
            yield f"{name} of {report.name!r} refers to {target}, {lacks}"
        elif values:
            more = f" and {values - SHOWN} more" if values > SHOWN else ""
            yield (
                f"{rows} rows of {report.name!r} have in {name} what {target} does not have: "
                f"{shown}{more}"
            )

    def _not_there(
        self, member: str, column: str, parents: Mapping[str, str]
    ) -> tuple[int, int, str]:
        """How many values of a column, in how many rows, no parent has; and some of them."""
        kind = self._columns[member][column]
        kinds = {kind, *(self._columns[one][key] for one, key in parents.items())}
        known = " union all ".join(
            f"select {_compared(key, self._columns[one][key], kinds)} as k "
            f"from {quoted(self._views[one])}"
            for one, key in parents.items()
        )
        filled = "v is not null and v <> ''" if kind == TEXT else "v is not null"
        unknown = f" and c not in (select k from ({known}) where k is not null)" if known else ""
        sql = (
            f"select v, count(*) as n from (select {quoted(column)} as v, "
            f"{_compared(column, kind, kinds)} as c from {quoted(self._views[member])}) "
            f"where {filled}{unknown} group by v order by n desc, v"
        )
        found = self._connection.execute(f"select count(*), sum(n) from ({sql})").fetchone()
        values, rows = found if found is not None else (0, 0)
        first = self._connection.execute(f"{sql} limit {SHOWN}").fetchall() if values else []
        return values, rows, ", ".join(_cell(value) for value, _ in first)

    def _column(self, member: str, name: str, feed: Feed) -> str | None:
        """The column of a member's table that is meant by a name, as headers are matched."""
        columns = self._columns[member]
        if name in columns or feed.case == EXACT:
            return name if name in columns else None
        alike = [one for one in columns if name_key(one) == name_key(name)]
        return alike[0] if len(alike) == 1 else None

    def sums(self, feed: Feed, manifest: ArchiveManifest) -> Iterator[Finding]:
        """Sums that the sender states and that the rows do not come to."""
        for claim in _claims(feed, manifest):
            for column, stated in claim.sums.items():
                for what in self._sum(claim, column, Decimal(stated), feed, manifest):
                    yield Finding(ARCHIVE_COMPLETE, what, feed.incomplete)

    def _sum(
        self, claim: Claim, name: str, stated: Decimal, feed: Feed, manifest: ArchiveManifest
    ) -> Iterator[str]:
        members = [*self._views]
        if claim.member:
            report = named_by(claim, manifest.members)
            members = [] if report is None else [report.name]
        found = {one: self._column(one, name, feed) for one in members if one in self._views}
        columns = {one: column for one, column in found.items() if column is not None}
        whose = repr(claim.member) if claim.member else "the archive"
        if not columns:
            if stated:
                yield f"{claim.place}: states a sum of {name} for {whose}, which has no such rows"
            return
        total = Decimal(0)
        for one, column in columns.items():
            sql = f"select {quoted(column)} from {quoted(self._views[one])}"
            with closing(self._connection.cursor()) as cursor:
                values = cursor.sql(sql).to_arrow_reader(ROWS_AT_ONCE)
                added, lost = exact_sum(batch.column(0) for batch in values)
            if lost:
                yield f"{claim.place}: {name} of {one!r} has {lost} values that cannot be added"
                return
            total = exactly_added(total, added)
        if total != stated:
            yield (
                f"{claim.place}: states {written(stated)} as the sum of {name} for {whose}, the "
                f"rows that would be delivered come to {written(total)}"
            )


def _view(name: str, files: Iterable[Path]) -> str:
    listed = ", ".join(_text(str(file)) for file in files)
    return f"create view {quoted(name)} as from read_parquet([{listed}], union_by_name = true)"


def _checked(check: Check, process: LockedProcess) -> Iterator[Finding]:
    """The rows that a declared statement finds wrong."""
    import duckdb  # noqa: PLC0415 - of an extra

    sql = check.sql.strip().rstrip(";")
    count, first = 0, list[tuple[Any, ...]]()
    try:
        with process.ask(sql, seconds=check.seconds) as answer:
            names = answer.schema.names
            for batch in answer.batches():
                some = batch.slice(0, SHOWN - len(first))
                first += zip(*map(python_values, some.columns), strict=True)
                count += batch.num_rows
    except (duckdb.Error, QueryError) as error:
        if is_shortage(error):  # which says nothing about the rows
            raise
        told = str(error).splitlines()[0]
        yield Finding(check.name, f"{check.name} could not be asked: {told}", check.severity)
        return
    if not count:
        return
    shown = "; ".join(_row(names, row) for row in first)
    what = check.description or "rows that are wrong"
    yield Finding(check.name, f"{check.name}: {what}: {count} ({shown})", check.severity)


def _is_called(name: str, wanted: str, feed: Feed) -> bool:
    """Whether a member is one that a reference leads to: by its name as its rule looks at it."""
    rule = feed.rule_for(name)
    if rule is not None and rule.match == "name" and matches(_base(name), wanted, feed.case):
        return True
    return matches(name, wanted, feed.case)


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _compared(column: str, kind: str, kinds: Collection[str]) -> str:
    """A column as it is compared with others of these types: by value, not as it is written."""
    if len(kinds) == 1:
        return quoted(column)
    if {*kinds} <= TEMPORAL:
        return f"epoch_us({quoted(column)}{'::timestamp' if kind == 'DATE' else ''})"
    return f"{SAME_VALUE}(cast({quoted(column)} as varchar))"


def _row(names: Sequence[str], row: Sequence[Any]) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in zip(names, row, strict=False))


def _cell(value: Any) -> str:
    text = "null" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= CELL_CHARACTERS else f"{text[: CELL_CHARACTERS - 1]}…"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
