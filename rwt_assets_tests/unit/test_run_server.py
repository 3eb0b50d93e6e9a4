"""What the run server does before it forks a run."""

import sys

from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import serialize_value
from dagster._utils.hosted_user_process import recon_job_from_origin

from rwt_assets.embedded.run_server import _load_code_of


def arguments(module):
    repository = RepositoryPythonOrigin(sys.executable, ModuleCodePointer(module, "defs"))
    origin = JobPythonOrigin("gtfs_enrich", repository)
    return origin, serialize_value(ExecuteRunArgs(origin, "run", None))


def test_the_definitions_of_a_run_are_made_before_it_is_forked(monkeypatch):
    origin, text = arguments("rwt_assets.definitions")
    _load_code_of(text)

    def again():
        raise AssertionError("they were made again")

    monkeypatch.setattr("rwt_assets.definitions.defs", again)
    assert recon_job_from_origin(origin).get_definition().name == "gtfs_enrich"


def test_code_that_does_not_load_is_left_to_the_run_to_report(caplog):
    for text in (arguments("rwt_assets.nowhere")[1], "nonsense"):
        caplog.clear()
        _load_code_of(text)
        assert "does not load" in caplog.text
