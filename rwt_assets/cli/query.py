"""`rwt query`: SQL over what was delivered."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from io import BytesIO
from typing import Annotated, Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import typer
from rich.table import Table

from rwt_assets.archive import feed_for_key
from rwt_assets.definitions import declared_feeds
from rwt_assets.feed import Feed
from rwt_assets.reading import QUERY_SECONDS, delivered_by, query
from rwt_assets.resources import connect_objects
from rwt_assets.terminal import (
    CELL_AT_MOST,
    DEFAULT_STATE,
    FeedName,
    State,
    choose_all,
    console,
    enter,
    errors,
    errors_told,
    stop_with,
)
from rwt_assets.text import FORMULA_BEGINS, spreadsheet_cell, visible


def query_command(  # noqa: PLR0913, PLR0917 - one for each option
    sql: Annotated[
        str, typer.Argument(metavar="[SQL]", help="A statement; without it: the tables there are.")
    ] = "",
    keys: Annotated[
        list[str] | None,
        typer.Option("--archive", metavar="KEY", help="Only this archive; may be repeated."),
    ] = None,
    state: State = DEFAULT_STATE,
    feed_name: FeedName = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows of the table shown.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="All rows, as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="All rows, as CSV.")] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="With --csv: texts as they are, for a program.")
    ] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, help="After these the statement is stopped.")
    ] = QUERY_SECONDS,
) -> None:
    """Run SQL (DuckDB's) over delivered rows; each member is a table.

    One statement that reads is run: it reads what deliveries name and nothing else, no file of this
    machine, no address and no extension. Each table is also `feed.table`, and only that where two
    feeds have one of its name; --feed and --archive leave the other feeds out. For example:

        rwt query
        rwt query "select _archive, count(*) from stop_times group by 1"
        rwt query --csv "select * from stops" > stops.csv

    With --csv a text that a spreadsheet would take for a formula has an apostrophe before it, as in
    `rwt quarantine export`. A program that reads the file needs --exact, or --json.

    Status 1 if the statement is wrong or nothing was delivered.
    """
    with errors_told(), ExitStack() as stack:
        enter(state)
        feeds = choose_all(declared_feeds(), feed_name)
        tables = delivered_by(connect_objects(*feeds), _wanted(feeds, keys or ()))
        if not tables:
            names = ", ".join(feed.name for feed in feeds)
            stop_with(f"Nothing of feed {names} was delivered yet: `rwt status`.", None)
        if not sql:
            for name, table in tables.items():
                schema = table.dataset.schema
                columns = ", ".join(f"{one} {_type_of(schema.field(one))}" for one in table.columns)
                console.print(f"{name} ({columns})", markup=False)
            return
        try:
            found = stack.enter_context(query(tables, sql, seconds=seconds))
            if as_json or as_csv:
                _write(found.to_arrow_table(), as_json=as_json, exact=exact)
            else:
                _show(found, limit)
        except duckdb.InterruptException:
            raise  # stopped: `query` says so
        except duckdb.Error as error:
            errors.print_lines(str(error), style="red")
            errors.print(f"Tables are: {', '.join(tables)}", markup=False)
            raise typer.Exit(1) from error


def _type_of(column: pa.Field) -> str:
    """The type of a column; that its values stand in a dictionary is nothing to who asks."""
    kind = column.type
    return str(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _wanted(feeds: Sequence[Feed], keys: Sequence[str]) -> list[tuple[Feed, list[str]]]:
    """The feeds whose tables there are, each with the archives that were named."""
    if not keys:
        return [(feed, []) for feed in feeds]
    of_key = {key: feed_for_key(key, feeds) for key in keys}
    named = [(feed, [key for key in keys if of_key[key] is feed]) for feed in feeds]
    return [(feed, own) for feed, own in named if own]


def _write(rows: pa.Table, *, as_json: bool, exact: bool) -> None:
    if as_json:
        console.print_json(json.dumps(rows.to_pylist(), default=str))
    else:
        body = BytesIO()  # Arrow closes what it writes to, and that must not be the terminal
        pyarrow.csv.write_csv(rows if exact else _for_spreadsheet(rows), body)
        console.write(body.getvalue().decode())


def _for_spreadsheet(rows: pa.Table) -> pa.Table:
    """Rows in whose texts and names of columns a spreadsheet finds no formula."""
    columns = []
    for each in rows.columns:
        column = each
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = pc.replace_substring_regex(column, rf"\A('*{FORMULA_BEGINS})", r"'\1")
        columns.append(column)
    return pa.table(columns, names=[spreadsheet_cell(name) for name in rows.column_names])


def _show(found: duckdb.DuckDBPyRelation, limit: int) -> None:
    table = Table(*found.columns)
    rows = found.limit(limit + 1).fetchall()
    for row in rows[:limit]:
        table.add_row(*map(_shown, row))
    console.print(table)
    if len(rows) > limit:
        console.print(f"The first {limit} rows; see --limit, --csv and --json.")


def _shown(value: Any) -> str:
    return "" if value is None else visible(value, CELL_AT_MOST)
