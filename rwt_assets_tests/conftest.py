"""Settings of all tests."""

import os
from collections import defaultdict
from itertools import count

import pytest
from hypothesis import HealthCheck, settings

from rwt_assets_tests.quick_instances import make_instances_in_memory_quick

# Machines are shared: how long one example takes says nothing about the code.
settings.register_profile("rwt", deadline=None, derandomize=True, max_examples=25)
settings.register_profile(
    "fuzz", deadline=None, max_examples=150_000, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "rwt"))
make_instances_in_memory_quick()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test that is marked `mostly_long`, every so manyth case stays in `make test`."""
    seen: defaultdict[str, count[int]] = defaultdict(count)
    for item in items:
        mark = item.get_closest_marker("mostly_long")
        if mark is not None:
            place = next(seen[item.nodeid.partition("[")[0]])
            if place % mark.kwargs["one_in"]:
                item.add_marker(pytest.mark.long)
