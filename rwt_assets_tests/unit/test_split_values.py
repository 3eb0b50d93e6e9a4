"""The identity of a shard is the typed value, and a row without one makes no shard."""

from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rwt_assets.documents.layout import NULL
from rwt_assets.documents.partitions import ShardKey
from rwt_assets.feed.feed import ColumnRule, Evolution, MemberRule
from rwt_assets.runtime.errors import ArchiveSchemaError
from rwt_assets_tests.archives import make_zip
from rwt_assets_tests.pure_way import take

COLUMN = "seq"


def split(values, rule=None, *, evolution=None, member="t.csv", **settings_of_feed):
    """Take a member whose rows have these values, in all ways; what it came to."""
    columns = {} if rule is None else {COLUMN: rule, "n": ColumnRule()}
    declared = MemberRule(
        include=("*",),
        split_by=COLUMN,
        columns=columns,
        evolution=evolution or Evolution(),
        dialect={"delimiter": ",", "quote": '"', "escape": "none", "encoding": "utf-8"},
    )
    quoted = ['"' + value.replace('"', '""') + '"' for value in values]
    lines = [f"{COLUMN},n", *(f"{value},r{n}" for n, value in enumerate(quoted))]
    body = "".join(f"{line}\n" for line in lines)
    return take(make_zip({member: body}), declared, **settings_of_feed)


def values_of(taken):
    return [shard.value for shard in taken.manifest.shards]


def folders(taken, kind="shards"):
    keys = [key for _, key in taken.store.contents if f"/{kind}/" in key]
    return sorted({part for key in keys for part in key.split("/") if part.startswith(COLUMN)})


def quarantined(taken):
    keys = taken.manifest.quarantine_keys
    tables = [pq.read_table(pa.BufferReader(taken.store.read("results", key))) for key in keys]
    return [row for table in tables for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("kind", "texts", "value"),
    [
        ("integer", ["1", "01", "+1", "0001"], "1"),
        ("integer", ["0", "-0", "+0"], "0"),
        ("number", ["1", "01", "1.0", "1e0", "10e-1"], "1"),
        ("number", ["0", "-0", "0.0", "-0.0"], "0"),
        ("boolean", ["true", "TRUE", "1"], "true"),
        ("date", ["2024-02-29", "20240229"], "2024-02-29"),
        (
            "timestamp",
            ["2024-02-29 01:00", "2024-02-29T01:00Z", "2024-02-29T02:00:00+01:00"],
            "2024-02-29 01:00:00.000000Z",
        ),
    ],
)
def test_texts_of_one_value_are_one_shard(kind, texts, value):
    taken = split(texts, ColumnRule(type=kind))
    assert values_of(taken) == [value]
    assert taken.manifest.shards[0].rows == len(texts)
    assert [unquote(one) for one in folders(taken)] == [f"{COLUMN}={value}"]
    assert len({row[COLUMN] for row in taken.rows}) == 1


def test_texts_of_a_column_without_a_type_are_values_of_their_own():
    assert values_of(split(["1", "01", "1.0", " 1"])) == ["1", "01", "1.0", " 1"]


@pytest.mark.parametrize("rule", [None, ColumnRule(), ColumnRule(type="integer")])
def test_an_empty_value_is_a_shard_that_readers_take_for_null(rule):
    taken = split(["", "1", ""], rule)
    assert values_of(taken) == [None, "1"]
    assert [shard.partition_key for shard in taken.manifest.shards] == [
        "a.zip|t.csv|seq",
        "a.zip|t.csv|seq=1",
    ]
    assert folders(taken) == ["seq=1", f"seq={NULL}"]


@pytest.mark.parametrize(
    ("rule", "bad", "told"),
    [
        (ColumnRule(type="integer"), "x", "seq: integer"),
        (ColumnRule(type="integer", minimum=0), "-7", "seq: minimum"),
        (ColumnRule(type="date"), "2024-02-30", "seq: date"),
        (ColumnRule(nullable=False), "", "seq: not null"),
        (ColumnRule(allowed=("1", "2")), "9", "seq: allowed"),
        (ColumnRule(pattern="[0-9]+"), "9x", "seq: pattern"),
    ],
)
def test_a_value_that_breaks_its_rule_is_quarantined_and_makes_nothing(rule, bad, told):
    good = "20240101" if rule.type == "date" else "1"
    taken = split([good, bad, good, bad], rule)
    (report,) = taken.manifest.members
    assert len(taken.manifest.shards) == 1
    assert (report.rows_read, report.rows_quarantined) == (4, 2)
    assert report.rows_by_rule == {told: 2}
    assert [(row["line"], row["row"], row["text"]) for row in quarantined(taken)] == [
        (3, 2, f'"{bad}",r1'),
        (5, 4, f'"{bad}",r3'),
    ]
    for kind in ("quarantine", "shards"):
        assert len(folders(taken, kind)) <= 1


def test_a_member_of_which_no_value_fits_has_no_shard():
    taken = split(["x", "y"], ColumnRule(type="integer"))
    assert taken.manifest.shards == ()
    assert taken.manifest.rows_quarantined == 2
    assert folders(taken) == []


def test_what_the_evolution_rescues_has_no_value_and_what_it_fails_fails():
    taken = split(
        ["1", "x"], ColumnRule(type="integer"), evolution=Evolution(type_conflicts="rescue")
    )
    assert values_of(taken) == ["1", None]
    assert [row["_rescued"] for row in taken.rows] == [None, '{"seq":"x"}']
    with pytest.raises(ArchiveSchemaError, match=r"'x' is no integer .*row 2"):
        split(["1", "x"], ColumnRule(type="integer"), evolution=Evolution(type_conflicts="fail"))


def test_a_long_value_is_quarantined_with_its_reason():
    taken = split(["a", "b" * 1_001, "ä" * 501, "c" * 1_000])
    assert [len(value or "") for value in values_of(taken)] == [1, 1_000]
    first, second = quarantined(taken)
    assert first["rule"] == second["rule"] == "split_value_too_long"
    assert "the value of 'seq' has 1001 bytes, the feed's limit is 1000" in first["reason"]
    assert "1002 bytes" in second["reason"]
    assert values_of(split(["abc", "abcd"], limits={"split_value_bytes": 3})) == ["abc"]


@pytest.mark.parametrize("value", ["%" * 900, "..." * 400, "v" * 2_300])
def test_no_partition_key_is_longer_than_the_index_of_a_database_takes(value):
    taken = split([value, "b"], member=f"{'m' * 900}.csv", limits={"split_value_bytes": 2_400})
    assert values_of(taken) == ["b"]
    (entry,) = quarantined(taken)
    assert entry["rule"] == "split_value_too_long"
    assert "too many for a partition key of 2400 bytes" in entry["reason"]


KINDS = st.sampled_from([None, "string", "integer", "number", "boolean", "date", "timestamp"])
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=6),
    st.sampled_from(["", "0", "-0", "00", "1e999", "9" * 25, "NaN", NULL, "2024-02-29", "%", "="]),
    st.integers().map(str),
    st.floats().map(repr),
    st.dates().map(str),
)


@settings(max_examples=60)
@given(KINDS, st.lists(TEXTS, max_size=8))
def test_each_row_is_in_the_shard_of_its_value_or_quarantined(kind, texts):
    texts = [text.replace("\r", "").replace("\n", "") for text in texts]
    taken = split(texts, None if kind is None else ColumnRule(type=kind))
    (report,) = taken.manifest.members
    shards = taken.manifest.shards
    assert sum(shard.rows for shard in shards) + report.rows_quarantined == len(texts)
    assert all(shard.rows for shard in shards)
    assert len(set(values_of(taken))) == len(shards)
    assert len(folders(taken)) == len(shards)
    for shard in shards:
        assert ShardKey.parse(shard.partition_key).value == shard.value
    by_shard = {}
    for row in taken.rows:
        by_shard.setdefault(row[COLUMN], set()).add(row["n"])
    assert len(by_shard) == len(shards), "a typed value is in one shard alone"
