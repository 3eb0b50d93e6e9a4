"""The recipes of docs/how-to/alerts.md tell of failed runs and of silent feeds.

The topic is a stub of botocore.
"""

import importlib.util
from time import time

import boto3
import dagster as dg
import pytest
from botocore.stub import ANY, Stubber

from rwt_assets.catalog.intake import sweep
from rwt_assets.runtime.run_tags import ARCHIVE_TAG, OUTAGE_TAG, REASON_TAG
from rwt_assets_tests.end_to_end.documented_commands import PROJECT

TOPIC = "arn:aws:sns:eu-central-1:123456789012:alerts"


@dg.op
def fail():
    raise ValueError("on purpose")


@dg.job
def failing():
    fail()


@pytest.fixture
def recipe(monkeypatch):
    file = PROJECT / "docs" / "examples" / "alerts.py"
    spec = importlib.util.spec_from_file_location("alerts", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("ALERT_TOPIC_ARN", TOPIC)
    return module


@pytest.fixture
def topic(recipe, monkeypatch):
    """Refuses what SNS does not know, and any request that was not announced."""
    client = boto3.client("sns", region_name="eu-central-1")
    monkeypatch.setattr(recipe.boto3, "client", lambda service: {"sns": client}[service])
    with Stubber(client) as stubber:
        yield stubber
    client.close()


class TextThatBegins:
    """Equal to a longer text, since the run's id is not known before."""

    __hash__ = None

    def __init__(self, beginning):
        self.beginning = beginning

    def __eq__(self, other):
        return other.startswith(self.beginning)


def evaluate(recipe, **tags):
    with dg.DagsterInstance.ephemeral() as instance:
        done = failing.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_of_failures",
            dagster_instance=instance,
            dagster_run=instance.get_run_by_id(done.run_id),
            dagster_event=done.get_run_failure_event(),
        ).for_run_failure()
        return recipe.tell_of_failures(context)


def expect(topic, message):
    wanted = {"TopicArn": TOPIC, "Subject": "failing failed", "Message": message}
    topic.add_response("publish", {"MessageId": "1"}, wanted)


def test_a_failed_run_is_told_with_its_archive_and_reason(recipe, topic):
    expect(topic, TextThatBegins("gtfs/a.zip\nIt is no ZIP.\nRun "))
    evaluate(recipe, **{ARCHIVE_TAG: "gtfs/a.zip", REASON_TAG: "It is no ZIP."})
    topic.assert_no_pending_responses()


def test_a_run_without_a_reason_is_told_too(recipe, topic):
    expect(topic, ANY)
    evaluate(recipe)
    topic.assert_no_pending_responses()


def test_an_outage_is_not_told(recipe, topic):
    answer = evaluate(recipe, **{OUTAGE_TAG: "true"})  # any request is refused by the stub
    assert answer is not None
    assert "asked again" in answer.skip_message


def look(recipe, shop, cursor):
    context = dg.build_sensor_context(instance=shop.instance, cursor=cursor)
    return recipe.tell_of_silence(context).cursor


def test_a_feed_that_fell_silent_is_told_once_and_once_when_it_is_back(
    recipe, topic, shop, monkeypatch
):
    shop.feed = shop.feed.model_copy(update={"expected_every_hours": 1})
    monkeypatch.setattr(recipe, "declared_feeds", lambda: (shop.feed,))
    never = {"TopicArn": TOPIC, "Subject": "feed shop is silent", "Message": ANY}
    back = {"TopicArn": TOPIC, "Subject": "feed shop is back", "Message": "An archive arrived."}
    topic.add_response("publish", {"MessageId": "1"}, never)
    cursor = look(recipe, shop, None)
    cursor = look(recipe, shop, cursor)  # a second message would be refused by the stub
    shop.drop("a.zip", b"")
    sweep(shop.catalog, shop.objects)
    topic.add_response("publish", {"MessageId": "2"}, back)
    cursor = look(recipe, shop, cursor)
    cursor = look(recipe, shop, cursor)
    topic.assert_no_pending_responses()
    later = time() + 2 * 3_600
    monkeypatch.setattr("rwt_assets.orchestration.checks.checks.time", lambda: later)
    topic.add_response("publish", {"MessageId": "3"}, never)
    look(recipe, shop, cursor)
    topic.assert_no_pending_responses()


def test_a_feed_that_expects_nothing_is_never_told(recipe, topic, shop, monkeypatch):
    monkeypatch.setattr(recipe, "declared_feeds", lambda: (shop.feed,))
    assert look(recipe, shop, None) == "[]"
