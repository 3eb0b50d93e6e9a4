"""Where the stack's Dagster keeps runs, events and schedules.

That is SQLite below the state folder, or a PostgreSQL database that somebody else runs.

What belongs here: the storage section of `dagster.yaml`. What does not: its other settings
(`dagster.yaml` beside this file) and the storages themselves. Dagster documentation:
"dagster.yaml reference" (`run_storage`, `event_log_storage`, `schedule_storage`), "Deploying
Dagster with PostgreSQL".
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from rwt_assets.embedded.event_storage import EVENTS_FOLDER
from rwt_assets.runtime import StackError

# What follows `postgresql://`, as SQLAlchemy reads it: only a password may have anything but `@`.
_PLACE: Final = re.compile(
    r"(?:[^:/@]*(?::[^@]*)?@)?(?:\[[0-9A-Fa-f:.]+\]|[\w.-]*)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:/[^@?]*)?(?:\?[^@]*)?"
)
LAST_PORT: Final = 65_535
URL_FILE: Final = "storage-url"
SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg2")


def storage_settings(url: str, home: Path) -> str:
    """The part of `dagster.yaml` that says where everything is kept.

    Args:
        url: of a PostgreSQL database; empty for SQLite below Dagster's home.
        home: Dagster's home.

    Returns:
        YAML, a line for each storage. It names the file of `write_url` and not the URL, since the
        UI shows it.

    Raises:
        StackError: the URL is of another database or is none, or what it needs is not installed.
    """
    if not url:
        return _section(
            event_log_storage={
                "module": "rwt_assets.embedded.event_storage",
                "class": "PooledSqliteEventLogStorage",
                "config": {"base_dir": str(home / EVENTS_FOLDER)},
            }
        )
    scheme, separator, rest = url.partition("://")
    if scheme not in SCHEMES or not separator:
        raise StackError(
            "Dagster's storage cannot be there",
            where="--storage or RWT_STORAGE_URL",  # not the URL, which may have a password
            effect="Nothing was started.",
            fix="Give a URL that begins with postgresql://, or none for SQLite.",
        )
    place = _PLACE.fullmatch(rest)
    if place is None or int(place["port"] or 0) > LAST_PORT:
        raise StackError(
            "this is no URL of a database: there is an @ too many, or host or port cannot be",
            where="--storage or RWT_STORAGE_URL",  # and nothing of it, which may be the password
            effect="Nothing was started.",
            fix=(
                "Write postgresql://user:password@host:5432/database, and in user and password @ "
                "as %40, : as %3A, / as %2F, ? as %3F and % as %25."
            ),
        )
    if find_spec("dagster_postgres") is None:
        raise StackError(
            "what Dagster needs for PostgreSQL is not installed",
            where="--storage or RWT_STORAGE_URL",
            effect="Nothing was started.",
            fix="Install it: pip install 'rwt_assets[postgresql]'.",
        )
    classes = {
        "run_storage": "StackRunStorage",
        "event_log_storage": "StackEventLogStorage",
        "schedule_storage": "StackScheduleStorage",
    }
    module, config = "rwt_assets.embedded.postgresql_storage", {"url_file": str(home / URL_FILE)}
    return _section(
        **{
            storage: {"module": module, "class": name, "config": config}
            for storage, name in classes.items()
        }
    )


def write_url(url: str, home: Path) -> None:
    """Keep the URL of a database, which may have a password, in a file of its owner's alone.

    SQLAlchemy 2.1 would take psycopg 3 for the short form, with which dagster-postgres fails.
    """
    file = home / URL_FILE
    file.unlink(missing_ok=True)
    if url:
        file.touch(mode=0o600)
        file.write_text(f"postgresql+psycopg2://{url.partition('://')[2]}", encoding="utf-8")


@contextmanager
def opened(home: Path) -> Iterator[dg.DagsterInstance]:
    """The instance of Dagster's home, for the first time since the settings were written.

    Raises:
        StackError: its database does not answer.
    """
    try:
        instance = dg.DagsterInstance.from_config(str(home))
    except _failures() as error:
        raise StackError(
            f"Dagster's storage does not answer: {str(error.__cause__ or error).splitlines()[0]}",
            where=str(home / "dagster.yaml"),
            effect="Nothing was started.",
            fix="Start the database of --storage (or RWT_STORAGE_URL), or correct the URL.",
        ) from error
    with instance:
        yield instance


def _failures() -> tuple[type[Exception], ...]:
    """What is raised where a database cannot be reached."""
    if find_spec("dagster_postgres") is None:
        return (SQLAlchemyError,)
    return (SQLAlchemyError, import_module("dagster_postgres.utils").DagsterPostgresException)


def _section(**storages: dict[str, Any]) -> str:
    # A value in JSON is one in YAML.
    return "".join(f"{name}: {json.dumps(settings)}\n" for name, settings in storages.items())
