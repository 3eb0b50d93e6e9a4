"""Texts that act where they are not escaped, and archives, feeds and messages full of them.

What belongs here: what a partner, a writer to the queue and a feed's own code could send. What does
not: what is held against it (`assets/test_foreign_text.py` and the tests beside it).
"""

import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest
from click.testing import Result
from pyarrow import fs
from typer.testing import CliRunner

from rwt_assets import cli as cli_room
from rwt_assets import terminal
from rwt_assets.catalog.intake import sweep
from rwt_assets.catalog.standing import take_standing
from rwt_assets.cli import main as cli
from rwt_assets.documents.partitions import archive_partition_key
from rwt_assets.feed.feed import Feed
from rwt_assets.orchestration.sensors.dispatch import plan
from rwt_assets.reading import delivered
from rwt_assets.runtime.run_tags import ARCHIVE_TAG
from rwt_assets.testing import run_request
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import FEED, Shop, stored_shop, with_parquet

IMAGE = "![x](http://evil.example/x.png)"
HTML = "<img src=//evil.example/y.png onerror=alert(1)>"
LINKS = "[c](http://evil.example) <http://evil.example> www.evil.example me@evil.example [r][1]"
REFERENCE = "[1]: http://evil.example/z.png"
MARKUP = "[red]hello[/red] [/x] [link=http://evil.example]l[/link] :bomb:"
ESCAPES = "\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07\x1b[31m\x9b31m\x7f\x00"
HIDDEN = "\u202egpj.exe\u202c\u2066\u2069\u200b\ufeff\u2028\u2029\U000e0041"
TABLE = "a|b\\|c `|` ``` ~~s~~ **b** _i_ &amp; $(id) 'q'"
ROWS = "\n# heading\n- item\n1. one\n---\n> quote\n"
ALL = (IMAGE, HTML, LINKS, REFERENCE, MARKUP, ESCAPES.replace("\x00", ""), HIDDEN, TABLE, ROWS)
FORMULAS = ("=HYPERLINK(A1)", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1")
SENT = (*ALL, *FORMULAS)
ONE_LINE = f"{MARKUP} {IMAGE} {HTML} {ESCAPES[:-1]} {HIDDEN[:-3]}".replace("|", "")

NAME = f"sales{MARKUP}{IMAGE}{TABLE}\u202e'$(id)'.csv".replace("/", "-").replace("\\", "")
KEY_END = f"{IMAGE}{MARKUP}{HTML}\u202e\x1b]52;c;x\x07a|b`'$(id)' .zip"
BROKEN = "sales\x1b]0;title\x07.csv"
LONG = "x" * 100_000
LONG_NAME = f"o{'n' * 3_000}{MARKUP}.csv".replace("/", "-")

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
# Everything that a feed may hold an archive against, and the way without shards.
HELD = Feed.model_validate(
    {
        "name": "held",
        "source": {"bucket": "incoming", "queue": "shop", "prefix": "held/"},
        "target": {"bucket": "results", "prefix": "rwt/held"},
        "one_pass": True,
        "keep_shards": False,
        "incomplete": "warn",
        "dangling": "warn",
        "unknown_members": "warn",
        "expected_every_hours": 1,
        "members": [
            {
                "include": ["orders*.csv"],
                "split_by": "customer",
                "trailer": r"^T;(?P<rows>[^;]*);(?P<sum_amount>.*)$",
                "columns": {"customer": {}, "amount": {"type": "number"}},
                "references": {"customer": "customers.csv.id"},
            },
            {"include": ["customers.csv"], "columns": {"id": {}}, "required": True, "min_rows": 99},
            {"include": ["gone.csv"], "required": True},
        ],
        "control": {
            "member": "control.csv",
            "columns": {"member": "file", "rows": "rows", "sums": {"amount": "total"}},
        },
        "checks": [
            {"name": "own", "sql": "select customer, amount from orders", "severity": "warn"},
            {
                "name": "raises",
                "sql": "select error(customer) from orders where customer like '%evil%'",
                "severity": "warn",
            },
        ],
    }
)


def raising(function: str) -> Feed:
    """A feed with an enrichment of its own that fails with the partner's values."""
    return Feed.model_validate(
        {
            "name": "raising",
            "source": {"bucket": "incoming", "queue": "shop", "prefix": "raising/"},
            "target": {"bucket": "results", "prefix": "rwt/raising"},
            "members": [
                {
                    "include": ["*.csv"],
                    "columns": {"item": {}},
                    "enrichments": [{"use": f"rwt_assets_tests.own_enrichments.{function}"}],
                }
            ],
        }
    )


RAISING = raising("fail_with_the_value")


def quoted(cell: str) -> str:
    """A cell of a CSV file."""
    return '"{}"'.format(cell.replace('"', '""'))


def hostile_archive(more: str = "") -> bytes:
    """Cells, names of columns and names of members."""
    rows = [f"{quoted(cell)},1,{quoted(cell)}" for cell in SENT]
    rows += [f"ink,{quoted(cell)},{quoted(cell)}" for cell in SENT]
    head = ["item", "price", quoted(f"n{MARKUP}{IMAGE}{HTML}|\u202e")]
    table = "\n".join([",".join(head), *rows, f"{LONG[:900]},{LONG},x", more]) + "\n"
    other = f"a,b\n1,{quoted(IMAGE)}\n"
    return make_zip({NAME: table, BROKEN: table, f"o{NAME}": other, LONG_NAME: other})


def held_archive() -> bytes:
    """A control file, a trailer, references and unknown members, all of them wrong."""
    orders = [f"{quoted(cell)},1" for cell in SENT] + [f"a,{quoted(cell)}" for cell in SENT]
    trailer = f"T;{ONE_LINE.replace(';', ':')};{ONE_LINE}"
    files = [f"{quoted(cell)},{quoted(cell)},{quoted(cell)}" for cell in SENT]
    stated = [f"orders.csv,{quoted(ONE_LINE)},{quoted(ONE_LINE)}", "customers.csv,7,"]
    return make_zip(
        {
            "orders.csv": "\n".join(["customer,amount", *orders, trailer]) + "\n",
            "customers.csv": f"id\n{quoted(HTML)}\n",
            "control.csv": "\n".join(["file,rows,total", *files, *stated]) + "\n",
            NAME: "a\n1\n",
            BROKEN: "a\n1\n",
            f"{IMAGE}.pdf".replace("/", "-"): "%PDF-1.4",
        }
    )


def raising_archive() -> bytes:
    """What the enrichments of `own_enrichments.py` put into their exceptions."""
    return make_zip({"items.csv": "\n".join(["item", *map(quoted, SENT)]) + "\n"})


def hostile_messages() -> list[str]:
    """What anybody with `sqs:SendMessage` may send."""
    made = [json.dumps({"Records": [{"eventName": text, text: 1}]}) for text in ALL]
    nested = {
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": ALL}, "object": {"key": ["\x1b]0;x\x07"], "size": ESCAPES}},
    }
    return [*ALL, *made, json.dumps({"Records": [nested]}), json.dumps({ONE_LINE: ONE_LINE})]


class HostileShop:
    """Three feeds on one deployment, to which hostile archives and messages were sent."""

    def __init__(self, instance: dg.DagsterInstance, shops: ExitStack) -> None:
        self.instance = instance
        self.shop = shops.enter_context(stored_shop(instance, DECLARED))
        self.held = self._beside(shops.enter_context(Shop(instance, HELD)))
        self.raising = self._beside(shops.enter_context(Shop(instance, RAISING)))
        self.all = (self.shop, self.held, self.raising)
        self.key = self.held_key = self.failed = self.raised = ""

    def _beside(self, other: Shop) -> Shop:
        """Give another feed the same bucket and queue."""
        other.store, other.client = self.shop.store, self.shop.client
        return with_parquet(other)

    @property
    def feeds(self) -> list[Feed]:
        return [one.feed for one in self.all]

    def send(self) -> None:
        """Two revisions delivered, one archive delivered with warnings, two that fail."""
        self.key = self.shop.deliver(KEY_END, hostile_archive())
        assert self.shop.deliver(KEY_END, hostile_archive("late,1,2")) == self.key
        self.held_key = self.held.deliver(KEY_END, held_archive())
        self.failed = self.shop.deliver(f"failed{KEY_END}", b"no ZIP", ends="failed")
        self.raised = self.raising.deliver(KEY_END, raising_archive(), ends="failed")
        self.restock()

    @property
    def keys(self) -> list[str]:
        """Of every archive that was sent."""
        return [self.key, self.held_key, self.failed, self.raised]

    def rwt(self, *arguments: object) -> Result:
        """What a command says; a traceback is an error of the test."""
        result = CliRunner().invoke(cli.app, [str(one) for one in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def go_on(self) -> None:
        """What a stack does meanwhile: find what was uploaded and carry out what is to be done."""
        for one in self.all:
            sweep(one.catalog, self.shop.objects)
            for asked in plan(one.catalog):
                done = run_request(one.definitions, self.instance, asked, may_fail=True)
                hopeless = archive_partition_key(self.failed)
                assert done.success or one is self.raising or asked.tags[ARCHIVE_TAG] == hopeless

    def restock(self) -> None:
        """Put every hostile message into the queue, in place of what is there."""
        self.shop.queue.messages.clear()
        for body in hostile_messages():
            self.shop.queue.put(body)

    def connected(self) -> dict[str, Callable[..., object]]:
        """What the commands get in place of a project, S3 and SQS."""
        return {
            "declared_feeds": lambda: self.feeds,
            "connect_objects": lambda *_: self.shop.objects,
            "connect_queue": lambda: self.shop.queue,
            "check_loads": lambda *_, **__: None,
            "refuse_unloadable": lambda *_, **__: None,
        }


@contextmanager
def hostile_shop(folder: Path) -> Iterator[HostileShop]:
    """Everything sent, and every command works on it."""
    home, project, buckets = (folder / name for name in ("home", "project", "buckets"))
    for one in (home, project, buckets):
        one.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with (
        pytest.MonkeyPatch.context() as patch,
        dg.DagsterInstance.ephemeral() as instance,
        ExitStack() as shops,
    ):
        shop = HostileShop(instance, shops)
        patch.setenv("DAGSTER_HOME", str(home))
        patch.chdir(project)
        patch.setattr(dg.DagsterInstance, "get", staticmethod(lambda: nullcontext(instance)))
        connect(patch, shop.connected())
        shop.send()
        patch.setattr(delivered, "_filesystem", lambda _feed: _filesystem_of(shop.shop, buckets))
        yield shop
        # Whatever was sent to this feed meanwhile: its enrichments always raise.
        always = take_standing(shop.raising.catalog).failed
        shop.raising.expect_failed(*(one.partition_key for one in always))


def connect(patch: pytest.MonkeyPatch, answers: Mapping[str, Callable[..., object]]) -> None:
    """Have every command ask these."""
    for module in MODULES:
        for name in answers.keys() & vars(module).keys():
            patch.setattr(module, name, answers[name])


def _filesystem_of(shop: Shop, folder: Path) -> fs.FileSystem:
    """What Arrow reads in place of S3."""
    for (bucket, key), body in shop.objects.contents.items():
        if key.endswith(".parquet"):
            path = folder / bucket / key
            if not path.exists():  # such an object is never written over
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(body)
    return fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem())


MODULES = [
    import_module(f"{room.__name__}.{one.name}")
    for room in (cli_room, terminal)
    for one in pkgutil.iter_modules(room.__path__)
    if one.name != "__main__"
]
