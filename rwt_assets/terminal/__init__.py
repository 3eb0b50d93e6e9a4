"""What every command shares: its session, its tables, and what it says of an error.

Nothing here knows a command.
"""

from rwt_assets.terminal.session import (
    DEFAULT_STATE,
    FeedName,
    State,
    archives_by_feed,
    check_loads,
    choose,
    choose_all,
    choose_for_file,
    console,
    enter,
    errors,
    errors_told,
    refuse_password,
    stop_with,
    tell,
)
from rwt_assets.terminal.surprises import ToldGroup
from rwt_assets.terminal.terminal import CELL_AT_MOST, progress_bars

__all__ = [
    "CELL_AT_MOST",
    "DEFAULT_STATE",
    "FeedName",
    "State",
    "ToldGroup",
    "archives_by_feed",
    "check_loads",
    "choose",
    "choose_all",
    "choose_for_file",
    "console",
    "enter",
    "errors",
    "errors_told",
    "progress_bars",
    "refuse_password",
    "stop_with",
    "tell",
]
