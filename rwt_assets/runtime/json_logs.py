"""Logs as one JSON object a line, for programs that collect them (`RWT_LOG_FORMAT=json`).

What belongs here: the format, and having this process write it. What does not: what is logged.
Dagster documentation: "Logging"; Python documentation: "Logging HOWTO" (formatters, logger class).

Dagster's webserver, daemon and code server write JSON by themselves with `--log-format json`;
names here are theirs (`timestamp`, `level`, `logger`, `event`). Runs have no such option, and their
console logger is made when a run begins, with a formatter of its own: so it is the class of loggers
that gives every handler which writes to a stream this format. Lines about a run say `run_id`,
`job`, `step`, and `feed` and `archive` as far as its tags do.

No secret is written: what a feed names as one and the process has read is replaced, as are the
values of variables whose names speak of one, and passwords and signatures in addresses.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from rwt_assets.runtime.run_tags import ARCHIVE_TAG, FEED_TAG, PARTITION_TAG, STEP_TAG
from rwt_assets.text.fit_logs import FitRecord

VARIABLE: Final = "RWT_LOG_FORMAT"
REDACTED: Final = "[redacted]"
SECRET_NAMES: Final = re.compile(
    r"PASS(?:$|_|WORD|WD|PHRASE)|_PWD$|_PW$|SECRET|TOKEN|CREDENTIAL|PRIVATE|_KEY$", re.IGNORECASE
)
SHORTEST: Final = 6  # shorter ones stand in ordinary words
IN_ADDRESS: Final = re.compile(
    r"(?P<before>://[^\s:/@]*:)(?:[^\s/]+|[^\s@]+)(?=@)"
    r"|(?P<name>(?:X-Amz-(?:Signature|Credential|Security-Token)\s*[=:]"
    r"|\b\w*pass(?:word|wd|phrase)?(?:\s*=|['\"]\s*:))\s*['\"]?)[^&\s'\",}]+",
    re.IGNORECASE,
)


class JsonFormatter(logging.Formatter):
    """One line for each record, whatever is in it."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "timestamp": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        meta = getattr(record, "dagster_meta", None)
        if isinstance(meta, Mapping):
            line |= dict(_of_run(meta))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps({name: redacted(str(value)) for name, value in line.items()})
        return text.replace("\x7f", "\\u007f")  # the one control character that JSON lets be


def _of_run(meta: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tags = meta.get("job_tags") or {}
    event = meta.get("dagster_event")
    error = getattr(getattr(event, "event_specific_data", None), "error", None)
    found = {
        "event": meta.get("orig_message"),
        "dagster_event": getattr(event, "event_type_value", None),
        "run_id": meta.get("run_id"),
        "job": meta.get("job_name"),
        "step": tags.get(STEP_TAG) or meta.get("step_key"),
        "feed": tags.get(FEED_TAG),
        "archive": tags.get(ARCHIVE_TAG) or tags.get(PARTITION_TAG),
        "exception": error and error.to_string(),
    }
    yield from ((name, str(value)) for name, value in found.items() if value)


_READ: Final[set[str]] = set()


def keep_out_of_logs(secret: str) -> None:
    """Have this process write a secret nowhere, whatever the variable is called that has it."""
    if len(secret) >= SHORTEST:
        _READ.add(secret)


def redacted(text: str) -> str:
    """A text without secrets that were read, values of secret variables, passwords in addresses."""
    secrets = {
        value
        for name, value in os.environ.items()
        if SECRET_NAMES.search(name) and len(value) >= SHORTEST
    }
    secrets.discard(os.environ.get("AWS_ACCESS_KEY_ID", ""))  # of a local server, which takes any
    forms = {form for secret in secrets | _READ for form in forms_of(secret)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    return IN_ADDRESS.sub(lambda found: f"{found['before'] or found['name']}{REDACTED}", text)


def forms_of(secret: str) -> set[str]:
    """A secret as it is, and as an address, a `repr` or JSON has it."""
    in_form = urlencode({"": secret})[1:]
    in_json, in_code = json.dumps(secret)[1:-1], repr(secret)[1:-1]
    return {secret, in_form, in_form.replace("+", "%20"), in_json, in_code}


class RedactedRecord(FitRecord):
    """A record without secrets, no matter who writes it: of Dagster's daemon and webserver."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if self.exc_text:  # which Dagster's JSON would leave out
            self.msg, self.args = f"{self.getMessage()}\n{self.exc_text}", ()
            self.exc_text = None

    def made_fit(self, text: str) -> str:
        """What is written of a message or a traceback."""
        return redacted(super().made_fit(text))


def redact_records() -> None:
    """Have this process write no secret into any log, in whatever format."""
    logging.setLogRecordFactory(RedactedRecord)


class JsonLogger(logging.Logger):
    """A logger whose handlers for streams write JSON, no matter who adds them."""

    def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802 - the name of logging
        """Add a handler, with the format in place of its own."""
        _give_format(hdlr)
        super().addHandler(hdlr)


def wants_json() -> bool:
    """Whether logs are to be JSON."""
    return os.environ.get(VARIABLE, "").lower() == "json"


def set_up() -> None:
    """Have this process write JSON if it is to: handlers that are there, and those to come."""
    if not wants_json():
        return
    logging.setLoggerClass(JsonLogger)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stderr))
        root.setLevel(logging.INFO)
    loggers = [one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger)]
    for logger in (root, *loggers):
        for handler in logger.handlers:
            _give_format(handler)
    logging.captureWarnings(capture=True)


def _give_format(handler: logging.Handler) -> None:
    if isinstance(handler, logging.StreamHandler):
        handler.setFormatter(JsonFormatter())
