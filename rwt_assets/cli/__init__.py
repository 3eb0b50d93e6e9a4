"""The command `rwt`: one module a command.

A command parses, calls one function and prints.
"""

from rwt_assets.cli.main import app

__all__ = ["app"]
