"""`rwt query`: SQL over what was delivered."""

import json
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import typer
from rich.table import Table

from rwt_assets.archive import feed_for_key
from rwt_assets.definitions import declared_feeds
from rwt_assets.delivery import Answer, python_values
from rwt_assets.feed import Feed
from rwt_assets.reading import QUERY_MEMORY_MB, QUERY_SECONDS, delivered_by, query
from rwt_assets.resources import connect_objects
from rwt_assets.runtime import need
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
from rwt_assets.text import FORMULAS, spreadsheet_cell, visible


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
    memory: Annotated[
        int, typer.Option("--memory", min=100, metavar="MB", help="What its rows may take.")
    ] = QUERY_MEMORY_MB,
) -> None:
    """Run SQL (DuckDB's) over delivered rows; each member is a table.

    One statement that reads is run: it reads what deliveries name and nothing else, no file of this
    machine, no address and no extension. Each table is also `feed.table`, and only that where two
    feeds have one of its name; --feed and --archive leave the other feeds out. For example:

        rwt query
        rwt query "select _archive, count(*) from stop_times group by 1"
        rwt query --csv "select * from stops" > stops.csv

    With --csv a text that a spreadsheet would take for a formula has an apostrophe before it, as in
    `rwt quarantine export`. A program that reads the file needs --exact, or --json. Lists and
    structs are JSON there, and bytes hexadecimal digits.

    Status 1 if the statement is wrong or takes more than it may, or nothing was delivered; rows may
    have been written until then.
    """
    with errors_told():
        need("query", "`rwt query`")
        import duckdb  # noqa: PLC0415 - of an extra

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
        rows = None if as_json or as_csv else limit + 1
        asked = query(tables, sql, seconds=seconds, memory_mb=memory, rows=rows)
        try:
            with asked as answer:
                if as_json:
                    console.print_json_items(_objects(answer))
                elif as_csv:
                    _write_csv(answer, exact=exact)
                else:
                    _show(answer, limit)
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


def _objects(answer: Answer) -> Iterator[dict[str, Any]]:
    names = answer.schema.names
    for row in answer.rows():
        yield {name: _plain(value) for name, value in zip(names, row, strict=True)}


def _write_csv(answer: Answer, *, exact: bool) -> None:
    header = True  # comes with the first rows: a statement that fails before them leaves nothing
    for batch in answer.batches():
        _write_rows(batch, exact=exact, header=header)
        header = False
    if header:
        empty = pa.RecordBatch.from_pylist([], schema=answer.schema)
        _write_rows(empty, exact=exact, header=True)


def _write_rows(batch: pa.RecordBatch, *, exact: bool, header: bool) -> None:
    names = batch.schema.names
    columns = [_as_texts(column, exact=exact) for column in batch.columns]
    called = names if exact else [*map(spreadsheet_cell, names)]
    body = BytesIO()  # Arrow closes what it writes to, and that must not be the terminal
    rows = pa.table(columns, names=called)
    pyarrow.csv.write_csv(rows, body, pyarrow.csv.WriteOptions(include_header=header))
    console.write(body.getvalue().decode())


def _as_texts(column: pa.Array, *, exact: bool) -> pa.Array:
    """A column that CSV has room for; without `exact` a spreadsheet finds no formula in it."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    number = pa.types.is_primitive(kind) or pa.types.is_decimal(kind)  # or a date, or a time
    written = number and not pa.types.is_interval(kind)
    if not (written or pa.types.is_null(kind) or _is_text(kind)):
        values = map(_plain, python_values(column))
        column = pa.array([None if one is None else _text(one) for one in values], pa.string())
    if _is_text(column.type) and not exact:
        for pattern, by in FORMULAS:
            column = pc.replace_substring_regex(column, pattern, by)
    return column


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _plain(value: Any) -> Any:
    """A value as JSON has one: bytes as hexadecimal digits, and other things as their texts."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [*map(_plain, value)]
    if isinstance(value, tuple) and type(value) is tuple:  # of a map
        return [*map(_plain, value)]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _show(answer: Answer, limit: int) -> None:
    names = answer.schema.names
    rows = [[*map(_shown, row)] for row in answer.rows()]
    shown = console.columns_that_fit(
        [
            [visible(name, CELL_AT_MOST), *few]
            for name, *few in zip(names, *rows[:limit], strict=True)
        ]
    )
    table = Table(*names[:shown])
    for row in rows[:limit]:
        table.add_row(*row[:shown])
    console.print(table)
    if len(rows) > limit:
        console.print(f"The first {limit} rows; see --limit, --csv and --json.")
    if shown < len(names):
        console.print(
            f"The first {shown} of {len(names)} columns, as many as fit; name those that you want, "
            "or see --csv and --json."
        )


def _shown(value: Any) -> str:
    plain = value.hex() if isinstance(value, bytes) else value
    return "" if plain is None else visible(plain, CELL_AT_MOST)
