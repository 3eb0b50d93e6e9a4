"""Every recipe of docs/reading.md gives the rows that were sent, however ugly the archive."""

import csv
from collections import Counter
from datetime import UTC, date, datetime, time
from decimal import Decimal
from io import BytesIO, StringIO, TextIOWrapper
from zipfile import ZipFile

import pytest
from typer.testing import CliRunner

from rwt_assets.aws.provisioning import provision
from rwt_assets.cli.main import app
from rwt_assets.feed.feed import Feed
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.endpoint.recipes import RECIPES, Partner, Recipes

pytestmark = [
    pytest.mark.endpoint,
    # boto3 keeps connections open for the next call and has no moment to close them.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]
THINGS, FIRST, LATER = "things.csv", "ugly/first.zip", "ugly/later.zip"
READ = {  # as the csv module's texts have to be read
    "n": int,
    "amount": Decimal,
    "ratio": float,
    "yes": {"true": True, "false": False}.get,
    "day": date.fromisoformat,
    "at": lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
    "clock": time.fromisoformat,
    "never": int,
    "kind": str,
}
DECLARED = {
    "kind": {},
    "n": {"type": "integer", "nullable": False},
    "amount": {"type": "decimal(12, 2)"},
    "ratio": {"type": "number"},
    "yes": {"type": "boolean"},
    "day": {"type": "date"},
    "at": {"type": "timestamp"},
    "clock": {"type": "time"},
    "never": {"type": "integer"},
}
UGLY = {
    "name": "ugly",
    "source": {"bucket": "rwt-incoming", "prefix": "ugly/", "queue": "rwt-ugly"},
    "target": {"bucket": "rwt-results", "prefix": "rwt/ugly"},
    "limits": {"split_value_bytes": 2400},
    "members": [{"include": ["*.csv"], "split_by": "kind", "key_column": "n", "columns": DECLARED}],
}
# Names that folders, SQL or DuckDB itself use, and a quoted, a dotted and an empty one.
RESERVED = ["archive", "member", "revision", "shard", "select", "order", "filename", "rowid"]
RESERVED += ["file_row_number", "__index_level_0__", 'a"b', "a.b", ""]
OWN_NAMES = {"colour": "colour_2", "": "column_22", "_ARCHIVE": "_ARCHIVE_2"}
HEADER = [*DECLARED, *RESERVED, "Colour", "colour", "_ARCHIVE", "\u00dc"]
LONG = "\u00fc" * 1150  # 2,300 bytes
KINDS = ["../x=1/%00", "", LONG, "x", "X", "a/b=c d%2F+\u00fc", "null", "%25", ".", "x"]
LATER_HEADER = ["n", "kind", "COLOUR", "amount", "\u00fc", "Select", "brand new"]


def _row(number, kind, **other):
    values = {
        "kind": kind,
        "n": str(number),
        "amount": f"{number}.50",
        "ratio": "0.1" if number % 2 else "",
        "yes": "true" if number % 2 else "false",
        "day": f"2024-02-{number + 1:02}",
        "at": f"2024-02-29 23:59:{number:02}.000001",
        "clock": f"23:59:{number:02}",
        "never": "",
    }
    return [(values | other).get(name, f"{name}\n{number}") for name in HEADER]


def _csv(rows):
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def first_archive(*, rejected=()):
    rows = [_row(number, kind) for number, kind in enumerate(KINDS, 1)]
    refused = [_row(0, f"refused {name}", **{name: text}) for name, text in rejected]
    reserved = _csv([["n", "kind", "_archive"], ["1", "x", "mine"]])
    return make_zip({THINGS: _csv([HEADER, *rows, *refused]), "ours.csv": reserved})


def later_archive():
    values = ["red", "1234567890.99", "\u00fc", "sel", "new"]
    rows = [["101", "x", *values], ["102", "", *values], ["103", "later", *([""] * 5)]]
    return make_zip({THINGS: _csv([LATER_HEADER, *rows])})


REFUSED = [("amount", "1.234"), ("day", "2024-02-30"), ("clock", "24:61:00"), ("yes", "perhaps")]


def sent(body, names):
    """The rows of an archive by the csv module: typed where declared, null where empty or absent.

    `names` are what columns are called whose name another one has but for its case.
    """
    with ZipFile(BytesIO(body)) as archive, archive.open(THINGS) as member:
        text = TextIOWrapper(member, encoding="utf-8", newline="")
        header, *records = csv.reader(text)
    rows = [dict(zip(header, record, strict=True)) for record in records]
    found = []
    for row in rows:
        if row.get("kind", "").startswith("refused"):
            continue
        found.append(
            {
                names.get(name, name): (READ[name](text) if text else None)
                if name in READ
                else text
                for name, text in row.items()
            }
        )
    return found


def comparable(rows):
    """Rows by their number, without what is added to each; a column that is null is left out."""
    added = {"crc32", "_archive", "_member", "_row"}
    found = {
        row["n"]: {name: one for name, one in row.items() if one is not None and name not in added}
        for row in rows
    }
    assert len(found) == len(rows)
    return found


@pytest.fixture
def everything(endpoint, instance, provisioned, s3, sqs, monkeypatch):
    """Makes a partner of a feed; what every recipe gives of its member."""
    recipes = Recipes(endpoint.endpoint_url)

    def make(declared):
        feed = Feed.model_validate(declared)
        monkeypatch.setattr("rwt_assets.reading.delivered.declared_feeds", lambda: (feed,))
        monkeypatch.setattr("rwt_assets.cli.query.declared_feeds", lambda: (feed,))
        provision(feed, s3=s3, sqs=sqs)
        partner = Partner(instance, feed, s3)

        def read(keys, member=THINGS):
            uris = [uri for key in keys for uri in partner.objects(member, key)]
            found = {name: recipes.rows(name, uris) for name in RECIPES}
            return found | partner.rows_by_package(member, keys)

        return partner, read

    return make


def test_every_recipe_gives_the_rows_of_an_ugly_archive(everything):
    partner, read = everything(UGLY)
    body = first_archive(rejected=REFUSED)
    partner.upload(FIRST, body)
    document = partner.document(FIRST)
    assert document["rows_quarantined"] == len(REFUSED)
    assert {one["member"] for one in document["objects"]} == {THINGS}, "not what has `_archive`"
    expected = comparable(sent(body, OWN_NAMES))
    assert len(expected) == len(KINDS)
    for recipe, rows in read([FIRST]).items():
        assert comparable(rows) == expected, recipe
        assert "never" in rows[0], recipe


@pytest.mark.extended
def test_every_recipe_gives_the_rows_of_archives_with_other_columns(everything):
    partner, read = everything(UGLY)
    first, later = first_archive(rejected=REFUSED), later_archive()
    partner.upload(FIRST, first)
    partner.upload(LATER, later)
    one_name = {"COLOUR": "Colour", "Select": "select"}
    expected = comparable([*sent(first, OWN_NAMES), *sent(later, one_name)])
    by_recipe = read([FIRST, LATER])
    # One archive at a time has the names of that archive.
    alone = comparable([*sent(first, OWN_NAMES), *sent(later, {})])
    assert comparable(by_recipe.pop("read_delivery")) == alone
    for recipe, rows in by_recipe.items():
        assert comparable(rows) == expected, recipe


def test_rwt_query_writes_the_rows_of_an_ugly_archive_as_csv(everything, tmp_path, monkeypatch):
    partner, _ = everything(UGLY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    body = first_archive(rejected=REFUSED)
    partner.upload(FIRST, body)
    sql = 'select kind, "select", colour_2 from things order by n'
    found = CliRunner().invoke(app, ["query", "--csv", sql])
    assert found.exit_code == 0, found.output
    rows = list(csv.reader(StringIO(found.stdout, newline="")))[1:]
    wanted = [(one["kind"] or "", one["select"], one["colour_2"]) for one in sent(body, OWN_NAMES)]
    assert [tuple(row) for row in rows] == wanted


@pytest.mark.extended
def test_a_shard_whose_rows_were_all_refused_changes_no_recipe(everything):
    partner, read = everything(UGLY)
    partner.upload(FIRST, first_archive())
    clean = {recipe: comparable(rows) for recipe, rows in read([FIRST]).items()}
    partner.upload(FIRST, first_archive(rejected=REFUSED))
    rows = Counter(one["rows"] > 0 for one in partner.document(FIRST)["objects"])
    assert rows[False] == len(REFUSED)
    assert {recipe: comparable(rows) for recipe, rows in read([FIRST]).items()} == clean


@pytest.mark.extended
@pytest.mark.parametrize("name", ["by_kind", "by_kind_arrow"])
def test_an_own_function_may_give_a_column_another_type_for_each_shard(everything, name):
    frame = "arrow" if name.endswith("arrow") else "pandas"
    own = [{"use": f"rwt_assets_tests.own_enrichments.{name}", "frame": frame}]
    rule = UGLY["members"][0] | {"enrichments": own}
    partner, read = everything(UGLY | {"members": [rule]})
    rows = [["n", "kind"], ["1", "none"], ["2", "whole"], ["3", "half"], ["4", "none"], ["5", ""]]
    partner.upload(FIRST, make_zip({THINGS: _csv(rows)}))
    wanted = [(1, None), (2, 7.0), (3, 0.5), (4, None), (5, None)]
    for recipe, found in read([FIRST]).items():
        told = sorted((row["n"], row["Score"]) for row in found)
        assert told == wanted, recipe
        assert {type(score) for _, score in told} == {float, type(None)}, recipe
