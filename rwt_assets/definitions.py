"""The one place of assembly: what Dagster loads (Dagster documentation: "Definitions").

What belongs here: putting the declared feeds together. What does not: the definitions of a
feed (`component.py`), which come from its `defs.yaml` in the folder `defs/`.
"""

from pathlib import Path

import dagster as dg

from rwt_assets.runtime import configure_process

# Code servers and runs load this module first of ours, and Arrow with what comes next.
configure_process()

from rwt_assets.component import declared_feeds  # noqa: E402

__all__ = ["declared_feeds", "defs"]


@dg.definitions
def defs() -> dg.Definitions:
    """Everything in `defs/`; runs execute their steps in their own process."""
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(loaded, dg.Definitions(executor=dg.in_process_executor))
