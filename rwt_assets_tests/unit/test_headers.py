"""Columns of a header are found under the names that are declared, or their absence is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.feed.feed import ColumnRule, Dialect, Limits, MemberRule
from rwt_assets.runtime.errors import MemberHeaderError
from rwt_assets.shard.member_rows import MemberRows
from rwt_assets_tests.pure_way import take_member

PRICED = MemberRule(
    include=("*",),
    columns={"id": ColumnRule(type="integer"), "Preis": ColumnRule(type="integer", minimum=0)},
)


def columns(header, rule, **settings):
    rows = MemberRows(rule, Limits(), where="here", all_fields=True, **settings)
    list(rows.batches([f"{header}\n1,2\n".encode()]))
    return rows.columns


@pytest.mark.parametrize(
    "header",
    ["id,Preis", "id,preis", "ID,PREIS", "id, Preis", "id ,Preis\t", "\ufeff\ufeffid,Preis "],
)
def test_a_declared_column_is_found_whatever_its_case_and_spaces(header):
    assert columns(header, PRICED) == ("id", "Preis")


def test_both_unicode_forms_are_one_name():
    rule = MemberRule(include=("*",), columns={"id": {}, "prix_payé": {}})
    assert columns("id,prix_paye\u0301", rule) == ("id", "prix_payé")


def test_values_under_such_a_header_are_held_to_the_contract():
    taken = take_member(b"id, preis\n1,5\n2,-7\n", PRICED)
    assert [(row["id"], row["Preis"]) for row in taken.rows] == [(1, 5)]


def test_a_split_column_is_found_too():
    rule = MemberRule(include=("*",), split_by="Day")
    taken = take_member(b"id;day \n1;x\n2;y\n", rule)
    assert [row["Day"] for row in taken.rows] == ["x", "y"]


@pytest.mark.parametrize("how", ["feed", "rule"])
def test_exact_takes_no_other_and_says_which_is_near(how):
    rule = PRICED if how == "feed" else PRICED.model_copy(update={"case": "exact"})
    settings = {"case": "exact"} if how == "feed" else {}
    assert columns("id,Preis", rule, **settings) == ("id", "Preis")
    with pytest.raises(MemberHeaderError, match="'Preis' is missing; nearly so named: 'preis '"):
        columns("id,preis ", rule, **settings)


@pytest.mark.parametrize(
    "near",
    [
        "unit_price",
        "unit price",
        "UnitPrice",
        "Unit-Price",
        "\uff55\uff4e\uff49\uff54.price",  # full-width letters
        "unit.pri\u0441e",  # a Cyrillic letter
        "UN\u0399T.PRICE",  # a Greek one
    ],
)
def test_a_name_that_differs_by_punctuation_or_the_kind_of_its_letters_is_no_null(near):
    rule = MemberRule(include=("*",), columns={"id": {}, "unit.price": {}})
    with pytest.raises(MemberHeaderError, match="nearly so named"):
        columns(f"id,{near}", rule)


PRICES = MemberRule(include=("*",), columns={"id": {}, "price": {"type": "number"}})


@pytest.mark.parametrize(
    "text",
    [
        "id~price\n1~2.5\n2~3\n",  # a delimiter that nobody guesses
        "Report of May;;\nid;name;price\n1;a;2.5\n2;b;3\n",  # a title, saved by a spreadsheet
        "Report of May\nid;name;price\n1;a;2.5\n2;b;3\n",
        "1;2.5\n2;3\n",  # no header, so its first row would be one
        "Ann;Ulm\nBob;Bonn\n",
        "Kunde;Betrag\n1;2.5\n",
    ],
)
def test_a_member_with_none_of_the_declared_columns_is_not_all_null(text):
    with pytest.raises(MemberHeaderError, match="none of the declared columns 'id', 'price' is"):
        take_all(text, PRICES)


def test_a_single_declared_column_may_be_missing_and_so_may_some_of_several():
    one = MemberRule(include=("*",), columns={"price": {"type": "number"}})
    assert take_all("Kunde;Betrag\n1;2.5\n", one) == ("Kunde", "Betrag")
    assert take_all("id;Betrag\n1;2.5\n", PRICES) == ("id", "Betrag")


def take_all(text, rule):
    rows = MemberRows(rule, Limits(), where="here", all_fields=True)
    list(rows.batches([text.encode()]))
    return rows.columns


@pytest.mark.parametrize(
    ("sent", "declared"),
    [("price [EUR]", "price"), ("Preis (netto)", "preis"), ("price", "price (EUR)")],
)
def test_a_unit_in_brackets_makes_no_null(sent, declared):
    rule = MemberRule(include=("*",), columns={"id": {}, declared: {}})
    with pytest.raises(MemberHeaderError, match="nearly so named"):
        columns(f"id,{sent}", rule)
    assert columns(f"id,{declared}", rule) == ("id", declared)


def test_another_unit_is_another_column():
    rule = MemberRule(include=("*",), columns={"id": {}, "price (EUR)": {}})
    assert columns("id,price (USD)", rule) == ("id", "price (USD)")


def test_a_name_of_utf8_that_was_read_as_another_encoding_makes_no_null():
    rule = MemberRule(include=("*",), columns={"id": {}, "größe": {}})
    with pytest.raises(MemberHeaderError, match="nearly so named: 'grÃ¶ÃŸe'"):
        columns("id,grÃ¶ÃŸe", rule)


def test_two_columns_that_are_one_set_their_member_aside():
    with pytest.raises(MemberHeaderError, match="'Preis' and 'PREIS' are all") as caught:
        columns("Preis,PREIS", PRICED)
    assert "case: exact" in str(caught.value)


def test_columns_that_no_reader_tells_apart_set_the_member_aside():
    rule = MemberRule(include=("*",), columns={"id": {}, "ID": {}})
    with pytest.raises(MemberHeaderError, match="differ by their case alone"):
        columns("ID,id", rule)


def test_a_column_that_is_not_there_is_null_as_the_evolution_says():
    assert columns("id,other", PRICED) == ("id", "other")


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"))), min_size=1, max_size=5))
def test_no_header_is_a_surprise(names):
    header = ",".join(name.replace('"', "").replace(",", "") for name in names)
    rule = MemberRule(
        include=("*",), columns={"a": {}, "É": {}}, dialect=Dialect(delimiter=",", encoding="utf-8")
    )
    rows = MemberRows(rule, Limits(), where="here", all_fields=True)
    try:
        list(rows.batches([f"{header},a\n".encode()]))
    except MemberHeaderError:
        return
    assert "a" in rows.columns
