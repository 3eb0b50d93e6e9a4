"""Every command of `rwt`, over what partners and writers to the queue sent: nothing of it acts.

The commands are those that the app itself has, so one that is new and tried by nobody fails here.
"""

import csv
import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
import yaml

from rwt_assets.aws.doctor import Finding
from rwt_assets.cli import aws
from rwt_assets.cli import main as cli
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.feed.declaration import feed_name
from rwt_assets.feed.feed import Feed
from rwt_assets.reading import delivered
from rwt_assets.terminal import terminal
from rwt_assets.text.foreign_text import is_visible
from rwt_assets_tests.hostile import (
    ESCAPES,
    FORMULAS,
    IMAGE,
    KEY_END,
    MARKUP,
    ONE_LINE,
    connect,
    hostile_archive,
    hostile_shop,
)

ENDLESS = {"up"}  # they stay until a signal; what they say is said by `demo` as well
TITLE = "\x1b]0;title\x07"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    with hostile_shop(tmp_path_factory.mktemp("hostile")) as shop:
        yield shop


@pytest.fixture
def spent(tmp_path_factory):
    """Another, for commands that change what is there."""
    with hostile_shop(tmp_path_factory.mktemp("spent")) as shop:
        yield shop


def commands_of(command, path=()):
    """Every command of the app by its words, with its options that are switched on or off."""
    if hasattr(command, "commands"):
        for name, one in command.commands.items():
            yield from commands_of(one, (*path, name))
    else:
        switches = [one.opts[0] for one in command.params if getattr(one, "is_flag", False)]
        yield " ".join(path), switches


APP = dict(commands_of(typer.main.get_command(cli.app)))


@pytest.fixture
def answered(spent, monkeypatch, tmp_path):
    """What the commands that need a server or a stack get in its place."""

    class Stack:
        state, endpoint_url, ui_url = tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:2"

        def __init__(self, *_arguments, **_settings):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def watch(self):
            spent.go_on()

    monkeypatch.setattr(cli.embedded, "EmbeddedStack", Stack)
    monkeypatch.setattr(cli, "sleep", lambda _: spent.go_on())
    for one in ("quarantine", "replay"):
        module = next(m for n, m in sys.modules.items() if n == f"rwt_assets.cli.{one}")
        monkeypatch.setattr(module, "sleep", lambda _: spent.go_on(), raising=False)
    said = SimpleNamespace(sentence=ONE_LINE)
    findings = [Finding(ONE_LINE, ok=False, found=ONE_LINE, fix=ONE_LINE)]
    monkeypatch.setattr(aws, "examine", lambda _feed: findings)
    monkeypatch.setattr(aws, "plan_provisioning", lambda _feed: [said])
    monkeypatch.setattr(aws, "provision", lambda _feed: SimpleNamespace(made=(ONE_LINE,)))
    monkeypatch.setattr(aws, "queue_account", lambda *_: "")
    monkeypatch.setattr(
        aws.boto3, "client", lambda _: SimpleNamespace(meta=SimpleNamespace(region_name="x"))
    )


def table_of(shop):
    tables = delivered.delivered_by(shop.shop.objects, [(shop.shop.feed, [])])
    (found,) = [name for name, one in tables.items() if "item" in one.columns]
    return found


def select(columns, table):
    return f'select {columns} from "{table}"'


def tried(shop, folder):
    """What is typed, in an order in which it works, and what has to be among what is said."""
    file = folder / f"again{MARKUP}.zip".replace("/", "-")
    file.write_bytes(hostile_archive("again,1,2"))
    key, failed, raised, held = shop.key, shop.failed, shop.raised, shop.held_key
    shard = next(iter(shop.shop.catalog.shards_of(key)))
    table = table_of(shop)
    item, everything = select("item", table), select("*", table)
    return [
        ("status", failed[:10]),
        ("status --waiting", failed[:10]),
        ("status --json", "[red]hello"),
        ("trace", key, "[red]hello[-red]"),
        ("trace --all", key, "[red]hello"),
        ("trace --json", key, "[red]hello"),
        ("trace", shard, "rows"),
        ("trace", failed, "failed"),
        ("trace", raised, "raised ValueError: no such item"),
        ("trace", held, "references_hold FAILED (WARN): "),
        ("trace --json", held, "[red]hello"),
        ("trace", f"no{KEY_END}", "No feed knows"),
        ("deliveries", key, "current"),
        ("deliveries --json", key, "current"),
        ("deliveries", f"held/{MARKUP}{TITLE}.zip", "was never delivered"),
        ("verify", "as delivered"),
        ("verify --deep", key, "as delivered"),
        ("verify --json", '"faults": []'),
        ("query", "[red]hello"),
        ("query", everything, "--limit", "100", "[red]"),
        ("query", item, "--limit", "100", "[red]hello[/red]"),
        ("query --json", item, "[red]hello[/red]"),
        ("query --csv --exact", select("1 as n", table), "1"),
        ("query", item, "--memory", "500", "--seconds", "60", "[red]"),
        ("query", IMAGE + TITLE, "Tables are"),
        ("query", f"select error(item) from \"{table}\" where item like '%evil%'", "Tables are"),
        ("query", f'select item as "{TITLE}{MARKUP}" from "{table}"', "[red]hello"),
        ("query", "--archive", f"no{KEY_END}", "select 1", "cannot be told which feed"),
        ("quarantine list", "[red]hello"),
        ("quarantine list", "--archive", key, "[red]hello[/red]"),
        ("quarantine list --json", "--archive", key, "[red]hello[/red]"),
        ("quarantine list", "--archive", "no" + key, "nothing of it"),
        ("quarantine list", "--rule", TITLE + MARKUP, "Nothing is quarantined"),
        ("quarantine export", key, "--output", "out.csv", "Rejected rows written"),
        ("quarantine export", key, "--member", TITLE, "Rejected rows written: 0"),
        ("quarantine import", "out.csv", "rows corrected: 0"),
        ("quarantine import", "out.csv", "--archive", TITLE, "its rows are of shop/"),
        ("quarantine import --wait", wrong_corrections(folder), ""),
        ("dead-letters list", "messages"),
        ("dead-letters list --json", "[red]hello"),
        ("dead-letters redrive", TITLE, "messages put back"),
        ("feed preview", file, "[red]hello"),
        ("feed preview --json", file, "[red]hello"),
        ("feed preview", "--feed", MARKUP + TITLE, file, "There is no feed"),
        ("feed infer", file, "[red]hello"),
        ("feed infer", "--name", TITLE, file, "is no name of a feed"),
        ("metrics --once", "rwt_archives"),
        ("metrics --json", '"delivered": 1'),
        ("metrics", "--host", f"{MARKUP}{TITLE}", "cannot be listened on"),
        ("aws setup", "would make"),
        ("aws setup --apply", "made"),
        ("aws setup --policy", "Statement"),
        ("aws setup --roles", "{}"),
        ("doctor", "NOT OK"),
        ("doctor --json", '"ok": false'),
        ("sweep --dry-run", "archives"),
        ("sweep", "archives"),
        ("sweep", "--start-after", KEY_END, "archives"),
        ("collect --dry-run", "would be removed"),
        ("collect --dry-run --json", key, ""),
        ("collect", "removed"),
        ("collect", f"no{KEY_END}", ""),
        ("rollback", key, "current"),
        ("rollback", key, "--to", MARKUP + TITLE, "no former delivery"),
        ("retry", failed, "is tried again"),
        ("retry", "no" + key, "no archive that failed"),
        ("replay --wait", held, ": delivered"),
        ("replay --wait", raised, ": failed: the enrichment"),
        ("replay", f"no{KEY_END}", ""),
        ("quarantine replay", "--archive", "no" + key, "nothing of it"),
        ("quarantine replay", "--archive", key, "a person rolled back to this"),
        ("replay --wait", key, ": delivered"),
        ("quarantine replay --wait", "--archive", key, ": delivered"),
        ("replay", key, "is processed again"),
        ("submit", folder / f"no{TITLE}.txt", ""),
        ("submit --wait", file, "--feed", "shop", "quarantined"),
        ("submit --wait", file, "--feed", "raising", "was not delivered"),
        ("submit", file, "--feed", MARKUP + TITLE, "There is no feed"),
        ("demo --exit", file, "--feed", "shop", "quarantined: rwt"),
        ("retire --dry-run", "--older-than", "0d", "Would retire"),
        ("retire --dry-run --json", "--older-than", "0d", "[red]hello"),
        ("retire", "--older-than", TITLE + MARKUP, ""),
        ("retire --keep-data", "--older-than", "0d", "[red]hello"),
        (f"{TITLE}{MARKUP}", "No such command"),
        (f"--{TITLE}", "No such option"),
        ("status", f"{TITLE}{MARKUP}", "unexpected extra argument"),
    ]


def wrong_corrections(folder):
    """A file of corrected rows that comes from somebody else."""
    file = folder / "corrected.csv"
    file.write_text(f"{TITLE}{MARKUP},{IMAGE}\n{ESCAPES},{IMAGE}\n", encoding="utf-8")
    return file


def test_every_command_and_every_switch_is_tried(shop, tmp_path):
    typed = [one[0].split() for one in tried(shop, tmp_path)]
    seen = {name: set() for name in APP}
    for words in typed:
        name = " ".join(word for word in words if not word.startswith("--"))
        seen.get(name, set()).update(word for word in words if word.startswith("--"))
        seen.setdefault(name, set())
    names = {" ".join(word for word in words if not word.startswith("--")) for words in typed}
    assert set(APP) - names == ENDLESS
    assert {one: left for one in APP if (left := {*APP[one]} - seen[one])} == {}


@pytest.mark.extended
def test_every_command_shows_it_and_nothing_acts(spent, answered, tmp_path):
    wrong = []
    for words, *arguments, shown in tried(spent, tmp_path):
        spent.restock()
        result = spent.rwt(*(words.split() if words[0].isalpha() else [words]), *arguments)
        said = result.output.replace("\n", "")
        # No traceback, also none of those that are kept in a file.
        faults = [
            not is_visible(result.output),
            "Traceback" in said,
            "does not know" in said,
            re.sub(r"\s", "", shown) not in re.sub(r"[\s│╭╮╰╯─]", "", said),
        ]
        if any(faults):
            wrong.append((words, arguments, faults, shown, result.output[:1000]))
    assert wrong == []


@pytest.mark.parametrize("name", sorted(APP))
def test_the_help_of_every_command_has_no_control_characters(shop, name):
    said = shop.rwt(*name.split(), "--help").output
    assert "Usage" in said
    assert is_visible(said)


def csv_rows(body):
    return [*csv.reader(StringIO(body, newline=""))]


def guarded(formula):
    return "'" + re.sub("(?<=[;\t\r\n])(?=[=+@-])", "'", formula)


@pytest.mark.parametrize("exact", [False, True])
def test_a_spreadsheet_finds_no_formula_in_what_is_queried(shop, exact):
    asked = ["query", select("item, 1 - 2 as n", table_of(shop)), "--csv"]
    body = shop.rwt(*asked, *(["--exact"] if exact else [])).stdout
    cells = {row[0] for row in csv_rows(body)[1:]}
    for formula in FORMULAS:
        assert (formula in cells) is exact
        assert (guarded(formula) in cells) is not exact
    assert {row[1] for row in csv_rows(body)[1:]} == {"-1"}


def test_every_type_is_written_as_csv_and_a_spreadsheet_finds_no_formula_in_it(shop):
    values = {
        "'a;=cmd()'": "a;'=cmd()",
        "'=1'::blob": "3d31",
        "['=a', 'b;=1']": """["=a", "b;'=1"]""",
        "{'a': '\\xff'::blob, 'n': null}": '{"a": "ff", "n": null}',
        "map {'k': 1}": '[["k", 1]]',
        "interval 1 day": "MonthDayNano(months=0, days=1, nanoseconds=0)",
        "-1.5::decimal(5, 2)": "-1.50",
        "time '10:00'": "10:00:00.000000",
        "'=e'::enum ('=e', 'f')": "'=e",
        "date '9999-01-01' + interval 10000 year": "19999-01-01 00:00:00.000000",
        "1::hugeint": "1",
        "null": "",
    }
    asked = ", ".join(f"{sql} as c{place}" for place, sql in enumerate(values))
    done = shop.rwt("query", f"select {asked}", "--csv")
    assert csv_rows(done.stdout)[1] == [*values.values()]
    shop.rwt("query", f"select {asked}", "--json")
    none = shop.rwt("query", f"{select('item', table_of(shop))} where false", "--csv")
    assert csv_rows(none.stdout) == [["item"]]


def test_columns_that_do_not_fit_are_told(shop):
    sql = "select " + ", ".join(f"{place} as column_{place}" for place in range(40))
    told = " ".join(shop.rwt("query", sql).output.split())
    assert "of 40 columns, as many as fit" in told
    assert "columns" not in shop.rwt("query", "select 1 as a, 2 as b").output


def test_a_spreadsheet_finds_no_formula_in_what_is_exported_and_it_is_taken_back_as_it_was(shop):
    shop.rwt("quarantine", "export", shop.key, "--output", "formulas.csv")
    rows = csv_rows(Path("formulas.csv").read_bytes().decode("utf-8-sig"))
    cells = {cell for row in rows for cell in row}
    assert {*map(guarded, FORMULAS)} <= cells
    assert [cell for cell in cells if cell[:1] in {*"=+-@\t\r\n"} - {""} and cell] == []
    taken = shop.rwt("quarantine", "import", "formulas.csv").output
    assert f"rows corrected: 0, as they were: {len(rows) - 1}" in " ".join(taken.split())


def test_a_command_to_copy_is_one_line_and_its_key_one_argument(shop):
    said = shop.rwt("trace", f"{archive_partition_key(shop.key)}|no.csv").output
    (line,) = [one for one in said.splitlines() if "`rwt trace " in one]
    typed = line.partition("`rwt ")[2].rpartition("`")[0]
    shell = ["/bin/bash", "-c", f"printf '%s|' {typed}"]
    done = subprocess.run(shell, capture_output=True, check=True)
    assert done.stdout.decode() == f"trace|{shop.key}|"


class Terminal:
    """A stream that says it is a terminal."""

    def __init__(self, stream):
        self.stream = stream

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def isatty(self):
        return True


@pytest.fixture
def on_a_terminal(monkeypatch):
    class System:
        @property
        def stdout(self):
            return Terminal(sys.stdout)

    monkeypatch.setattr(terminal, "sys", System())


def test_data_on_a_terminal_have_no_control_characters(shop, on_a_terminal, tmp_path):
    file = tmp_path / "a.zip"
    file.write_bytes(hostile_archive())
    for arguments in (
        ["query", select("*", table_of(shop)), "--csv"],
        ["quarantine", "export", shop.key],
        ["feed", "infer", file],
    ):
        shown = shop.rwt(*arguments).output
        assert "[red]hello" in shown
        assert is_visible(shown), arguments


def test_the_only_control_sequences_on_a_terminal_are_colours_of_ours(shop, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = terminal.Screen()
    connect(monkeypatch, {"console": screen, "errors": screen})
    key = shop.key
    for arguments in (["status"], ["trace", key], ["quarantine", "list", "--archive", key]):
        shown = shop.rwt(*arguments).output
        assert is_visible(re.sub(r"\x1b\[[0-9;]*m", "", shown)), arguments
    assert "\x1b[31m" in shop.rwt("status").output  # what has failed is red


def test_a_program_reads_in_json_what_was_sent(shop):
    rows = json.loads(shop.rwt("query", select("item", table_of(shop)), "--json").stdout)
    sent = {row["item"] for row in rows}
    assert {*FORMULAS, IMAGE, MARKUP} <= sent
    assert any("\u202e" in item for item in sent)
    assert any("\x1b" in item for item in sent)


def test_a_declaration_that_is_inferred_is_a_feed_and_has_nothing_that_acts(shop, tmp_path):
    file = tmp_path / f"x{MARKUP}{TITLE}.zip".replace("/", "-")
    file.write_bytes(hostile_archive())
    shop.rwt("feed", "infer", file, "--output", "made.yaml")
    text = Path("made.yaml").read_text(encoding="utf-8")
    assert is_visible(text)
    declared = Feed.model_validate(yaml.safe_load(text)["attributes"])
    assert declared.name == feed_name(file.name.split(".")[0])
    assert "[red]hello" in text
