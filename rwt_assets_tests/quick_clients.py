"""Clients of boto3, made without reading the descriptions of AWS's services again.

A client reads 1 MB of JSON, which its session remembers; tests make sessions by the hundred.
"""

from functools import cache

from botocore.loaders import JSONFileLoader

_READ = JSONFileLoader.load_file


def make_clients_quick() -> None:
    """From now on, and for this process."""
    read = cache(lambda path: _READ(JSONFileLoader(), path))
    JSONFileLoader.load_file = lambda _, path: read(path)
