"""Settings of all tests."""

import os
from collections import defaultdict
from itertools import count
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

from rwt_assets_tests.quick_clients import make_clients_quick
from rwt_assets_tests.quick_instances import make_instances_in_memory_quick

# Machines are shared: how long one example takes says nothing about the code.
settings.register_profile("rwt", deadline=None, derandomize=True, max_examples=25)
settings.register_profile(
    "fuzz", deadline=None, max_examples=150_000, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "rwt"))
make_instances_in_memory_quick()
make_clients_quick()


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boto3 tries an endpoint that is away again at once."""
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test that is marked `mostly_long`, the first case is for `make test`.

    Every so manyth is for `make test-all`, and the others are for `make long`.
    """
    seen: defaultdict[str, count[int]] = defaultdict(count)
    for item in items:
        mark = item.get_closest_marker("mostly_long")
        if mark is not None and (place := next(seen[item.nodeid.partition("[")[0]])):
            often = place % mark.kwargs["one_in"] == 0
            item.add_marker(pytest.mark.extended if often else pytest.mark.long)
