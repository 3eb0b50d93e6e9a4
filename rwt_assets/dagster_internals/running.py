"""The private part that a run's process loads.

- `api_cli`: the command `dagster api execute_run`, called in a forked process; as a program it
  would start Python again.
"""

from dagster._cli.api import api_cli

__all__ = ["api_cli"]
