"""Lines of logs in which nothing acts, no matter who writes them.

What belongs here: having this process write out what an exception nobody expected, or a library,
quotes of others. What does not: what is logged, for which `visible` is there; logs as JSON
(`json_logs.py`). Python documentation: "logging" (`setLogRecordFactory`: of all loggers and
handlers, also of those that Dagster makes when a run begins).
"""

import logging
from contextlib import suppress
from typing import Any, Final

from rwt_assets.text.foreign_text import visible_lines

_FORMATTER: Final = logging.Formatter()


class FitRecord(logging.LogRecord):
    """A record whose message and traceback are fit for a terminal."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        with suppress(Exception):  # its arguments do not fit; the handler says so
            message = self.getMessage()
            if (fit := self.made_fit(message)) != message:
                self.msg, self.args = fit, ()
        if self.exc_info and self.exc_info[0] is not None:
            text = _FORMATTER.formatException(self.exc_info)
            if (fit := self.made_fit(text)) != text:
                # Handlers of Dagster write the exception itself again, so it goes.
                self.exc_text, self.exc_info = fit, None

    def made_fit(self, text: str) -> str:
        """What is written of a message or a traceback."""
        return visible_lines(text)


def set_up() -> None:
    """Have this process write such records, unless something else makes its records."""
    if logging.getLogRecordFactory() is logging.LogRecord:
        logging.setLogRecordFactory(FitRecord)
