import pytest

from rwt_assets.orchestration.steps.freshness import Freshness

NOON = 1_767_268_800.0


@pytest.mark.parametrize(
    ("newest", "fresh"), [(NOON, True), (NOON - 7_200, True), (NOON - 7_201, False), (None, False)]
)
def test_a_feed_is_fresh_as_long_as_the_newest_archive_is_young_enough(newest, fresh):
    assert Freshness(newest, NOON, 2).fresh is fresh


def test_what_is_told_names_the_time_and_what_is_expected():
    assert str(Freshness(NOON - 9_000, NOON, 2)) == (
        "The newest archive arrived at 2026-01-01 09:30:00 UTC, 2.5 hours ago; one is expected "
        "every 2 hours."
    )
    assert str(Freshness(None, NOON, 0.5)).startswith("No archive has ever arrived")
