"""Texts of a column as whole numbers, numbers and decimals, each by itself.

What belongs here: marks, digits, ranges. What does not: dates (`calendar_texts.py`) and which
column is read how (`column_types.py`). Rules: IEEE 754 for doubles, the Apache Arrow columnar
format for 64-bit integers and decimals.

Each reader takes texts (null or not empty) and gives values, null where the text is none, and
the faults that it can name. It never raises, and what it makes of a text depends on nothing
else. Arrow's own parsers, which are fast and refuse a whole column for one text, come first; what
they refuse, or take in another sense than we do, is read more slowly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation
from functools import cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

INT64: Final = range(-(2**63), 2**63)
MOST_DIGITS: Final = 38  # of a decimal of 128 bits (Apache Arrow, `Decimal128Type`)
EXACT_DIGITS: Final = 15  # that a double keeps, whichever they are
DOUBLE_DIGITS: Final = 767  # the most that a double has before they are all zeros
SMALLEST: Final = 1e-290  # doubles below keep fewer digits, or are too close to that
LARGEST: Final = 1e290
NEAR: Final = 0.4999  # half a unit, less what calculating it may be wrong by

BEYOND_INT64: Final = "is beyond a 64-bit integer"
BEYOND_DOUBLE: Final = "is beyond the range of a number"
LOSES_DIGITS: Final = (
    "has more digits than a number keeps; declare the column as decimal(precision, scale), or "
    "`lossy: true`"
)

Faults = Sequence[tuple[np.ndarray, str]]
"""For each reason the rows that it holds for; the words follow the text."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The characters between the digits of a number; no thousands mark if it is empty."""

    decimal: str = "."
    thousands: str = ""

    @property
    def plain(self) -> bool:
        """Whether numbers are written as programs write them."""
        return self.decimal == "." and not self.thousands


def integers(texts: Any, marks: Marks) -> tuple[Any, Faults]:
    """Texts as 64-bit integers."""
    if (quick := _all_of(texts, _WHOLE_BYTES, pa.int64())) is not None:
        return quick, ()
    shaped, plain = _shaped(texts, _whole_shape(marks), marks)
    short = pc.less_equal(pc.binary_length(plain), 18)
    value = pc.if_else(short, plain, None).cast(pa.int64())
    long = np.flatnonzero(_true(pc.and_(shaped, pc.invert(short))))
    if not len(long):
        return value, ()
    value = _replaced(value, long, map(_whole, plain.take(pa.array(long)).to_pylist()))
    beyond = _true(shaped) & ~_true(pc.is_valid(value))
    return value, [(beyond, BEYOND_INT64)]


def numbers(texts: Any, marks: Marks, *, lossy: bool) -> tuple[Any, Faults]:
    """Texts as doubles that keep all of their digits, or as the nearest ones if `lossy`.

    A double keeps the digits of a text if it has the same when written with as many.
    """
    plain: Any = texts
    value = _all_of(texts, _NUMBER_BYTES, pa.float64()) if marks.plain else None
    if value is None:
        _, plain = _shaped(texts, _number_shape(marks, exponent=True), marks)
        value = plain.cast(pa.float64())
    value = pc.add(value, 0.0)  # -0.0 becomes 0.0: a zero is a zero
    size = pc.abs(value)
    beyond = _true(pc.is_inf(value))
    lost = np.zeros(len(texts), np.bool_)
    if not lossy:
        doubt = _true(pc.greater(pc.binary_length(plain), EXACT_DIGITS))
        small = pc.less(size, SMALLEST)  # a zero may have been a small number
        if pc.any(small).as_py():
            doubt |= _true(pc.and_(small, pc.match_substring_regex(plain, "[eE]")))
        doubtful = np.flatnonzero(doubt & ~beyond)
        if len(doubtful):
            lost[doubtful] = _lost_digits(_at(plain, doubtful), _at(value, doubtful))
    if beyond.any() or lost.any():
        value = pc.if_else(pa.array(beyond | lost), None, value)
    return value, [(beyond, BEYOND_DOUBLE), (lost, LOSES_DIGITS)]


def decimals(texts: Any, marks: Marks, precision: int, scale: int) -> tuple[Any, Faults]:
    """Texts as decimals of so many digits, of which `scale` come after the point."""
    kind = pa.decimal128(precision, scale)
    shaped, plain = _shaped(texts, _fitting_shape(marks, precision, scale), marks)
    value = plain.cast(kind)
    rest = np.flatnonzero(~_true(shaped) & _true(pc.is_valid(texts)))
    if not len(rest):
        return value, ()
    other, unread = _shaped(texts.take(pa.array(rest)), _number_shape(marks, exponent=True), marks)
    candidates = unread.to_pylist()
    made = [None if one is None else _decimal(one) for one in candidates]
    fitted = [None if one is None else _fitted(one, precision, scale) for one in made]
    value = _replaced(value, rest, fitted)
    fine, wide = (np.zeros(len(texts), np.bool_) for _ in range(2))
    missing = _true(other) & np.array([one is None for one in fitted], np.bool_)
    large = np.array([one is None or _wide(one, precision - scale) for one in made], np.bool_)
    wide[rest], fine[rest] = missing & large, missing & ~large
    return value, [
        (wide, f"has more than {precision - scale} digits before the decimal mark"),
        (fine, f"has more than {scale} digits after the decimal mark"),
    ]


@cache
def _number_shape(marks: Marks, *, exponent: bool) -> str:
    point = _escaped(marks.decimal)
    power = "(?:[eE][+-]?[0-9]+)?" if exponent else ""
    whole = _digits(marks)
    return f"^[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+){power}$"


@cache
def _whole_shape(marks: Marks) -> str:
    return f"^[+-]?{_digits(marks)}$"


@cache
def _fitting_shape(marks: Marks, precision: int, scale: int) -> str:
    """What Arrow's parser takes for a decimal with nothing lost."""
    point, before = _escaped(marks.decimal), precision - scale
    more = f"0{{0,{min(8, MOST_DIGITS - precision)}}}"
    after = f"(?:{point}[0-9]{{0,{scale}}}{more})?"
    whole = f"0{{0,4}}[0-9]{{1,{before}}}" if before else "0{1,4}"
    if marks.thousands:
        own = _escaped(marks.thousands)
        # Groups of three, so many that the digits before the point are not too many.
        grouped = [
            f"[1-9][0-9]{{0,{min(3, before - 3 * groups) - 1}}}(?:{own}[0-9]{{3}}){{{groups}}}"
            for groups in range(1, (before + 2) // 3)
        ]
        whole = "|".join([whole, *grouped])
    fraction = f"|{point}[0-9]{{1,{scale}}}{more}" if scale else ""
    return f"^[+-]?(?:(?:{whole}){after}{fraction})$"


def _digits(marks: Marks) -> str:
    """Digits before the point: all together, or in groups of three."""
    if not marks.thousands:
        return "[0-9]+"
    own = _escaped(marks.thousands)
    return f"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{own}[0-9]{{3}})+)"


def _escaped(mark: str) -> str:
    return f"\\x{{{ord(mark):x}}}"


def _shaped(texts: Any, shape: str, marks: Marks) -> tuple[Any, Any]:
    """Which texts have a shape; these as Arrow reads them, and null for the others."""
    shaped = pc.match_substring_regex(texts, shape)
    if not pc.all(shaped).as_py():
        texts = pc.if_else(pc.fill_null(shaped, fill_value=False), texts, None)
    if marks.thousands:
        texts = _without(texts, marks.thousands)
    if marks.decimal != ".":
        texts = _with_point(texts, marks.decimal)
    plus = pc.starts_with(texts, "+")
    if pc.any(plus).as_py():
        texts = pc.if_else(plus, pc.utf8_slice_codeunits(texts, 1), texts)
    return shaped, texts


def _without(texts: Any, mark: str, counts: np.ndarray | None = None) -> Any:
    """Texts without a character, which each has so often."""
    if not mark.isascii() or texts.null_count:
        return pc.replace_substring(texts, mark, "")
    data = bytes_of(texts)
    kept = data != ord(mark)
    if kept.all():
        return texts
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    own = offsets[texts.offset : texts.offset + len(texts) + 1] - offsets[texts.offset]
    if counts is None:
        counts = pc.count_substring(texts, mark).to_numpy()
    own[1:] -= np.cumsum(counts, dtype=np.int32)
    return _strings(own, data[kept])


def _with_point(texts: Any, mark: str) -> Any:
    """Texts with a point in the place of a character."""
    if not mark.isascii() or texts.null_count:
        return pc.replace_substring(texts, mark, ".")
    data = bytes_of(texts)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    own = offsets[texts.offset : texts.offset + len(texts) + 1]
    return _strings(own - own[0], np.where(data == ord(mark), np.uint8(ord(".")), data))


def _strings(offsets: np.ndarray, data: np.ndarray) -> Any:
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)


_WHOLE_BYTES: Final = np.zeros(256, np.bool_)
_WHOLE_BYTES[[*b"-0123456789"]] = True
_NUMBER_BYTES: Final = _WHOLE_BYTES.copy()
_NUMBER_BYTES[[*b".eE"]] = True


def bytes_of(texts: Any) -> np.ndarray:
    """The bytes of all texts, one after the other, over the same memory."""
    if len(texts) == 0 or texts.buffers()[2] is None:
        return np.zeros(0, np.uint8)
    offsets = np.frombuffer(texts.buffers()[1], np.int32)
    start, end = offsets[texts.offset], offsets[texts.offset + len(texts)]
    return np.frombuffer(texts.buffers()[2], np.uint8)[start:end]


def _all_of(texts: Any, allowed: np.ndarray, kind: pa.DataType) -> Any:
    """Texts as Arrow reads them; None if one has other bytes (a plus is one) or is no number."""
    data = bytes_of(texts)
    # Between "-" and "9" there is nothing else but "/", which Arrow takes for no number.
    odd = data.max(initial=ord("9")) > ord("9") or data.min(initial=ord("-")) < ord("-")
    if odd and not allowed[data].all():
        return None
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return None


def _whole(text: str) -> int | None:
    digits = text.lstrip("+-").lstrip("0") or "0"
    number = int(digits) if len(digits) <= len(str(INT64.stop)) else INT64.stop + 1
    number = -number if text.startswith("-") else number
    return number if number in INT64 else None


def _decimal(text: str) -> Decimal | None:
    """None if its exponent is beyond what Python's decimals have."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _wide(number: Decimal, before: int) -> bool:
    return bool(number) and number.adjusted() >= before


_EXACT: Final = Context(prec=2 * MOST_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[Inexact])


def _fitted(number: Decimal, precision: int, scale: int) -> Decimal | None:
    if _wide(number, precision - scale):
        return None
    try:
        exact = number.quantize(Decimal(1).scaleb(-scale), context=_EXACT)
        return _EXACT.add(exact, Decimal(0))  # a zero is a zero; `+` would keep 28 digits
    except (Inexact, InvalidOperation):
        return None


def _replaced(values: Any, places: np.ndarray, made: Any) -> Any:
    """Values with others at some places."""
    mask = np.zeros(len(values), np.bool_)
    mask[places] = True
    return pc.replace_with_mask(values, pa.array(mask), pa.array([*made], values.type))


def _true(mask: Any) -> np.ndarray:
    found: np.ndarray = np.asarray(pc.fill_null(mask, fill_value=False))
    return found


def _at(values: Any, places: np.ndarray) -> Any:
    return values if len(places) == len(values) else values.take(pa.array(places))


def _lost_digits(texts: Any, values: Any) -> np.ndarray:
    """Which numbers lost digits: first those that are cheap to tell, then the others."""
    lost = ~_surely_kept(texts, np.abs(values.to_numpy()))
    rest = np.flatnonzero(lost)
    if len(rest):
        lost[rest] = ~_keep_digits(_at(texts, rest), _at(values, rest))
    return lost


def _surely_kept(texts: Any, size: np.ndarray) -> np.ndarray:
    """Which numbers of at most 18 digits keep them for sure, zeros at the end among them."""
    if bytes_of(texts).max(initial=0) > ord("9"):  # exponents
        return np.zeros(len(texts), np.bool_)
    length = pc.binary_length(texts).to_numpy()
    point = pc.find_substring(texts, ".").to_numpy()
    pointed = point >= 0
    digits, short = _without(texts, ".", pointed), length - pointed <= 18  # noqa: PLR2004
    power = np.where(pointed, point + 1 - length, 0)
    if not short.all():
        digits = pc.if_else(pa.array(short), digits, "0")
        size, power = np.where(short, size, 0), np.where(short, power, 0)
    whole = np.abs(digits.cast(pa.int64()).to_numpy())
    away = _distance(size, whole, power)
    kept: np.ndarray = short & ((whole < 10**EXACT_DIGITS) | (np.abs(away) < NEAR))
    return kept


def _keep_digits(texts: Any, values: Any) -> np.ndarray:
    """For numbers and the doubles nearest to them: which of these have all the digits.

    A text is `digits` times ten to the power of `power`. The double nearest to it has the same
    digits if it is less than half a unit of the last of them away. That is certain where doubles
    are closer together than such units; else it is calculated with twice the precision. What is
    too close to call, or has too many digits for it, is looked at one by one.
    """
    texts = pc.replace_substring_regex(texts, "^[+-]", "")
    size = np.abs(values.to_numpy(zero_copy_only=False))
    keeps = np.zeros(len(texts), np.bool_)
    digits, power = _digits_and_power(texts)
    count = pc.binary_length(digits).to_numpy(zero_copy_only=False)
    usual = (size > SMALLEST) & (size < LARGEST) & (np.abs(power) < 250)  # noqa: PLR2004
    keeps[(count == 0) | (usual & (count <= EXACT_DIGITS))] = True
    open_ = usual & ~keeps & (count <= EXACT_DIGITS + 2)
    if open_.any():
        places = np.flatnonzero(open_)
        whole = digits.take(pa.array(places)).cast(pa.int64()).to_numpy()
        away = _distance(size[places], whole, power[places])
        near, far = np.abs(away) < NEAR, np.abs(away) > 1 - NEAR
        keeps[places[near]] = True
        decided = np.zeros(len(texts), np.bool_)
        decided[places[near | far]] = True
    else:
        decided = open_
    rest = np.flatnonzero(~keeps & ~decided)
    if len(rest):
        own = texts.take(pa.array(rest)).to_pylist()
        keeps[rest] = [
            _keeps_digits(text, number) for text, number in zip(own, size[rest], strict=True)
        ]
    return keeps


def _digits_and_power(texts: Any) -> tuple[Any, np.ndarray]:
    """Digits without zeros at both ends, and the power of ten of the last one."""
    power = np.zeros(len(texts), np.int64)
    scientific = pc.match_substring_regex(texts, "[eE]")
    if pc.any(scientific).as_py():
        exponent = pc.replace_substring_regex(texts, "^[^eE]*[eE]?[+]?", "")
        readable = pc.match_substring_regex(exponent, "^-?[0-9]{1,5}$")
        known = pc.if_else(readable, exponent, None).cast(pa.int64())
        beyond = pc.if_else(scientific, pa.scalar(99_999, pa.int64()), pa.scalar(0, pa.int64()))
        power += pc.coalesce(known, beyond).to_numpy()
        texts = pc.replace_substring_regex(texts, "[eE].*$", "")
    length = pc.binary_length(texts).to_numpy().astype(np.int64)
    point = pc.find_substring(texts, ".").to_numpy()
    power -= np.where(point >= 0, length - point - 1, 0)
    digits = pc.replace_substring(texts, ".", "", max_replacements=1)
    before = pc.binary_length(digits).to_numpy().astype(np.int64)
    digits = pc.ascii_rtrim(digits, "0")
    power += before - pc.binary_length(digits).to_numpy()
    return pc.ascii_ltrim(digits, "0"), power


@cache
def _tens() -> tuple[np.ndarray, ...]:
    """Powers of ten from -250 to 250, each as the sum of two doubles; and halves of the first."""
    exact = [Decimal(1).scaleb(power) for power in range(-250, 251)]
    high = [float(one) for one in exact]
    wide = Context(prec=800)
    low = [float(wide.subtract(one, Decimal(top))) for one, top in zip(exact, high, strict=True)]
    return np.array(high), np.array(low), *_halves(np.array(high))


def _distance(size: np.ndarray, whole: np.ndarray, power: np.ndarray) -> np.ndarray:
    """How far doubles are from `whole * 10**power`, in units of the last digit.

    T. J. Dekker, "A floating-point technique for extending the available precision" (1971).
    """
    high, low, upper, lower = (one[250 - power] for one in _tens())
    product = size * high
    own_upper, own_lower = _halves(size)
    error = (own_upper * upper - product) + own_upper * lower + own_lower * upper
    error += own_lower * lower + size * low
    # Both are below 2**63 and near each other: their difference is exact.
    found: np.ndarray = (product.astype(np.int64) - whole) + (product % 1 + error)
    return found


def _halves(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two numbers of half the digits, whose sum it is; it is far below the greatest double."""
    wide = number * (2.0**27 + 1)
    upper = wide - (wide - number)
    return upper, number - upper


def _keeps_digits(text: str, number: float) -> bool:
    mantissa = text.lower().partition("e")[0]
    digits = mantissa.replace(".", "").strip("0")
    if not digits:
        return True  # zero
    if len(digits) > DOUBLE_DIGITS or not np.isfinite(number) or number == 0:
        return False
    written = f"{number:.{len(digits) - 1}e}".partition("e")[0].replace(".", "")
    return written == digits
