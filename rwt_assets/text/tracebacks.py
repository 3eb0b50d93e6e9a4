"""Exceptions as texts fit for a screen and a log, whatever they quote and however they are made.

What belongs here: telling one in a line or with its traceback, and whether it may be shown as it
is. What does not: what becomes of a run (`failures.py`) or a command
(`surprises.py`). Python documentation: "traceback" (`TracebackException`: causes,
contexts, notes and groups are in it, and a `__str__` that fails is no failure of it).
"""

from traceback import TracebackException

from rwt_assets.text.foreign_text import is_visible, visible, visible_lines


def told(error: BaseException) -> str:
    """An exception as one line, with the name of its type."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - its own `__str__` may do anything
        text = "it cannot be told"
    name = type(error).__name__
    return visible(f"{name}: {text}" if text else name)


def told_in_full(error: BaseException) -> str:
    """The same line, and below it the traceback."""
    return f"{told(error)}\n{traceback_of(error)}"


def traceback_of(error: BaseException) -> str:
    """An exception with its traceback, and what it came from, as lines."""
    return visible_lines(_printed(error))


def is_fit(error: BaseException) -> bool:
    """Whether an exception, with all that is shown of it, may be written into a log as it is."""
    return is_visible(_printed(error))


def _printed(error: BaseException) -> str:
    return "".join(TracebackException.from_exception(error).format())
