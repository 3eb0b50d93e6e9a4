"""Partners, and whoever can write to the queue, send texts that act where they are not escaped."""

import csv
import json
import pkgutil
import re
import sys
from importlib import import_module
from io import StringIO

import dagster as dg
import pytest
from markdown_it import MarkdownIt
from pyarrow import fs
from typer.testing import CliRunner

from rwt_assets import cli, commands, delivered
from rwt_assets.commands import terminal
from rwt_assets.feed import Feed
from rwt_assets.foreign_text import is_visible
from rwt_assets.partitions import archive_partition_key
from rwt_assets.sensors.queue import queue_sensor
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, stored_shop

IMAGE = "![x](http://evil.example/x.png)"
HTML = "<img src=//evil.example/y.png onerror=alert(1)>"
LINKS = "[c](http://evil.example) <http://evil.example> www.evil.example me@evil.example [r][1]"
REFERENCE = "[1]: http://evil.example/z.png"
MARKUP = "[red]hello[/red] [/x] [link=http://evil.example]l[/link] :bomb:"
ESCAPES = "\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x1b[31m\x9b31m\x7f\x00"
HIDDEN = "\u202egpj.exe\u202c\u2066\u2069\u200b\ufeff\u2028\u2029\U000e0041"
TABLE = "a|b\\|c `|` ``` ~~s~~ **b** _i_ &amp; $(id) 'q'"
ROWS = "\n# heading\n- item\n1. one\n---\n> quote\n"
ALL = [IMAGE, HTML, LINKS, REFERENCE, MARKUP, ESCAPES.replace("\x00", ""), HIDDEN, TABLE, ROWS]
FORMULAS = ["=HYPERLINK(A1)", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1"]

NAME = f"sales{MARKUP}{IMAGE}{TABLE}\u202e'$(id)'.csv".replace("/", "-").replace("\\", "")
KEY_END = f"{IMAGE}{MARKUP}{HTML}\u202e\x1b]52;c;x\x07a|b`'$(id)' .zip"
BROKEN = "sales\x1b]0;title\x07.csv"
LONG = "x" * 100_000
DECLARED = Feed.model_validate(
    FEED.model_dump(mode="json", exclude_unset=True)
    | {
        "members": [
            {
                "include": ["sales*.csv"],
                "split_by": "item",
                "columns": {"item": {}, "price": {"type": "number", "minimum": 0}},
            },
            {"include": ["*.csv"]},
        ]
    }
)


def quoted(cell):
    return '"{}"'.format(cell.replace('"', '""'))


def hostile_archive(more=""):
    cells = [*ALL, *FORMULAS]
    rows = [f"{quoted(cell)},1,{quoted(cell)}" for cell in cells]
    rows += [f"ink,{quoted(cell)},{quoted(cell)}" for cell in cells]
    head = ["item", "price", quoted(f"n{MARKUP}{IMAGE}{HTML}|\u202e")]
    table = "\n".join([",".join(head), *rows, f"{LONG[:900]},{LONG},x", more]) + "\n"
    return make_zip({NAME: table, BROKEN: table, f"o{NAME}": "a,b\n1," + quoted(IMAGE) + "\n"})


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Two hostile archives delivered, one failed, and hostile messages, on a deployment."""
    home = tmp_path_factory.mktemp("home")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        patch.chdir(tmp_path_factory.mktemp("project"))
        with dg.DagsterInstance.get() as instance, stored_shop(instance, DECLARED) as shop:
            connect(shop, patch)
            folder = tmp_path_factory.mktemp("buckets")
            patch.setattr(
                delivered, "_filesystem", lambda _feed: filesystem_of(shop.objects, folder)
            )
            shop.key = shop.deliver(KEY_END, hostile_archive())
            assert shop.deliver(KEY_END, hostile_archive("late,1,2")) == shop.key
            shop.failed = shop.deliver(f"failed{KEY_END}", b"no ZIP", ends="failed")
            for text in ALL:
                shop.queue.put(text)
                shop.queue.put(json.dumps({"Records": [{"eventName": text, text: 1}]}))
            yield shop


def filesystem_of(objects, folder):
    """What Arrow reads in place of S3."""
    for (bucket, key), body in objects.contents.items():
        if key.endswith(".parquet"):
            path = folder / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    return fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())


def connect(shop, patch):
    """Give the commands the feed and what is in memory."""
    answers = {
        "declared_feeds": lambda: [DECLARED],
        "connect_objects": lambda *_: shop.objects,
        "connect_queue": lambda: shop.queue,
        "check_loads": lambda *_, **__: None,
    }
    modules = [import_module(f"rwt_assets.commands.{one.name}") for one in PACKAGE]
    for module in (cli, *modules):
        for name in answers.keys() & vars(module).keys():
            patch.setattr(module, name, answers[name])


PACKAGE = [*pkgutil.iter_modules(commands.__path__)]
SENT = (*ALL, *FORMULAS)
# What is read back from the record, so it is kept as it was sent; the UI shows it as text.
IDENTITY = {"key"}
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
AUTOLINK = re.compile(r"https?://|www\.|\S@\S", re.IGNORECASE)


def actions_in(markdown):
    """What a renderer would fetch, follow or execute of a Markdown text."""
    tokens, found = list(PARSER.parse(markdown)), []
    while tokens:
        token = tokens.pop()
        tokens += token.children or []
        if token.type in ("image", "html_inline", "html_block", "s_open", "heading_open", "hr"):
            found.append((token.type, token.content))
        elif token.type == "link_open" and not token.attrGet("href").startswith("/assets/"):
            found.append((token.type, token.attrGet("href")))
        elif token.type == "text" and AUTOLINK.search(token.content):
            found.append(("address", token.content))
    return found


def events_of(instance):
    """Everything on record: of assets, of checks, and of runs."""
    seen = {}
    for kind in filter(is_asset, dg.DagsterEventType):
        asked = dg.EventRecordsFilter(kind)
        for record in instance.event_log_storage.get_event_records(asked, limit=10_000):
            seen[record.storage_id] = record.event_log_entry
    for run in instance.get_runs():
        for record in instance.get_records_for_run(run.run_id, limit=10_000).records:
            seen[record.storage_id] = record.event_log_entry
    return [*seen.values()]


def is_asset(kind):
    return kind.name.startswith("ASSET_") and "PLANNED" not in kind.name


def texts_of(entry):
    """Texts of an event, each with its name: of metadata as their values, then the others."""
    event = entry.dagster_event
    yield "message", entry.user_message
    if event is None:
        return
    data = event.event_specific_data
    for holder in (data, *(getattr(data, name, None) for name in HOLDERS)):
        yield "description", getattr(holder, "description", None)
        for name, value in (getattr(holder, "metadata", None) or {}).items():
            yield name, getattr(value, "value", value)
    error = getattr(data, "error", None)
    if error is not None:
        yield "error", error.to_string()


HOLDERS = ("materialization", "asset_observation", "failure_metadata", "user_failure_data")


def test_what_is_on_record_shows_and_does_nothing(shop):
    markdown, texts, descriptions = [], [], []
    for entry in events_of(shop.instance):
        for name, value in texts_of(entry):
            if not isinstance(value, str):
                continue
            texts.append((name, value))
            if name == "description":
                descriptions.append(value)
        data = getattr(entry.dagster_event, "event_specific_data", None)
        for holder in (data, *(getattr(data, name, None) for name in HOLDERS)):
            values = (getattr(holder, "metadata", None) or {}).values()
            markdown += [one.value for one in values if isinstance(one, dg.MarkdownMetadataValue)]
    assert len(markdown) > 10
    assert any("hello" in one for one in markdown)
    assert descriptions
    assert [found for one in (*markdown, *descriptions) if (found := actions_in(one))] == []
    assert [one for one in texts if one[0] not in IDENTITY and not is_visible(one[1])] == []


def test_tags_of_runs_have_no_control_characters(shop):
    runs = shop.instance.get_runs()
    assert runs
    keys = {archive_partition_key(shop.key), archive_partition_key(shop.failed)}
    for run in runs:
        for name, value in run.tags.items():
            told = value
            for key in keys:
                told = told.replace(key, "")
            assert is_visible(told) or "partition" in name, (name, value)
            assert not re.search("[\x00-\x1f\x7f-\x9f]", value), (name, value)


def test_the_queue_sensor_says_what_it_refused_without_control_characters(shop, caplog):
    with dg.build_sensor_context(instance=shop.instance) as context:
        result = queue_sensor([DECLARED])(context, queue_client=shop.client)
    assert is_visible(result.skip_reason.skip_message)
    assert f"{len(ALL)} refused" in result.skip_reason.skip_message
    assert [one.getMessage() for one in caplog.records if not is_visible(one.getMessage())] == []


def rwt(*arguments):
    result = CliRunner().invoke(cli.app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def table_of(shop):
    tables = delivered.delivered_by(shop.objects, [(DECLARED, [])])
    (found,) = [name for name, one in tables.items() if "item" in one.columns]
    return found


@pytest.mark.parametrize("exact", [False, True])
def test_a_spreadsheet_finds_no_formula_in_what_is_queried(shop, exact):
    table = table_of(shop)
    asked = ["query", select("item, 1 - 2 as n", table), "--csv"]
    body = rwt(*asked, *(["--exact"] if exact else [])).stdout
    cells = {row[0] for row in csv_rows(body)[1:]}
    for formula in FORMULAS:
        assert (formula in cells) is exact
        assert (f"'{formula}" in cells) is not exact
    assert {row[1] for row in csv_rows(body)[1:]} == {"-1"}


def select(columns, table):
    return " ".join(["select", columns, "from", f'"{table}"'])


def csv_rows(body):
    return [*csv.reader(StringIO(body, newline=""))]


def test_data_on_a_terminal_have_no_control_characters(shop, monkeypatch):
    class Terminal:
        def __init__(self, stream):
            self.stream = stream

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def isatty(self):
            return True

    class System:
        @property
        def stdout(self):
            return Terminal(sys.stdout)

    monkeypatch.setattr(terminal, "sys", System())
    table = table_of(shop)
    for arguments in (
        ["query", select("*", table), "--csv"],
        ["quarantine", "export", shop.key],
    ):
        shown = rwt(*arguments).output
        assert "[red]hello[/red]" in shown
        assert is_visible(shown), arguments


def test_every_command_shows_it_and_nothing_acts(shop, tmp_path):
    file = tmp_path / "hostile.zip"
    file.write_bytes(hostile_archive())
    key, failed = shop.key, shop.failed
    shard = next(iter(shop.catalog.shards_of(key)))
    table = table_of(shop)
    tried = [
        (["status"], failed[:10]),
        (["status", "--json"], "failed"),
        (["trace", key], "[red]hello[-red]"),
        (["trace", key, "--all"], "[red]hello"),
        (["trace", key, "--json"], "[red]hello"),
        (["trace", shard], "rows"),
        (["trace", failed], "failed"),
        (["trace", f"no{KEY_END}"], "No feed knows"),
        (["deliveries", key], "current"),
        (["deliveries", key, "--json"], "current"),
        (["verify"], "as delivered"),
        (["verify", key, "--deep"], "as delivered"),
        (["query"], "[red]hello"),
        (["query", select("*", table), "--limit", "100"], "[red]"),
        (["query", select("item", table), "--limit", "100"], "[red]hello[/red]"),
        (["query", select("item", table), "--json"], "[red]hello[/red]"),
        (["query", IMAGE + ESCAPES[:9]], "Tables are"),
        (["quarantine", "list"], "[red]hello"),
        (["quarantine", "list", "--archive", key], "[red]hello[/red]"),
        (["quarantine", "list", "--archive", key, "--json"], "[red]hello[/red]"),
        (["quarantine", "list", "--archive", "no" + key], "nothing of it"),
        (["quarantine", "export", key, "--output", "out.csv"], "Rejected rows written"),
        (["quarantine", "import", "out.csv"], "rows corrected: 0"),
        (["sweep", "--dry-run"], "archives"),
        (["retire", "--older-than", "0d", "--dry-run"], ""),
        (["collect", "--dry-run"], "would be removed"),
        (["collect", key, "--dry-run", "--json"], ""),
        (["dead-letters", "list"], "messages"),
        (["dead-letters", "list", "--json"], "[red]hello"),
        (["feed", "preview", file], "[red]hello"),
        (["feed", "preview", file, "--json"], "[red]hello"),
        (["feed", "infer", file], "[red]hello"),
        (["rollback", key], "current"),
        (["rollback", key, "--to", MARKUP + ESCAPES[:9]], "no former delivery"),
        (["retry", failed], "is tried again"),
        (["retry", "no" + key], "no archive that failed"),
        (["replay", key], key[:8]),
        (["quarantine", "replay", "--archive", "no" + key], "nothing of it"),
        (["submit", tmp_path / "no\x1b]0;x\x07.txt"], ""),
    ]
    wrong = []
    for arguments, shown in tried:
        shop.queue.redeliver()
        result = rwt(*arguments)
        if not is_visible(result.output) or shown not in result.output.replace("\n", ""):
            wrong.append((arguments, shown, result.output))
    assert wrong == []
