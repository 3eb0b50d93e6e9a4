"""A process in which a locked connection answers, so that whatever it does can be ended.

DuckDB looks between two vectors whether it is to stop, and one function may make gigabytes of one
row; only the end of its process ends it for sure.

What belongs here: that process, what it is told and what it tells. What does not: what the
connection may not do (`locked_sql.py`), and which tables there are (`delivered.py`,
`table_checks.py`). It is told by pickles, and tells by JSON and Arrow's IPC alone. Rules: Linux
man-pages, setrlimit(2) (RLIMIT_DATA), alarm(2); Python documentation, "multiprocessing.connection";
Apache Arrow documentation, "Streaming, Serialization, and IPC".
"""

import json
import math
import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import TIMEOUT_MAX, Event, Timer
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self

import pyarrow as pa
import pyarrow.dataset as ds

from rwt_assets.delivery.locked_sql import LOCK, refuse_all_but_reading, shut
from rwt_assets.runtime import QueryError, StackError

if TYPE_CHECKING:
    import duckdb

START_SECONDS: Final = 60.0
LATER_SECONDS: Final = 5  # after which a process ends that nobody is left to end
BESIDE_MB: Final = 2_048  # for Python, Arrow and what DuckDB's allocator keeps in reserve
ROWS_AT_ONCE: Final = 10_240
FRAME_BYTES: Final = 64 << 20
ROW_BYTES: Final = 256 << 20
FRAME_AT_MOST: Final = 2 * ROW_BYTES
ERROR_CHARACTERS: Final = 8_000
_ROWS, _END, _ERROR = b"R", b"E", b"X"
# All that the process gets of the environment of who asks: no credentials, no tokens. Those that
# rows are read with come with the rows.
INHERITED: Final = (
    *("PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_ALL", "TZ"),
    *("ARROW_DEFAULT_MEMORY_POOL", "SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_EC2_METADATA_DISABLED"),
    "RWT_STACK",  # by which a stack finds what it has started
)
_SERVE: Final = (
    "import sys; from rwt_assets.delivery.locked_process import serve; serve(int(sys.argv[1]))"
)


@dataclass(frozen=True, slots=True)
class LockedTables:
    """What a connection has before it is locked, and what it may take.

    Args:
        spill: folder that need not exist, for what does not fit in memory.
        memory_mb: for the rows; the process itself has `BESIDE_MB` more.
        threads: at most.
        files: the only ones that a statement may read.
        datasets: by the names by which `views` know them.
        views: statements that name the tables.
    """

    spill: Path
    memory_mb: int
    threads: int
    files: Sequence[Path] = ()
    datasets: Mapping[str, ds.Dataset | pa.Table] | None = None
    views: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Raised:
    """What to tell where a limit was exceeded: what became of everything, and what to do."""

    effect: str
    more_time: str
    more_memory: str


@dataclass(frozen=True, slots=True)
class _Question:
    sql: str
    rows: int | None
    seconds: float
    reads: bool


class Answer:
    """The rows that a statement gives, as they come."""

    def __init__(self, child: "_Child") -> None:
        self._child = child
        first = child.receive()
        self._first = [] if first is None else [first]
        self.schema: pa.Schema = first.schema if first is not None else pa.schema([])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Rows, some at a time, of no more than `FRAME_AT_MOST` bytes; once.

        Raises:
            QueryError: it takes too long, or too much memory; whatever is done between two
                batches is part of the time.
            duckdb.Error: the statement fails.
        """
        while self._first:
            batch = self._first.pop()
            if batch.num_rows:
                yield batch
            following = self._child.receive()
            if following is not None:
                self._first.append(following)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The same, a row at a time, in Python's types."""
        for batch in self.batches():
            for row in zip(*map(python_values, batch.columns), strict=True):
                self._child.refuse_late()
                yield row

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows at once: for what is known to be little."""
        return list(self.rows())


def python_values(column: pa.Array) -> list[Any]:
    """The values of a column in Python's types; as texts where these have no such value."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):  # a day after the year 9999
        try:
            values = column.cast(pa.string()).to_pylist()
        except pa.ArrowNotImplementedError:  # of a list, a struct or a map
            values = [column.slice(place, 1).to_string() for place in range(len(column))]
    return values


class LockedProcess:
    """Answers questions about tables, each within its own time.

    The process is started by the first question, and again by the one after a limit was exceeded.
    """

    def __init__(self, tables: LockedTables, raised: Raised) -> None:
        self._tables, self._raised = tables, raised
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._end()

    @contextmanager
    def ask(
        self, sql: str, *, seconds: float, rows: int | None = None, reads: bool = False
    ) -> Iterator[Answer]:
        """Run a statement.

        Args:
            sql: the statement.
            seconds: for all until the end of the `with`, but for the start of the process.
            rows: that are wanted at most.
            reads: refuse all that is not one statement that reads.

        Yields:
            What it gives, until the end of the `with`.

        Raises:
            QueryError: it took too long or too much memory, or was refused.
            duckdb.Error: the statement is wrong.
        """
        import duckdb  # noqa: PLC0415 - of an extra

        if self._child is None:
            self._child = _Child(self._tables, self._raised)
        child, whole = self._child, False
        try:
            with child.within(seconds):
                child.send(_Question(sql, rows, child.seconds, reads))
                yield Answer(child)
            whole = child.answered
        except (duckdb.Error, QueryError):  # of a limit: it has not answered
            whole = child.answered
            raise
        finally:
            if not whole:
                self._end()

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child:
    """The process, from the side of who asks."""

    def __init__(self, tables: LockedTables, raised: Raised) -> None:
        self._tables, self._raised = tables, raised
        self._late = Event()
        self.seconds, self._until, self.answered = START_SECONDS, monotonic() + START_SECONDS, True
        self._connection, other = Pipe()
        with other:
            self._process = subprocess.Popen(  # noqa: S603 - the command is our own
                [sys.executable, "-P", "-c", _SERVE, str(other.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                env=_environment(),
            )
        try:
            self.send(tables)
            there = self._connection.poll(START_SECONDS) and self._connection.recv_bytes() == _END
        except (EOFError, OSError):
            there = False
        if not there:
            self.end()
            raise StackError(
                "the process for statements of SQL did not start",
                effect="Nothing was run.",
                fix="Try again; look whether the machine has memory and processes left.",
            )

    def send(self, what: object) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # `receive` says why
            self._connection.send_bytes(pickle.dumps(what))

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """End the process after a time."""
        self.seconds = min(TIMEOUT_MAX, seconds)  # also of what is no number
        self._until, self.answered = monotonic() + self.seconds, False

        def stop() -> None:
            self._late.set()
            self._process.kill()

        timer = Timer(self.seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def refuse_late(self) -> None:
        """Raise if the time is over, no matter who took it."""
        if self._late.is_set() or monotonic() > self._until:
            raise self._too_late()

    def receive(self) -> pa.RecordBatch | None:
        """The next rows; None after the last ones."""
        self.refuse_late()
        try:
            frame = self._connection.recv_bytes(FRAME_AT_MOST)
        except (EOFError, OSError):
            self._refuse_ended()
        kind, body = frame[:1], memoryview(frame)[1:]
        if kind == _ROWS:
            with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
                return stream.read_next_batch()
        self.answered = True
        if kind == _ERROR:
            raise self._told(json.loads(bytes(body)))
        return None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _too_late(self) -> QueryError:
        return QueryError(
            f"the statement was stopped after {self.seconds:g} s",
            effect=self._raised.effect,
            fix=self._raised.more_time,
        )

    def _too_large(self, told: str = "") -> QueryError:
        return QueryError(
            f"the statement needs more memory than {self._tables.memory_mb} MB{told}",
            effect=self._raised.effect,
            fix=self._raised.more_memory,
        )

    def _refuse_ended(self) -> NoReturn:
        """Raise why the process ended by itself or by others."""
        self._process.kill()
        by = -self._process.wait()
        if self._late.is_set() or by == signal.SIGALRM:
            raise self._too_late()
        if by == signal.SIGKILL:
            raise QueryError(
                "the process of the statement was killed, as a machine without memory does",
                effect=self._raised.effect,
                fix="Check the memory of the machine, and try again.",
            ) from MemoryError()
        raise self._too_large(f": its process ended by signal {by}" if by > 0 else "")

    def _told(self, told: Mapping[str, Any]) -> Exception:
        """The error that the process tells of."""
        import duckdb  # noqa: PLC0415 - of an extra

        text = str(told["text"])
        if told["kind"] == "refused":
            what, where, effect, fix = told["parts"]
            return QueryError(what, where=where, effect=effect, fix=fix)
        if told["kind"] == "memory":
            self.answered = False  # nobody knows what it has left
            return self._too_large()
        if told["kind"] == "os":
            return OSError(told["errno"], text)
        kind = getattr(duckdb, str(told["name"]), duckdb.Error)
        known = isinstance(kind, type) and issubclass(kind, duckdb.Error)
        return kind(text) if known else duckdb.Error(text)


def _environment() -> dict[str, str]:
    known = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return known | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def serve(descriptor: int) -> None:
    """Answer questions until nobody is left to ask them: the process itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asks was interrupted, too, and ends this
    with Connection(descriptor) as connection:
        tables: LockedTables = pickle.loads(connection.recv_bytes())  # noqa: S301 - of who starts it
        _bound(tables.memory_mb + BESIDE_MB)
        connection.send_bytes(_END)
        opened: duckdb.DuckDBPyConnection | None = None
        with suppress(EOFError, OSError):
            while True:
                question: _Question = pickle.loads(connection.recv_bytes())  # noqa: S301
                signal.alarm(min(math.ceil(question.seconds) + LATER_SECONDS, 2**31 - 1))
                try:
                    if opened is None:
                        opened = _open(tables)
                    for batch in _answers(opened, question):
                        connection.send_bytes(_framed(batch))
                    connection.send_bytes(_END)
                except Exception as error:  # noqa: BLE001 - who asks has to know
                    connection.send_bytes(_ERROR + json.dumps(_described(error)).encode())
                signal.alarm(0)
    os._exit(0)  # nothing here is worth the time that an orderly end takes


def _bound(megabytes: int) -> None:
    """Have the system refuse this process more memory, where it can; and no image of it is left."""
    for limit, wanted in ((resource.RLIMIT_DATA, megabytes << 20), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(limit)
        least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, (least, least))


def _open(tables: LockedTables) -> "duckdb.DuckDBPyConnection":
    import duckdb  # noqa: PLC0415 - of an extra

    connection = duckdb.connect()
    shut(
        connection,
        memory=f"{tables.memory_mb}MB",
        threads=tables.threads,
        spill=tables.spill,
        files=tables.files,
    )
    for name, dataset in (tables.datasets or {}).items():
        connection.register(name, dataset)
    for statement in tables.views:
        connection.execute(statement)
    connection.execute(LOCK)
    return connection


def _answers(opened: "duckdb.DuckDBPyConnection", question: _Question) -> Iterator[pa.RecordBatch]:
    """What a statement gives: a batch without rows first, so that its columns are known."""
    if question.reads:
        refuse_all_but_reading(question.sql)
    found = opened.sql(question.sql)
    if question.rows is not None:
        found = found.limit(question.rows)
    reader = found.to_arrow_reader(ROWS_AT_ONCE)
    yield pa.RecordBatch.from_pylist([], schema=reader.schema)
    for batch in reader:
        yield from _parts(batch)


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch in pieces that can be sent."""
    if batch.nbytes <= FRAME_BYTES:
        yield batch
    elif batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _parts(batch.slice(0, half))
        yield from _parts(batch.slice(half))
    elif batch.nbytes <= ROW_BYTES:
        yield batch
    else:
        raise QueryError(
            f"a row of the answer has {batch.nbytes >> 20} MB, the most is {ROW_BYTES >> 20}",
            effect="Nothing was changed.",
            fix="Ask for fewer columns, or for parts of the values.",
        )


def _framed(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    sink.write(_ROWS)
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue())


def _described(error: Exception) -> dict[str, Any]:
    """An error, as it is told; what it quotes may be long."""
    import duckdb  # noqa: PLC0415 - of an extra

    text = str(error)[:ERROR_CHARACTERS]
    told: dict[str, Any] = {"kind": "other", "name": type(error).__name__, "text": text}
    if isinstance(error, QueryError):
        parts = error.what, error.where, error.effect, error.fix
        return {**told, "kind": "refused", "parts": [part[:ERROR_CHARACTERS] for part in parts]}
    spilled = isinstance(error, duckdb.Error) and "max_temp_directory_size" in text
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException) and not spilled:
        return {**told, "kind": "memory"}
    if isinstance(error, OSError) and error.errno is not None:
        return {**told, "kind": "os", "errno": error.errno}
    return told
