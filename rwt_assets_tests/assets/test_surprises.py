"""An error that nobody expected, with a partner's text in it: in a run, a sensor and a command."""

import json
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path

import dagster as dg
import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given
from hypothesis import strategies as st

from rwt_assets.orchestration.assets import archive_manifest, delivery
from rwt_assets.orchestration.sensors import dispatch, queue, sweep
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.orchestration.steps.parquet_io_manager import ParquetShards
from rwt_assets.runtime.json_logs import JsonFormatter
from rwt_assets.text import fit_logs
from rwt_assets.text.foreign_text import is_visible
from rwt_assets.text.tracebacks import is_fit, told, told_in_full, traceback_of
from rwt_assets_tests.assets.conftest import SALES, stored_shop
from rwt_assets_tests.assets.test_foreign_text import events_of, texts_of
from rwt_assets_tests.hostile import (
    ESCAPES,
    HIDDEN,
    MARKUP,
    ONE_LINE,
    hostile_shop,
    raising,
    raising_archive,
)
from rwt_assets_tests.own_enrichments import Untellable

pytestmark = pytest.mark.mostly_long(one_in=1)

LINES = f"{MARKUP}\n{ONE_LINE}\r\n{ESCAPES}"


def chained():
    """An error with a cause, a context, notes and a group, each with a partner's text."""
    try:
        try:
            int(ONE_LINE)
        except ValueError as error:
            raise ExceptionGroup(LINES, [KeyError(HIDDEN), error]) from error
    except ExceptionGroup as error:
        made = RuntimeError("a plain text")
        made.add_note(LINES)
        made.__cause__ = error
        return made


def circular():
    made = ValueError(ONE_LINE)
    made.__cause__ = KeyError(LINES)
    made.__cause__.__cause__ = made
    return made


REFUSED = {"Error": {"Code": ONE_LINE, "Message": LINES}, "ResponseMetadata": {}}
SURPRISES = {
    "of one line": lambda: ValueError(ONE_LINE),
    "of several lines": lambda: RuntimeError(LINES),
    "with what it came from": chained,
    "that came from itself": circular,
    "without a text": lambda: Untellable(LINES),
    "of botocore": lambda: ClientError(REFUSED, f"PutObject{ESCAPES}"),
    "of the system": lambda: FileNotFoundError(2, "No such file", LINES),
    "of Dagster": lambda: dg.DagsterInvariantViolationError(LINES),
}


def throw(kind):
    def thrower(*_arguments, **_named):
        error = SURPRISES[kind]()
        raise error

    return thrower


@pytest.mark.parametrize("kind", SURPRISES)
def test_an_error_is_told_as_text_and_its_traceback_is_whole(kind):
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it is
        throw(kind)()
    error = raised.value
    shown = "".join(traceback.format_exception(error))
    assert is_fit(error) is is_visible(shown)
    assert is_fit(error) is (kind == "of the system")  # which quotes names of files itself
    assert told(error).startswith(("Un\\x1b]0;t\\x07tellable: ", f"{type(error).__name__}: "))
    assert is_visible(told(error))
    assert "\n" not in told(error)
    assert is_visible(traceback_of(error))
    assert traceback_of(error).count("\n") == shown.replace("\r\n", "\n").count("\n")
    assert "in thrower" in told_in_full(error)


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_whatever_an_error_quotes_it_can_be_told(texts):
    error = Exception(texts[0])
    for text in texts[1:]:
        error.add_note(text)
        error.__cause__ = ValueError(text)
    assert is_visible(told(error))
    assert is_visible(traceback_of(error))
    assert is_fit(error) is is_visible("".join(traceback.format_exception(error)))


# Where such an error may come from in a run: a step of the code, and what each has to keep.
PLACES = {
    "split": (archive_manifest, "split_newest_revision"),
    "after the split": (archive_manifest, "schema_check_result"),
    "deliver": (delivery, "deliver_newest_split"),
    "keep": (ParquetShards, "write"),
}


@pytest.mark.mostly_long(one_in=5)
@pytest.mark.parametrize("kind", SURPRISES)
@pytest.mark.parametrize("place", PLACES)
def test_a_run_fails_with_it_and_nothing_acts(place, kind, monkeypatch, capfd):
    owner, name = PLACES[place]
    with stored_shop() as shop:
        monkeypatch.setattr(owner, name, throw(kind))
        # Dagster's own console logger, which `dagster dev` and a run in a container have.
        key = shop.deliver("a.zip", {"sales.csv": SALES}, ends="failed")
        assert is_visible(shop.reason(key))
        events = [*events_of(shop.instance)]
    failed = [one for one in events if "FAILURE" in str(one.dagster_event)]
    assert failed
    texts = [text for one in events for _, text in texts_of(one) if isinstance(text, str)]
    assert any("in thrower" in text for text in texts), "the traceback is on record"
    assert [text for text in texts if not is_visible(text)] == []
    said = capfd.readouterr()
    assert "STEP_FAILURE" in said.err
    assert is_visible(said.out + said.err)


@pytest.mark.parametrize(
    "function", ["fail_with_the_value", "fail_while_failing", "fail_without_a_text", "log_and_warn"]
)
def test_an_own_enrichment_that_quotes_a_value_does_nothing_to_a_terminal(function, capfd):
    with stored_shop(feed=raising(function)) as shop:
        ends = "delivered" if function == "log_and_warn" else "failed"
        key = shop.deliver("a.zip", raising_archive(), ends=ends)
        texts = [text for one in events_of(shop.instance) for _, text in texts_of(one)]
        reason = "" if ends == "delivered" else shop.reason(key)
    assert is_visible(reason)
    assert (function in reason) is (ends == "failed")
    assert [one for one in texts if isinstance(one, str) and not is_visible(one)] == []
    said = capfd.readouterr()
    assert is_visible(said.out + said.err)


SENSORS = {
    "take_messages": (queue, lambda shop: queue.queue_sensor([shop.feed])),
    "sweep": (sweep, lambda shop: sweep.sweep_sensor(shop.feed)),
    "plan": (dispatch, lambda shop: dispatch.dispatch_sensor(shop.feed, [])),
}


@pytest.mark.parametrize("kind", SURPRISES)
@pytest.mark.parametrize("name", SENSORS)
def test_a_sensor_fails_with_it_and_nothing_acts(name, kind, monkeypatch):
    """Dagster's daemon writes the error of a sensor as it is."""
    module, made_of = SENSORS[name]
    monkeypatch.setattr(module, name, throw(kind))
    with stored_shop() as shop:
        resources = {"queue_client": shop.client, "object_store": shop.store}
        sensor = made_of(shop)
        asked = {key: resources[key] for key in sensor.required_resource_keys}
        with (
            dg.build_sensor_context(instance=shop.instance, resources=asked) as context,
            pytest.raises(Exception) as raised,  # noqa: PT011 - whatever it is
        ):
            sensor(context)
    shown = "".join(traceback.format_exception(raised.value))
    assert is_visible(shown)
    assert "in thrower" in shown


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with hostile_shop(tmp_path_factory.mktemp("hostile")) as shop:
        yield shop


@pytest.mark.parametrize("kind", SURPRISES)
def test_a_command_ends_with_a_sentence_that_says_where_the_traceback_is(
    kind, shop, monkeypatch, tmp_path
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("rwt_assets.cli.status.take_standing", throw(kind))
    result = shop.rwt("status")
    said = result.output.replace("\n", "")
    assert result.exit_code == 1
    assert is_visible(result.output)
    assert "Traceback (most" not in result.output
    if kind in ("of botocore", "of Dagster"):  # they are known
        assert not [*tmp_path.iterdir()]
        return
    (file,) = tmp_path.iterdir()
    assert f"Its traceback is in {file}" in said
    assert file.stat().st_mode & 0o777 == 0o600
    kept = file.read_text(encoding="utf-8")
    assert is_visible(kept)
    assert "in thrower" in kept


def test_where_no_file_can_be_written_a_command_shows_the_traceback_as_text(shop, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    monkeypatch.setattr("rwt_assets.cli.status.take_standing", throw("of several lines"))
    said = shop.rwt("status").output
    assert "in thrower" in " ".join(said.split())
    assert is_visible(said)


def test_a_command_whose_reader_has_gone_says_nothing_of_it(shop, monkeypatch):
    def gone(*_):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("rwt_assets.cli.status.take_standing", gone)
    assert "Broken pipe" not in shop.rwt("status").output


LOGGED = f"""
import logging
from rwt_assets.runtime import configure_process
configure_process()
text = {ONE_LINE!r} + "\\n" + {ESCAPES!r}
log = logging.getLogger("library")
log.warning(text)
log.warning("%s of %d", text, 7)
log.warning(ValueError(text))
try:
    int(text)
except ValueError:
    log.exception("it failed: %s", text)
"""


@pytest.mark.parametrize("form", ["", "json"])
def test_what_a_library_logs_does_nothing_to_a_terminal(form):
    done = subprocess.run(
        [sys.executable, "-c", LOGGED],
        cwd=Path(fit_logs.__file__).parents[2],
        env={**os.environ, "RWT_LOG_FORMAT": form},
        capture_output=True,
        check=True,
    )
    said = done.stderr.decode()
    assert is_visible(said)
    assert "ValueError: invalid literal" in said
    assert "of 7" in said
    if form == "json":
        events = [json.loads(line)["event"] for line in said.splitlines()]
        assert len(events) == 4


@given(st.text())
@example("\x7f\x9b\u202e")
def test_a_line_of_json_has_no_control_character(text):
    record = logging.LogRecord("a", logging.INFO, "a.py", 1, "%s", (text,), None)
    line = JsonFormatter().format(record)
    assert is_visible(line)
    assert "\n" not in line
    assert json.loads(line)["event"] == text


def test_records_of_others_are_left_alone(monkeypatch):
    def factory(*arguments, **named):
        return logging.LogRecord(*arguments, **named)

    monkeypatch.setattr(logging, "_logRecordFactory", factory)
    fit_logs.set_up()
    assert logging.getLogRecordFactory() is factory


def test_a_reason_that_only_dagster_knows_is_text():
    """As of a run whose worker was lost: what says so is not written by our code."""
    with stored_shop(feed=raising("log_and_warn").model_copy(update={"attempts": 1})) as shop:
        key = shop.upload("a.zip", {"items.csv": "item\npen\n"})
        shop.take_in()
        (asked,) = plan(shop.catalog)
        job = shop.definitions.resolve_job_def(str(asked.job_name))
        run = shop.instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, tags=dict(asked.tags)
        )
        shop.instance.report_run_failed(run, message=f"the worker said {LINES}")
        shop.expect_failed(key)
        reason = shop.reason(key)
    assert "the worker said [red]hello" in reason
    assert is_visible(reason)
    assert "\n" not in reason
