"""An archive is held against what its feed and its sender say, and a preview says the same."""

from pathlib import Path

import dagster as dg
import pytest
import yaml

from rwt_assets.authoring.preview import preview_archive
from rwt_assets.feed.feed import Feed
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import Shop, stored_shop

pytestmark = pytest.mark.mostly_long(one_in=1)

ORDERS = "order,customer,amount\n1,a,10.50\n2,b,20.25\n3,a,5\n"
CUSTOMERS = "id,name\na,Ann\nb,Bob\n"
BOTH = {"orders.csv": ORDERS, "customers.csv": CUSTOMERS}
TABLE = {"member": "control.csv", "columns": {"member": "file", "rows": "rows"}}
SUMS = {
    "member": "control.csv",
    "columns": {"member": "file", "rows": "rows", "sums": {"amount": "total"}},
    "decimal_mark": ",",
    "thousands_mark": ".",
}
DIGESTS = {"member": "control.csv", "columns": {"member": "file", "md5": "md5", "crc32": "crc"}}
TRAILER = {"member": "end.txt", "line": r"TRAILER\|(?P<rows>\d+)"}
REFERENCE = {"orders": {"references": {"customer": "customers.csv.id"}}}
NO_BIG = {"name": "no_big", "sql": "select * from orders where amount > 15 -- too big"}


def feed(*, orders=None, customers=None, **settings):
    amount = {"type": "number"}
    members = [
        {
            "include": ["orders.csv"],
            "split_by": "customer",
            "columns": {"order": {}, "customer": {}, "amount": amount},
            **(orders or {}),
        },
        {"include": ["customers.csv"], **(customers or {})},
    ]
    return Feed.model_validate(
        {
            "name": "shop",
            "source": {"bucket": "incoming", "queue": "shop", "prefix": "shop/"},
            "target": {"bucket": "results", "prefix": "rwt/shop"},
            "members": members,
            **settings,
        }
    )


def without(name):
    return {key: text for key, text in BOTH.items() if key != name}


def controlled(text, name="control.csv", members=BOTH):
    return {name: text, **members}


WHOLE = [
    ({}, BOTH),
    ({"orders": {"required": True, "min_rows": 3, "max_rows": 3}}, BOTH),
    ({"orders": {"required": True}}, {"ORDERS.csv".lower(): ORDERS}),
    ({"unknown_members": "fail"}, BOTH),
    (
        {"unknown_members": "fail", "control": TABLE},
        controlled("file;rows\norders.csv;3\ncustomers.csv;2\n"),
    ),
    (
        {"control": TABLE},
        controlled("\ufeffFile,ROWS\r\nORDERS.CSV,3\r\n./customers.csv,2\r\n\r\n"),
    ),
    ({"control": {**TABLE, "required": False}}, BOTH),
    ({"control": SUMS}, controlled("file;rows;total\norders.csv;3;35,75\ncustomers.csv;2;\n")),
    ({"control": TRAILER}, controlled("HEADER\nTRAILER|5\n", "end.txt")),
    *(
        ({"control": TABLE}, controlled(text))
        for text in (
            "sep=;\r\nfile;rows\r\norders.csv;3\r\ncustomers.csv;2\r\n\x1a",
            "file\trows\r\norders.csv\t3\r\ncustomers.csv\t2\r\n".encode("utf-16-le"),
            "Sent on 31.12.2025\n# rows, files\n\nfile,rows\norders.csv,3\ncustomers.csv,2\n",
            "'file','rows'\n'.\\orders.csv','3'\n'customers.csv','2'\n",
        )
    ),
    # A day without orders: a member that is split has no shard then, and has its columns.
    (
        {"checks": [NO_BIG], **REFERENCE},
        {"orders.csv": "order,customer,amount\n", "customers.csv": CUSTOMERS},
    ),
    (REFERENCE, BOTH),
    (REFERENCE, {"orders.csv": "order,customer,amount\n1,a,1\n2,,1\n", "customers.csv": CUSTOMERS}),
    ({"checks": [{**NO_BIG, "sql": "select * from orders where amount > 99"}]}, BOTH),
]


@pytest.mark.parametrize(("settings", "members"), WHOLE)
def test_nothing_is_said_of_a_whole_archive(settings, members, tmp_path):
    assert previewed(feed(**settings), members, tmp_path).everything_delivered


@pytest.mark.parametrize(("settings", "members"), WHOLE[::4])
def test_a_whole_archive_is_delivered_and_every_check_passes(settings, members):
    with Shop(feed=feed(**settings)) as shop:
        key = shop.deliver("a.zip", members)
        assert shop.delivery(key).warnings == ()
        assert {*results(shop).values()} == {True}


BROKEN = [
    (
        {"orders": {"required": True}},
        without("orders.csv"),
        "no member orders.csv is in the archive",
    ),
    (
        {"orders": {"required": True}},
        {**BOTH, "orders.csv": "wrong\n1\n"},
        "no member orders.csv could be read",
    ),
    (
        {"orders": {"min_rows": 1}},
        {**BOTH, "orders.csv": "order,customer,amount\n"},
        "'orders.csv' comes to 0 rows of 0 sent; min_rows is 1",
    ),
    (
        {"orders": {"min_rows": 2}},
        {**BOTH, "orders.csv": "order,customer,amount\n1,a,1\n2,a,x\n"},
        "'orders.csv' comes to 1 rows of 2 sent; min_rows is 2",
    ),
    ({"customers": {"max_rows": 1}}, BOTH, "'customers.csv' comes to 2 rows; max_rows is 1"),
    ({"unknown_members": "fail"}, {**BOTH, "odd.csv": "a\n1\n"}, "'odd.csv' is known to no rule"),
    ({"control": TABLE}, BOTH, "there is no control file 'control.csv'"),
    (
        {"control": TABLE},
        controlled("file,rows\norders.csv,4\ncustomers.csv,2\n"),
        "control.csv, line 2: states 4 rows for 'orders.csv', sent were 3",
    ),
    (
        {"control": TABLE},
        controlled("file,rows\norders.csv,3\n"),
        "control.csv does not name 'customers.csv'",
    ),
    (
        {"control": TABLE},
        controlled("file,rows\norders.csv,3\ncustomers.csv,2\nlines.csv,7\n"),
        "control.csv, line 4: 'lines.csv' is not in the archive",
    ),
    ({"control": TABLE}, controlled("file,count\norders.csv,3\n"), "it has no column 'rows'"),
    ({"control": TABLE}, controlled("file,rows\norders.csv,many\n"), "'many' is no number of rows"),
    # More digits than Python reads as a number.
    ({"control": TABLE}, controlled(f"file,rows\norders.csv,{'9' * 5000}\n"), "no number of rows"),
    ({"control": TABLE}, controlled(""), "it is empty"),
    ({"control": TABLE}, controlled("\0\xff" * 99), "it has no column"),
    (
        {"control": SUMS},
        controlled("file;rows;total\norders.csv;3;1.035,75\ncustomers.csv;2;\n"),
        "states 1035.75 as the sum of amount for 'orders.csv', the rows that would be deli",
    ),
    (
        {"control": DIGESTS},
        controlled("file,md5,crc\norders.csv,00,0\ncustomers.csv,,\n"),
        "states 00 md5 for 'orders.csv'",
    ),
    (
        {"control": TRAILER},
        controlled("TRAILER|6\n", "end.txt"),
        "states 6 rows for the archive, sent were 5",
    ),
    ({"control": TRAILER}, controlled("cut", "end.txt"), "no line of it fits"),
    (
        REFERENCE,
        {**BOTH, "customers.csv": "id,name\na,Ann\n"},
        "1 rows of 'orders.csv' have in customer what customers.csv.id does not have: 'b'",
    ),
    (REFERENCE, without("customers.csv"), "refers to customers.csv.id, of which there are no rows"),
    ({"checks": [NO_BIG]}, BOTH, "no_big: rows that are wrong: 1 (order '2', customer 'b'"),
    ({"checks": [{**NO_BIG, "sql": "select * from nothing"}]}, BOTH, "no_big could not be asked"),
    (
        {"checks": [{**NO_BIG, "sql": "select * from read_csv('/etc/passwd')"}]},
        BOTH,
        "no_big could not be asked: Permission Error",
    ),
]


@pytest.mark.parametrize(("settings", "members", "told"), BROKEN)
def test_what_is_incomplete_is_said_before_it_is_sent(settings, members, told, tmp_path):
    seen = previewed(feed(**settings), members, tmp_path)
    assert told in seen.failure
    assert not seen.everything_delivered


# Preview and delivery ask the same functions: one of each kind goes the whole way.
@pytest.mark.parametrize(("settings", "members", "told"), [*BROKEN[::6], BROKEN[20]])
def test_an_incomplete_archive_is_not_delivered_and_says_why(settings, members, told):
    with Shop(feed=feed(**settings)) as shop:
        key = shop.deliver("a.zip", members, ends="failed")
        assert told[:60] in shop.reason(key)
        assert False in results(shop).values()


@pytest.mark.parametrize(
    ("settings", "members"),
    [
        ({"incomplete": "warn", "orders": {"required": True}}, without("orders.csv")),
        ({"incomplete": "warn", "control": TABLE}, BOTH),
        ({"unknown_members": "warn"}, {**BOTH, "odd.txt": "a"}),
        ({"dangling": "warn", **REFERENCE}, {**BOTH, "customers.csv": "id,name\na,Ann\n"}),
        ({"checks": [{**NO_BIG, "severity": "warn"}]}, BOTH),
    ],
)
def test_what_only_warns_is_delivered_and_told(settings, members, tmp_path):
    declared = feed(**settings)
    seen = previewed(declared, members, tmp_path)
    assert seen.failure == ""
    assert not seen.everything_delivered
    with Shop(feed=declared) as shop:
        key = shop.deliver("a.zip", members)
        assert shop.delivery(key).warnings == tuple(map(str, seen.findings))
        assert [*results(shop).values()].count(False) == 1


def test_an_incomplete_archive_leaves_the_delivery_before_it():
    declared = feed(
        orders={"required": True}, **{k: v for k, v in REFERENCE.items() if k != "orders"}
    )
    with stored_shop(feed=declared) as shop:
        key = shop.deliver("a.zip", BOTH)
        before = shop.delivery(key)
        shop.deliver("a.zip", without("orders.csv"), ends="failed")
        assert shop.delivery(key) == before


def test_rows_are_asked_of_parquet_on_the_store_too():
    declared = feed(**REFERENCE, checks=[NO_BIG], control=SUMS)
    text = "file;rows;total\norders.csv;3;35,75\ncustomers.csv;2;\n"
    with stored_shop(feed=declared) as shop:
        shop.deliver("a.zip", controlled(text), ends="failed")
        assert "no_big" in shop.reason("shop/a.zip")
        assert "states" not in shop.reason("shop/a.zip")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"orders": {"min_rows": 3, "max_rows": 2}}, "min_rows is more than max_rows"),
        ({"orders": {"references": {"customer": "customers"}}}, "names no member and column"),
        ({"orders": {"references": {"buyer": "customers.csv.id"}}}, "unknown column 'buyer'"),
        ({"orders": {"references": {"customer": "people.csv.id"}}}, "no rule takes the member"),
        ({"orders": {"references": {"customer": "orders.csv.id"}}}, "declares no column 'id'"),
        ({"control": {"member": "c.csv"}}, "either columns or line"),
        ({"control": {"member": "c.txt", "line": "("}}, "no regular expression"),
        ({"control": {"member": "c.txt", "line": "(?P<member>.*)"}}, "needs a group"),
        ({"checks": [{"name": "a", "sql": "selec 1"}]}, "no SQL that DuckDB understands"),
        ({"checks": [{"name": "a", "sql": "select 1; select 2"}]}, "one SELECT"),
        ({"checks": [{"name": "a", "sql": "copy orders to 'x'"}]}, "one SELECT"),
        ({"checks": [{"name": "reconciled", "sql": "select 1"}]}, "is taken by a check"),
        ({"checks": [NO_BIG, NO_BIG]}, "two checks are named 'no_big'"),
    ],
)
def test_what_cannot_be_expected_is_refused_when_it_is_declared(settings, told):
    with pytest.raises(ValueError, match="validation error") as error:
        feed(**settings)
    assert told in str(error.value)


def previewed(declared, members, folder):
    file = folder / "a.zip"
    file.write_bytes(make_zip(members))
    return preview_archive(file, declared)


def results(shop):
    """The newest result of each check of the delivery that says whether the archive is whole."""
    names = {"archive_complete", "references_hold", *(one.name for one in shop.feed.checks)}
    asset, found = shop.catalog.graph.delivery, {}
    for name in names:
        key = dg.AssetCheckKey(asset, name)
        records = shop.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
        if records:
            found[name] = records[0].event.dagster_event.event_specific_data.passed
    return found


DOCUMENTED = Path(__file__).parents[2] / "docs/input.md"


def test_the_declaration_of_the_page_does_what_the_page_says(tmp_path):
    section = DOCUMENTED.read_text().split("## Is it all there?")[1]
    declared = Feed.model_validate(
        {
            "name": "shop",
            "source": {"bucket": "incoming", "queue": "shop", "prefix": "shop/"},
            "target": {"bucket": "results", "prefix": "rwt/shop"},
            **yaml.safe_load(section.split("```yaml")[1].split("```")[0]),
        }
    )
    stated = "file,rows,total\norders.csv,3,35.75\ncustomers.csv,2,\n"
    whole = controlled(stated, "manifest.csv")
    negative = {**BOTH, "orders.csv": "order,customer,amount\n1,a,-1\n2,b,36.75\n3,a,0\n"}
    warned = controlled(stated, "manifest.csv", negative)
    assert previewed(declared, whole, tmp_path).everything_delivered
    assert previewed(declared, BOTH, tmp_path).failure == "there is no control file 'manifest.csv'"
    with Shop(feed=declared) as shop:
        shop.deliver("a.zip", whole)
        assert {*results(shop)} == {"archive_complete", "references_hold", "no_negative_orders"}
        shop.deliver("a.zip", {**warned, "notes.txt": ""})
        unknown, wrong = shop.delivery("shop/a.zip").warnings
        assert unknown == "'notes.txt' is known to no rule"
        assert "no_negative_orders: rows that are wrong: 1 (order '1', customer 'a'" in wrong
        before = shop.delivery("shop/a.zip")
        shop.deliver("a.zip", {**whole, "orders.csv": "order,customer,amount\n"}, ends="failed")
        assert shop.delivery("shop/a.zip") == before
