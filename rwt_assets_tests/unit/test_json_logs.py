"""Logs are one JSON object a line, and say which run and archive they are about, and no secret.

Processes are real ones, since the class of loggers is one for a whole process.
"""

import json
import logging
import os
import subprocess
import sys
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.resources.secrets import read_secret
from rwt_assets.runtime.json_logs import REDACTED, JsonFormatter, redact_records, redacted

RUN = """
import logging
from rwt_assets.runtime import json_logs
json_logs.set_up()
import dagster as dg

@dg.op
def work(context):
    context.log.info("two\\nlines, and postgresql://dagster:hunter22@db/rwt")
    logging.getLogger("rwt_assets.else").warning("of no run: %s", "a-long-password")
    raise ValueError("no: a-long-password")

@dg.job
def job():
    work()

tags = {"rwt/feed": "gtfs", "rwt/archive": "gtfs/a.zip", "rwt/step": "split"}
with dg.DagsterInstance.ephemeral() as instance:
    job.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
"""


@pytest.fixture(scope="module")
def printed():
    environment = {
        **os.environ,
        "RWT_LOG_FORMAT": "json",
        "RWT_ARCHIVE_PASSWORD": "a-long-password",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_every_line_of_a_run_is_an_object_with_the_run_and_the_archive(printed):
    lines = [json.loads(line) for line in printed.splitlines()]
    assert all({"timestamp", "level", "logger", "event"} <= line.keys() for line in lines)
    (told,) = (line for line in lines if line["event"].startswith("two\n"))
    assert told["level"] == "info"
    assert (told["feed"], told["archive"], told["step"]) == ("gtfs", "gtfs/a.zip", "split")
    assert (told["job"], len(told["run_id"])) == ("job", 36)
    (other,) = (line for line in lines if line["logger"] == "rwt_assets.else")
    assert "run_id" not in other
    failure = next(line for line in lines if line.get("dagster_event") == "STEP_FAILURE")
    assert "ValueError" in failure["exception"]


def test_no_secret_is_in_it(printed):
    assert "a-long-password" not in printed
    assert "hunter22" not in printed
    assert f"postgresql://dagster:{REDACTED}@db/rwt" in printed


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://b/k?X-Amz-Signature=abc&x=1", "https://b/k?X-Amz-Signature=[redacted]&x=1"),
        ("host=db password=abc user=u", "host=db password=[redacted] user=u"),
        ("host=db password='a b' user=u", "host=db password='[redacted] b' user=u"),
        ("password = abc", "password = [redacted]"),
        ("postgresql://u:s3cr@tpart@db/x", "postgresql://u:[redacted]@db/x"),
        ("postgresql://h/d?user=u&pass=abc&x=1", "postgresql://h/d?user=u&pass=[redacted]&x=1"),
        ('{"password": "abc", "a": 1}', '{"password": "[redacted]", "a": 1}'),
        ("X-Amz-Signature: abc", "X-Amz-Signature: [redacted]"),
        ("it passes: all is well", "it passes: all is well"),
        ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
        ("http://127.0.0.1:3000/x", "http://127.0.0.1:3000/x"),
    ],
)
def test_passwords_and_signatures_in_addresses_are_replaced_and_nothing_else(text, left):
    assert redacted(text) == left


def test_a_secret_that_was_read_is_replaced_whatever_its_variable_is_called():
    secret = read_secret({"ACME_PW": "correct-horse"}, "ACME_PW")
    assert secret.get_secret_value() == "correct-horse"
    assert redacted("the password is correct-horse.") == f"the password is {REDACTED}."
    read_secret({"ACME_PW": "pass"}, "ACME_PW")  # so short that it stands in ordinary words
    assert redacted("it passes") == "it passes"


@pytest.mark.parametrize("name", ["DB_PASS", "PG_PASSWD", "GPG_PASSPHRASE", "ACME_PW", "X_TOKEN"])
@pytest.mark.parametrize("form", ["{}", "repr", "quoted", "json"])
def test_a_secret_is_replaced_in_each_form_in_which_it_may_be_quoted(monkeypatch, name, form):
    planted = "pa'ss\\wo+rd/é"
    monkeypatch.setenv(name, planted)
    monkeypatch.setenv("ANOTHER", planted)
    forms = {"{}": planted, "repr": repr({"a": planted}), "quoted": quote(planted, safe="")}
    text = forms.get(form, json.dumps(planted))
    assert "wo" not in redacted(text), redacted(text)


def raise_with(text):
    raise ValueError(text)


@pytest.mark.parametrize("acts", ["", "\x1b[31m"])
def test_no_program_of_dagster_writes_a_secret_into_its_log(monkeypatch, acts):
    monkeypatch.setenv("X_TOKEN", "Planted-Token-1")
    before = logging.getLogRecordFactory()
    try:
        redact_records()
        logger, lines = logging.getLogger("dagster.daemon"), []
        handler = logging.StreamHandler(SimpleNamespace(write=lines.append, flush=lambda: None))
        logger.addHandler(handler)
        try:
            raise_with(f"postgresql://u:Planted-Pw@h/d Planted-Token-1{acts}")
        except ValueError:
            logger.exception("Sensor tick caught an error: %s", "Planted-Token-1")
        logger.removeHandler(handler)
    finally:
        logging.setLogRecordFactory(before)
    told = "".join(lines)
    assert "Sensor tick caught an error: [redacted]" in told
    assert "ValueError: postgresql://u:[redacted]@h/d [redacted]" in told
    assert "\x1b" not in told
    assert "Planted" not in told


def test_what_is_no_secret_elsewhere_is_none(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "embedded")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "embedded")
    assert redacted("rwt_assets.embedded") == "rwt_assets.embedded"


@given(st.text())
def test_any_message_is_one_line(text):
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (text,), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert isinstance(json.loads(line)["event"], str)


def test_without_the_variable_nothing_is_changed():
    script = (
        "import logging; before = logging.getLoggerClass();"
        "from rwt_assets.runtime import json_logs;"
        "json_logs.set_up();"
        "print(logging.getLoggerClass() is before, logging.getLogger().handlers)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "RWT_LOG_FORMAT"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True []\n"
