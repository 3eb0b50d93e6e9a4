"""What an operator asks for: replay, corrections, rollback, dead letters, a trace.

Each is one function that a command calls.
"""

from rwt_assets.operations.correcting import Exported, export_rows, find_rejected
from rwt_assets.operations.dead_letters import DeadLetter, list_dead_letters, redrive
from rwt_assets.operations.replay import (
    Asked,
    Outcome,
    Quarantined,
    ask_again,
    ask_whole_way,
    count_quarantined,
    find_quarantined,
    rolled_back_to,
)
from rwt_assets.operations.rollback import make_current_again
from rwt_assets.operations.taking_back import archive_in, import_rows
from rwt_assets.operations.tracing import Trace, TracedShard, archive_of, trace_archive

__all__ = [
    "Asked",
    "DeadLetter",
    "Exported",
    "Outcome",
    "Quarantined",
    "Trace",
    "TracedShard",
    "archive_in",
    "archive_of",
    "ask_again",
    "ask_whole_way",
    "count_quarantined",
    "export_rows",
    "find_quarantined",
    "find_rejected",
    "import_rows",
    "list_dead_letters",
    "make_current_again",
    "redrive",
    "rolled_back_to",
    "trace_archive",
]
