"""Private parts of run launchers and of the process that runs are forked from.

- `RunLauncher`: the interface of run launchers has no public name.
- `LaunchRunContext`: what a run launcher is given.
- `CheckRunHealthResult`: what run monitoring is told of a run's process.
- `WorkerStatus`: how that process is.
- `ConfigurableClass`: how Dagster makes a run launcher that a `dagster.yaml` names.
- `ConfigurableClassData`: what such a class is made from.
- `ExecuteRunArgs`: what `dagster api execute_run` takes.
- `serialize_value`: those arguments as text.
- `deserialize_value`: those arguments from text.
- `recon_job_from_origin`: loads the definitions of a run before its process is forked.
"""

from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.base import LaunchRunContext, RunLauncher
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import (
    ConfigurableClass,
    ConfigurableClassData,
    deserialize_value,
    serialize_value,
)
from dagster._utils.hosted_user_process import recon_job_from_origin

__all__ = [
    "CheckRunHealthResult",
    "ConfigurableClass",
    "ConfigurableClassData",
    "ExecuteRunArgs",
    "LaunchRunContext",
    "RunLauncher",
    "WorkerStatus",
    "deserialize_value",
    "recon_job_from_origin",
    "serialize_value",
]
