"""SQL that reads the tables it is given, and nothing else.

What belongs here: what a connection of DuckDB may not do, and how much of the machine it may take.
What does not: which tables there are (`delivered.py`, `table_checks.py`). DuckDB documentation:
"Securing DuckDB" (`enable_external_access`, `lock_configuration`), "Configuration", "Limits".
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rwt_assets.runtime import QueryError, from_extra

if TYPE_CHECKING:
    import duckdb

LOCK: Final = "set lock_configuration = true"
SPILLED_AT_MOST: Final = "20GB"


def shut(
    connection: "duckdb.DuckDBPyConnection",
    *,
    memory: str,
    threads: int,
    spill: Path,
    files: Iterable[Path] = (),
) -> None:
    """Leave a connection no file, network, extension or Python variable but what is named here.

    `LOCK` has to follow: until then a statement could set all of this back.

    Args:
        connection: of which nothing was asked yet.
        memory: that it may take, such as `1GB`.
        threads: likewise.
        spill: folder that need not exist, for what does not fit in memory; nobody else may read
            what lies around it. Statements could read what is in it, which is their own.
        files: the only ones that a statement may read.
    """
    allowed = ", ".join(_text(str(file)) for file in files)
    for setting in (
        f"memory_limit = '{memory}'",
        f"threads = {threads}",
        f"temp_directory = {_text(str(spill))}",
        f"max_temp_directory_size = '{SPILLED_AT_MOST}'",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "allow_persistent_secrets = false",
        "python_enable_replacements = false",
        f"allowed_paths = [{allowed}]",
        "enable_external_access = false",
    ):
        connection.execute(f"set {setting}")


def refuse_all_but_reading(sql: str) -> None:
    """Raise unless a text is one statement that reads: SELECT, FROM, WITH, DESCRIBE, EXPLAIN.

    Raises:
        QueryError: it is several, none, or one that does something else.
        duckdb.Error: it is no SQL.
        MissingExtraError: DuckDB is not installed.
    """
    with from_extra("query", "SQL"):
        import duckdb  # noqa: PLC0415 - of an extra

    kinds = [one.type for one in duckdb.extract_statements(sql)]
    if kinds == [duckdb.StatementType.EXPLAIN]:
        kinds = [_explained(sql)]  # EXPLAIN ANALYZE carries out what it explains
    if kinds == [duckdb.StatementType.SELECT]:
        return
    found = ", ".join(kind.name for kind in kinds) or "none"
    raise QueryError(
        f"only one statement that reads is run, and this is {found}",
        effect="Nothing was run.",
        fix="Ask with SELECT; --csv and --json write what it gives.",
    )


def _explained(sql: str) -> "duckdb.StatementType":
    """The kind of the statement after EXPLAIN and its options: the first rest that is one."""
    import duckdb  # noqa: PLC0415 - of an extra

    for start, _ in duckdb.tokenize(sql):  # in bytes; a comment is one, too
        try:
            (statement,) = duckdb.extract_statements(sql.encode()[start:].decode())
        except (duckdb.Error, ValueError):
            continue
        if statement.type != duckdb.StatementType.EXPLAIN:
            return statement.type
    return duckdb.StatementType.EXPLAIN


def _text(value: str) -> str:
    """A text as a literal of SQL."""
    return "'" + value.replace("'", "''") + "'"
