from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from rwt_assets.feed.feed import Dialect, Feed, Limits

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


NUMBERS = {
    ("keep_former_hours",): float,
    ("expected_every_hours",): float,
    ("retire", "after_days"): float,
    ("volume", "rows_to"): float,
    ("volume", "at_least"): int,
    ("attempts",): int,
    ("shards_per_run",): int,
    ("archives_in_work",): int,
    ("tolerance", "rows"): int,
    ("tolerance", "members"): int,
    ("members", 0, "min_rows"): int,
    ("members", 0, "max_rows"): int,
    ("members", 0, "dialect", "skip_lines"): int,
    **{("limits", name): int for name in Limits.model_fields},
}


def loaded(places):
    document = {**GOOD, "members": [dict(GOOD["members"][0]), GOOD["members"][1]]}
    for path, value in places.items():
        place = document
        for name in path[:-1]:
            place = place[name] if isinstance(place, list) else place.setdefault(name, {})
        place[path[-1]] = value
    return Feed.model_validate(document)


@given(
    place=st.sampled_from(list(NUMBERS)),
    value=st.one_of(
        st.floats(), st.integers(), st.sampled_from([10**k for k in range(30)] + [float("inf")])
    ),
)
def test_a_number_is_in_its_bounds_or_refused_with_its_name(place, value):
    refused: set[tuple[str | int, ...]] = set()
    try:
        feed = loaded({place: value})
    except ValidationError as error:
        refused = {fault["loc"][: len(place)] for fault in error.errors()}
    if refused:
        assert refused == {place}
        return
    for name in place:
        feed = feed[name] if isinstance(name, int) else getattr(feed, name)
    assert feed == value
    assert 0 <= feed <= 2**50
    # What times are counted with.
    now = datetime.now(UTC)
    if "hours" in place[-1] or "days" in place[-1]:
        kept = timedelta(hours=feed) if "hours" in place[-1] else timedelta(days=feed)
        assert now - kept < now + kept or not feed


def test_every_number_of_a_feed_has_a_bound():
    """A new setting is held to it: `ge` or `gt`, and `le` or `lt`."""
    seen, unbound = set(), []

    def walk(model, path):
        for name, field in model.model_fields.items():
            inner = [field.annotation, *get_args(field.annotation)]
            inner += [one for part in inner for one in get_args(part)]
            for kind in inner:
                if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen:
                    seen.add(kind)
                    walk(kind, f"{path}{name}.")
            told = str(field.metadata) + str(field.annotation)
            if {int, float} & {*inner} and not ("Le(" in told or "Lt(" in told):
                unbound.append(path + name)

    walk(Feed, "")
    assert len(seen) > 8
    # These are bounds of a column's values themselves.
    assert unbound == ["members.columns.minimum", "members.columns.maximum"]


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
