"""The command `rwt`: one module a command.

A command parses, calls one function and prints.
"""

from typing import TYPE_CHECKING

from rwt_assets.runtime import configure_process

if TYPE_CHECKING:
    from rwt_assets.cli.main import app

__all__ = ["app", "rwt"]


def rwt() -> None:
    """Run the command, in a process that is set up for it before Arrow is imported."""
    configure_process()
    from rwt_assets.cli.main import app  # noqa: PLC0415 - imports Arrow

    app()


def __getattr__(name: str) -> object:
    if name != "app":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from rwt_assets.cli.main import app  # noqa: PLC0415 - likewise

    return app
