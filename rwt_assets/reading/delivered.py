"""Deliveries as data: a DataFrame or an Arrow dataset of exactly one revision, and SQL over them.

What belongs here: the consumer's way to the rows. What does not: the documents themselves
(`consumption.py`). What a delivery names is read and nothing else, so objects of a former
revision or of a run that is under way are never among the rows. Apache Arrow documentation:
"Tabular Datasets"; DuckDB documentation: "SQL on Apache Arrow", "Securing DuckDB".
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from botocore.exceptions import ConnectionError as EndpointFailure
from botocore.exceptions import (
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from pyarrow import fs

from rwt_assets.archive import feed_for_key
from rwt_assets.component import declared_feeds
from rwt_assets.delivery import Answer, LockedProcess, LockedTables, Raised, parse_delivery
from rwt_assets.delivery import read_delivery as read_document
from rwt_assets.documents import Delivery, Layout
from rwt_assets.feed import Feed, target_access
from rwt_assets.orchestration.steps import to_frame
from rwt_assets.resources import connect_objects, session_of
from rwt_assets.runtime import ArchiveMissingError, FeedError, StackError, map_ahead, need
from rwt_assets.storage import ObjectStore
from rwt_assets.text import further_names, merged_columns, quoted, table_names, unified_schema

if TYPE_CHECKING:
    import pandas as pd

FOOTERS_AT_ONCE: Final = 16
QUERY_SECONDS: Final = 600.0
QUERY_MEMORY_MB: Final = 2_000
QUERY_THREADS: Final = 4
TOLD: Final = Raised(
    effect="Nothing was changed.",
    more_time="Ask for less (--archive, limit, fewer columns), or give --seconds.",
    more_memory="Ask for less (--archive, limit, fewer columns), or give --memory.",
)


def read_delivery(key: str, member: str = "", *, feed: str = "") -> "pd.DataFrame":
    """The rows of one member of a delivered archive.

    Credentials, region and endpoint come from the environment, as for boto3.

    Args:
        key: object key of the archive.
        member: its name; not needed if the delivery has only one.
        feed: name of the feed; without it, the one that reads objects of this key.

    Returns:
        A DataFrame with the columns of `enriched_shard`: those of the contract with their
        types, `crc32`, `_archive`, `_member` and `_row`. Rows are in the order of the shards.

    Raises:
        ArchiveMissingError: the archive was never delivered, or has no such member.
        FeedError: no such feed; or none was named, and the key is not that of one feed.
        StackError: there are no credentials, or nothing answers at the endpoint.
    """
    return to_frame(open_delivery(key, member, feed=feed).to_table())


def open_delivery(key: str, member: str = "", *, feed: str = "") -> ds.Dataset:
    """The same as an Arrow dataset, of which nothing is read until it is asked for.

    Args and errors are those of `read_delivery`.
    """
    declared = _feed(feed, key)
    with _access_told():
        delivery = read_document(connect_objects(declared), declared.target, key)
    by_member = _objects_by_member([delivery])
    wanted = member or next(iter(by_member), "")
    if wanted not in by_member or (not member and len(by_member) > 1):
        raise ArchiveMissingError(
            f"the delivery has no member {member!r}" if member else "which member?",
            where=f"s3://{delivery.bucket}/{delivery.key}",
            effect="Nothing was read.",
            fix=f"Name one of: {', '.join(by_member) or 'none, it has no rows'}.",
        )
    return _merged(_dataset(declared, by_member[wanted]))


@dataclass(frozen=True, slots=True)
class DeliveredTable:
    """A member of a feed as a table: its rows of all deliveries that were asked for.

    `columns` are the names by which SQL knows its columns, each with those columns of `dataset` of
    which a row has one: they differ only by case, and have one type. `called` are other names of
    the table, of which each is always this member's or no table's.
    """

    feed: str
    name: str
    member: str
    dataset: ds.Dataset
    columns: Mapping[str, Sequence[str]]
    called: tuple[str, ...] = ()


def delivered_tables(
    store: ObjectStore, feed: Feed, archives: Iterable[str] = ()
) -> Sequence[DeliveredTable]:
    """The members of all deliveries of a feed, each as one table.

    A table has the columns of all its objects; one that an object lacks is null in its rows.

    Args:
        store: where deliveries lie.
        feed: whose they are.
        archives: object keys of the only archives that are wanted; all without any.

    Raises:
        ArchiveMissingError: one of `archives` was never delivered.
    """
    wanted = list(archives)
    found = (
        [read_document(store, feed.target, one) for one in wanted]
        if wanted
        else list(_deliveries(store, feed))
    )
    by_member = _objects_by_member(found)
    names, further = table_names(by_member), further_names(by_member)
    return [
        DeliveredTable(
            feed.name,
            names[member],
            member,
            dataset := _dataset(feed, objects),
            merged_columns(dataset.schema.names),
            tuple(name for name, one in further.items() if one == member),
        )
        for member, objects in by_member.items()
    ]


def delivered_by(
    store: ObjectStore, wanted: Iterable[tuple[Feed, Iterable[str]]]
) -> Mapping[str, DeliveredTable]:
    """The tables of several feeds; where two have one of the same name, as `feed.table`.

    Args:
        store: where deliveries lie.
        wanted: feeds, each with the keys of the only archives that are wanted of it.

    Raises:
        ArchiveMissingError: one of the archives was never delivered.
    """
    found = [table for feed, keys in wanted for table in delivered_tables(store, feed, keys)]
    names = Counter(table.name for table in found)
    return {
        table.name if names[table.name] == 1 else f"{table.feed}.{table.name}": table
        for table in found
    }


@contextmanager
def query(
    tables: Mapping[str, DeliveredTable],
    sql: str,
    *,
    seconds: float = QUERY_SECONDS,
    memory_mb: int = QUERY_MEMORY_MB,
    rows: int | None = None,
) -> Iterator[Answer]:
    """Run SQL over tables; only the columns and row groups that it needs are read.

    The statement reads these tables and nothing else: no file, no address, no extension, no
    variable of this program (`locked_sql.py`). It is run by a process of its own, which is ended
    if it takes more than it may (`locked_process.py`).

    Args:
        tables: by their names in the query; each is also `feed.table`.
        sql: one statement of DuckDB's SQL that reads.
        seconds: after which the statement is stopped, fetching and showing what it gives included.
        memory_mb: that its rows may take.
        rows: that are wanted at most.

    Yields:
        What it gives, until the end of the `with`.

    Raises:
        QueryError: it is no single statement that reads, or it took too much time or memory.
        duckdb.Error: the statement is wrong.
        MissingExtraError: DuckDB is not installed.
    """
    need("query", "SQL over deliveries")
    # The folder is this user's alone (0700), as are the rows that may be written there.
    with TemporaryDirectory(prefix="rwt-query-") as folder:
        opened = _opened(tables, Path(folder), memory_mb)
        with (
            LockedProcess(opened, TOLD) as process,
            process.ask(sql, seconds=seconds, rows=rows, reads=True) as answer,
        ):
            yield answer


def _opened(tables: Mapping[str, DeliveredTable], folder: Path, memory_mb: int) -> LockedTables:
    """The tables, with the statements that give them their names."""
    datasets: dict[str, ds.Dataset | pa.Table] = {}
    views = []
    called = Counter(name for table in tables.values() for name in table.called)
    plain = {name for name in tables if "." not in name}
    for number, table in enumerate(tables.values()):
        source = f"rwt_delivered_{number}"
        in_files = isinstance(table.dataset, ds.FileSystemDataset)  # others cannot be sent
        datasets[f"{source}_as_stored"] = table.dataset if in_files else table.dataset.to_table()
        views.append(_view(source, table))
        views.append(f"create schema if not exists {quoted(table.feed)}")
        names = [f"{quoted(table.feed)}.{quoted(one)}" for one in (table.name, *table.called)]
        names += [quoted(table.name)] if table.name in tables else []
        names += [quoted(one) for one in table.called if called[one] == 1 and one not in plain]
        views += [f"create or replace view {name} as from {source}" for name in names]
    threads = min(QUERY_THREADS, os.cpu_count() or 1)
    return LockedTables(folder / "spilled", memory_mb, threads, datasets=datasets, views=views)


def _view(name: str, table: DeliveredTable) -> str:
    """SQL that makes a view of a registered dataset, in which each column has a name of its own."""
    places = {column: f"c{place}" for place, column in enumerate(table.dataset.schema.names)}
    columns = ", ".join(
        # A column by itself stays one: only then are rows left out while they are read.
        (f"coalesce({', '.join(places[one] for one in same)})" if same[1:] else places[own])
        + f" as {quoted(own)}"
        for own, same in table.columns.items()
    )
    stored = f"{name}_as_stored t({', '.join(places.values())})"
    return f"create view {name} as select {columns} from {stored}"  # noqa: S608 - all quoted


@contextmanager
def _access_told() -> Iterator[None]:
    """Errors of boto3 about what the environment gives it, as a sentence.

    Raises:
        StackError: credentials, a profile or a region are not there, or no endpoint answers.
    """
    try:
        yield
    except (
        NoCredentialsError,
        PartialCredentialsError,
        CredentialRetrievalError,
        ProfileNotFound,
        NoRegionError,
    ) as error:
        raise StackError(
            f"S3 cannot be asked: {error}",
            effect="Nothing was read.",
            fix=(
                "Give credentials and a region as for boto3: AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY and AWS_REGION in the environment, or AWS_PROFILE."
            ),
        ) from error
    except (EndpointFailure, HTTPClientError) as error:
        raise StackError(
            f"S3 does not answer: {error}",
            effect="Nothing was read.",
            fix="Check AWS_ENDPOINT_URL and AWS_REGION, and the network.",
        ) from error


def _feed(name: str, key: str) -> Feed:
    feeds = declared_feeds()
    if not name:
        return feed_for_key(key, feeds)
    chosen = [feed for feed in feeds if feed.name == name]
    if not chosen:
        raise FeedError(
            f"there is no feed {name!r}",
            effect="Nothing was read.",
            fix=f"Name one of: {', '.join(feed.name for feed in feeds)}.",
        )
    return chosen[0]


def _deliveries(store: ObjectStore, feed: Feed) -> Iterator[Delivery]:
    bucket, folder = feed.target.bucket, Layout(feed.target.prefix).deliveries()
    for head in store.list(bucket, folder):
        if head.key.removeprefix(folder).partition("/")[2] == "delivery.json":
            with suppress(ArchiveMissingError):  # retired since it was listed
                yield parse_delivery(feed.target, head.key, store.read(bucket, head.key))


def _objects_by_member(deliveries: Iterable[Delivery]) -> dict[str, list[str]]:
    objects: dict[str, list[str]] = {}
    for delivery in deliveries:
        for one in delivery.objects:
            objects.setdefault(one.member, []).append(one.key)
    return objects


def _dataset(feed: Feed, keys: Iterable[str]) -> ds.Dataset:
    paths, files = [f"{feed.target.bucket}/{key}" for key in keys], _filesystem(feed)
    schemas = map_ahead(
        lambda path: pq.read_schema(path, filesystem=files),
        paths,
        workers=FOOTERS_AT_ONCE,
        ahead=FOOTERS_AT_ONCE,
    )
    schema = unified_schema([one.remove_metadata() for one in schemas])
    return ds.dataset(paths, schema, "parquet", filesystem=files, partitioning=None)


def _merged(found: ds.Dataset) -> ds.Dataset:
    """The dataset; where some of its columns are one to a reader, its rows in memory.

    Objects of a member of one archive differ so only if a function of the feed's own makes them.
    """
    columns = merged_columns(found.schema.names)
    if len(columns) == len(found.schema.names):
        return found
    same = {own: pc.coalesce(*map(pc.field, names)) for own, names in columns.items()}
    return ds.dataset(found.to_table(columns=same))


def _filesystem(feed: Feed) -> fs.S3FileSystem:
    """Arrow's own S3 client, with what boto3 finds in the environment.

    Credentials that end, such as those of a role, are not renewed in it.
    """
    session = session_of(target_access(feed))
    credentials = session.get_credentials()
    frozen = None if credentials is None else credentials.get_frozen_credentials()
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return fs.S3FileSystem(
        access_key=None if frozen is None else frozen.access_key,
        secret_key=None if frozen is None else frozen.secret_key,
        session_token=None if frozen is None else frozen.token,
        region=session.region_name,
        endpoint_override=endpoint,
    )
