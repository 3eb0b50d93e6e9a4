"""The one place of assembly: what Dagster loads (Dagster documentation: "Definitions").

What belongs here: putting the declared feeds together. What does not: the definitions of a
feed (`component.py`), which come from its `defs.yaml` in the folder `defs/`.
"""

from pathlib import Path

import dagster as dg

from rwt_assets.component import ZipFeed
from rwt_assets.feed import Feed
from rwt_assets.runtime import current_project, json_logs

json_logs.set_up()  # code servers and runs load this module first of ours


@dg.definitions
def defs() -> dg.Definitions:
    """Everything in `defs/`; runs execute their steps in their own process."""
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(loaded, dg.Definitions(executor=dg.in_process_executor))


def declared_feeds() -> tuple[Feed, ...]:
    """The feeds of the current project, for commands that work beside Dagster.

    Raises:
        FeedError: there is no project here.
    """
    tree = dg.ComponentTree.for_project(current_project().folder)
    return tuple(component.feed for component in tree.get_all_components(of_type=ZipFeed))
