"""References and sums hold, or it is told why not: by value, whatever names and types there are."""

import io
import warnings
import zipfile
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from rwt_assets.authoring.preview import preview_archive
from rwt_assets.feed.feed import Feed

FEW = settings(max_examples=8)  # each starts processes
NAMES = st.one_of(
    st.sampled_from(
        ["a b", 'q"', "it's", "50%", "é", "sélect", "select", "a;b", "{x}", "$1", "%s"]
    ),
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=6),
)
PLAIN = str.maketrans("", "", "*?[]/\\.,\"'\ufeff")
WRITTEN = {
    "integer": ["{}", "+{}", "00{}"],
    "number": ["{}", "{}.0", "{}e0", "+{}.000"],
    "decimal(12, 2)": ["{}", "{}.00", "{}.0"],
    "decimal(38, 0)": ["{}", "0{}"],
    "string": ["{}", "{}.00", "0{}"],
    None: ["{}", "{}.00", "+{}e0"],
}
KINDS = st.sampled_from([*WRITTEN])


def previewed(members, rules, **attributes):
    feed = Feed.model_validate(
        {
            "name": "shop",
            "source": {"bucket": "incoming", "queue": "shop"},
            "target": {"bucket": "results", "prefix": "rwt/shop"},
            "members": rules,
            **attributes,
        }
    )
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one name twice is meant
        for name, text in members:
            archive.writestr(zipfile.ZipInfo(name), text)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "a.zip"
        file.write_bytes(data.getvalue())
        return preview_archive(file, feed)


def table(*rows):
    return "".join(
        ",".join('"' + field.replace('"', '""') + '"' for field in row) + "\n" for row in rows
    )


def column(kind):
    return {} if kind is None else {"type": kind}


def rule(include, name, kind, **more):
    columns = {} if kind is None else {"columns": {"n": {}, name: column(kind)}}
    return {"include": [include], "dialect": {"delimiter": ",", "quote": '"'}, **columns, **more}


REFERENCES = {"customer": "customers.csv.id"}
CUSTOMERS = ("customers.csv", "id,name\n1,a\n2,b\n")


def found(members, orders, customers=None, **attributes):
    first = {"include": ["orders.csv"], "references": REFERENCES, **orders}
    return previewed(
        members, [first, {"include": ["customers.csv"], **(customers or {})}], **attributes
    ).failure


@FEW
@example("integer", "number", [1], [1])
@example("number", "decimal(12, 2)", [1], [1, 2])
@example(None, "integer", [9], [1])
@given(
    KINDS,
    KINDS,
    st.lists(st.integers(0, 9), min_size=1, max_size=4),
    st.lists(st.integers(0, 9), min_size=1, max_size=4),
)
def test_a_reference_holds_by_value_whatever_the_types_are(one, other, children, parents):
    def texts(kind, values):
        ways = WRITTEN[kind]
        return [ways[place % len(ways)].format(value) for place, value in enumerate(values)]

    # Two columns of text are compared as they are.
    assume(one not in ("string", None) or other not in ("string", None))
    seen = previewed(
        [
            ("orders.csv", table(("n", "customer"), *(("x", v) for v in texts(one, children)))),
            ("customers.csv", table(("n", "id"), *(("x", v) for v in texts(other, parents)))),
        ],
        [
            rule("orders.csv", "customer", one, references=REFERENCES),
            rule("customers.csv", "id", other),
        ],
    )
    assert (seen.failure == "") == ({*children} <= {*parents}), seen.failure


@pytest.mark.extended
@FEW
@given(
    orders=NAMES,
    customers=NAMES,
    own=NAMES,
    key=NAMES,
    dangling=st.booleans(),
    declared=st.booleans(),
)
@example(
    orders="orders", customers="customers", own="Customer", key="a b", dangling=True, declared=False
)
def test_names_are_only_names(orders, customers, own, key, dangling, declared):
    orders, customers, own, key = (
        one.translate(PLAIN).strip() or "x" for one in (orders, customers, own, key)
    )
    assume(len({one.casefold() for one in (orders, customers, "c")}) == 3)
    assume(not {own.casefold(), key.casefold()} & {"n", "_row", "_archive", "_member"})
    kind = "string" if declared else None
    members = [
        (f"{orders}.csv", table(("n", own), ("x", "1"), ("x", "7" if dangling else "2"))),
        (f"{customers}.csv", table(("n", key), ("x", "1"), ("x", "2"))),
        (
            "c.csv",
            table(
                ("file", "total"),
                (f"{orders}.csv", "8" if dangling else "3"),
                (f"{customers}.csv", "3"),
            ),
        ),
    ]
    seen = previewed(
        members,
        [
            rule(f"{orders}.csv", own, kind, references={own: f"{customers}.csv.{key}"}),
            rule(f"{customers}.csv", key, kind),
        ],
        control={"member": "c.csv", "columns": {"member": "file", "sums": {own: "total"}}},
        checks=[{"name": "one", "sql": "select 1 where false"}],
    )
    told = [one.what for one in seen.findings if one.check == "references_hold"]
    assert len(told) == dangling, seen
    sums = [one.what for one in seen.findings if one.check == "archive_complete"]
    assert sums == [] or own.casefold() != key.casefold(), seen


@pytest.mark.parametrize(
    ("members", "orders", "customers", "told"),
    [
        ([("orders.csv", "customer\n1\n"), ("orders.csv", "customer\n99\n"), CUSTOMERS], {}, {},
         "1 rows of 'orders.csv~2' have in customer what customers.csv.id does not have: '99'"),
        ([("orders.csv", "order,Customer \n1,99\n"), CUSTOMERS], {}, {}, "does not have: '99'"),
        ([("orders.csv", "order,cust\n1,99\n"), CUSTOMERS], {}, {},
         "'orders.csv' has no column 'customer', which should refer to customers.csv.id"),
        ([("orders.csv", "customer\n1\n"), ("customers.csv", "ID\n1\n")], {}, {}, ""),
        ([("orders.csv", "customer\n1\n"), ("customers.csv", "number\n1\n")], {}, {},
         "refers to customers.csv.id, which has no such column"),
        ([("d/orders.csv", "customer\n1\n"), ("d/customers.csv", "id\n1\n")],
         {"match": "name"}, {"match": "name"}, ""),
        ([("d/orders.csv", "customer\n3\n"), ("e/customers.csv", "id\n1\n")],
         {"match": "name"}, {"match": "name"}, "does not have: '3'"),
        ([("orders.csv", "n,customer\n1,\n2,1\n"), CUSTOMERS], {}, {}, ""),
        ([("orders.csv", "n,customer\n1,\n"), ("customers.csv", "id\n")], {}, {}, ""),
        ([("orders.csv", "n,customer\n1,5\n"), ("customers.csv", "id\n")], {}, {},
         "have in customer what customers.csv.id does not have: '5'"),
        ([("orders.csv", "customer\n9\n")], {}, {}, "customers.csv.id, of which there are no rows"),
        ([("orders.csv", "customer\n9007199254740993\n"),
          ("customers.csv", "id\n9007199254740992\n")],
         {"columns": {"customer": {"type": "integer"}}}, {"columns": {"id": {"type": "number"}}},
         "does not have: 9007199254740993"),
    ],
)  # fmt: skip
def test_a_dangling_reference_is_told_and_nothing_else_is(members, orders, customers, told):
    failure = found(members, orders, customers)
    assert told in failure if told else failure == ""


def test_references_lead_into_an_archive_within():
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("orders.csv", "customer\n1\n")
        archive.writestr("customers.csv", "id\n1\n")
    by_name = {"match": "name"}
    assert found([("inner.zip", inner.getvalue())], by_name, by_name) == ""


def test_a_reference_is_exact_where_the_feed_is():
    members = [("orders.csv", "Customer\n1\n"), CUSTOMERS]
    assert "has no column 'customer'" in found(members, {}, case="exact")


SUM = {"member": "m.csv", "columns": {"member": "file", "sums": {"x": "total"}}}


@pytest.mark.parametrize(
    ("kind", "header", "values", "stated", "told"),
    [
        ("decimal(38, 0)", "x", ["9" * 28] * 30, "1", f"come to {int('9' * 28) * 30}"),
        ("decimal(38, 0)", "x", ["9" * 38] * 30, str(int("9" * 38) * 30), ""),
        ("integer", "x", [str(2**63 - 1)] * 3, str(3 * (2**63 - 1)), ""),
        (None, "x", ["1.0000000004"] * 2, "2", "come to 2.0000000008"),
        (None, "x", ["1.0000000004"] * 2, "2.0000000008", ""),
        ("number", "x", ["0.1", "0.2"], "0.30", ""),
        ("number", "x", ["2.4"], "2", "states 2 as the sum"),
        (None, "X", ["5"], "0", "come to 5"),
        (None, "X ", ["5"], "5.00", ""),
        (None, "x", ["5", ""], "5", ""),
        (None, "x", ["5", "a"], "5", "1 values that cannot be added"),
        ("date", "x", ["2024-01-01"], "5", "1 values that cannot be added"),
        (None, "y", ["5"], "5", "which has no such rows"),
        (None, "y", ["5"], "0", ""),
    ],
)
def test_a_sum_is_exact(kind, header, values, stated, told):
    text = f"n,{header}\n" + "".join(f"1,{one}\n" for one in values)
    members = [("orders.csv", text), ("m.csv", f"file,total\norders.csv,{stated}\n")]
    failure = previewed(members, [rule("orders.csv", "x", kind)], control=SUM).failure
    assert told in failure if told else failure == ""


@pytest.mark.parametrize(
    ("columns", "text", "told"),
    [
        ({"rows": "rows"}, "file,rows\norders.csv,\n", "line 2: states no rows for 'orders.csv'"),
        ({"rows": "rows"}, "file,rows\norders.csv\n", "line 2: states no rows for 'orders.csv'"),
        ({"md5": "md5", "rows": "rows"}, "file,rows,md5\norders.csv,1,\n", "states no md5 for"),
        ({}, "file\norders.csv\n", "states no rows, bytes, checksum or sum for 'orders.csv'"),
        ({"rows": "rows"}, "file,rows\norders.csv,x\n", "'x' is no number of rows"),
        ({"rows": "rows"}, "file,rows\norders.csv,1\nread.me,\n", ""),
    ],
)
def test_what_a_control_file_leaves_empty_is_told(columns, text, told):
    members = [("orders.csv", "order\n1\n"), ("m.csv", text), ("read.me", "hello")]
    control = {"member": "m.csv", "columns": {"member": "file", **columns}}
    failure = previewed(members, [{"include": ["orders.csv"]}], control=control).failure
    assert told in failure if told else failure == ""
    assert failure.count("orders.csv") <= 1


@pytest.mark.parametrize(
    ("stated", "rows"),
    [("0,0,2", None), ("1,000", 1000), ("1,00", None), ("0,001", None), ("12,345,678", 12345678)],
)
def test_thousands_are_grouped_in_a_control_file(stated, rows):
    members = [("orders.csv", "order\n1\n"), ("m.csv", f"file;rows\norders.csv;{stated}\n")]
    control = {
        "member": "m.csv",
        "columns": {"member": "file", "rows": "rows"},
        "thousands_mark": ",",
    }
    failure = previewed(members, [{"include": ["orders.csv"]}], control=control).failure
    told = f"'{stated}' is no number of rows" if rows is None else f"states {rows} rows"
    assert told in failure


@pytest.mark.parametrize("include", ["b.csv", "*", "a.csv"])
def test_a_file_that_is_named_like_a_folder_is_told(include):
    seen = previewed(
        [("a.csv", "id\n1\n"), ("b.csv/", "id\n2\n3\n"), ("folder/", "")],
        [{"include": ["a.csv", include]}],
        unknown_members="fail",
    )
    (told,) = [one for one in seen.members if one.name == "b.csv/"]
    if include == "a.csv":
        assert "'b.csv/' is known to no rule" in seen.failure
    else:
        assert told.outcome == "broken"
        assert "ends in a slash, as a folder's does, and it holds 7 bytes" in told.reason
    assert not seen.everything_delivered
    assert "folder/" not in seen.failure


def test_a_sum_of_the_archive_adds_up_its_members():
    rules = [{"include": ["*.csv"], "dialect": {"delimiter": ","}}]
    members = [("a.csv", "n,x\n1,1.5\n"), ("b.csv", "n,x\n1,2.25\n"), ("end.txt", "END 3.75")]
    control = {"member": "end.txt", "line": r"END (?P<sum_x>\S+)"}
    assert previewed(members, rules, control=control).failure == ""
    members[2] = ("end.txt", f"END {Decimal('3.75') + Decimal('1e-20')}")
    assert "come to 3.75" in previewed(members, rules, control=control).failure
