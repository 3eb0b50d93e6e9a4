"""Names that are the same to people are the same to a feed, unless it says `case: exact`."""

import unicodedata
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rwt_assets.aws.provisioning import announces
from rwt_assets.feed.feed import Feed, MemberRule, Source
from rwt_assets.text.same_names import (
    EXACT,
    ends_with,
    folded,
    matches,
    spelled,
    spelled_apart,
    without_slips,
)

COMPOSED, DECOMPOSED = "données.csv", unicodedata.normalize("NFD", "données.csv")


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("STOP_TIMES.TXT", "stop_times.txt"),
        ("A.CSV", "*.csv"),
        ("a.csv", "[A-Z].CSV"),
        (DECOMPOSED, COMPOSED),
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED.upper(), "donn?es.*"),
    ],
)
def test_case_and_form_make_no_difference_but_where_exact(name, pattern):
    assert matches(name, pattern)
    assert not matches(name, pattern, EXACT)


def test_other_names_stay_others():
    assert not matches("donnees.csv", COMPOSED)
    assert not matches("a.csv", "*.txt")
    assert not matches("a.csv.bak", "*.csv")


@given(st.text("aAéÉ*?[]!-.\u0301/", max_size=8), st.text("aAéÉ\u0301./-", max_size=8))
def test_exact_is_what_fnmatch_says_and_the_rest_takes_more(pattern, name):
    exact = matches(name, pattern, EXACT)
    assert exact == fnmatchcase(name, pattern)
    if exact and "[" not in pattern and unicodedata.is_normalized("NFC", name + pattern):
        assert matches(name, pattern)


@given(st.text(max_size=12))
def test_a_name_in_any_form_is_itself(name):
    for form in ("NFC", "NFD"):
        assert folded(unicodedata.normalize(form, name)) == folded(name)
        assert ends_with(unicodedata.normalize(form, name), name)


def test_names_that_look_the_same_are_told_apart_by_code_points():
    assert spelled(COMPOSED) == "'données.csv'"
    assert spelled(DECOMPOSED).endswith("(e U+0301)")
    assert spelled_apart(COMPOSED, [DECOMPOSED]).endswith("(U+00E9)")
    assert spelled_apart(DECOMPOSED, [COMPOSED]).endswith("(U+0301)")
    assert spelled_apart("a.csv", ["b.csv"]) == "'a.csv'"


def feed(**settings):
    return Feed.model_validate(
        {
            "name": "sales",
            "source": {"bucket": "incoming", "queue": "q", "prefix": "in/"},
            "target": {"bucket": "results", "prefix": "out"},
            "members": [{"include": ["*.csv"]}],
            **settings,
        }
    )


def test_an_archive_is_one_whatever_the_case_of_its_suffix():
    assert feed().reads("incoming", "in/MAY.ZIP")
    assert feed().reads("incoming", "in/May.Zip")
    assert not feed().reads("incoming", "IN/may.zip")  # S3 lists prefixes as they are written
    assert not feed(case="exact").reads("incoming", "in/MAY.ZIP")


def test_feeds_whose_suffixes_differ_by_case_read_the_same():
    upper = {"source": {"bucket": "incoming", "queue": "q", "prefix": "in/", "suffix": ".ZIP"}}
    assert feed().shares_archives_with(feed(**upper))
    assert feed(case="exact").shares_archives_with(feed(**upper))
    assert not feed(case="exact").shares_archives_with(feed(**upper, case="exact"))
    assert isinstance(feed().source, Source)


@pytest.mark.parametrize(("case", "suffix", "enough"), [
    ("insensitive", ".zip", False), ("insensitive", "", True), ("exact", ".zip", True),
    ("exact", "zip", True), ("exact", ".ZIP", False),
])  # fmt: skip
def test_a_notification_of_s3_for_one_case_does_not_announce_the_others(case, suffix, enough):
    filters = [{"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": suffix}]
    rule = {
        "QueueArn": "arn",
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": filters}},
    }
    assert announces(rule, feed(case=case), "arn") == enough


def test_a_rule_may_look_at_the_name_behind_the_folders():
    by_path = MemberRule(include=("stop_times.txt",))
    by_name = MemberRule(include=("stop_times.txt",), match="name")
    assert by_name.takes("timetable/stop_times.txt")
    assert by_name.takes("stop_times.txt")
    assert not by_path.takes("timetable/stop_times.txt")
    assert by_path.takes_in_a_folder("timetable/STOP_TIMES.TXT")
    assert not by_path.takes_in_a_folder("stop_times.txt")
    assert not MemberRule(include=("*.txt",)).takes_in_a_folder("a/b.txt")  # it takes it as it is


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("a.csv", "a.csv"),
        ("may/a b.csv", "may/a b.csv"),
        ("may\\a.csv", "may/a.csv"),
        (" may /a.csv\u00a0", "may/a.csv"),
        ("a .csv", "a.csv"),
        ("\ufeffa\u200b.csv", "a.csv"),
        ("d\u00e9cembre.csv", "d\u00e9cembre.csv"),
    ],
)
def test_a_name_is_meant_without_its_slips(name, meant):
    assert without_slips(name) == meant
    assert without_slips(meant) == meant
