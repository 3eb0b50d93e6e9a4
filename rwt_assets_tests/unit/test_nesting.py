import tempfile
from dataclasses import dataclass
from random import Random

import pytest
from pydantic import SecretStr

from rwt_assets.archive import kinds, nesting
from rwt_assets.archive.members import Kind, Member
from rwt_assets.archive.nesting import NO_RULE, NOTHING_WITHIN, TOO_DEEP, open_archive
from rwt_assets.feed.feed import Feed, MemberRule
from rwt_assets.runtime.errors import (
    ArchiveMissingError,
    LimitError,
    MemberCorruptError,
    MemberInFolderError,
    MemberPasswordError,
    NotAZipError,
)
from rwt_assets_tests.odd_archives import DEFLATE, STORED, Entry, Ranges, archive

CSV = b"a,b\n1,2\n"
GOOD = Entry("good.csv", CSV)


def feed(include=("*.csv",), **limits):
    return Feed.model_validate(
        {
            "name": "walk",
            "source": {"bucket": "incoming", "queue": "walk"},
            "target": {"bucket": "results", "prefix": "walk"},
            "members": [{"include": include}],
            "limits": limits,
        }
    )


def walk(body, of=None, key=None):
    """What becomes of each entry: content, error or reason."""
    of = of or feed()
    source = body if isinstance(body, Ranges) else Ranges(body)
    outcomes = {}
    for found in open_archive(source, of, "here", key):
        member = found.member
        assert member.name not in outcomes
        if found.rule is not None:
            outcomes[member.name] = b"".join(found.chunks("here"))
        else:
            outcomes[member.name] = found.broken or found.ignored
    return outcomes


def ruled(*rules, **settings):
    return feed().model_copy(
        update={"members": tuple(MemberRule(**one) for one in rules), **settings}
    )


TIMES, ALL = {"include": ("stop_times.txt",)}, {"include": ("*.txt",)}


@pytest.mark.parametrize("rules", [(TIMES,), (TIMES, ALL)], ids=len)
@pytest.mark.parametrize("name", ["may/stop_times.txt", "a/b/STOP_TIMES.TXT"])
def test_a_member_that_a_rule_names_is_not_taken_by_another_or_left_for_its_folder(rules, name):
    body = archive([Entry(name, CSV), Entry("may/stops.txt", CSV)])
    error = walk(body, ruled(*rules))[name]
    assert isinstance(error, MemberInFolderError)
    assert "match: name" in str(error)
    by_name = {**TIMES, "match": "name"}
    assert walk(body, ruled(by_name, *rules[1:]))[name] == CSV


def test_a_folder_beside_what_a_rule_takes_is_no_mistake():
    body = archive([Entry("old/stop_times.txt", b"old"), Entry("stop_times.txt", CSV)])
    assert walk(body, ruled(TIMES))["old/stop_times.txt"] == NO_RULE
    assert walk(body, ruled(TIMES, ALL))["old/stop_times.txt"] == b"old"


@pytest.mark.parametrize(
    "name",
    ["stop_times.txt ", " stop_times.txt", "stop_times\u00a0.txt", "\ufeffstop_times.txt",
     "stop_\u200btimes.txt", "may\\stop_times.txt"],
)  # fmt: skip
def test_a_slip_in_a_name_leaves_no_member_out(name):
    body = archive([Entry(name, CSV, system=3), Entry("stops.txt", CSV)])
    error = walk(body, ruled(TIMES, {"include": ("stops.txt",)}))[name]
    assert isinstance(error, MemberInFolderError)
    assert "stop_times.txt" in str(error)
    assert ascii(name)[1:-1] in str(error)
    both = archive([Entry(name, CSV, system=3), Entry("stop_times.txt", CSV)])
    assert walk(both, ruled(TIMES))[name] == NO_RULE


def test_a_rule_before_and_an_exclude_settle_what_is_in_a_folder():
    body = archive([Entry("old/stop_times.txt", CSV)])
    assert walk(body, ruled(ALL, TIMES)) == {"old/stop_times.txt": CSV}
    assert walk(body, ruled({**TIMES, "exclude": ("old/*",)})) == {"old/stop_times.txt": NO_RULE}


def test_an_archive_within_is_a_folder_too():
    body = archive([Entry("in.zip", archive([Entry("stop_times.txt", CSV)]))])
    error = walk(body, ruled(TIMES, ALL))["in.zip/stop_times.txt"]
    assert isinstance(error, MemberInFolderError)
    beside = archive(
        [Entry("in.zip", archive([Entry("stop_times.txt", CSV)])), Entry("stop_times.txt", CSV)]
    )
    assert walk(beside, ruled(TIMES))["in.zip/stop_times.txt"] == NO_RULE


@pytest.mark.parametrize("method", [STORED, DEFLATE, 93])
def test_an_archive_within_is_opened_and_its_members_have_both_names(method):
    inner = archive([Entry("in.csv", CSV), Entry("readme.md")])
    body = archive([Entry("f/Out.ZIP", inner, method), GOOD])
    assert walk(body) == {
        "f/Out.ZIP/in.csv": CSV,
        "f/Out.ZIP/readme.md": NO_RULE,
        "good.csv": CSV,
    }


def test_what_is_only_stored_is_read_in_place(monkeypatch):
    monkeypatch.setattr(nesting, "TemporaryFile", None)
    padding = Entry("padding.bin", Random(1).randbytes(200_000), STORED)  # noqa: S311 - no secret
    inner = archive([Entry("in.csv", CSV), padding])
    source = Ranges(archive([Entry("out.zip", inner, STORED)]))
    assert walk(source)["out.zip/in.csv"] == CSV
    assert (source.reads, source.streams) == (3, 1), "directory, local header, directory; member"


def test_the_temporary_file_has_no_name_and_is_closed_after_its_members(monkeypatch):
    opened = []

    def open_file():
        opened.append(tempfile.TemporaryFile())  # noqa: SIM115 - the walk closes it
        return opened[-1]

    monkeypatch.setattr(nesting, "TemporaryFile", open_file)
    inner = archive([Entry("in.csv", CSV)])
    body = archive([Entry("1.zip", inner), Entry("2.zip", inner)])
    entries = open_archive(Ranges(body), feed(), "here")
    next(entries)
    assert [file.closed for file in opened] == [False]
    next(entries)
    assert [file.closed for file in opened] == [True, False]
    entries.close()
    assert [file.closed for file in opened] == [True, True], "a walk that is given up"


def test_an_encrypted_archive_within_is_opened_with_the_password():
    inner = archive([Entry("in.csv", CSV, password="key", aes=3)])  # noqa: S106
    body = archive([Entry("out.zip", inner, STORED, password="key"), GOOD])  # noqa: S106
    assert walk(body, key=SecretStr("key")) == {"out.zip/in.csv": CSV, "good.csv": CSV}
    assert isinstance(walk(body)["out.zip"], MemberPasswordError)


def test_a_rule_that_takes_an_archive_within_takes_it_as_it_is():
    body = archive([Entry("out.zip", CSV)])
    assert walk(body, feed(["*"])) == {"out.zip": CSV}


def test_what_is_nested_deeper_than_the_limit_is_ignored_with_the_reason():
    body = archive([Entry("3.csv", CSV)])
    for name in ("2.zip", "1.zip", "0.zip"):
        body = archive([Entry(name, body), GOOD])
    assert walk(body, feed(nesting=0)) == {"0.zip": TOO_DEEP, "good.csv": CSV}
    assert walk(body, feed(nesting=2)) == {
        "0.zip/1.zip/2.zip": TOO_DEEP,
        "0.zip/1.zip/good.csv": CSV,
        "0.zip/good.csv": CSV,
        "good.csv": CSV,
    }
    assert walk(body, feed(nesting=3))["0.zip/1.zip/2.zip/3.csv"] == CSV


def test_an_archive_within_that_has_nothing_to_take_is_ignored():
    inner = archive([Entry("readme.md")])
    outcomes = walk(archive([Entry("out.zip", inner), GOOD]))
    assert outcomes["out.zip"] == NOTHING_WITHIN


@pytest.mark.parametrize("method", [STORED, DEFLATE])
@pytest.mark.parametrize("inner", [b"", b"no zip", archive([GOOD])[:-30]])
def test_a_broken_archive_within_is_one_broken_member(inner, method):
    outcomes = walk(archive([Entry("out.zip", inner, method), GOOD]))
    error = outcomes.pop("out.zip")
    assert isinstance(error, MemberCorruptError)
    assert "'out.zip' within cannot be read: the object is no readable ZIP" in str(error)
    assert outcomes == {"good.csv": CSV}


def test_a_link_to_an_archive_is_none():
    outcomes = walk(archive([Entry("out.zip", b"other.zip", mode=0o120777), GOOD]))
    assert outcomes == {"out.zip": NO_RULE, "good.csv": CSV}


def test_a_damaged_archive_within_is_told():
    inner = archive([Entry("in.csv", CSV)])
    outcomes = walk(archive([Entry("out.zip", inner, crc=1), GOOD]))
    assert isinstance(outcomes["out.zip"], MemberCorruptError)
    outcomes = walk(archive([Entry("out.zip", inner, STORED, local_name=b"in.zip"), GOOD]))
    assert "another name" in str(outcomes["out.zip"])


def test_that_the_archive_itself_is_gone_is_no_fault_of_what_is_within():
    class Gone(Ranges):
        def read(self, start, end):
            if self.reads:
                raise ArchiveMissingError("gone")
            return super().read(start, end)

    inner = archive([Entry("in.csv", CSV)])
    with pytest.raises(ArchiveMissingError):
        walk(Gone(archive([Entry("out.zip", inner, STORED)])))


@pytest.mark.parametrize(
    ("limits", "says"),
    [({"members": 5}, "limits.members"), ({"archive_bytes": 3000}, "limits.archive_bytes")],
)
def test_limits_are_counted_over_all_levels_together(limits, says):
    inner = archive([Entry(f"{number}.csv", bytes(200)) for number in range(2)])
    body = archive([Entry("1.zip", inner), Entry("2.zip", inner), GOOD])
    size = 2 * len(inner) + len(CSV) + 3 * 400
    limits = {"archive_bytes": size - 401} if "archive_bytes" in limits else limits
    outcomes = walk(body, feed(**limits))
    error = outcomes.pop("2.zip")
    assert isinstance(error, LimitError)
    assert says in str(error)
    assert sorted(outcomes) == ["1.zip/0.csv", "1.zip/1.csv", "good.csv"]


def test_the_ratio_is_counted_against_the_outermost_archive():
    inner = archive([Entry("in.csv", bytes(3 << 20), STORED)])
    packed = archive([Entry(f"{number}.zip", inner) for number in range(2)])
    assert len(packed) < 30_000
    of = feed(ratio=300, nesting=2)
    with pytest.raises(LimitError, match=r"limits\.ratio"):
        walk(packed, of)


def test_names_that_meet_across_levels_stay_distinct():
    inner = archive([Entry("a.csv", b"inner\n")])
    body = archive([Entry("x.zip", inner), Entry("x.zip", inner), Entry("x.zip/a.csv", b"outer\n")])
    assert walk(body) == {
        "x.zip/a.csv": b"inner\n",
        "x.zip~2/a.csv": b"inner\n",
        "x.zip/a.csv~2": b"outer\n",
    }


def test_rules_match_the_names_that_the_archive_says():
    inner = archive([Entry("a.csv", b"1\n"), Entry("a.csv", b"2\n")])
    body = archive([Entry("x.zip", inner), Entry("x.zip", inner)])
    assert list(walk(body, feed(["x.zip/a.csv"])).values()) == [b"1\n", b"2\n", b"1\n", b"2\n"]


def test_a_name_is_too_long_with_those_of_all_archives_around_it():
    inner = archive([Entry("i" * 60 + ".csv", CSV)])
    body = archive([Entry("o" * 60 + ".zip", inner)])
    with pytest.raises(LimitError, match=r"limits\.name_bytes of the feed is 100"):
        walk(body, feed(name_bytes=100))


def test_the_archive_itself_must_be_one():
    with pytest.raises(NotAZipError):
        walk(b"no zip")


def test_another_kind_of_archive_is_one_line_of_the_registry(monkeypatch):
    lines = Kind(".lines", lambda source: source.read(0, 5) == b"LINES", open_lines)
    monkeypatch.setattr(kinds, "KINDS", (lines, *kinds.KINDS))
    monkeypatch.setattr(nesting, "SUFFIXES", (".lines", *kinds.SUFFIXES))
    assert walk(b"LINES first second") == {"first.csv": b"first", "second.csv": b"second"}
    body = archive([Entry("in.LINES", b"LINES only"), GOOD])
    assert walk(body) == {"in.LINES/only.csv": b"only", "good.csv": CSV}
    body = archive([Entry("in.lines", CSV)])
    assert isinstance(walk(body)["in.lines"], MemberCorruptError), "by its content alone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Member):
    content: bytes


def open_lines(source, where, opening):
    return Lines([
        Line(name=name, stored_name=name, compressed_bytes=len(word), uncompressed_bytes=len(word),
             crc32=0, content=word)
        for word in source.read(0, source.size).split()[1:]
        for name in [f"{word.decode()}.csv"]
    ])  # fmt: skip


class Lines:
    def __init__(self, members):
        self.members = members

    def chunks(self, member, where):
        yield member.content

    def in_place(self, member, where):
        return None
