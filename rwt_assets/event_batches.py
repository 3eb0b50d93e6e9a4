"""Many materializations that no run made, put on record in few transactions.

What belongs here: handing them to Dagster's instance as one batch. What does not: what they say
(`catalog.py`). Dagster documentation: "External assets" (`report_runless_asset_event`), which
takes one event at a time, each with its own transactions.

With `DAGSTER_EVENT_BATCH_SIZE` set, the instance gathers events that come with batch metadata
and its storage writes them together (that of `rwt up` and PostgreSQL do); without it, this is a
loop. The imports are private because only a run's own events have a public way to be a batch.
"""

from collections.abc import Iterable

import dagster as dg
from dagster._core.events import (
    DagsterEventBatchMetadata,
    StepMaterializationData,
    generate_event_batch_id,
)
from dagster._core.instance.utils import RUNLESS_JOB_NAME, RUNLESS_RUN_ID

BATCH_SIZE_VARIABLE = "DAGSTER_EVENT_BATCH_SIZE"


def report_materializations(
    instance: dg.DagsterInstance, materializations: Iterable[dg.AssetMaterialization]
) -> None:
    """Report materializations, as `DagsterInstance.report_runless_asset_event` does each.

    All are durable when this returns. If it fails, some may be on record; reporting them again
    does no harm.
    """
    batch = generate_event_batch_id()
    rest = iter(materializations)
    one = next(rest, None)
    while one is not None:
        following = next(rest, None)
        instance.report_dagster_event(
            dg.DagsterEvent(
                event_type_value=dg.DagsterEventType.ASSET_MATERIALIZATION.value,
                event_specific_data=StepMaterializationData(one),
                job_name=RUNLESS_JOB_NAME,
            ),
            run_id=RUNLESS_RUN_ID,
            batch_metadata=DagsterEventBatchMetadata(batch, is_end=following is None),
        )
        one = following
