"""The encoding of a member: found in the same bytes whatever the chunks, and guesses are told."""

from encodings.aliases import aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rwt_assets.feed.feed import Dialect, Limits, MemberRule
from rwt_assets.member.encodings import SAMPLE_BYTES, find_encoding, is_guess, to_utf8
from rwt_assets.orchestration.checks.encoding_check import encoding_check_result
from rwt_assets.shard import member_rows
from rwt_assets.shard.member_rows import MemberRows
from rwt_assets_tests.pure_way import take_member

RULE = MemberRule(include=("*",))


@pytest.mark.parametrize(
    ("encoding", "cities"),
    [
        ("cp1252", ["München", "Köln", "Besançon"]),
        ("cp1251", ["Москва", "Новосибирск"]),
        ("koi8-r", ["Москва", "Санкт-Петербург", "Новосибирск", "Екатеринбург"]),
        ("cp932", ["東京", "大阪", "カタカナ"]),
        ("gb18030", ["北京", "上海"]),
        ("big5", ["臺北", "高雄"]),
        ("euc_jp", ["東京", "大阪", "名古屋"]),
        ("euc_kr", ["서울특별시", "부산"]),
    ],
)
def test_a_code_page_is_guessed_and_the_guess_is_told(encoding, cities):
    data = "".join(["id,city\n", *(f"{n},{city}\n" for n, city in enumerate(cities))])
    taken = take_member(data.encode(encoding), RULE)
    (member,) = taken.manifest.members
    assert [row["city"] for row in taken.rows] == cities
    assert (member.dialect.encoding, member.dialect.encoding_guessed) == (encoding, True)
    declared = RULE.model_copy(update={"dialect": Dialect(encoding=encoding)})
    (member,) = take_member(data.encode(encoding), declared).manifest.members
    assert not member.dialect.encoding_guessed


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "£{}.50",
            "{},50 €",
            "{},50€",
            "{}½",
            "±{}",
            "§ {}",
            "{}\u00d7{}",
            "Ø {} mm",
            "{}º",
            "{} °C",
        ),
        *(
            "{} m²",
            "{} µm",
            "{}\u00a0100,50",
            "{}\u2013{}",
            "• {}",
            "“{}”",
            "{}\u00a0€",
            "¥{}",
            "{}‰",
        ),
    ],
)
def test_signs_beside_numbers_are_those_of_windows_1252(cell):
    data = "".join(["id;x\n", *(f"{n};{cell.replace('{}', str(n))}\n" for n in range(1, 40))])
    assert data.encode("cp1252").decode(find_encoding(data.encode("cp1252"))) == data
    assert find_encoding(data.encode("cp1252")) in ("cp1252", "iso8859-1")


def test_the_euro_sign_of_latin_9_is_one():
    data = "".join(f"{n};{n},50 €\n" for n in range(40))
    assert find_encoding(data.encode("iso8859-15")) == "iso8859-15"


@pytest.mark.parametrize(
    ("encoding", "word"), [("cp932", "ﾄｳｷｮｳ"), ("big5", "臺灣銀行"), ("euc_kr", "가나다")]
)
def test_words_of_east_asia_are_no_signs(encoding, word):
    data = "".join(f"{n},{word}\n" for n in range(20)).encode(encoding)
    assert data.decode(find_encoding(data)).count(word) == 20


@pytest.mark.parametrize("end", ["\x1a", "\r\n\x1a", "\n" + "\x1a" * 127, "\x1a\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
def test_a_ctrl_z_at_the_end_is_no_row_and_no_part_of_a_value(end, encoding):
    taken = take_member(f"id\n1\nMünchen{end}".encode(encoding), RULE)
    (member,) = taken.manifest.members
    assert [row["id"] for row in taken.rows] == ["1", "München"]
    assert (member.lines.physical, member.rows_read, member.rows_quarantined) == (3, 2, 0)


def test_elsewhere_a_ctrl_z_stays():
    taken = take_member(b"id\n\x1a\na\x1ab\n", RULE)
    assert [row["id"] for row in taken.rows] == ["\x1a", "a\x1ab"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_what_says_itself_what_it_is_is_no_guess(encoding):
    (member,) = take_member("a,b\n1,é\n".encode(encoding), RULE).manifest.members
    assert not member.dialect.encoding_guessed


def test_utf8_with_some_other_records_is_utf8_also_if_those_come_first():
    late = "".join(f"{n},München {n}\n" for n in range(20_000)).encode()
    early = b"0,caf\xe9\n" + b"1,plain\n" * 60_000
    taken = take_member(b"id,city\n" + early + late, RULE)
    (member,) = taken.manifest.members
    assert (member.dialect.encoding, member.dialect.encoding_guessed) == ("utf-8", False)
    assert member.rows_by_rule == {"encoding": 1}
    assert taken.rows[-1]["city"] == "München 19999"


def test_a_code_page_that_goes_on_as_one_stays_one():
    data = b"id,city\n0,caf\xe9\n" + b"1,plain\n" * 60_000 + b"2,caf\xe9\n" * 100
    (member,) = take_member(data, RULE).manifest.members
    assert (member.dialect.encoding, member.rows_quarantined) == ("cp1252", 0)


def read(data, sizes):
    rows = MemberRows(RULE, Limits(), where="here", all_fields=True)
    chunks, start = [], 0
    for size in sizes:
        chunks.append(data[start : start + size])
        start += size
    chunks.append(data[start:])
    found = [row for one in rows.batches(chunks) for row in one.fields.to_pylist()]
    return found, rows.dialect, [*rows.rejected]


PIECES = st.sampled_from(
    [
        b"1,a\n",
        "2,é\n".encode(),
        b"3,\xe9\n",
        b"4;b\n",
        b'5,"c\n',
        b"\r\n",
        b"\x1a",
        "6,東\n".encode("cp932"),
    ]
)


@given(st.lists(PIECES, max_size=30), st.lists(st.integers(0, 60), max_size=8))
def test_the_same_bytes_are_read_the_same_whatever_the_chunks(pieces, sizes):
    data = b"a,b\n" + b"".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(member_rows, "SAMPLE_BYTES", 40)
        assert read(data, sizes) == read(data, [])


def test_the_sample_is_the_same_at_its_border():
    data = b"a,b\n" + b"1,x\n" * (SAMPLE_BYTES // 4 - 1) + "2,é\n".encode("cp1252") * 9
    for size in (SAMPLE_BYTES - 1, SAMPLE_BYTES, SAMPLE_BYTES + 20):
        _, dialect, _ = read(data, [size])
        assert dialect.encoding == "utf-8"


@given(st.binary(max_size=300))
def test_any_bytes_have_an_encoding_that_python_reads(data):
    encoding = find_encoding(data)
    assert isinstance(is_guess(encoding, "auto"), bool)
    data.decode(encoding, errors="replace")


def test_the_check_warns_of_a_guess_and_of_nothing_else():
    guessed = encoding_check_result(take_member("a,b\n1,Köln\n".encode("cp1252"), RULE).manifest)
    assert (guessed.passed, guessed.severity.value) == (False, "WARN")
    assert "m.csv: cp1252" in str(guessed.description)
    assert encoding_check_result(take_member("a,b\n1,Köln\n".encode(), RULE).manifest).passed


WESTERN = ["Müller", "Köln", "Groß", "Jürgen", "Öl", "Besançon", "Orléans", "Ærø", "Málaga"]


@given(
    st.lists(st.sampled_from(WESTERN), min_size=1),
    st.sampled_from(["cp1252", "latin-1", "cp850", "mac_roman"]),
)
def test_words_of_the_west_are_words_in_whatever_code_page(words, encoding):
    """At least one of them has a letter that is no letter in the other code pages."""
    words = ["Müller", "Vélo", *words]
    data = "".join(["id,word\n", *(f"{n},{word}\n" for n, word in enumerate(words))])
    taken = take_member(data.encode(encoding), RULE)
    assert [row["word"] for row in taken.rows] == words
    assert taken.manifest.members[0].dialect.encoding_guessed


@pytest.mark.parametrize(
    "text", ["“Hello”", "it\u2019s…", "a\u2013b", "5 €", "Škoda", "20°C", "x²", "Yes™"]
)
def test_marks_of_windows_are_no_letters_of_other_code_pages(text):
    taken = take_member(f"id,word\n1,{text}\n".encode("cp1252"), RULE)
    assert [row["word"] for row in taken.rows] == [text]


@given(st.lists(st.tuples(st.sampled_from(WESTERN), st.booleans()), min_size=1, max_size=12))
def test_rows_of_two_encodings_are_never_all_delivered(rows):
    """What is UTF-8 is hardly ever something else: a tie is UTF-8, and no row is mojibake."""
    lines = [f"1,{word}\n".encode("utf-8" if utf8 else "cp1252") for word, utf8 in rows]
    taken = take_member(b"id,word\n" + b"".join(lines), RULE)
    (member,) = taken.manifest.members
    letters = [sum(not letter.isascii() for letter in word) for word, _ in rows]
    right = sum(many for many, (_, utf8) in zip(letters, rows, strict=True) if utf8)
    kept = right * 2 >= sum(letters)
    assert [row["word"] for row in taken.rows] == [word for word, utf8 in rows if utf8 == kept]
    assert member.rows_by_rule.get("encoding", 0) == sum(utf8 != kept for _, utf8 in rows)


STATES = ["hz", "iso2022_jp", "iso2022_kr", "utf-7", "utf7", "punycode", "idna", "unicode_escape"]


@pytest.mark.parametrize("encoding", [*STATES, "raw_unicode_escape"])
def test_an_encoding_in_which_a_row_changes_those_after_it_is_refused_at_load(encoding):
    with pytest.raises(ValidationError, match="have the members written in UTF-8"):
        Dialect(encoding=encoding)


def test_in_every_encoding_that_is_taken_no_byte_hides_a_line_end():
    taken = []
    for name in sorted({*aliases.values()}):
        try:
            encoding = Dialect(encoding=name).encoding
        except ValidationError:
            continue
        if "\n".encode(encoding) != b"\n":
            continue
        taken.append(encoding)
        for before in (*(bytes([one]) for one in range(256)), b"~{<:", b"\x1b$B", b"+AGE-", b"\\"):
            data = b"1," + before + b"\n2,b\n"
            found = b"".join(to_utf8([data], encoding)).splitlines()
            assert found[-1] == b"2,b", (encoding, before)
    assert len(taken) > 60
