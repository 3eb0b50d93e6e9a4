"""`rwt feed`: what a feed would make of an archive, and a first declaration from one.

What belongs here: what a person types and sees. What does not: what is found out (`preview.py`,
`inference.py`).
These commands need no stack, no S3 and no DAGSTER_HOME: they read a file.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Annotated

import typer
from pydantic import SecretStr
from rich.progress import DownloadColumn, Progress, TaskID
from rich.table import Table

from rwt_assets.archive import count_taken, feed_for_archive
from rwt_assets.authoring import (
    ColumnPreview,
    Inference,
    MemberPreview,
    Preview,
    Sample,
    infer_feed,
    preview_archive,
)
from rwt_assets.contract import QuarantineEntry
from rwt_assets.definitions import declared_feeds
from rwt_assets.feed import NAME, VARIABLE, feed_name
from rwt_assets.member import CsvDialect
from rwt_assets.quarantine import place_of
from rwt_assets.resources import read_secret
from rwt_assets.terminal import (
    choose,
    console,
    errors,
    errors_told,
    load_env_file,
    progress_bars,
    stop_with,
)

feed_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Feeds held against archives in files; nothing is stored.",
)
Archive = Annotated[
    Path, typer.Argument(metavar="FILE.zip", exists=True, dir_okay=False, readable=True)
]
SHOWN = 20
SHORT = 160
STYLES = {"taken": "green", "ignored": "dim", "broken": "red"}


@feed_app.command("preview")
def preview(
    file: Archive,
    chosen: Annotated[
        str, typer.Option("--feed", help="Name of the feed; else the one that names most members.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with whole texts.")] = False,
) -> None:
    """What a feed would make of an archive; nothing is stored.

    Status 1 if anything would be quarantined or the archive would fail.

    For example:

        rwt feed preview monday.zip
        rwt feed preview monday.zip --feed gtfs --json
    """
    with errors_told():
        load_env_file()
        feeds = declared_feeds()
        feed = choose(feeds, chosen) if chosen else feed_for_archive(file, feeds)
        if not chosen and len(feeds) > 1:
            taken = count_taken(file, feed).members
            errors.print(
                f"Read as feed {feed.name}, one of {len(feeds)}, which takes members: {taken}. "
                "Name another by --feed.",
                markup=False,
            )
        password = read_secret(os.environ, feed.source.password_variable)
        with _progress(file) as on_read:
            found = preview_archive(file, feed, password=password, on_read=on_read)
        if as_json:
            told = {**asdict(found), "everything_delivered": found.everything_delivered}
            told["members"] = [_as_dict(one) for one in found.members]
            console.print_json(json.dumps(told))
        else:
            _show(found)
        raise typer.Exit(0 if found.everything_delivered else 1)


@feed_app.command("infer")
def infer(
    file: Archive,
    name: Annotated[
        str, typer.Option("--name", help="Name of the feed; else made from the file's name.")
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="PATH", help="Where to write it; else it is printed."),
    ] = None,
    password_variable: Annotated[
        str,
        typer.Option(
            "--password-variable",
            metavar="NAME",
            help="Environment variable with the password of encrypted members; the declaration "
            "names it.",
        ),
    ] = "",
) -> None:
    """Write a first declaration of a feed, with comments, from a sample.

    It says what is true of the sample: loosen what the partner did not promise.

    For example:

        rwt feed infer monday.zip
        rwt feed infer monday.zip --name sales --output rwt_assets/defs/sales/defs.yaml
        rwt feed infer secret.zip --password-variable SALES_PASSWORD
    """
    if name and not re.fullmatch(NAME, name):
        raise typer.BadParameter(
            f"{name!r} is no name of a feed: a to z, 0 to 9 and _, beginning with a letter",
            param_hint="--name",
        )
    if output is not None and output.exists():
        stop_with(f"{output} is there already, and was left as it is.", None)
    with errors_told():
        password = _password(password_variable)
        with _steps(file) as on_read:
            found = infer_feed(
                Sample(
                    file=file,
                    name=name or feed_name(file.name.split(".")[0]),
                    password_variable=password_variable,
                    password=password,
                    on_read=on_read,
                )
            )
        if output is None:
            console.write(found.text)
        else:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(found.text, encoding="utf-8")
            errors.print(f"{output} was written.", markup=False, soft_wrap=True)
        _tell_inferred(found)


def _password(variable: str) -> SecretStr | None:
    """What the named variable has, in the environment or in `.env`; None if none is named."""
    if not variable:
        return None
    if not re.fullmatch(VARIABLE, variable):
        raise typer.BadParameter(
            f"{variable!r} is no name of an environment variable", param_hint="--password-variable"
        )
    load_env_file()
    password = read_secret(os.environ, variable)
    if password is None:
        stop_with(f"The environment variable {variable} is not set, or empty.", None)
    return password


def _tell_inferred(found: Inference) -> None:
    """What was found goes to stderr: the declaration alone may be on stdout."""
    errors.print(
        f"Tables: {found.members}, with {found.rows:,} rows; rules: {len(found.feed.members)}; "
        f"other members: {len(found.not_taken)}"
    )
    sample = found.sample
    if not sample.everything_delivered:
        errors.print(
            f"Of the sample itself would be quarantined: {sample.rows_quarantined:,} rows, and "
            f"whole members: {sample.members_broken}; see the preview. {sample.failure}",
            style="red",
            markup=False,
            soft_wrap=True,
        )
    errors.print(
        f"As rwt_assets/defs/{found.feed.name}/defs.yaml it is a feed; `rwt feed preview FILE.zip "
        f"--feed {found.feed.name}` then shows what it makes of other archives.",
        soft_wrap=True,
    )


@contextmanager
def _progress(file: Path) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal of how much of the archive was read; it goes when all of it was."""
    with _bars() as bars:
        bar = bars.add_task(file.name, total=file.stat().st_size)
        yield lambda read: bars.advance(bar, read)


@contextmanager
def _steps(file: Path) -> Iterator[Callable[[str, int], None]]:
    """The same for several steps, each with a bar of its own from when it begins."""
    begun: dict[str, TaskID] = {}
    lock = Lock()

    def on_read(step: str, read: int) -> None:
        with lock:
            if step not in begun:
                begun[step] = bars.add_task(f"{file.name} {step}", total=file.stat().st_size)
        bars.advance(begun[step], read)

    with _bars() as bars:
        yield on_read


def _bars() -> Progress:
    return progress_bars(errors, DownloadColumn(), shown=errors.is_terminal, transient=True)


def _as_dict(one: MemberPreview) -> dict[str, object]:
    dialect = None if one.dialect is None else one.dialect.model_dump()
    return {**asdict(one), "dialect": dialect}


def _show(found: Preview) -> None:
    _line(f"{found.archive} as feed {found.feed} would take it")
    if found.members:
        console.print(_member_table(found))
    read = [one for one in found.members if one.outcome != "ignored"]
    for one in read[:SHOWN]:
        _show_member(one)
    if len(read) > SHOWN:
        console.print(f"{len(read) - SHOWN} more members: --json has all")
    console.print()
    for finding in found.findings:
        _line(f"Not as expected: {finding}", style="red")
    for problem in filter(None, (found.failure, found.not_noticed)):
        errors.print(f"It would not be delivered: {problem}", style="red", markup=False)
    if found.failure:
        return
    rows, broken = found.rows_quarantined, found.members_broken
    if rows or broken:
        console.print(
            f"Would be quarantined: {rows:,} of {found.rows_read:,} rows, and whole members: "
            f"{broken}. The others would be delivered.",
            style="red",
            soft_wrap=True,
        )
    else:
        console.print(
            f"All {found.rows_read:,} rows would be delivered.", style="green", soft_wrap=True
        )


def _member_table(found: Preview) -> Table:
    table = Table()
    table.add_column("member", overflow="fold")
    table.add_column("is")
    for name in ("rows", "quarantined", "shards"):
        table.add_column(name, justify="right")
    table.add_column("why", overflow="fold")
    for one in found.members:
        numbers = (one.rows_read, one.rows_quarantined, one.shards)
        shown = ["" if one.outcome == "ignored" else f"{number:,}" for number in numbers]
        # The whole reason of a broken member comes below, with what else is known of it.
        why = one.reason if one.outcome != "broken" else one.problems[0].rule
        name, why = one.name, _short(why)
        table.add_row(name, one.outcome, *shown, why, style=STYLES[one.outcome])
    return table


def _show_member(one: MemberPreview) -> None:
    console.print()
    _line(one.name, style="bold")
    if one.dialect is not None:
        _line(f"  dialect: {_tell_dialect(one.dialect)}")
    if one.columns:
        _line(f"  columns: {', '.join(map(_tell_column, one.columns))}")
    if one.split_by is not None:
        values = [f"{_tell_value(each.value)} ({each.rows:,})" for each in one.values]
        more = f"; {one.other_values:,} more, {one.other_rows:,} rows" if one.other_values else ""
        _line(f"  split by {one.split_by}: {', '.join(values) or 'no rows'}{more}")
    for problem in one.problems:
        if one.outcome == "broken":
            _line(f"  {one.reason}", style="red")
            continue
        _line(f"  {problem.rule}, rows: {problem.rows:,}", style="red")
        for entry in problem.examples:
            _show_example(entry)


def _show_example(entry: QuarantineEntry) -> None:
    _line(f"    {place_of(entry)}: {_short(entry.reason)}")
    if entry.text:
        _line(f"      {_short(entry.text)}")


def _line(text: str, style: str = "") -> None:
    """A line that is broken by the terminal alone, so that it can be searched."""
    console.print(text, style=style, markup=False, soft_wrap=True)


def _tell_dialect(dialect: CsvDialect) -> str:
    guess = " (a guess: if it is right, declare dialect.encoding)"
    told = [dialect.encoding + guess * dialect.encoding_guessed, f"delimiter {dialect.delimiter!r}"]
    for name in ("quote", "escape", "comment"):
        value = getattr(dialect, name)
        if value != CsvDialect.model_fields[name].default:
            told.append(f"{name} {value!r}" if value else f"no {name}")
    if dialect.skip_lines:
        told.append(f"{dialect.skip_lines} lines skipped")
    if not dialect.header:
        told.append("no header")
    if dialect.lenient_quotes:
        told.append("quotes as they come")
    if dialect.blank_rows:
        told.append("blank lines are rows")
    if dialect.trailing_delimiter:
        told.append("a delimiter at the end of each record")
    return ", ".join(told)


def _tell_column(column: ColumnPreview) -> str:
    kind = "" if column.type == "string" else column.type
    told = ", ".join(filter(None, (kind, column.note)))
    return f"{column.name} ({told})" if told else column.name


def _tell_value(value: str | None) -> str:
    return "without a value" if value is None else value or "(empty)"


def _short(text: str) -> str:
    line = " ".join(text.split("\n")).strip()
    return line if len(line) <= SHORT else f"{line[: SHORT - 4]} ..."
