"""What the commands of `rwt` have in common: where they work, and how they tell errors.

What belongs here: options that several commands take, the choice of deployment and feed, and
errors as sentences. What does not: what a command does (the modules beside this one, `main.py`).
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, NoReturn

import dagster as dg
import typer
from botocore.exceptions import BotoCoreError, ClientError

from rwt_assets.archive import feed_for_archive, feed_for_key
from rwt_assets.embedded import stack as embedded
from rwt_assets.feed import Feed
from rwt_assets.graph import refuse_unloadable, refuse_unloaded
from rwt_assets.runtime import RwtError, StateFolderError, redacted, wants_json
from rwt_assets.terminal.env_file import load_env_file
from rwt_assets.terminal.terminal import Screen
from rwt_assets.text import visible

log = logging.getLogger("rwt")
console = Screen()
errors = Screen(stderr=True)
State = Annotated[
    Path,
    typer.Option(
        "--state",
        envvar="RWT_STATE",
        help="Folder in which the stack on this machine keeps everything.",
        show_default=True,
    ),
]
FeedName = Annotated[
    str, typer.Option("--feed", help="Name of the feed; needed where it cannot be told.")
]
DEFAULT_STATE = Path(".rwt")
WRONG_COMMAND_LINE = 2  # exit status


def tell(sentence: str) -> None:
    """Say what a command that stays is doing: a line for people, or one of the log as JSON."""
    if wants_json():
        log.info(visible(sentence))
    else:
        console.print(sentence, markup=False)


@contextmanager
def errors_told() -> Iterator[None]:
    """Errors as sentences; a traceback only where the fault may be ours."""
    try:
        yield
    except StateFolderError as error:
        errors.print(str(error), style="red", markup=False)
        raise typer.Exit(WRONG_COMMAND_LINE) from error
    except (RwtError, dg.DagsterError) as error:
        errors.print_lines(redacted(str(error)), style="red")
        if isinstance(error, dg.DagsterError) and error.__cause__ is not None:
            errors.print_lines(redacted(str(error.__cause__)), style="red")
        raise typer.Exit(1) from error
    except (ClientError, BotoCoreError) as error:
        errors.print(redacted(f"S3 or SQS refused: {error}"), style="red", markup=False)
        endpoint = redacted(os.environ.get("AWS_ENDPOINT_URL", "not set"))
        errors.print(f"AWS_ENDPOINT_URL is {endpoint}.", markup=False)
        raise typer.Exit(1) from error


def enter(state: Path) -> bool:
    """Work on the deployment of the environment or `.env`, else on this machine's; True then."""
    before = dict(os.environ)
    load_env_file()
    if "DAGSTER_HOME" in os.environ:
        return False
    os.environ.clear()
    os.environ.update(before)
    if not embedded.enter_environment(state):
        stop_with(
            "There is no stack here; start one with `rwt up`, or set DAGSTER_HOME (.env.example).",
            state,
        )
    return True


def refuse_password(context: typer.Context, name: str, url: str) -> None:
    """End the command with status 2 if a URL was typed with a password in it.

    What was typed can be read by every user of the machine while the command runs (`ps`).
    """
    source = context.get_parameter_source(name)
    if source is None or source.name != "COMMANDLINE":
        return
    variable = next(str(one.envvar) for one in context.command.params if one.name == name)
    if _has_password(url):
        errors.print(
            f"The password of --{name} could be read by every user of this machine. Nothing was "
            f"started. Set {variable} instead of --{name}.",
            style="red",
        )
        raise typer.Exit(WRONG_COMMAND_LINE)


def _has_password(url: str) -> bool:
    """Whether a URL has a password before its host, or by name in its query."""
    before = url.rpartition("@")[0].partition("://")[2]
    named = re.split("[&;]", url.partition("?")[2])
    return ":" in before or any("pass" in one.partition("=")[0].lower() for one in named)


def check_loads(state: Path, *, here: bool, effect: str = "Nothing was done.") -> None:
    """Raise if Dagster cannot load the project: then nothing that is asked for would happen.

    Args:
        state: the state folder.
        here: the command works on this machine's stack (`enter`). While that runs, it is asked
            what it has loaded; else the project is loaded in this process.
        effect: what became of what was asked for.

    Raises:
        CodeLocationError: it cannot, with the reason.
    """
    record = embedded.read_record(state) if here and embedded.runs(state) else None
    if record is not None:
        try:
            refuse_unloaded(record.ui_url, effect=effect)
        except (OSError, HTTPException, ValueError):
            pass  # the webserver is being started again
        else:
            return
    refuse_unloadable(effect=effect)


def choose(feeds: Sequence[Feed], name: str) -> Feed:
    """The feed of this name; else the command ends with status 1."""
    chosen = [feed for feed in feeds if name == feed.name]
    if chosen:
        return chosen[0]
    names = ", ".join(feed.name for feed in feeds) or "none"
    return stop_with(f"There is no feed {name!r}; declared are: {names}.", None)


def choose_for_file(feeds: Sequence[Feed], name: str, file: Path) -> Feed:
    """The feed of this name, or without a name the one that the archive is for.

    Raises:
        FeedError: none is named, and it cannot be told.
    """
    return choose(feeds, name) if name else feed_for_archive(file, feeds)


def choose_all(feeds: Sequence[Feed], name: str) -> Sequence[Feed]:
    """The feed of this name, or all if none is named; else the command ends with status 1."""
    return [choose(feeds, name)] if name else feeds


def archives_by_feed(
    feeds: Sequence[Feed], name: str, archives: Iterable[str]
) -> Iterator[tuple[Feed, list[str]]]:
    """Feeds, each with those of these archives (object keys) that are its own.

    Without archives it is the feed of this name, or all feeds if none is named, each with no
    archive.

    Raises:
        FeedError: an archive is not that of one feed, and no feed is named.
    """
    wanted = list(archives)
    if not wanted:
        yield from ((feed, []) for feed in choose_all(feeds, name))
        return
    by_name: dict[str, list[str]] = {}
    for archive in wanted:
        feed = choose(feeds, name) if name else feed_for_key(archive, feeds)
        by_name.setdefault(feed.name, []).append(archive)
    yield from ((feed, by_name[feed.name]) for feed in feeds if feed.name in by_name)


def stop_with(sentence: str, state: Path | None) -> NoReturn:
    """Tell what is wrong and end the command with status 1."""
    errors.print(sentence if state is None else f"{sentence} (state folder {state})", style="red")
    raise typer.Exit(1)
