"""Values of columns as decimal numbers, exactly: whether two are the same, and what they add up to.

What belongs here: calculations that lose nothing, whatever types columns have. What does not: where
values come from and what is asked of them (`table_checks.py`). Rule: a double stands for the
shortest decimal number that is read as it (Python documentation, "Floating-Point Arithmetic: Issues
and Limitations"), which is the one that was sent, since a column of numbers keeps all digits.
"""

import re
from collections.abc import Iterable
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_NUMBER: Final = re.compile(
    r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))(?:[eE]([+-]?[0-9]{1,9}))?"
)
_WIDE: Final = 76  # digits of a decimal of 256 bits (Apache Arrow, `Decimal256Type`)
# Beyond what doubles have: adding up numbers farther apart would take digits without end.
_MOST_DIGITS: Final = 2_000
_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])


def same_values(texts: Any) -> pa.Array:
    """Texts as the text that all ways to write a number have in common; others as they are.

    So `1`, `01`, `1.00` and `1e0` become one, and no two numbers that differ.
    """
    return pa.array([None if one is None else _same_value(one) for one in texts.to_pylist()])


def _same_value(text: str) -> str:
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text
    sign, whole, after, only, power = found.groups("")
    fraction = after or only
    digits = (whole + fraction).lstrip("0")
    kept = digits.rstrip("0")
    if not kept:
        return "0e0"
    exponent = int(power or 0) - len(fraction) + len(digits) - len(kept)
    return f"{sign.replace('+', '')}{kept}e{exponent}"


def exact_sum(batches: Iterable[Any]) -> tuple[Decimal, int]:
    """What the values of a column add up to, and how many are no numbers.

    Args:
        batches: Arrow arrays of any type; null and the empty text are no values.
    """
    total, others = Decimal(0), 0
    for values in batches:
        kind = values.type
        if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
            scale = kind.scale if pa.types.is_decimal(kind) else 0
            added = pc.sum(values.cast(pa.decimal256(_WIDE, scale))).as_py()
            total = _EXACT.add(total, added or Decimal(0))
        elif pa.types.is_floating(kind) or _is_text(kind):
            for one in pc.value_counts(values).to_pylist():
                number = _number(one["values"])
                if number is None:
                    others += one["counts"]
                else:
                    total = _EXACT.add(total, _EXACT.multiply(number, Decimal(one["counts"])))
        else:
            others += len(values) - values.null_count
    return total, others


def exactly_added(one: Decimal, other: Decimal) -> Decimal:
    """The sum of two numbers with all of its digits."""
    return _EXACT.add(one, other)


def written(number: Decimal) -> str:
    """A number with all of its digits, without zeros at the end."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def _is_text(kind: pa.DataType) -> bool:
    return any(
        (pa.types.is_string(kind), pa.types.is_large_string(kind), pa.types.is_string_view(kind))
    )


def _number(value: float | str | None) -> Decimal | None:
    if value is None or value == "":
        return Decimal(0)
    text = value if isinstance(value, str) else repr(value)
    if _NUMBER.fullmatch(text) is None:
        return None
    number = Decimal(text)
    within = len(text) <= _MOST_DIGITS and abs(number.adjusted()) <= _MOST_DIGITS
    if not number:
        return Decimal(0)  # `0e-999999999` would be written with a billion digits
    return number if within else None
