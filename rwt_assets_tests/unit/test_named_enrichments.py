"""Built-in enrichments, a person's own, and what they may not do."""

import zlib
from datetime import date
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from rwt_assets.contract.enrichment import enrich
from rwt_assets.contract.enrichment_chain import EnrichmentChain
from rwt_assets.feed.feed import MemberRule
from rwt_assets.feed.named_enrichments import sources_of
from rwt_assets.runtime.errors import EnrichmentError
from rwt_assets.values.added_columns import ADDED

OWN = "rwt_assets_tests.own_enrichments"


def rule(*enrichments, **more):
    return MemberRule.model_validate({"include": ["*.csv"], "enrichments": enrichments, **more})


def rows(**columns):
    table = pa.table(columns)
    return enrich(
        table,
        key_column=None,
        archive="a.zip",
        member="m.csv",
        row_numbers=np.arange(1, table.num_rows + 1),
    )


def applied(table, *enrichments):
    named = EnrichmentChain(rule(*enrichments).enrichments, where="a.zip, member 'm.csv'")
    return named.apply(table)


SALES = rows(
    item=["pen", "ink", None], day=["03.02.2026", "30.02.2026", None], price=[1.5, 7.0, 2.0]
)


def test_without_any_the_table_is_the_same():
    assert applied(SALES) is SALES


def test_built_in_enrichments_follow_one_another():
    table = applied(
        SALES,
        {"use": "parse_date", "column": "day", "format": "%d.%m.%Y", "to": "on"},
        {"use": "rename", "column": "item", "to": "article"},
        {
            "use": "lookup",
            "column": "article",
            "to": "kind",
            "table": {"pen": "dry"},
            "default": "wet",
        },
        {"use": "crc32", "column": "article", "to": "article_crc32"},
        {"use": "constant", "to": "source", "value": "shop"},
        {"use": "cast", "column": "price", "type": "integer"},
    )
    found = table.to_pydict()
    assert found["on"] == [date(2026, 2, 3), None, None]
    assert found["day"] == ["03.02.2026", "30.02.2026", None]  # what names no date is not lost
    assert found["article"] == ["pen", "ink", None]
    assert found["kind"] == ["dry", "wet", "wet"]
    assert found["article_crc32"] == [zlib.crc32(b"pen"), zlib.crc32(b"ink"), None]
    assert found["source"] == ["shop"] * 3
    assert found["price"] == [None, 7, 2]  # 1.5 is no integer
    assert table.column_names[-len(ADDED) :] == list(ADDED)
    assert "item" not in found


@given(st.lists(st.one_of(st.none(), st.text()), max_size=20))
def test_the_crc32_of_any_column_is_that_of_zlib(texts):
    table = applied(
        rows(key=pa.array(texts, pa.string())), {"use": "crc32", "column": "key", "to": "c"}
    )
    assert table["c"].to_pylist() == [
        None if text is None else zlib.crc32(text.encode()) for text in texts
    ]


def test_ones_own_function_takes_a_data_frame_or_a_table():
    table = applied(SALES, {"use": f"{OWN}.with_tax"}, {"use": f"{OWN}.shouted", "frame": "arrow"})
    assert table["with_tax"].to_pylist() == pytest.approx([1.8, 8.4, 2.4])
    assert table["loud"].to_pylist() == ["PEN", "INK", "NONE"]
    assert table["_row"].type == pa.int64()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("drop_a_row", "made 2 rows of 3"),
        ("turn_around", "changed the column"),
        ("fail", "raised KeyError: 'tax'"),
        ("nothing", "returned NoneType, not DataFrame"),
    ],
)
def test_what_a_function_may_not_do_is_told_with_its_name_and_place(name, says):
    with pytest.raises(EnrichmentError) as told:
        applied(SALES, {"use": f"{OWN}.{name}"})
    assert says in str(told.value)
    assert f"{OWN}.{name}" in str(told.value)
    assert "a.zip, member 'm.csv'" in str(told.value)


def test_columns_that_differ_from_batch_to_batch_are_refused_or_made_the_same():
    named = EnrichmentChain(rule({"use": f"{OWN}.price_by_chance"}).enrichments, where="a.zip")
    first = named.apply(rows(price=[1.0]))
    again = named.apply(rows(price=[9.0]))
    assert first.schema == again.schema
    named = EnrichmentChain(rule({"use": f"{OWN}.shouted", "frame": "arrow"}).enrichments, where="")
    named.apply(rows(item=["pen"]))
    with pytest.raises(EnrichmentError, match="other columns than for the rows before"):
        named.apply(rows(item=["pen"], more=["x"]).drop_columns(["crc32"]))


@pytest.mark.parametrize(
    ("enrichment", "says"),
    [
        ({"use": "no_such"}, "is neither crc32, parse_date"),
        ({"use": f"{OWN}.no_such"}, "there is no function"),
        ({"use": "no_such_package.no_such"}, "there is no function"),
        ({"use": f"{OWN}.NO_FUNCTION"}, "is int, no function"),
        ({"use": "constant", "to": "_row", "value": 1}, "is a column that every row gets"),
        ({"use": "rename", "column": "x", "to": "y"}, "uses the unknown column 'x'"),
        ({"use": "rename", "column": "_row", "to": "y"}, "is a column that every row keeps"),
        ({"use": "lookup", "column": "item"}, "to"),
    ],
)
def test_a_feed_that_cannot_be_right_is_refused_when_it_is_loaded(enrichment, says):
    with pytest.raises(ValidationError, match=says):
        rule(enrichment, columns={"item": {}})


def test_the_source_of_a_column_is_known_through_its_names():
    enrichments = rule(
        {"use": "rename", "column": "item", "to": "article"},
        {"use": "crc32", "column": "article", "to": "hash"},
        {"use": "constant", "to": "source", "value": "shop"},
    ).enrichments
    assert sources_of(enrichments, ["article", "hash", "source", "price"]) == {
        "article": "item",
        "hash": "item",
        "price": "price",
    }


VALUES = st.one_of(
    st.sampled_from([1.5, 1e10, 2.0**63, -(2.0**63), float("nan"), float("inf"), 0.0, None]),
    st.floats(),
    st.integers(-(2**70), 2**70).map(float),
)
WHOLE = st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(2**53 - 2, 2**53 + 2)
CAST_TEXTS = (
    st.none() | st.text() | WHOLE.map(str) | VALUES.map(str) | st.sampled_from(["", "0x1F"])
)
EXACT = st.none() | st.decimals(-(10**15), 10**15, places=3, allow_nan=False)


@given(
    st.one_of(
        st.tuples(st.just(pa.float64()), st.lists(VALUES, min_size=1, max_size=6)),
        st.tuples(st.just(pa.int64()), st.lists(WHOLE, min_size=1, max_size=6)),
        st.tuples(st.just(pa.string()), st.lists(CAST_TEXTS, min_size=1, max_size=6)),
        st.tuples(st.just(pa.decimal128(20, 3)), st.lists(EXACT, min_size=1, max_size=6)),
        st.tuples(st.just(pa.bool_()), st.lists(st.none() | st.booleans(), min_size=1)),
        st.tuples(st.just(pa.date32()), st.lists(st.none() | st.dates(), min_size=1)),
        st.tuples(st.just(pa.time64("us")), st.lists(st.none() | st.times(), min_size=1)),
    ),
    st.sampled_from(["string", "integer", "number"]),
)
@example((pa.float64(), [10_000_000_000.0, 1.5]), "integer")
def test_a_cast_makes_the_same_of_a_value_whatever_its_neighbours(column, kind):
    arrow, values = column
    cast = {"use": "cast", "column": "x", "type": kind}

    def made(some):
        return applied(rows(x=pa.array(some, arrow)), cast)["x"].to_pylist()

    alone = [repr(made([value])[0]) for value in values]
    assert [*map(repr, made(values))] == alone
    assert [*map(repr, made(values[::-1]))] == alone[::-1]


@pytest.mark.parametrize(
    ("column", "kind", "found"),
    [
        (pa.array([1e10, 1.5, 2.0**63, float("nan"), None]), "integer", [10**10, *[None] * 4]),
        (pa.array([2**53, 2**53 + 1, 2**63 - 1, None]), "number", [2.0**53, None, None, None]),
        (pa.array(["10000000000", "1.5", "0x1F", "", " 5"]), "integer", [10**10, *[None] * 4]),
        (pa.array(["1e3", "1e999", "x"]), "number", [1000.0, None, None]),
        (pa.array([True, False, None]), "integer", [1, 0, None]),
        (pa.array([Decimal("2.00"), Decimal("2.50")]), "number", [2.0, 2.5]),
        (pa.array([Decimal("2.00"), Decimal("2.50")]), "integer", [2, None]),
    ],
)
def test_a_cast_keeps_what_the_other_type_has_and_else_makes_null(column, kind, found):
    made = applied(rows(x=column), {"use": "cast", "column": "x", "type": kind})["x"]
    assert made.to_pylist() == found


@pytest.mark.parametrize("name", ["note_for_ink", "score_for_ink"])
def test_a_column_of_nulls_has_no_type_of_its_own(name):
    frame = "arrow" if name == "score_for_ink" else "pandas"
    made = name.partition("_")[0]
    plain = applied(rows(item=["pen"]), {"use": f"{OWN}.{name}", "frame": frame})
    assert made not in plain.column_names, "readers take a column that is missing for null"
    kind = "string" if made == "note" else "integer"
    declared = {"use": f"{OWN}.{name}", "frame": frame, "columns": {made: kind}}
    schemas = {applied(rows(item=[item]), declared).schema for item in ("pen", "ink")}
    assert len(schemas) == 1


def test_a_column_that_a_function_empties_keeps_its_type():
    table = applied(SALES, {"use": f"{OWN}.forget_price", "frame": "arrow"})
    assert table.schema.field("price").type == pa.float64()


def test_columns_that_differ_by_their_case_alone_are_refused():
    with pytest.raises(EnrichmentError, match="names must differ by more than their case"):
        applied(SALES, {"use": f"{OWN}.shout_twice", "frame": "arrow"})
