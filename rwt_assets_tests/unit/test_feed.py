import pytest
from pydantic import ValidationError

from rwt_assets.feed import Dialect, Feed

GOOD = {
    "name": "gtfs",
    "source": {"bucket": "incoming", "queue": "q", "prefix": "gtfs/"},
    "target": {"bucket": "results", "prefix": "rwt"},
    "members": [
        {"include": ["*.txt"], "exclude": ["x*"], "split_by": "a", "columns": {"a": {}}},
        {"include": ["*.csv"]},
    ],
}


def changed(path, value):
    """`GOOD` with one thing changed."""
    document = {**GOOD, "members": [dict(rule) for rule in GOOD["members"]]}
    target = document
    for name in path[:-1]:
        target[name] = dict(target[name]) if isinstance(target[name], dict) else target[name]
        target = target[name]
    target[path[-1]] = value
    return document


def test_the_first_rule_that_takes_a_member_applies():
    feed = Feed.model_validate(GOOD)
    assert feed.rule_for("a.txt").split_by == "a"
    assert feed.rule_for("a.csv").split_by is None
    assert feed.rule_for("x.txt") is None
    assert feed.rule_for("A.TXT").split_by == "a"
    assert feed.rule_for("X.TXT") is None
    exact = feed.model_copy(update={"case": "exact"})
    assert exact.rule_for("A.TXT") is None


def test_a_feed_reads_only_below_its_prefix():
    source = Feed.model_validate(GOOD).source
    assert source.names("incoming", "gtfs/a.zip")
    assert not source.names("incoming", "other/a.zip")
    assert not source.names("incoming", "gtfs/a.txt")
    assert not source.names("elsewhere", "gtfs/a.zip")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("name",), "Not Good", "name"),
        (("source", "bucket"), "", "no bucket name"),
        (("target", "bucket"), "Upper", "no bucket name"),
        (("members", 0, "split_by"), "c", "unknown column 'c'; declared are: a"),
        (("members", 0, "key_column"), "c", "unknown column 'c'"),
        (("members", 0, "include"), ["[ab"], "bad pattern"),
        (("members", 0, "include"), [], "include"),
        (("members",), [], "members"),
        (("members", 0, "columns"), {"a": {"pattern": "("}}, "no regular expression"),
        (("members", 0, "columns"), {"a": {"minimum": 1}}, "needs a column of type integer"),
        (("members", 0, "columns"), {"a": {"type": "text"}}, "no type of columns"),
        (("target", "prefix"), "/rwt", "some clients of S3 drop or refuse; write 'rwt'"),
        (("target", "prefix"), "rwt/", "write 'rwt'"),
        (("target", "prefix"), "rwt//shop", "write 'rwt/shop'"),
        (("target", "prefix"), "./rwt/../shop", "write 'rwt/shop'"),
        (("target", "prefix"), "rwt\tshop", "write 'rwtshop'"),
        (("target", "prefix"), "/", "an empty segment"),
        (("source", "prefix"), "in\n/", "a control character, which the notification"),
        (("surprise",), 1, "surprise"),
        (("attempts",), 0, "attempts"),
    ],
)
def test_a_wrong_declaration_is_refused_with_the_reason(path, value, says):
    with pytest.raises(ValidationError, match=says):
        Feed.model_validate(changed(path, value))


@pytest.mark.parametrize("prefix", ["/in/", "a//b", "../", "in +%/", "zürich/"])
def test_a_source_may_have_any_prefix_that_keys_may_have(prefix):
    assert Feed.model_validate(changed(("source", "prefix"), prefix)).source.prefix == prefix


def test_results_must_not_be_read_as_archives():
    document = {**GOOD, "target": {"bucket": "incoming", "prefix": "gtfs/results"}}
    with pytest.raises(ValidationError, match="would be read as archives"):
        Feed.model_validate(document)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"escape": '"'}, "declare quote as well"),
        ({"comment": "'"}, "declare quote as well"),
        ({"delimiter": '"'}, "declare quote as well"),
        ({"comment": ","}, "declare delimiter as well"),
        ({"quote": ";", "delimiter": ";"}, "must differ"),
        ({"delimiter": "ab"}, "no single ASCII character"),
        ({"delimiter": "a"}, "no delimiter"),
        ({"delimiter": "none"}, "no delimiter"),
        ({"encoding": "klingon"}, "no text encoding"),
        ({"encoding": "base64"}, "no text encoding"),
    ],
)
def test_a_dialect_that_cannot_be_is_refused(settings, says):
    with pytest.raises(ValidationError, match=says):
        Dialect.model_validate(settings)
