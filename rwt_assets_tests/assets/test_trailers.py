"""What a member's last lines state is compared, by a preview and before a delivery alike."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rwt_assets.authoring.preview import preview_archive
from rwt_assets.feed.feed import MemberRule
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.assets.conftest import Shop
from rwt_assets_tests.assets.test_completeness import feed, results

pytestmark = pytest.mark.mostly_long(one_in=1)

BODY = "order,customer,amount\n1,a,10.50\n2,b,20.25\n3,a,5\n"
ROWS = r"TRAILER\|(?P<rows>\d+)"
BOTH = r"^END;(?P<rows>[\d.]*);(?P<sum_amount>.*)$"
COLUMNS = {"order": {}, "customer": {}, "amount": {"type": "decimal(12, 2)"}}
GERMAN = {
    "trailer": BOTH,
    "decimal_mark": ",",
    "thousands_mark": ".",
    "dialect": {"delimiter": ";"},
    "columns": COLUMNS,
}
EURO = {"trailer": r"T(?P<sum_amount_eur>\d+)", "columns": {}, "split_by": None}

WHOLE = [
    ({"trailer": ROWS}, f"{BODY}TRAILER|3\n"),
    ({"trailer": ROWS}, f"{BODY}\nTRAILER|0000003"),
    ({"trailer": ROWS}, f"{BODY}4,a,no number\nTRAILER|4"),  # sent, and then quarantined
    ({"trailer": BOTH, "columns": COLUMNS}, f"{BODY}END;3;35.75\r\n"),
    ({"trailer": BOTH, "columns": COLUMNS}, "order,customer,amount\nEND;0;0\n"),
    (GERMAN, "order;customer;amount\n1;a;1.000,50\n2;b;-0,25\nEND;2;1.000,25\n"),
    ({"trailer": rf"{ROWS}|SUM (?P<sum_amount>.*)"}, f"{BODY}SUM 35.75\nTRAILER|3\n"),
    ({"trailer": r"^(EOF|TRAILER)"}, f"{BODY}TRAILER|9\nEOF\n"),  # nothing is stated
    (EURO, "order,Amount (EUR)\n1,7\n2,8\nT15\n"),
]
BROKEN = [
    ({"trailer": ROWS}, f"{BODY}TRAILER|4\n", "states 4 rows for 'orders.csv', sent were 3"),
    ({"trailer": ROWS}, BODY, "orders.csv, trailer: it ends in no line that states rows"),
    ({"trailer": ROWS}, f"{BODY}TRAILER|3\n4,a,1\n", "it ends in no line that states rows"),
    (
        {"trailer": BOTH, "columns": COLUMNS},
        f"{BODY}END;3;35.74\n",
        "states 35.74 as the sum of amount for 'orders.csv', the rows that would be delivered come",
    ),
    ({"trailer": BOTH, "columns": COLUMNS}, f"{BODY}END;3;a lot\n", "'a lot' is no sum of amount"),
    ({"trailer": BOTH, "columns": COLUMNS}, f"{BODY}END;;35.75\n", "no line that states rows"),
    (GERMAN, "order;customer;amount\n1;a;1.000,50\nEND;1;1.000,25\n", "states 1000.25 as the sum"),
    (EURO, "order,Amount (EUR)\n1,7\nT15\n", "states 15 as the sum of Amount (EUR)"),
]


def previewed(rule, text, tmp_path):
    archive = Path(tmp_path) / "a.zip"
    archive.write_bytes(make_zip({"orders.csv": text, "customers.csv": "id\n1\n"}))
    return preview_archive(archive, feed(orders=rule))


@pytest.mark.parametrize(("rule", "text"), WHOLE)
def test_a_trailer_that_is_right_says_nothing(rule, text, tmp_path):
    assert previewed(rule, text, tmp_path).failure == ""


@pytest.mark.parametrize(("rule", "text", "told"), BROKEN)
def test_a_trailer_that_differs_is_said_before_it_is_sent(rule, text, told, tmp_path):
    seen = previewed(rule, text, tmp_path)
    assert told in seen.failure
    assert not seen.everything_delivered


@pytest.mark.parametrize(("rule", "text", "told"), [BROKEN[0], BROKEN[3]])
@pytest.mark.parametrize("one_pass", [False, True])
def test_an_archive_whose_trailer_differs_is_not_delivered(rule, text, told, one_pass):
    with Shop(feed=feed(orders=rule, one_pass=one_pass)) as shop:
        key = shop.deliver("a.zip", {"orders.csv": text}, ends="failed")
        assert told[:60] in shop.reason(key)
        assert results(shop)["archive_complete"] is False
        repaired = text.replace("|4", "|3").replace("35.74", "35.75")
        assert shop.deliver("a.zip", {"orders.csv": repaired}) == key
        assert results(shop)["archive_complete"] is True


def test_a_trailer_that_differs_may_only_warn():
    with Shop(feed=feed(orders={"trailer": ROWS}, incomplete="warn")) as shop:
        key = shop.deliver("a.zip", {"orders.csv": f"{BODY}TRAILER|4\n"})
        assert "states 4 rows" in shop.delivery(key).warnings[0]


@settings(max_examples=15, deadline=None)
@given(
    amounts=st.lists(st.decimals(-999, 999, places=2), max_size=5),
    more_rows=st.integers(0, 1),
    more=st.sampled_from(["0", "0.01", "-1"]),
)
def test_a_difference_is_told_if_there_is_one(tmp_path_factory, amounts, more_rows, more):
    rows = "".join(f"{number},a,{amount}\n" for number, amount in enumerate(amounts))
    total = sum(amounts, Decimal(0)) + Decimal(more)
    text = f"order,customer,amount\n{rows}END;{len(amounts) + more_rows};{total}\n"
    rule = {"trailer": BOTH, "columns": COLUMNS}
    seen = previewed(rule, text, tmp_path_factory.mktemp("archive"))
    assert ("rows for 'orders.csv'" in seen.failure) == bool(more_rows)
    assert ("sum of amount" in seen.failure) == (more != "0")


@pytest.mark.parametrize(
    ("trailer", "says"),
    [
        (r"(?P<total>\d+)", "the group 'total' is none of rows, sum_<column>"),
        (r"(EOF|END)(?P<rows>\d+)", "a group without a name: write"),
        (r"(?P<sum_price>\d+)", "trailer names the unknown column 'price'; declared are: amount"),
        (r"(?P<rows>\d+)(?P<rows>x)", "rows"),
        ("(?!x)", "no regular expression of RE2"),
    ],
)
def test_a_trailer_that_cannot_be_compared_is_refused(trailer, says):
    with pytest.raises(ValidationError, match=says):
        MemberRule(include=("*",), trailer=trailer, columns={"amount": {}})
