"""A declaration that is made of an archive takes this archive, whatever is in it."""

import codecs
import csv
import io
import string
from collections import Counter
from random import Random

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from rwt_assets.authoring.inference import HELD, READ, Sample, infer_feed
from rwt_assets.authoring.preview import preview_archive
from rwt_assets.feed.declaration import feed_name, scalar, stays_text
from rwt_assets.feed.feed import Feed
from rwt_assets.runtime.errors import NoMatchingMemberError, NotAZipError, RwtError
from rwt_assets.text import is_visible
from rwt_assets_tests.archives import CAIRNS, make_zip
from rwt_assets_tests.mutations import mutate, seeds
from rwt_assets_tests.odd_archives import Entry
from rwt_assets_tests.odd_archives import archive as odd_archive

pytestmark = pytest.mark.mostly_long(one_in=1)

SESAME = "open up"
VARIABLE = "SHOP_PASSWORD"
SALES = "ticket,day,price\n" + "".join(f"T{n},2024-01-0{n % 3 + 1},{n}.5\n" for n in range(30))


@pytest.fixture
def file(tmp_path):
    def make(members):
        path = tmp_path / "sample.zip"
        path.write_bytes(make_zip(members))
        return path

    return make


def infer(path, name="shop"):
    """What is declared, held to be the same as its text and to take its own sample."""
    found = infer_feed(Sample(path, name))
    declaration = yaml.safe_load(found.text)
    assert declaration["type"] == "rwt_assets.ZipFeed"
    assert Feed.model_validate(declaration["attributes"]) == found.feed
    preview = preview_archive(path, found.feed)
    assert preview.failure == ""
    assert preview.members_broken == 0
    assert preview.rows_quarantined == found.rows_rejected
    assert preview.rows_read == found.rows
    return found


def test_types_nulls_key_and_split_are_found(file):
    found = infer(file({"sales.csv": SALES}))
    (rule,) = found.feed.members
    assert rule.include == ("sales.csv",)
    told = {name: (one.type, one.nullable) for name, one in rule.columns.items()}
    assert told == {
        "ticket": ("string", False),
        "day": ("date", False),
        "price": ("number", False),
    }
    assert rule.key_column == "ticket"
    assert rule.split_by is None
    assert "      # split_by: day\n" in found.text
    assert "would make 3, of 10 rows on average and 10 at most" in found.text


def test_a_few_texts_that_make_a_column_text_are_named(file):
    rows = "".join(f"{n},{'old' if n == 7 else n}\n" for n in range(20))
    found = infer(file({"m.csv": f"k,v\n{rows}"}))
    assert "        v: { nullable: false }  # integer but for 'old' in 1 rows\n" in found.text


def test_values_as_people_write_them_get_types_and_nothing_is_set_aside(file):
    lines = "".join(
        f"{n};K{n % 7};{n % 28 + 1}.{n % 12 + 1}.2025;{'J' if n % 3 else 'N'};"
        f"{n}.{n:03d},{n % 100:02d};{'NA' if n % 5 == 0 else n};{'NULL' if n % 4 else 'x'};0{n}\n"
        for n in range(1, 100)
    )
    head = "id;kunde;datum;bezahlt;betrag;menge;text;plz\n"
    customers = "kunde;name\n" + "".join(f"{n};n{n}\n" for n in range(9))
    found = infer(file({"orders.csv": head + lines, "customers.csv": customers}))
    assert (found.sample.rows_read, found.sample.rows_quarantined) == (108, 0)
    orders = found.feed.rule_for("orders.csv").columns
    assert {name: one.type for name, one in orders.items()} == {
        "id": "integer",
        "kunde": "string",
        "datum": "date",
        "bezahlt": "boolean",
        "betrag": "decimal(18, 2)",
        "menge": "integer",
        "text": "string",
        "plz": "string",
    }
    assert orders["betrag"].decimal_mark == ","
    assert orders["betrag"].thousands_mark == "."
    assert orders["datum"].formats == ("%d.%m.%Y",)
    assert (orders["bezahlt"].true_values, orders["bezahlt"].false_values) == (("J",), ("N",))
    assert (orders["menge"].null_values, orders["text"].null_values) == (("NA",), ("NULL",))
    # A key has one type in all tables: K1 is no number, so 1 is none, either.
    assert found.feed.rule_for("customers.csv").columns["kunde"].type == "string"


def test_the_proposed_split_can_be_taken_as_it_stands(file):
    path = file({"sales.csv": SALES})
    text = infer(path).text.replace("# split_by", "split_by")
    feed = Feed.model_validate(yaml.safe_load(text)["attributes"])
    (member,) = preview_archive(path, feed).members
    assert (member.split_by, member.shards) == ("day", 3)


def test_members_of_the_same_columns_have_one_rule(file):
    members = {f"sales_2024010{n}.csv": SALES for n in (1, 2)}
    found = infer(file({**members, "stock.csv": "item,count\na,1\nb,2\n"}))
    assert [rule.include for rule in found.feed.members] == [("sales_*.csv",), ("stock.csv",)]
    assert found.feed.members[0].key_column == "ticket"


def test_a_pattern_takes_no_member_of_another_kind(file):
    members = {"data_1.csv": SALES, "data_2.csv": "item,count\na,1\nb,2\n"}
    found = infer(file(members))
    assert [rule.include for rule in found.feed.members] == [("data_1.csv",), ("data_2.csv",)]


def test_one_value_of_another_member_loosens_the_type_of_both(file):
    found = infer(file({"a_1.csv": "k,v\n1,2\n2,3\n", "a_2.csv": "k,v\n1,x\n2,\n"}))
    (rule,) = found.feed.members
    assert (rule.columns["v"].type, rule.columns["v"].nullable) == ("string", True)


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("a;b\n1;2\n3;4\n", {"delimiter": ";"}),
        ("a\tb\n1\t2\n", {"delimiter": "\t"}),
        ("name,place\nJosé,Málaga\n".encode("cp1252"), {"encoding": "windows-1252"}),
        ("a,b\n1,2\n".encode("utf-16"), {"encoding": "utf-16"}),
        ("Report of May\n\na,b,c\n1,2,3\n4,5,6\n", {"skip_lines": 1}),
        ("Report,,\nof May,,\na,b,c\n1,2,3\n4,5,6\n7,8,9\n", {"skip_lines": 2}),
        ("1,2\n3,4\n", {"header": False}),
        ("x,1\ny,4\n", {"header": False}),
        ("x,,x\n1,2,3\n4,5,6\n", {}),
        ("# made by hand\na,b\n1,2\n3,4\n", {"comment": "#"}),
    ],
)
def test_a_dialect_that_is_not_plain_is_declared(file, text, dialect):
    (rule,) = infer(file({"m.csv": text})).feed.members
    given = rule.dialect.model_dump(exclude_unset=True)
    if "encoding" in dialect:
        assert given["encoding"] in (dialect["encoding"], "cp1252")
    else:
        assert given == dialect


@pytest.mark.parametrize(
    ("text", "rows", "rejected"),
    [
        ("nr,name\n" + "".join(f"#{n},a\n" for n in range(100)) + "#3,c,d\n", 101, 1),
        ("id,amount\n" + "".join(f"{n},a\n#{n},b\n" for n in range(50)) + "1,2,3\n", 101, 1),
        ("color\n#ff0000\n#00ff00\nblue\n", 3, 0),
        ("id;name\n" + "1;a\n" * 30 + "b;c;d\n", 31, 1),
        ("# by us\n# for you\nid,name\n1,a\n2,b\n", 2, 0),
        ("country,2019,2020\nDE,1,2\nFR,3,4\n", 2, 0),
        ("Konto;Betrag, EUR;Datum\n1;1,50;2024-01-01\n2;2,50;2024-01-02\n", 2, 0),
    ],
)
def test_no_declaration_leaves_out_what_may_be_a_row(file, text, rows, rejected):
    found = infer(file({"a.csv": text.encode()}))
    assert (found.rows, found.rows_rejected) == (rows, rejected)


def test_coordinates_beside_decimal_commas_are_no_thousands(file):
    rows = "".join(f"52.{n + 100};{n}.{n + 100};{n},50\n" for n in range(1, 30))
    (rule,) = infer(file({"a.csv": f"lat;qty;price\n{rows}7.345;12;0,50\n"})).feed.members
    types = {name: column.type for name, column in rule.columns.items()}
    assert types == {"lat": "string", "qty": "integer", "price": "decimal(18, 2)"}


def test_a_header_narrower_than_most_rows_is_no_title(file):
    with pytest.raises(NoMatchingMemberError, match="4 of 5 records have other fields"):
        infer(file({"a.csv": b"id;name\n1;a\nb;c;d\ne;f;g\nh;i;j\nk;l;m\n"}))


def test_members_that_are_no_tables_are_named_and_not_taken(file):
    prose = "Dear all,\n\nhere it is, with thanks, as usual.\n\nYours, A, B, C\n"
    found = infer(file({"sales.csv": SALES, "read.me": prose, "._x.csv": "x", "dir/": ""}))
    assert {one.name for one in found.not_taken} == {"read.me", "._x.csv", "dir/"}
    assert "#   read.me: " in found.text
    assert found.members == 1


def test_an_archive_without_a_table_is_told(file, tmp_path):
    with pytest.raises(NoMatchingMemberError, match=r"no member of the archive reads as a table"):
        infer_feed(Sample(file({"picture.png": b"\x89PNG\r\n\x1a\n\x00\x01"}), "shop"))
    (tmp_path / "b.zip").write_bytes(b"hello")
    with pytest.raises(NotAZipError):
        infer_feed(Sample(tmp_path / "b.zip", "shop"))


def test_rows_that_are_no_rows_do_not_keep_a_member_from_being_a_table(file):
    found = infer(file({"sales.csv": SALES + "T99,2024-01-01\n"}))
    assert found.rows_rejected == 1


def test_a_header_that_has_a_name_twice_makes_a_rule_without_columns(file):
    (rule,) = infer(file({"m.csv": "a,a,b\n1,2,3\n"})).feed.members
    assert rule.columns == {}


def test_tables_in_archives_within_are_taken(file):
    found = infer(file({"in_1.zip": make_zip({"sales.csv": SALES})}))
    assert found.feed.members[0].include == ("in_*.zip/sales.csv",)


def test_an_encrypted_sample_is_read_with_its_password(tmp_path):
    file = tmp_path / "a.zip"
    file.write_bytes(odd_archive([Entry("sales.csv", SALES.encode(), password=SESAME)]))
    with pytest.raises(NoMatchingMemberError, match="encrypted"):
        infer_feed(Sample(file, "shop"))
    found = infer_feed(Sample(file, "shop", VARIABLE, SecretStr(SESAME)))
    assert found.sample.everything_delivered
    assert found.feed.source.password_variable == VARIABLE
    assert Feed.model_validate(yaml.safe_load(found.text)["attributes"]) == found.feed
    assert SESAME not in found.text


def test_how_much_of_the_sample_was_read_is_told_for_each_step():
    read = Counter()
    infer_feed(Sample(CAIRNS, "gtfs", on_read=lambda step, one: read.update({step: one})))
    size = CAIRNS.stat().st_size
    assert 0.9 * size <= read[READ] <= size
    assert read[HELD] >= 0.9 * size


def test_a_member_whose_name_is_a_number_is_named_as_it_is(file):
    found = infer(file({"7": SALES, "2024": "2024,on\na,1\nb,2\n"}))
    assert [rule.include for rule in found.feed.members] == [("7",), ("2024",)]
    assert found.feed.members[1].key_column == "2024"


@pytest.mark.parametrize("name", ["no", "on", "true", "null", "y", "off"])
def test_an_archive_whose_name_is_a_word_of_yaml_gives_a_feed_of_that_name(file, name):
    assert infer(file({"a.csv": SALES}), name).feed.name == name


def test_what_nobody_sees_is_written_by_its_number(file):
    found = infer(file({"a\u200b.csv": SALES.replace("price", "pri\u202ece\u2066")}))
    assert is_visible(found.text)
    assert "pri\u202ece\u2066" in found.feed.members[0].columns


def test_the_timetable_of_cairns_gives_a_declaration_that_takes_it():
    found = infer(CAIRNS, "gtfs")
    assert (found.members, found.rows) == (8, 62_365)
    times = next(rule for rule in found.feed.members if rule.include == ("stop_times.txt",))
    assert times.columns["stop_sequence"].type == "integer"
    assert times.columns["arrival_time"].nullable


@pytest.mark.parametrize(
    "text",
    ["a", "on", "1", "1e3", "2024-01-01", "~", "a: b", "- x", "#x", "'", '"', "\\", "", " ", "=",
     "{{ x }}", "\x85", "\u2028", "\ufeff", "é", "😀", "null", "a\nb", "\x00", "*a", "&a", "!x"],
)  # fmt: skip
def test_every_text_is_quoted_as_it_has_to_be(text):
    assert yaml.safe_load(f"k: {scalar(text)}") == {"k": text}
    assert yaml.safe_load(f"{{ {scalar(text)}: 1 }}") == {text: 1}


@pytest.mark.parametrize(
    ("text", "same"),
    [("a.csv", True), ("*", True), ("1", True), ("[1]", True), (" 1", True), ("{{ x }}", False),
     ("None", True), ("a{%", False), ("a{#", False), ("", False), ("{a}", True)],
)  # fmt: skip
def test_a_text_into_which_something_would_be_filled_is_known(text, same):
    assert stays_text(text) == same


@pytest.mark.parametrize(
    ("text", "name"),
    [("cairns_gtfs", "cairns_gtfs"), ("Sales 2024.csv", "sales_2024_csv"), ("2024", "feed_2024"),
     ("", "feed"), ("_x_", "x"), ("É", "feed"), ("éa", "a")],
)  # fmt: skip
def test_every_text_gives_a_name_of_a_feed(text, name):
    assert feed_name(text) == name


# Anything that may be a file name in an archive, anything that may be in a field.
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12)
NUMBERS = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False)).map(str)
WHEN = st.one_of(st.dates(), st.datetimes()).map(str)
WORDS = st.text(string.ascii_letters + string.digits + "+-._:/ é", max_size=8)
WILD = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
COLUMNS = st.one_of(
    st.sampled_from(["id", "day", "1", "2024", "on", "a: b", "{{ x }}", "crc32", "", "None"]),
    WORDS.filter(str.strip),
)


@st.composite
def tables(draw, fields):
    names = draw(st.lists(COLUMNS, min_size=2, max_size=5))
    kinds = [draw(st.sampled_from([NUMBERS, WHEN, fields])) for _ in names]
    cells = [draw(st.one_of(st.just(kind), st.just(kind | st.just("")))) for kind in kinds]
    rows = draw(st.lists(st.tuples(*cells), min_size=1, max_size=12))
    out = io.StringIO()
    delimiter = draw(st.sampled_from(",;\t|"))
    quoting = draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
    writer = csv.writer(out, delimiter=delimiter, quoting=quoting)
    writer.writerow(names)
    writer.writerows(rows)
    return out.getvalue().encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])))


def archives(fields):
    # A table under the name of an archive within is quarantined as one that is damaged.
    plain = NAMES.filter(lambda name: not name.lower().endswith(".zip"))
    names = st.one_of(plain, NAMES.map(lambda name: f"{name}.csv"), st.just("d/a_1.csv"))
    return st.dictionaries(names, tables(fields), min_size=1, max_size=3)


@pytest.mark.parametrize("fields", [WORDS, WILD], ids=["words", "anything"])
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_declaration_takes_the_archive_that_it_was_made_of(tmp_path, data, fields):
    members = data.draw(archives(fields))
    path = tmp_path / "sample.zip"
    path.write_bytes(make_zip(members))
    try:
        infer(path)
    except NoMatchingMemberError:
        assert all(not name.endswith(".csv") or _odd(text) for name, text in members.items())


def _odd(text):
    """Whether a table has what may make it none: a column that is ours (`_row`), quotes, or NUL."""
    plain = text.decode("utf-16" if text.startswith(codecs.BOM_UTF16) else "utf-8-sig").lower()
    return any(sign in plain for sign in ("crc32", "_", '"', "\0"))


SEEDS = seeds()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SEEDS), st.integers(0, 2**64))
def test_no_damaged_archive_is_a_surprise(tmp_path, seed, number):
    path = tmp_path / "damaged.zip"
    path.write_bytes(mutate(seed, Random(number), SEEDS))  # noqa: S311 - no secret
    try:
        found = infer_feed(Sample(path, "shop"))
    except RwtError:
        return
    assert Feed.model_validate(yaml.safe_load(found.text)["attributes"]) == found.feed
    assert preview_archive(path, found.feed).failure == ""


def test_values_with_white_space_at_their_ends_get_the_type_of_what_is_between(file):
    path = file(
        {
            "a.csv": 'id, qty,price,day,name,zip\n1, 5," 1.234,56",2024-01-01 , x, 01\n'
            '2, -7," 1,00",2024-01-02,y,02\n3,  ," 2,50",2024-01-03,z,03\n'
        }
    )
    found = infer(path)
    columns = found.feed.members[0].columns
    told = {name: (one.type, one.trim, one.nullable) for name, one in columns.items()}
    assert told == {
        "id": ("integer", None, False),
        " qty": ("integer", True, True),
        "price": ("decimal(18, 2)", True, False),
        "day": ("date", True, False),
        "name": ("string", None, False),
        "zip": ("string", None, False),
    }
    assert found.sample.rows_quarantined == 0
