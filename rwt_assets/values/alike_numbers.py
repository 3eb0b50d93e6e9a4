"""Whether different texts of a column may be the same number, and so lose what told them apart.

What belongs here: zeros at the ends of fractions, exponents. What does not: which readings a column
has (`value_guesses.py`) and what texts lose in any column (`readings.py`). Versions such as 1.1
and 1.10 look like numbers; amounts such as 1.10 and 2.00 are numbers, all with the same digits.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from rwt_assets.values.exact_values import same_values

MARKS: Final = (".", ",")
KEPT_AT_MOST: Final = 100_000  # whole numbers of a column; beyond it any may be there


@dataclass(slots=True)
class FractionDigits:
    """How the numbers of a column end, for one decimal mark.

    `lengths` has the numbers of digits after the mark, `padded` whether some of these end in a
    zero that a program would not have to write (the one of 12.0 it does). `wholes` are numbers
    without a mark, `rounds` those with zeros alone behind it; None if they are too many. `codes`
    says whether a text is like 1e5, `powers` whether one is like 1e+5, which only numbers are.
    """

    mark: str
    lengths: set[int] = field(default_factory=set)
    padded: bool = False
    wholes: set[str] | None = field(default_factory=set)
    rounds: set[str] | None = field(default_factory=set)
    codes: bool = False
    powers: bool = False

    def add(self, texts: Any) -> None:
        """Take some more texts."""
        self.codes = self.codes or _any(texts, "^-?[0-9]+[eE][0-9]+$")
        self.powers = self.powers or _any(texts, "[eE][+-]")
        marked = pc.match_substring(texts, self.mark)
        if not pc.any(marked).as_py():
            self.wholes = _more(self.wholes, texts)
            return
        self.wholes = _more(self.wholes, texts.filter(pc.invert(marked)))
        own = texts.filter(marked)
        after = pc.replace_substring_regex(own, f"^.*[{self.mark}]|[eE].*$", "")
        self.lengths.update(pc.unique(pc.binary_length(after)).to_pylist())
        padded = pc.and_(pc.ends_with(after, "0"), pc.not_equal(after, "0"))
        self.padded = self.padded or bool(pc.any(padded).as_py())
        round_ = own.filter(pc.match_substring_regex(after, "^0*$"))
        before = pc.replace_substring_regex(round_, f"[{self.mark}].*$", "")
        self.rounds = _more(self.rounds, before)

    def join(self, other: "FractionDigits") -> None:
        """Take what another column has."""
        self.lengths |= other.lengths
        self.padded = self.padded or other.padded
        self.codes = self.codes or other.codes
        self.powers = self.powers or other.powers
        self.wholes = _both(self.wholes, other.wholes)
        self.rounds = _both(self.rounds, other.rounds)

    @property
    def may_be_one(self) -> bool:
        """Whether two of the texts may be the same number, or all may be codes."""
        if self.codes and not (self.powers or self.lengths):
            return True
        if self.padded and len(self.lengths) > 1:
            return True
        if self.wholes is None or self.rounds is None:
            return self.wholes != set() and self.rounds != set()
        return not self.wholes.isdisjoint(self.rounds)


def differ_as_numbers(texts: Sequence[str], decimal: str, thousands: str) -> bool:
    """Whether different texts are different numbers, thousands marks aside."""
    plain = {text.replace(thousands, "") if thousands else text for text in texts}
    made = same_values(pa.array([text.replace(decimal, ".") for text in plain], pa.string()))
    return len(pc.unique(made)) == len(plain)


def _any(texts: Any, shape: str) -> bool:
    return bool(pc.any(pc.match_substring_regex(texts, shape)).as_py())


def _more(kept: set[str] | None, texts: Any) -> set[str] | None:
    if kept is None:
        return None
    digits = pc.replace_substring_regex(texts, "[^0-9-]", "")
    return _few(kept | {*pc.unique(digits).to_pylist()})


def _both(one: set[str] | None, other: set[str] | None) -> set[str] | None:
    return None if one is None or other is None else _few(one | other)


def _few(kept: set[str]) -> set[str] | None:
    return kept if len(kept) <= KEPT_AT_MOST else None
