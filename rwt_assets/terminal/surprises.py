"""What a command says of an error that nobody expected, and where its traceback is.

What belongs here: the group that all commands are in, which lets no traceback out. What does not:
errors with sentences of their own (`session.py`).
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import NamedTemporaryFile
from typing import Any

import typer
from typer.core import TyperGroup

from rwt_assets.runtime import configure_process, missing_extra, redacted
from rwt_assets.terminal.terminal import Screen
from rwt_assets.text import told, traceback_of, visible_lines

FAILED = 1  # exit status


class ToldGroup(TyperGroup):
    """Commands of which an error that nobody expected is told as a sentence."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read the command line."""
        with surprises_told():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        configure_process()
        with surprises_told():
            return super().invoke(ctx)


@contextmanager
def surprises_told() -> Iterator[None]:
    """An error that nobody expected as a sentence; its traceback is kept in a file.

    What typer and Click raise to end a command passes, with its message made fit.
    """
    try:
        yield
    except typer.Abort:
        raise
    except Exception as error:
        if hasattr(error, "exit_code"):
            if isinstance(message := getattr(error, "message", None), str):
                error.message = visible_lines(message)  # type: ignore[attr-defined]
            raise
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise  # anyone who read the output has gone; Click ends the command
        missing = missing_extra(error)
        if missing is None:
            _tell(error)
        else:
            Screen(stderr=True).print(str(missing), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(FAILED) from None


def _tell(error: Exception) -> None:
    errors = Screen(stderr=True)
    errors.print(f"rwt met an error that it does not know: {redacted(told(error))}", style="red")
    try:
        with NamedTemporaryFile(  # only its owner may read it
            "w", prefix="rwt-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(redacted(traceback_of(error)))
    except OSError:
        errors.print_lines(redacted(traceback_of(error)))
    else:
        errors.print(f"Its traceback is in {os.path.abspath(file.name)}.", soft_wrap=True)  # noqa: PTH100
    errors.print(
        "See `rwt status` before you run it again. If it happens again, report it with the "
        "traceback, which may quote data.",
        soft_wrap=True,
    )
