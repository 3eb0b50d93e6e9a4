"""Partners, and anyone who can write to the queue, send texts that act where they are not escaped.

What becomes of them on record, in messages, figures and files; the commands are in
`test_foreign_text_in_commands.py`, exceptions in `test_surprises.py`.
"""

import json
import re

import dagster as dg
import pytest
from dagster._core.execution.plan.objects import UserFailureData
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from rwt_assets.catalog.standing import take_standing
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.orchestration.sensors.queue import queue_sensor
from rwt_assets.text.foreign_text import is_visible
from rwt_assets_tests.hostile import ALL, hostile_messages, hostile_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with hostile_shop(tmp_path_factory.mktemp("hostile")) as shop:
        yield shop


# What is read back from the record, so it is kept as it was sent; the UI shows it as text.
IDENTITY = {"key"}
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
AUTOLINK = re.compile(r"https?://|www\.|\S@\S", re.IGNORECASE)
ACTS = ("image", "html_inline", "html_block", "s_open", "heading_open", "hr")
HOLDERS = ("materialization", "asset_observation", "failure_metadata", "user_failure_data")


def actions_in(markdown):
    """What a renderer would fetch, follow or execute of a Markdown text."""
    tokens, found = list(PARSER.parse(markdown)), []
    while tokens:
        token = tokens.pop()
        tokens += token.children or []
        if token.type in ACTS:
            found.append((token.type, token.content))
        elif token.type == "link_open" and not token.attrGet("href").startswith("/assets/"):
            found.append((token.type, token.attrGet("href")))
        elif token.type == "text" and AUTOLINK.search(token.content):
            found.append(("address", token.content))
    return found


def events_of(instance):
    """Everything on record: of assets, of checks, and of runs; some events twice."""
    for kind in filter(is_asset, dg.DagsterEventType):
        asked = dg.EventRecordsFilter(kind)
        for record in instance.event_log_storage.get_event_records(asked, limit=10_000):
            yield record.event_log_entry
    for run in instance.get_runs():
        for record in instance.get_records_for_run(run.run_id, limit=10_000).records:
            yield record.event_log_entry


def is_asset(kind):
    return kind.name.startswith("ASSET_") and "PLANNED" not in kind.name


def holders_of(entry):
    """What of an event may have a description and metadata."""
    event = entry.dagster_event
    data = event.event_specific_data if event else None
    return [data, *(getattr(data, name, None) for name in HOLDERS)]


def metadata_of(entry):
    for holder in holders_of(entry):
        yield from (getattr(holder, "metadata", None) or {}).items()


def texts_of(entry):
    """Texts of an event, each with its name: of metadata as their values, then the others."""
    yield "message", entry.user_message
    for holder in holders_of(entry):
        # That of a failure is part of its error, which is shown as text.
        name = "reason" if isinstance(holder, UserFailureData) else "description"
        yield name, getattr(holder, "description", None)
    for name, value in metadata_of(entry):
        yield name, getattr(value, "value", value)
    error = getattr(holders_of(entry)[0], "error", None)
    if error is not None:
        yield "error", error.to_string()


@pytest.fixture(scope="module")
def events(shop):
    found = [*events_of(shop.instance)]
    for one in shop.all:  # of each feed, and of every way and end
        assert any(one.feed.name in str(entry.dagster_event) for entry in found)
    return found


def test_what_is_on_record_shows_and_does_nothing(events):
    texts = [one for entry in events for one in texts_of(entry) if isinstance(one[1], str)]
    values = [value for entry in events for _, value in metadata_of(entry)]
    markdown = [one.value for one in values if isinstance(one, dg.MarkdownMetadataValue)]
    descriptions = [text for name, text in texts if name == "description"]
    assert len(markdown) > 10
    assert any("hello" in one for one in markdown)
    assert any("hello" in one for one in descriptions)
    assert any(name == "reason" and "hello" in text for name, text in texts)
    assert [found for one in (*markdown, *descriptions) if (found := actions_in(one))] == []
    assert [one for one in texts if one[0] not in IDENTITY and not is_visible(one[1])] == []


def test_addresses_in_metadata_are_ours(events):
    links = (dg.UrlMetadataValue, dg.PathMetadataValue, dg.NotebookMetadataValue)
    values = [value for entry in events for _, value in metadata_of(entry)]
    found = [one.value for one in values if isinstance(one, links)]
    assert found
    assert [one for one in found if not re.match(r"https://[^/]*amazon|/assets/", one)] == []
    assert [one for one in found if "evil.example" in one.partition("?")[0]] == []


def test_what_a_feed_holds_an_archive_against_is_told(shop):
    """The control file, the trailer, references, unknown members and checks of one's own."""
    told = " ".join(shop.held.delivery(shop.held_key).warnings)
    for what in ("control.csv", "trailer", "customers.csv.id", "is known to no rule", "own"):
        assert what in told
    assert "[red]hello" in told
    assert is_visible(told)


def test_tags_of_runs_have_no_control_characters(shop):
    runs = shop.instance.get_runs()
    assert runs
    keys = {archive_partition_key(key) for key in shop.keys}
    for run in runs:
        for name, value in run.tags.items():
            told = value
            for key in keys:
                told = told.replace(key, "")
            assert is_visible(told) or "partition" in name, (name, value)
            assert not re.search("[\x00-\x1f\x7f-\x9f]", value), (name, value)


def test_the_queue_sensor_says_what_it_refused_without_control_characters(shop, capsys):
    shop.restock()
    with dg.build_sensor_context(instance=shop.instance) as context:
        result = queue_sensor(shop.feeds)(context, queue_client=shop.shop.client)
    assert is_visible(result.skip_reason.skip_message)
    refused = len(hostile_messages()) - len(ALL)  # the others are events that are not for us
    assert f"{refused} refused" in result.skip_reason.skip_message
    lines = capsys.readouterr().err.splitlines()
    assert sum("WARNING" in one for one in lines) == refused
    assert [one for one in lines if not is_visible(one)] == []


def test_what_failed_and_why_is_told_without_control_characters(shop):
    entries = [entry for one in shop.all for entry in take_standing(one.catalog).failed]
    assert {entry.partition_key for entry in entries} >= {archive_partition_key(shop.failed)}
    assert any("[red]hello" in entry.reason for entry in entries)
    assert [entry.reason for entry in entries if not is_visible(entry.reason)] == []


def test_labels_of_the_metrics_have_nothing_of_a_partner(shop):
    body = shop.rwt("metrics", "--once").stdout
    assert is_visible(body)
    labels = {
        text
        for family in text_string_to_metric_families(body)
        for sample in family.samples
        for text in sample.labels.values()
    }
    assert {feed.name for feed in shop.feeds} <= labels
    assert [one for one in labels if not re.fullmatch(r"[A-Za-z0-9_.+]+", one)] == []
    document = json.loads(shop.rwt("metrics", "--json").stdout)
    assert set(document["reading"]["feeds"]) == {feed.name for feed in shop.feeds}
    assert document["reading"]["feeds"]["shop"]["counts"]["archives"]["delivered"] == 1
