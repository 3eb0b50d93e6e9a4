"""Parts of Dagster that are in beta and are used all the same, each with the reason.

Their warnings are silenced by their exact beginning, and nothing else is. They are of Dagster's
class `BetaWarning`, which is not imported here: the work on data loads without Dagster.
"""

import re
import warnings
from typing import Final

ACCEPTED: Final = {
    "Class `PandasColumn` is currently in beta": (
        "dagster-pandas has no other way to describe a column; frames.py is its only user"
    ),
    "Function `create_dagster_pandas_dataframe_type` is currently in beta": (
        "dagster-pandas has no other way to make a type; frames.py is its only user"
    ),
    "Parameter `backfill_policy` of function `asset` is currently in beta": (
        "one run over many shards is what makes thousands of shards affordable; enriched_shard.py"
    ),
    "Parameter `execution_type` of function `AssetsDefinition.__init__` is currently in beta": (
        "Dagster's own call, where it lists the checks of all definitions; none of ours has it"
    ),
}


def accept_beta_features() -> None:
    """Silence the warnings of `ACCEPTED`."""
    for message in ACCEPTED:
        warnings.filterwarnings("ignore", message=re.escape(message))
