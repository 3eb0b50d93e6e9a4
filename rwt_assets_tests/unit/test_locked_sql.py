"""SQL over delivered rows reads these rows and nothing else, and takes no more than it may."""

from contextlib import chdir, closing
from pathlib import Path
from signal import SIGKILL
from threading import Event
from types import SimpleNamespace

import duckdb
import psutil
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from rwt_assets.delivery.locked_process import ERROR_CHARACTERS, FRAME_BYTES, LockedProcess
from rwt_assets.delivery.locked_sql import LOCK, shut
from rwt_assets.delivery.table_checks import find_in_rows
from rwt_assets.documents.manifest import ArchiveManifest
from rwt_assets.feed.expectations import Check
from rwt_assets.reading.delivered import (
    QUERY_MEMORY_MB,
    QUERY_SECONDS,
    TOLD,
    DeliveredTable,
    _opened,
    query,
)
from rwt_assets.runtime.errors import QueryError
from rwt_assets.runtime.machine_faults import is_shortage
from rwt_assets_tests.declared import declared_feed

MARK = "what-no-statement-may-read"
# {file} and {folder} exist, {new} does not.
READING = [
    "from '{file}'",
    "from '{folder}/*.csv'",
    "from read_csv('{file}')",
    "from read_csv_auto('{file}')",
    "from sniff_csv('{file}')",
    "from read_text('{file}')",
    "from read_blob('{file}')",
    "from read_json('{file}')",
    "from read_json_objects('{file}')",
    "from read_ndjson('{file}')",
    "from read_parquet('{folder}/secret.parquet')",
    "from parquet_scan('{folder}/secret.parquet')",
    "from parquet_metadata('{folder}/secret.parquet')",
    "from parquet_schema('{folder}/secret.parquet')",
    "from parquet_kv_metadata('{folder}/secret.parquet')",
    "from read_duckdb('{folder}/secret.duckdb', table_name := 's')",
    "from glob('{folder}/*')",
    "from query('from read_text(''{file}'')')",
    "from query_table('{file}')",
    "from json_execute_serialized_sql(json_serialize_sql('from read_text(''{file}'')'))",
    "select getenv('HOME')",
    "select * from duckdb_secrets()",
    "from which_secret('s3://incoming/a', 's3')",
    "from read_csv('http://127.0.0.1:9/a.csv')",
    "from 'https://example.org/a.parquet'",
    "from read_parquet('s3://incoming/a.parquet')",
    "from read_text('/proc/self/environ')",
    "from enable_logging(storage_path := '{new}')",
    "from enable_profiling()",
    "from arrow_scan(1, 1, 1)",
    "from register_external_resource_type('a', 'b')",
    "from add_grammar_extension('a')",
    "from variable_of_the_program",
]
DOING = [
    "copy rows to '{new}'",
    "copy (from rows) to '{new}' (format parquet)",
    "copy rows from '{file}'",
    "copy from database memory to other",
    "attach '{new}' as other",
    "attach '{folder}/secret.duckdb' as other (read_only)",
    "export database '{new}'",
    "import database '{folder}'",
    "install httpfs",
    "install '{file}'",
    "force install httpfs from community",
    "load httpfs",
    "load '{file}'",
    "set enable_external_access = true",
    "set global lock_configuration = false",
    "set threads = 64",
    "set memory_limit = '1TB'",
    "set temp_directory = '{folder}'",
    "set python_enable_replacements = true",
    "reset enable_external_access",
    "pragma enable_profiling = 'json'",
    "pragma profiling_output = '{new}'",
    "pragma import_database('{folder}')",
    "pragma version",
    "call enable_logging(storage_path := '{new}')",
    "call duckdb_settings()",
    "create secret (type s3, key_id 'a', secret 'b')",
    "create persistent secret (type s3)",
    "create table t as from read_text('{file}')",
    "create macro f() as table from read_text('{file}')",
    "insert into rows values (1)",
    "with q as (insert into rows values (1) returning *) from q",
    "prepare p as from rows",
    "use memory",
    "checkpoint",
    "from rows; from rows",
    "from rows; copy rows to '{new}'",
    "explain analyze create table z as select 1",
    "/* ä */ EXPLAIN (ANALYZE, FORMAT json) create view rows as select 1",
    "explain -- analyze\n analyze\n create or replace macro f() as 1",
    "explain create table z as select 1",
    "",
    "-- nothing",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("of") / "other's"
    folder.mkdir()
    (folder / "secret.csv").write_text(f"a\n{MARK}\n")
    pq.write_table(pa.table({"a": [MARK]}), folder / "secret.parquet")
    with duckdb.connect(str(folder / "secret.duckdb")) as made:
        made.execute(f"create table s as select '{MARK}' as a")
    return folder


@pytest.fixture
def places(folder, monkeypatch):
    quoted = str(folder).replace("'", "''")
    monkeypatch.chdir(folder)  # DuckDB's own temporary folder is `.tmp` of this one
    return {"file": f"{quoted}/secret.csv", "folder": quoted, "new": f"{quoted}/new"}


def tables_of_three_rows():
    found = ds.dataset(pa.table({"a": [1, 2, 3], "b": ["x", "y", None]}))
    return {"rows": DeliveredTable("shop", "rows", "rows.csv", found, {"a": ["a"], "b": ["b"]})}


@pytest.fixture
def tables():
    return tables_of_three_rows()


def give(tables, sql, **settings):
    with query(tables, sql, **settings) as found:
        return found.fetchall()


@pytest.fixture(scope="module")
def asked(folder):
    """Answers a statement as `query` does, but all by one process: a start takes half a second."""
    spill = folder.parent / "spilled"
    with LockedProcess(_opened(tables_of_three_rows(), spill, QUERY_MEMORY_MB), TOLD) as process:

        def give(sql):
            with process.ask(sql, seconds=QUERY_SECONDS, reads=True) as found:
                return found.fetchall()

        with chdir(folder):  # where it is started
            assert give("select 1") == [(1,)]
        yield give


@pytest.mark.parametrize(
    ("sql", "given"),
    [
        ("select sum(a) from rows", [(6,)]),
        ("from rows select count(*)", [(3,)]),
        ("with q as (select a from shop.rows where b = 'y') select a from q;", [(2,)]),
        ("select * from (describe rows) limit 1", [("a", "BIGINT", "YES", None, None, None)]),
    ],
)
def test_a_statement_that_reads_is_run(asked, sql, given):
    assert asked(sql) == given


@pytest.mark.parametrize(
    "sql",
    [
        "show tables",
        "describe rows",
        "summarize rows",
        "explain from rows",
        "/* ä */ explain analyze (with q as (from rows) select * from q);",
        "explain (analyze, format json) select 1",
    ],
)
def test_a_statement_that_describes_is_run(asked, sql):
    assert asked(sql)


@pytest.mark.parametrize("sql", READING)
def test_no_statement_reads_anything_else(asked, places, sql):
    variable_of_the_program = pa.table({"a": [MARK]})
    before = {*Path.cwd().iterdir()}
    try:
        given = asked(sql.format_map(places))
    except duckdb.Error as error:
        given = str(error)
    assert MARK not in str(given), variable_of_the_program
    assert given == [] or isinstance(given, str)
    assert {*Path.cwd().iterdir()} == before


@pytest.mark.parametrize("sql", DOING)
def test_no_statement_does_anything_but_read(asked, places, sql):
    before = {*Path.cwd().iterdir()}
    with pytest.raises((QueryError, duckdb.ParserException, duckdb.CatalogException)):
        asked(sql.format_map(places))
    assert {*Path.cwd().iterdir()} == before


@pytest.mark.parametrize("sql", [*READING, *DOING])
def test_the_connection_itself_is_shut_whatever_the_statement(places, sql):
    """Were a statement not refused by its kind, it would still come to nothing."""
    with closing(duckdb.connect()) as connection:
        connection.execute("create table rows as select 1 as a")
        shut(connection, memory="100MB", threads=1, spill=Path("spilled"))
        connection.execute(LOCK)
        before = {*Path.cwd().iterdir()}
        try:
            found = connection.sql(sql.format_map(places))
            given = str(found and found.fetchall())
        except duckdb.Error as error:
            given = str(error)
        now = connection.execute(
            "select name, value from duckdb_settings() where name in "
            "('enable_external_access', 'lock_configuration', 'threads')"
        ).fetchall()
    assert MARK not in given
    assert dict(now) == {
        "enable_external_access": "false",
        "lock_configuration": "true",
        "threads": "1",
    }
    assert {*Path.cwd().iterdir()} == before


ENDLESS = [
    "select count(*) from range(1000000) x, range(10000000) y where x.range * y.range = 7",
    "from range(1000000000000)",  # it gives rows at once, and never the last
    "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
    "select repeat('x', 1500000000)",  # within one vector, where DuckDB does not look at the clock
    "select sum(length(repeat(range::text, 10000000))) from range(1000000)",
    "select list(range) from range(1000000000)",
    "select range(1000000000)",
]


@pytest.mark.mostly_long(one_in=1)
@pytest.mark.parametrize("sql", ENDLESS)
def test_a_statement_that_takes_too_long_or_too_much_is_stopped(tables, sql):
    with pytest.raises(QueryError, match=r"stopped after 1 s.*--seconds|memory.*--memory"):
        give(tables, sql, seconds=1)


def test_a_statement_that_no_interruption_reaches_is_stopped_by_its_time(tables):
    at_once = "select sum(length(repeat(range::text, 100000000))) from range(1000000)"
    with pytest.raises(QueryError, match=r"stopped after 0\.5 s"):
        give(tables, at_once, seconds=0.5)


@pytest.mark.extended
def test_what_is_done_with_rows_is_part_of_the_time(tables):
    with query(tables, "from range(1000000000000)", seconds=2) as found:
        rows = found.rows()
        next(rows)
        Event().wait(2.5)  # a printer that is slow
        with pytest.raises(QueryError, match=r"stopped after 2 s"):
            next(rows)


@pytest.mark.parametrize(
    "sql", ["select list(range) from range(400000000)", "select range(400000000)"]
)
def test_a_statement_takes_no_more_memory_than_it_may(tables, sql):
    with pytest.raises(QueryError, match=r"more memory than 100 MB.*--memory"):
        give(tables, sql, memory_mb=100)


@pytest.mark.extended
def test_a_row_that_is_too_large_is_not_fetched(tables):
    with pytest.raises(QueryError, match=r"a row of the answer has 286 MB, the most is 256"):
        give(tables, "select repeat('x', 300000000)")


@pytest.mark.extended
def test_many_large_rows_come_in_pieces_and_none_is_lost(tables):
    with query(tables, "select repeat('x', 1000000) as x, range as n from range(200)") as found:
        pieces = [(one.nbytes, one["n"].to_pylist()) for one in found.batches()]
    assert [n for _, some in pieces for n in some] == [*range(200)]
    assert max(size for size, _ in pieces) <= FRAME_BYTES
    assert len(pieces) > 2


def test_a_value_within_another_that_python_has_none_for_is_a_text(tables):
    after = "timestamp '9999-12-31' + interval 1 year"
    ((listed, held),) = give(tables, f"select [{after}] as a, {{'b': {after}}} as b")
    assert "10000-12-31" in listed
    assert "10000-12-31" in held


def test_an_error_that_quotes_a_giant_is_cut(tables):
    with pytest.raises(duckdb.Error) as raised:
        give(tables, "select error(repeat('x', 5000000))")
    assert len(str(raised.value)) <= ERROR_CHARACTERS


def test_the_process_of_a_statement_does_not_outlive_it(tables):
    with query(tables, ENDLESS[1]) as found:
        next(found.rows())
        process = found._child._process
        assert process.poll() is None
    assert process.returncode == -SIGKILL


def test_the_process_of_a_statement_is_given_no_credentials(tables, monkeypatch):
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "RWT_STORAGE_URL", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, MARK)
    monkeypatch.setenv("RWT_STACK", "the state folder")
    with query(tables, ENDLESS[1]) as found:
        next(found.rows())
        environment = psutil.Process(found._child._process.pid).environ()
    assert MARK not in environment.values()
    assert environment["RWT_STACK"] == "the state folder"
    assert "HOME" not in environment


def test_a_process_that_somebody_else_kills_is_said_to_be_killed(tables):
    with query(tables, ENDLESS[1]) as found:
        rows = found.batches()
        next(rows)
        found._child._process.kill()
        with pytest.raises(QueryError, match="was killed") as raised:
            list(rows)
    assert is_shortage(raised.value)


def test_a_statement_takes_no_more_memory_or_disk_than_it_may(tmp_path):
    with closing(duckdb.connect()) as connection:
        shut(connection, memory="32MB", threads=1, spill=tmp_path / "spilled")
        for setting in ("max_temp_directory_size = '16MB'", "lock_configuration = true"):
            connection.execute(f"set {setting}")
        sql = "select count(*) from (select range, range % 7 from range(20000000) order by 2, 1)"
        with pytest.raises(duckdb.OutOfMemoryException):
            connection.sql(sql).fetchall()


def test_what_is_spilled_lies_where_nobody_else_may_read_and_is_removed(tables):
    ((where, memory, threads),) = give(
        tables,
        "select current_setting('temp_directory'), current_setting('memory_limit'), "
        "current_setting('threads')",
    )
    assert not Path(where).parent.exists()
    assert memory == "1.8 GiB"
    assert 1 <= threads <= 4
    with query(tables, "from rows"):
        pass
    with query(tables, "select current_setting('temp_directory')") as found:
        ((where,),) = found.fetchall()
        assert Path(where).parent.stat().st_mode & 0o777 == 0o700


def test_names_that_a_partner_chose_are_names_and_no_sql():
    odd = "x\" as select 1; copy (select 1) to 'owned.csv'; --"
    found = ds.dataset(pa.table({odd: [1], "'": [2]}))
    table = DeliveredTable("shop", odd, "m", found, {odd: [odd], "'": ["'"]}, ("it's",))
    quoted = odd.replace('"', '""')
    assert give({odd: table}, f'select "{quoted}", "\'" from "{quoted}"') == [(1, 2)]
    assert give({odd: table}, """select "'" from "it's" """) == [(2,)]
    assert not Path("owned.csv").exists()


def test_a_check_of_a_feed_reads_the_rows_of_its_archive_and_nothing_else(places, tmp_path):
    rows = tmp_path / "0.parquet"
    pq.write_table(pa.table({"a": [1]}), rows)
    pq.write_table(pa.table({"a": [MARK]}), tmp_path / "of_another.parquet")
    aside = [*READING, f"from read_parquet('{tmp_path}/of_another.parquet')", "from rows"]
    checks = [
        Check(name=f"way_{number}", sql=one.format_map(places)) for number, one in enumerate(aside)
    ]
    asked = declared_feed().model_copy(update={"checks": tuple(checks)})
    manifest = ArchiveManifest.model_construct(members=[], control=SimpleNamespace(claims=[]))
    found = find_in_rows(asked, manifest, {"rows.csv": [rows]}, tmp_path)
    assert MARK not in str(found)
    assert "1 (a 1)" in found.pop().what
    assert all("could not be asked" in one.what for one in found), found
    assert len(found) > len(READING) - 3  # all but those that are run and give nothing


def test_a_check_that_takes_too_long_or_too_much_is_told_and_the_next_is_asked(tmp_path):
    rows = tmp_path / "0.parquet"
    pq.write_table(pa.table({"a": [1]}), rows)
    asked = [
        Check(name="giant", sql=ENDLESS[3], seconds=0.5, severity="warn"),
        Check(name="endless", sql=ENDLESS[1], seconds=0.5),
        Check(name="list", sql="select range(400000000)"),
        Check(name="wrong", sql="from rows"),
        Check(name="right", sql="from rows where a > 1"),
    ]
    feed = declared_feed().model_copy(update={"checks": tuple(asked)})
    manifest = ArchiveManifest.model_construct(members=[], control=SimpleNamespace(claims=[]))
    giant, endless, large, wrong = find_in_rows(feed, manifest, {"rows.csv": [rows]}, tmp_path)
    for one in (giant, endless):
        assert "could not be asked: the statement was stopped after 0.5 s" in one.what
        assert "Give the check more `seconds`" in one.what
    assert (giant.severity, endless.severity) == ("warn", "fail")
    assert "could not be asked: the statement needs more memory than 1000 MB" in large.what
    assert wrong.what == "wrong: rows that are wrong: 1 (a 1)"


def test_a_check_that_does_something_else_is_no_check():
    for sql in ("copy rows to 'a.csv'", "select 1; select 2", "attach 'a.db'"):
        with pytest.raises(ValueError, match="one SELECT"):
            Check.model_validate({"name": "way_out", "sql": sql})
