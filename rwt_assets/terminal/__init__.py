"""What every command shares: its session, its tables, and what it says of an error.

Nothing here knows a command.
"""

from rwt_assets.terminal.env_file import load_env_file, refuse_env_file_of_others
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
    "load_env_file",
    "progress_bars",
    "refuse_env_file_of_others",
    "refuse_password",
    "stop_with",
    "tell",
]
