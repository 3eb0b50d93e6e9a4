"""The stand-ins of the tests, which are part of the package."""

from rwt_assets.testing import (
    InMemoryIOManager,
    InMemoryObjects,
    InMemoryObjectStore,
    InMemoryQueue,
    InMemoryQueueClient,
    run_request,
)

__all__ = [
    "InMemoryIOManager",
    "InMemoryObjectStore",
    "InMemoryObjects",
    "InMemoryQueue",
    "InMemoryQueueClient",
    "run_request",
]
