"""Dagster's side of the run server: a run launcher (Dagster documentation: "Run launchers").

What belongs here: launching, ending and looking after the processes of runs on this machine.
What does not: the processes themselves (`run_server.py`). What is imported from inside Dagster
is what the run launchers of its own integrations are made of.
"""

import os
import signal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import dagster as dg

from rwt_assets.dagster_internals.launching import (
    CheckRunHealthResult,
    ConfigurableClass,
    ConfigurableClassData,
    ExecuteRunArgs,
    LaunchRunContext,
    RunLauncher,
    WorkerStatus,
    serialize_value,
)
from rwt_assets.embedded.processes import SOCKET_VARIABLE
from rwt_assets.embedded.run_server import request_run
from rwt_assets.runtime import from_extra

if TYPE_CHECKING:
    import psutil

PROCESS_TAG = "rwt/process"


class ForkingRunLauncher(RunLauncher[dg.DagsterInstance], ConfigurableClass):
    """Has runs forked from the run server.

    Args:
        address: path of the run server's socket; by default that of the stack around.
        inst_data: how Dagster made it, for Dagster's own use.
    """

    def __init__(self, address: str = "", inst_data: ConfigurableClassData | None = None) -> None:
        self._address = address or os.environ.get(SOCKET_VARIABLE, "")
        self._inst_data = inst_data
        super().__init__()  # type: ignore[no-untyped-call]

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """How Dagster made it."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """What `dagster.yaml` says of it."""
        # Without one, as for `dagster instance migrate`, there is an instance but no run of it.
        return {"address": dg.Field(dg.StringSource, is_required=False)}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> Self:
        """Made by Dagster from `dagster.yaml`."""
        return cls(inst_data=inst_data, **config_value)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the process of a run and remember which it is."""
        run = context.dagster_run
        origin = context.job_code_origin
        if origin is None:
            msg = f"run {run.run_id} does not say which code it belongs to"
            raise dg.DagsterInvariantViolationError(msg)
        arguments = ExecuteRunArgs(origin, run.run_id, self._instance.get_ref())
        with from_extra("local", "a run of the stack of this machine"):
            import psutil  # noqa: PLC0415 - of an extra
        pid = request_run(self._address, serialize_value(arguments))
        try:
            began = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:
            return  # it has ended already
        self._instance.add_run_tags(run.run_id, {PROCESS_TAG: f"{pid} {began}"})

    def terminate(self, run_id: str) -> bool:
        """Interrupt a run as Ctrl-C would; it ends as canceled."""
        run = self._instance.get_run_by_id(run_id)
        process = None if run is None or run.is_finished else _process(run)
        if run is None or process is None:
            return False
        self._instance.report_run_canceling(run)
        os.kill(process.pid, signal.SIGINT)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring finds runs whose process is gone."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the process of a run is there."""
        if _process(run) is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "the run's process is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def _process(run: dg.DagsterRun) -> "psutil.Process | None":
    with from_extra("local", "a run of the stack of this machine"):
        import psutil  # noqa: PLC0415 - of an extra

    pid, _, began = run.tags.get(PROCESS_TAG, "").partition(" ")
    if not pid:
        return None
    try:
        process = psutil.Process(int(pid))
        return process if str(process.create_time()) == began else None
    except psutil.NoSuchProcess:
        return None
