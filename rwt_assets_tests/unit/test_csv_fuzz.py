"""Whatever the bytes of a member or an archive are: rows reconcile, and errors are ours.

`make fuzz` runs this with many more examples; a plain test run looks at a few.
"""

from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.contract.contract import ShardContract
from rwt_assets.feed.feed import ColumnRule, Dialect, Limits, MemberRule
from rwt_assets.member.fields import parse_shard
from rwt_assets.runtime.errors import RwtError
from rwt_assets.shard.splitting import MemberSplitter
from rwt_assets_tests.archives import make_zip, timetable
from rwt_assets_tests.mutations import mutate
from rwt_assets_tests.pure_way import take

REAL = [
    b"a,b,c\n1,x,3\n2,y,4\n",
    b'a,b,c\r\n1,"x ""q"", z",3\r\n"two\r\nlines",y,\r\n',
    b'a;b;c\n1,5;x;"q \\"e\\""\n2,5;y;\n',
    "a\tb\tc\né\tx\t3\n".encode("utf-16"),
    "a|b|c\né|x|3\nü|y|4\n".encode("cp1252"),
    "\ufeff# made by hand\na,b,c,\n1,x,ü,\n2,y,4,\n".encode(),
    b"'a','b','c'\r1,'x',''\r",
    b"",
]
SHARED = Path(__file__).parents[3] / "shared" / "data"
ARCHIVES = [
    make_zip({f"{number}.csv": text for number, text in enumerate(REAL)}),
    make_zip({f"{number}.csv": text for number, text in enumerate(REAL)}, 0),
    timetable(trips=5, stops=7),
    # Real ones, where they lie beside the repository.
    *(
        path.read_bytes()
        for path in sorted(SHARED.glob("*/**/*.zip"))
        if 0 < path.stat().st_size < 10_000
    ),
]
SPLICES = st.sampled_from(
    [
        b'"',
        b"'",
        b"\\",
        b",",
        b";",
        b"\t",
        b"|",
        b"\n",
        b"\r",
        b"#",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
    ]
) | st.binary(max_size=4)
LIMITS = Limits(columns=50, field_bytes=100, record_bytes=200, split_values=20)


@st.composite
def damaged(draw):
    """A CSV as it might be, with some bytes taken out, put in or replaced."""
    data = bytearray(draw(st.sampled_from(REAL)) * draw(st.integers(1, 3)))
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(0, len(data)))
        data[start : start + draw(st.integers(0, 3))] = draw(SPLICES)
    return bytes(data)


def character(*usual):
    return st.sampled_from(["auto", "none", *usual])


DIALECTS = st.builds(
    dict,
    encoding=st.sampled_from(["auto", "auto", "utf-8", "utf-16", "cp1252", "shift_jis"]),
    delimiter=st.sampled_from(["auto", ",", ";"]),
    quote=character('"', "'"),
    escape=character("\\"),
    header=st.sampled_from([True, True, False, "auto"]),
    comment=character("#"),
    skip_lines=st.sampled_from([0, 0, 1, "auto"]),
    trailing_delimiter=st.sampled_from(["auto", True, False]),
).map(Dialect.model_validate)
RULES = [
    {},
    {"split_by": "b"},
    {"split_by": "b", "columns": {"b": ColumnRule(), "a": ColumnRule(type="number")}},
]


@given(damaged(), DIALECTS, st.sampled_from(RULES), st.integers(1, 50))
def test_no_text_is_a_surprise(data, dialect, settings, chunk):
    rule = MemberRule(include=("*",), dialect=dialect, **settings)
    splitter = MemberSplitter(rule, LIMITS, where="s3://b/a.zip, member 'm'")
    chunks = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    try:
        parts = [(one.value, part) for one in splitter.shards(chunks) for part in one.parts]
    except RwtError:
        return
    rows = splitter.rows
    assert rows.rows_read == sum(part.rows for _, part in parts) + len(rows.rejected)
    for value, part in parts:
        table = parse_shard(part.data, rows.dialect, rows.columns)
        assert table.num_rows == part.rows == len(part.row_numbers)
        result = ShardContract(rule).apply(table, part.row_numbers)
        assert result.valid.num_rows + len(result.rejected) == part.rows
        if rule.split_by is not None:
            assert set(table.column("b").to_pylist()) <= {value}


@given(st.sampled_from(ARCHIVES), st.integers(0, 2**64))
def test_no_damaged_archive_is_a_surprise_on_the_whole_way(archive, number):
    damaged = mutate(archive, Random(number), ARCHIVES)  # noqa: S311 - no secret
    times = MemberRule(include=("stop_times.txt",), split_by="stop_sequence")
    try:
        taken = take(damaged, times, MemberRule(include=("*",)), limits={"nesting": 2})
    except RwtError:
        return
    written = {key for bucket, key in taken.store.contents if bucket == "results"}
    assert all(key.startswith("rwt/wild/") and "/../" not in key for key in written)
    assert {bucket for bucket, _ in taken.store.contents} <= {"incoming", "results"}
