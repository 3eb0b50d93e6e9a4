"""A table's name follows from its member's alone, and its columns are those of all objects."""

import pyarrow as pa

from rwt_assets.text.tables import (
    full_table_name,
    further_names,
    merged_columns,
    table_names,
    unified_schema,
)
from rwt_assets.values.column_names import distinct_names, same_but_for_case, told_renamed


def called(members):
    """Every name, and the member that it leads to."""
    return {name: one for one, name in table_names(members).items()} | further_names(members)


def test_a_name_never_comes_to_mean_another_member():
    first, second = ["b/stock.csv", "stops.txt"], ["a/stock.csv", "stops.csv", "B/stock.csv"]
    before, after = called(first), called(first + second)
    assert before["stock"] == before["b_stock"] == "b/stock.csv"
    assert before["stops"] == "stops.txt"
    assert {name: after[name] for name in before if name in after} == {
        name: member for name, member in before.items() if name in after
    }
    assert "stock" not in after
    assert "stops" not in after
    assert after[full_table_name("stops.txt")] == "stops.txt"
    assert len(set(table_names(first + second).values())) == 5


def test_a_mac_calls_a_table_as_others_do():
    assert [*table_names(["de\u0301cembre.csv"]).values()] == ["d_cembre"]
    assert [*table_names(["d\u00e9cembre.csv"]).values()] == ["d_cembre"]
    both = table_names(["de\u0301cembre.csv", "d\u00e9cembre.csv"])
    assert "d_cembre" not in both.values()


def test_columns_of_later_objects_are_there_whatever_their_types():
    one = pa.schema([("n", pa.int64()), ("none", pa.null()), ("odd", pa.int64())])
    two = pa.schema([("n", pa.float64()), ("none", pa.date32()), ("odd", pa.string())])
    three = pa.schema([("new", pa.string())])
    assert unified_schema([one, two, three]) == pa.schema(
        [
            ("n", pa.float64()),
            ("none", pa.date32()),
            ("odd", pa.string()),
            ("new", pa.string()),
        ]
    )


def test_columns_that_sql_does_not_tell_apart_are_one_of_one_type():
    one = pa.schema([("n", pa.int64()), ("Colour", pa.int64()), ("\u00dc", pa.int64())])
    two = pa.schema([("\u00fc", pa.string()), ("COLOUR", pa.float64()), ("n", pa.int64())])
    schema = unified_schema([one, two])
    assert schema.field("Colour").type == schema.field("COLOUR").type == pa.float64()
    assert merged_columns(schema.names) == {
        "n": ["n"],
        "Colour": ["Colour", "COLOUR"],
        "\u00dc": ["\u00dc"],
        "\u00fc": ["\u00fc"],
    }


def test_no_two_columns_are_equal_whatever_their_case():
    names = ["id", "Id", "ID", "", "CRC32", "crc32", "_rescued", "_rescued", "id_2"]
    given = distinct_names(names)
    assert len({name.casefold() for name in given}) == len(names)
    assert given == (
        "id", "Id_3", "ID_4", "column_4", "CRC32_2", "crc32", "_rescued", "_rescued_2", "id_2",
    )  # fmt: skip
    assert distinct_names(["id", "ID"], ["ID"]) == ("id_2", "ID")
    assert "'Id' (column 2) is called 'Id_3'" in told_renamed(names, given)
    assert same_but_for_case(["id", "ID"], ["id", "ID"]) == ("id", "ID")
