"""Many materializations that no run made, put on record together.

What belongs here: how events reach the event log in batches. What does not: which events
(`catalog.py`). Dagster documentation: "External assets" (`report_runless_asset_event`).

That method takes one event and is one transaction or more. The event log itself takes batches,
as Dagster hands it the events of an output; what it is given here is what that method makes of
an event. `StepMaterializationData` has no public name.
"""

import logging
from collections.abc import Iterable
from itertools import islice
from time import time
from typing import Final

import dagster as dg

from rwt_assets.dagster_internals.events import StepMaterializationData

REPORTED_TOGETHER: Final = 1_000
NO_RUN: Final = ""


def report_materializations(
    instance: dg.DagsterInstance, materializations: Iterable[dg.AssetMaterialization]
) -> None:
    """Report materializations without a run, a thousand at a time.

    All are durable when this returns. If it raises, some that came first may be on record;
    reporting all of them again does no harm.
    """
    remaining = iter(materializations)
    while batch := [_entry(one) for one in islice(remaining, REPORTED_TOGETHER)]:
        instance.event_log_storage.store_event_batch(batch)


def _entry(materialization: dg.AssetMaterialization) -> dg.EventLogEntry:
    event = dg.DagsterEvent(
        event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
        event_specific_data=StepMaterializationData(materialization),
        job_name=NO_RUN,
    )
    return dg.EventLogEntry(
        error_info=None,
        level=logging.INFO,
        user_message="",
        run_id=NO_RUN,
        timestamp=time(),
        job_name=NO_RUN,
        dagster_event=event,
    )
