"""A local time is the instant that zoneinfo makes of it: in every zone, in every year."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rwt_assets.values.column_types import notation_of, read_texts
from rwt_assets.values.local_times import as_instants, check_zone

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times have no zone of their own
MICROSECOND = timedelta(microseconds=1)
ZONES = st.sampled_from(sorted(available_timezones()))
CLOCKS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999))  # noqa: DTZ001


def of_zoneinfo(local, zone):
    """The instant, or None if the zone skips the time or has it twice."""
    kept = ZoneInfo(zone)
    first, second = (local.replace(tzinfo=kept, fold=fold).utcoffset() for fold in (0, 1))
    return (local - EPOCH - first) // MICROSECOND if first == second else None


def made_of(clocks, zone):
    numbers = [None if one is None else (one - EPOCH) // MICROSECOND for one in clocks]
    values, odd = as_instants(pa.array(numbers, pa.int64()), zone)
    return [None if strange else one for one, strange in zip(values.to_pylist(), odd, strict=True)]


def around_changes(zone, year):
    """Local times at both sides of every change of a zone's offset in a year."""
    kept, hour = ZoneInfo(zone), timedelta(hours=1)
    hours = [datetime(year, 1, 1, tzinfo=UTC) + number * hour for number in range(365 * 24)]
    offsets = [one.astimezone(kept).utcoffset() for one in hours]
    for number in range(1, len(hours)):
        if offsets[number] != offsets[number - 1]:
            for minutes in range(-180, 181, 15):
                at = hours[number] + offsets[number] + timedelta(minutes=minutes)
                yield at.replace(tzinfo=None)


@example([datetime(2038, 7, 1, 12)], "Europe/Berlin")  # noqa: DTZ001
@example([datetime(2038, 3, 28, 2, 30)], "Europe/Berlin")  # noqa: DTZ001
@example([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59)], "Pacific/Kiritimati")  # noqa: DTZ001
@example([datetime(1883, 11, 18, 12, 1)], "America/New_York")  # noqa: DTZ001
@given(st.lists(CLOCKS | st.none(), max_size=6), ZONES)
def test_any_local_time_is_the_instant_that_zoneinfo_has(clocks, zone):
    expected = [None if one is None else of_zoneinfo(one, zone) for one in clocks]
    assert made_of(clocks, zone) == expected


@example("Europe/Berlin", 2038)
@example("Europe/Berlin", 2100)
@example("America/New_York", 9998)
@example("Africa/Casablanca", 2050)
@example("Australia/Lord_Howe", 2400)
@given(ZONES, st.sampled_from([1890, 1916, 1941, 1980, 2011, 2037, 2038, 2060, 2088, 4000]))
def test_what_a_zone_skips_or_has_twice_is_known_in_any_year(zone, year):
    clocks = [*around_changes(zone, year)]
    assert made_of(clocks, zone) == [of_zoneinfo(one, zone) for one in clocks]


def test_summer_does_not_end_in_2037():
    texts = ["2037-07-01 12:00", "2038-07-01 12:00", "2550-07-01 12:00", "2038-03-28 02:30"]
    notation = notation_of("timestamp", {"timezone": "Europe/Berlin"})
    values, faults = read_texts(pa.array(texts), "timestamp", notation)
    assert [one and one.hour for one in values.to_pylist()] == [10, 10, 10, None]
    assert "skips or has twice" in faults[0][1]


@pytest.mark.parametrize("name", ["", "Europe", "Europe/Nowhere", "../etc/passwd", "\0", "x" * 999])
def test_what_is_no_zone_is_refused(name):
    with pytest.raises(ValueError, match="no time zone"):
        check_zone(name)
