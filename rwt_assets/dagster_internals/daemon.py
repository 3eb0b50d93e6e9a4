"""Private parts that the daemon of the stack on one machine loads.

- `sensor`: holds the constant that has the daemon look at sensors every five seconds; it is no
  setting.
- `main`: the program `dagster-daemon`, called in a process that has set that constant.
"""

from dagster._daemon import sensor
from dagster._daemon.cli import main

__all__ = ["main", "sensor"]
