"""Setting up a process that runs this package, in the one place where that is done.

What belongs here: what is changed in a process, and why. What does not: how (the modules that are
named below). Importing this package changes nothing, so that it may be imported anywhere.
"""

from rwt_assets.runtime import json_logs
from rwt_assets.runtime.beta_warnings import accept_beta_features
from rwt_assets.runtime.memory import choose_pool, give_back_large_pieces
from rwt_assets.text import fit_logs


def configure_process() -> None:
    """Set up this process: the command `rwt`, a code location, or a run.

    It may be called more than once. It changes:

    - Memory (`memory.py`), so that a run does not hold what it has freed: the environment variable
      `ARROW_DEFAULT_MEMORY_POOL` is set to `system` unless it is set; glibc gives large pieces back
      and has two arenas. Arrow looks at the variable when it is first imported: call this before.
      Where Arrow was imported already, as in a project that loads `ZipFeed`, its pool is set for
      what Python asks of it, but Parquet and IPC keep theirs; a line of the log says so. There,
      set the variable in the environment.
    - Filters of warnings (`beta_warnings.py`): the parts of Dagster in beta that are used knowingly
      are not warned of.
    - Logs: with `RWT_LOG_FORMAT=json`, the class of loggers and the handlers that are there, so
      that each line is JSON (`json_logs.py`); and the factory of log records, so that foreign text
      in them does nothing to a terminal (`fit_logs.py`).
    """
    fit_logs.set_up()
    json_logs.set_up()
    choose_pool()
    give_back_large_pieces()
    accept_beta_features()
