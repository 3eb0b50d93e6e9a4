"""Texts of a column as dates, times and timestamps, each by itself.

What belongs here: the notation of ISO 8601, formats as Python's `strptime` has them, time zones.
What does not: numbers (`number_texts.py`), the offsets of time zones (`local_times.py`) and which
column is read how (`column_types.py`). Rules: Python documentation, "strftime() and strptime()
Format Codes"; ISO 8601.

Readers are as those of `number_texts.py`: total, and value by value. Days are those of the
Gregorian calendar from the year 1 to 9999, in UTC for timestamps, since neither Python nor most
databases have others; a minute has 60 seconds, also where it had a leap second.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.values.local_times import as_instants
from rwt_assets.values.number_texts import Faults, bytes_of

ISO: Final = "iso"
UTC: Final = "UTC"
DATE, TIME, TIMESTAMP = "date", "time", "timestamp"
MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
PIVOT: Final = 69  # %y from here on is 19.. (POSIX, `strptime`)
DAY_MICROSECONDS: Final = 86_400_000_000
FIRST_DAY: Final = -719_162  # 0001-01-01
LAST_DAY: Final = 2_932_896  # 9999-12-31
# For each directive the field that it gives, and the least and greatest number of digits.
NUMBERED: Final[dict[str, tuple[str, int, int]]] = {
    "Y": ("year", 4, 4),
    "y": ("short_year", 2, 2),
    "m": ("month", 1, 2),
    "d": ("day", 1, 2),
    "H": ("hour", 1, 2),
    "I": ("half_hour", 1, 2),
    "M": ("minute", 1, 2),
    "S": ("second", 1, 2),
    "f": ("fraction", 1, 6),
}
NAMED: Final[dict[str, tuple[str, str]]] = {
    "b": ("month_name", "|".join(month[:3] for month in MONTHS)),
    "B": ("month_name", "|".join(MONTHS)),
    "a": ("weekday", "|".join(day[:3] for day in WEEKDAYS)),
    "A": ("weekday", "|".join(WEEKDAYS)),
    "p": ("half", "am|pm"),
    "z": ("zone", "z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9]"),
}
DIRECTIVES: Final = ", ".join(f"%{one}" for one in (*NUMBERED, *NAMED, "%"))
ISO_TIME: Final = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?"
ISO_TIMESTAMP: Final = (
    f"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]{ISO_TIME}(Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?$"
)
AMBIGUOUS: Final = "is ambiguous: the formats of the column give different values for it"
NO_SUCH_LOCAL_TIME: Final = "is a time that the zone {} skips or has twice"
BEYOND_YEARS: Final = "is not within the years 1 to 9999 in UTC"


@dataclass(frozen=True, slots=True)
class CalendarFormat:
    """A format that texts are read by.

    `gives` is what it makes: a date, a time, or a timestamp. `shape` is a regular expression
    (RE2) with a group for each field; `places` has the fields at fixed places of a text of `width`
    characters in which every number has all of its digits, if there is such a text.
    """

    text: str
    gives: str
    shape: str
    fields: tuple[str, ...]
    width: int = 0
    places: tuple[tuple[str, int, int], ...] = ()
    literals: tuple[tuple[int, int], ...] = ()


@cache
def calendar_format(text: str) -> CalendarFormat:
    """A format of `strptime`, understood.

    Raises:
        ValueError: an unknown directive, one that is there twice, or too few for a date or time.
    """
    if text == ISO:
        return CalendarFormat(ISO, ISO, "", ())
    pieces = re.findall(r"%.?|[^%]", text, re.DOTALL)
    fields: list[str] = []
    shape, width, fixed = "", 0, True
    places: list[tuple[str, int, int]] = []
    literals: list[tuple[int, int]] = []
    for number, piece in enumerate(pieces):
        code = piece[1:] if piece.startswith("%") else ""
        if not code or code == "%":
            if piece == "%":
                raise ValueError(f"the format {text!r} ends in a single %")
            character = code or piece
            shape += f"\\x{{{ord(character):x}}}"
            literals.append((width, ord(character)))
            width, fixed = width + 1, fixed and character.isascii()
        elif code in NUMBERED:
            field, least, most = NUMBERED[code]
            # Between digits it must be clear where a number ends.
            least = most if _digits_beside(pieces, number) else least
            shape += f"(?P<{field}>[0-9]{{{least},{most}}})"
            places.append((field, width, most))
            fields.append(field)
            width += most
        elif code in NAMED:
            field, words = NAMED[code]
            shape += f"(?P<{field}>(?i:{words}))"
            fields.append(field)
            fixed = False
        else:
            raise ValueError(f"the format {text!r} has %{code}; known are {DIRECTIVES}")
    if len({*fields}) < len(fields):
        raise ValueError(f"the format {text!r} says something twice")
    gives = _gives(text, {*fields})
    if not fixed:
        return CalendarFormat(text, gives, f"^{shape}$", tuple(fields))
    return CalendarFormat(
        text, gives, f"^{shape}$", tuple(fields), width, tuple(places), tuple(literals)
    )


def _digits_beside(pieces: Sequence[str], number: int) -> bool:
    beside = (*pieces[max(0, number - 1) : number], *pieces[number + 1 : number + 2])
    return any(one.isdigit() or one[1:] in NUMBERED for one in beside)


def _gives(text: str, fields: set[str]) -> str:
    years = {"year", "short_year"} & fields
    months = {"month", "month_name"} & fields
    hours = {"hour", "half_hour"} & fields
    dated = bool(years or months or "day" in fields)
    timed = bool(hours or {"minute", "second", "fraction", "half", "zone"} & fields)
    if dated and not (len(years) == len(months) == 1 and "day" in fields):
        raise ValueError(f"the format {text!r} needs one year, one month and one day")
    needs = [("second", "minute"), ("fraction", "second"), ("minute", "hour or half_hour")]
    if timed and (
        len(hours) != 1
        or ("half_hour" in fields) != ("half" in fields)
        or any(one in fields and not {*whole.split(" or ")} & fields for one, whole in needs)
    ):
        raise ValueError(
            f"the format {text!r} needs %H, or %I and %p, and before each part of a time the larger"
        )
    if timed and not dated and "zone" in fields:
        raise ValueError(f"the format {text!r} has a zone and no day, so it is no time")
    if not (dated or timed):
        raise ValueError(f"the format {text!r} gives neither a day nor a time")
    return TIMESTAMP if dated and timed else DATE if dated else TIME


def dates(texts: Any, formats: Sequence[str]) -> tuple[Any, Faults]:
    """Texts as days."""
    days, faults = _by_formats(texts, formats or (ISO,), DATE)
    return days.cast(pa.int32()).cast(pa.date32()), faults


def times(texts: Any, formats: Sequence[str]) -> tuple[Any, Faults]:
    """Texts as times of a day, to the microsecond."""
    found, faults = _by_formats(texts, formats or (ISO,), TIME)
    return found.cast(pa.time64("us")), faults


def timestamps(texts: Any, formats: Sequence[str], zone: str) -> tuple[Any, Faults]:
    """Texts as instants in UTC, to the microsecond; those without a zone are local times."""
    made: list[tuple[Any, Any]] = []
    if not formats or ISO in formats:
        made.append(_iso_timestamps(texts))
    made += [_as_timestamps(texts, calendar_format(one)) for one in formats if one != ISO]
    local, instant = (_first([each[place] for each in made]) for place in (0, 1))
    differ = _differ([each[0] for each in made]) | _differ([each[1] for each in made])
    differ |= np.asarray(pc.and_(pc.is_valid(local), pc.is_valid(instant)))
    placed, odd = _in_zone(local, zone)
    value = pc.coalesce(instant, placed)
    outside = pc.or_(
        pc.less(value, FIRST_DAY * DAY_MICROSECONDS),
        pc.greater_equal(value, (LAST_DAY + 1) * DAY_MICROSECONDS),
    )
    outside = np.asarray(pc.fill_null(outside, fill_value=False))
    if (bad := differ | odd | outside).any():
        value = pc.if_else(pa.array(bad), None, value)
    return value.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz=UTC)), [
        (differ, AMBIGUOUS),
        (odd, NO_SUCH_LOCAL_TIME.format(zone)),
        (outside, BEYOND_YEARS),
    ]


def _as_timestamps(texts: Any, one: CalendarFormat) -> tuple[Any, Any]:
    local, instant = _by_format(texts, one)
    return (pc.multiply(local, DAY_MICROSECONDS) if one.gives == DATE else local), instant


def _by_formats(texts: Any, formats: Sequence[str], kind: str) -> tuple[Any, Faults]:
    """Days or microseconds of a day, as the formats have them; what differs is ambiguous."""
    found: list[Any] = []
    for one in formats:
        if one == ISO:
            found += _iso_days(texts) if kind == DATE else [_iso_times(texts)]
        else:
            found.append(_by_format(texts, calendar_format(one))[0])
    differ = _differ(found)
    value = _first(found)
    if differ.any():
        value = pc.if_else(pa.array(differ), None, value)
    return value, [(differ, AMBIGUOUS)]


def _first(found: Sequence[Any]) -> Any:
    return found[0] if len(found) == 1 else pc.coalesce(*found)


def _differ(found: Sequence[Any]) -> np.ndarray:
    """Where two readings are there and differ."""
    differ = np.zeros(len(found[0]), np.bool_)
    if len(found) > 1:
        least, greatest = pc.min_element_wise(*found), pc.max_element_wise(*found)
        differ |= np.asarray(pc.fill_null(pc.not_equal(least, greatest), fill_value=False))
    return differ


def _iso_days(texts: Any) -> list[Any]:
    """Days written as 2024-02-29, and as 20240229."""
    dashed, fitting = _by_places(texts, calendar_format("%Y-%m-%d"))
    if fitting.sum() == len(texts) - texts.null_count:
        return [dashed]
    return [dashed, _by_places(texts, calendar_format("%Y%m%d"))[0]]


def _iso_times(texts: Any) -> Any:
    """Times written as 10:30, 10:30:59 or 10:30:59.123456."""
    shaped = pc.match_substring_regex(texts, f"^{ISO_TIME}$")
    candidate = pc.if_else(pc.fill_null(shaped, fill_value=False), texts, None)
    whole = pc.binary_join_element_wise("1970-01-01 ", candidate, "")
    return whole.cast(pa.timestamp("us")).cast(pa.int64())


def _iso_timestamps(texts: Any) -> tuple[Any, Any]:
    """Local times, and instants where a zone is written."""
    shaped = pc.fill_null(pc.match_substring_regex(texts, ISO_TIMESTAMP), fill_value=False)
    candidate = pc.if_else(shaped, texts, None)
    days = _by_places(pc.utf8_slice_codeunits(candidate, 0, 10), calendar_format("%Y-%m-%d"))[0]
    real = candidate if days.null_count == candidate.null_count else None
    if real is None:
        real = pc.if_else(pc.is_valid(days), candidate, None)
    zoned = pc.match_substring_regex(pc.utf8_slice_codeunits(real, 11), "[Z+-]")
    none = pa.nulls(len(texts), pa.int64())
    if not pc.any(zoned).as_py():
        return real.cast(pa.timestamp("us")).cast(pa.int64()), none
    kind = pa.timestamp("us", tz=UTC)
    if pc.all(zoned).as_py():
        return none, real.cast(kind).cast(pa.int64())
    local = pc.if_else(zoned, None, real).cast(pa.timestamp("us")).cast(pa.int64())
    return local, pc.if_else(zoned, real, None).cast(kind).cast(pa.int64())


def _in_zone(local: Any, zone: str) -> tuple[Any, np.ndarray]:
    """Local times as instants, and which of them a zone skips or has twice."""
    if zone == UTC or local.null_count == len(local):
        return local, np.zeros(len(local), np.bool_)
    return as_instants(local, zone)


def _by_format(texts: Any, one: CalendarFormat) -> tuple[Any, Any]:
    """Days, microseconds of a day, or local times; and instants where the format has a zone."""
    if not one.width:
        return _by_groups(texts, one)
    value, fitting = _by_places(texts, one)
    rest = np.flatnonzero(~fitting & np.asarray(pc.is_valid(texts)))
    none = pa.nulls(len(texts), pa.int64())
    if len(rest):
        mask = np.zeros(len(texts), np.bool_)
        mask[rest] = True
        other = _by_groups(texts.take(pa.array(rest)), one)[0]
        value = pc.replace_with_mask(value, pa.array(mask), other)
    return value, none


def _by_places(texts: Any, one: CalendarFormat) -> tuple[Any, np.ndarray]:
    """The same of texts in which every number has all of its digits; and which these are."""
    fitting = np.asarray(
        pc.fill_null(pc.equal(pc.binary_length(texts), one.width), fill_value=False)
    )
    own = texts if fitting.all() else texts.filter(pa.array(fitting))
    grid = bytes_of(own).reshape(len(own), one.width)
    fits = np.ones(len(own), np.bool_)
    for place, character in one.literals:
        fits &= grid[:, place] == character
    numbers: dict[str, np.ndarray] = {}
    for field, start, width in one.places:
        number = np.zeros(len(own), np.int64)
        for place in range(start, start + width):
            digit = grid[:, place] - np.uint8(ord("0"))  # what is below wraps to above
            fits &= digit <= 9  # noqa: PLR2004
            number = number * 10 + digit
        numbers[field] = number
    value, real = _calculated(numbers, one.gives)
    fitting = fitting.copy()
    fitting[fitting] = fits
    made = pa.array(value[fits], mask=~real[fits])
    whole = pa.nulls(len(texts), pa.int64())
    return pc.replace_with_mask(whole, pa.array(fitting), made), fitting


def _by_groups(texts: Any, one: CalendarFormat) -> tuple[Any, Any]:
    """The same of any texts, by regular expression."""
    found = pc.extract_regex(texts, one.shape)
    fits = np.asarray(pc.is_valid(found))
    own = found.filter(pa.array(fits))
    groups = {name: own.field(name) for name in one.fields}
    numbers: dict[str, np.ndarray] = {}
    for field, _, _ in NUMBERED.values():
        if field in groups:
            text = groups[field]
            if field == "fraction":
                text = pc.utf8_rpad(text, 6, "0")
            numbers[field] = text.cast(pa.int64()).to_numpy()
    if "month_name" in groups:
        short = pc.utf8_slice_codeunits(pc.utf8_lower(groups["month_name"]), 0, 3)
        known = pa.array([month[:3] for month in MONTHS])
        month = pc.fill_null(pc.index_in(short, value_set=known), 99)  # such as with a long s
        numbers["month"] = month.to_numpy().astype(np.int64) + 1
    if "half" in groups:
        after = pc.equal(pc.utf8_lower(groups["half"]), "pm").to_numpy(zero_copy_only=False)
        half = numbers.pop("half_hour")
        # 12 am is midnight; 0 and 13 are hours of no half day.
        hours = np.where((half < 1) | (half > 12), 99, half % 12)  # noqa: PLR2004
        numbers["hour"] = hours + 12 * after
    value, real = _calculated(numbers, one.gives)
    if "zone" in groups:
        value -= _offsets(groups["zone"])
    made = pa.array(value, mask=~real)
    none = pa.nulls(len(texts), pa.int64())
    whole = pc.replace_with_mask(none, pa.array(fits), made)
    return (none, whole) if "zone" in groups else (whole, none)


def _offsets(zones: Any) -> np.ndarray:
    """Offsets like +02:00, -0330 and Z in microseconds."""
    digits = pc.replace_substring_regex(zones, "[^0-9]", "")
    digits = pc.if_else(pc.equal(digits, ""), "0000", digits).cast(pa.int64()).to_numpy()
    negative = pc.starts_with(zones, "-").to_numpy(zero_copy_only=False)
    minutes = digits // 100 * 60 + digits % 100
    found: np.ndarray = np.where(negative, -minutes, minutes) * 60_000_000
    return found


_MONTH_DAYS: Final = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def _calculated(numbers: dict[str, np.ndarray], gives: str) -> tuple[np.ndarray, np.ndarray]:
    """Days, microseconds of a day or both together, and which of them there are."""
    size = len(next(iter(numbers.values())))
    day, real = np.zeros(size, np.int64), np.ones(size, np.bool_)
    if gives != TIME:
        year = numbers.get("year")
        if year is None:
            short = numbers["short_year"]
            year = short + np.where(short < PIVOT, 2000, 1900)
        day, real = _days(year, numbers["month"], numbers["day"])
    if gives == DATE:
        return day, real
    within = np.zeros(size, np.int64)
    for field, limit in (("hour", 24), ("minute", 60), ("second", 60), ("fraction", 1_000_000)):
        number = numbers.get(field, np.zeros(size, np.int64))
        real &= number < limit
        within = within * limit + number
    return day * DAY_MICROSECONDS + within, real


def _days(year: np.ndarray, month: np.ndarray, day: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970-01-01, and which of them there are."""
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    valid = (month >= 1) & (month <= 12)  # noqa: PLR2004
    last = _MONTH_DAYS[np.where(valid, month, 0)] + (leap & (month == 2))  # noqa: PLR2004
    real = valid & (year >= 1) & (day >= 1) & (day <= last)
    # Months are counted from March on, so that a leap day ends its year.
    shifted = year - (month <= 2)  # noqa: PLR2004
    months = (month + 9) % 12
    of_year = (153 * months + 2) // 5 + day - 1
    return 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468, real
