"""The real thing: `rwt up` as a process, with webserver, daemon, S3 and SQS."""

from collections.abc import Iterator

import pytest

from rwt_assets.embedded.processes import leftovers
from rwt_assets_tests.end_to_end.running_stack import RunningStack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    state = (tmp_path_factory.mktemp("stack") / "state").resolve()
    state.mkdir()
    running = RunningStack(state)
    try:
        running.start()
        yield running
    finally:
        status = running.stop()
    assert status == 0
    assert leftovers(state) == [], "Ctrl-C left processes behind"
