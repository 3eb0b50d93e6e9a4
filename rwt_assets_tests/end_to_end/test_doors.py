"""What `rwt up` opens: ports, files and environments, as the kernel tells them."""

import json
import urllib.error
import urllib.request

import psutil
import pytest

from rwt_assets.embedded.processes import leftovers
from rwt_assets_tests.archives import timetable
from rwt_assets_tests.end_to_end.running_stack import RunningStack
from rwt_assets_tests.listening import beyond_loopback, listening

pytestmark = [pytest.mark.end_to_end, pytest.mark.extended, pytest.mark.timeout(900)]
MARK = "what-the-server-need-not-know"


def test_rwt_up_opens_loopback_alone_and_its_files_to_its_owner_alone(tmp_path, monkeypatch):
    laid, executed = tmp_path / "laid by others", tmp_path / "executed"
    laid.mkdir()
    for module in ("calendar", "rwt_assets", "dagster", "json"):
        (laid / f"{module}.py").write_text(f"open({str(executed)!r}, 'w').close()")
    monkeypatch.chdir(laid)
    of_others = tmp_path / "of others"
    of_others.mkdir()
    settings = "telemetry:\n  enabled: false\n"
    (of_others / "dagster.yaml").write_text(settings)
    variables = {"DAGSTER_HOME": str(of_others), "AWS_SECRET_ACCESS_KEY": MARK, "AWS_PROFILE": MARK}
    variables["PYTHONSAFEPATH"] = "1"  # of the command itself, as if `rwt` had been typed
    stack = RunningStack(tmp_path / "a folder" / "state", variables=variables)
    stack.state.parent.mkdir()
    stack.start()
    try:
        processes = [psutil.Process(stack.pid), *leftovers(stack.state)]
        assert len(processes) >= 6  # rwt, server, code server and its child, webserver, daemon
        found = listening(processes)
        assert len(found) >= 3, found  # the UI, S3 and SQS, the code server
        assert beyond_loopback(found) == []
        for process in processes[1:]:
            assert MARK not in process.environ().values(), process.cmdline()
        assert_its_pages_alone_are_answered(stack.record.ui_url)
        archive = tmp_path / "monday.zip"
        archive.write_bytes(timetable(trips=1, stops=2))
        sent = RunningStack(stack.state, variables={"PYTHONSAFEPATH": "1"}).rwt(
            "submit", "--feed", "gtfs", "--wait", str(archive)
        )
        assert sent.returncode == 0, sent.stderr
        assert beyond_loopback(listening(leftovers(stack.state))) == []
        kept = [path for path in (stack.state, *stack.state.rglob("*")) if not path.is_symlink()]
        assert len(kept) > 20
        assert [path for path in kept if path.exists() and path.stat().st_mode & 0o077] == []
    finally:
        stack.end()
    assert not executed.exists()
    assert [path.name for path in of_others.rglob("*")] == ["dagster.yaml"]
    assert (of_others / "dagster.yaml").read_text() == settings


def assert_its_pages_alone_are_answered(url):
    """What a page of another origin sends without asking is refused, our own page is answered."""
    query = json.dumps({"query": "mutation { reloadWorkspace { __typename } }"}).encode()
    theirs = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
    by_name = {"Host": "evil.example", "Content-Type": "application/json"}
    for headers in (theirs, by_name):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(f"{url}/graphql", query, headers))
        refused.value.close()
        assert refused.value.code == 403
    ours = {"Origin": url, "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/graphql", query, ours)) as answer:
        assert "errors" not in json.load(answer)


@pytest.mark.parametrize("place", ["a file/state", "a file"])
def test_a_state_folder_that_cannot_be_written_to_is_a_sentence(tmp_path, place):
    (tmp_path / "a file").write_text("")
    for command in ("up", "demo"):
        stack = RunningStack(tmp_path / place)
        told = stack.rwt(command)
        assert told.returncode == 2, told.stderr
        assert "Traceback" not in told.stderr
        said = " ".join(told.stderr.split())
        assert "nothing can be written to the state folder" in said
        assert "--state or RWT_STATE" in said
