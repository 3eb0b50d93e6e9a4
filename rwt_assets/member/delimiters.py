"""How likely a character is the delimiter of a text in which several may be.

What belongs here: what a person sees in the lines as they stand, before they are split. What does
not: splitting them and the decision (`dialect.py`). No rule is known; these are from what people
send: a comma that a blank follows is punctuation, one between digits is of a number, and what
stands between letters on every line is most likely a delimiter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from typing import Final

DELIMITERS: Final = (",", ";", "\t", "|")
# What is hardly ever part of a text comes first in doubt.
RARE_IN_TEXTS: Final = ("\t", "|")
_DOUBTFUL: Final = (",", ";", "|", "\t")  # from the most to the least likely in a text
_LINES: Final = 200
_MOSTLY: Final = 0.5
# With decimals or thousands; no list of three numbers is one.
_NUMBER: Final = re.compile(
    r"(?<![\w.,])[+-]?(?:\d{1,3}(?:\.\d{3})*,\d+|\d+,\d+|\d{1,3}(?:,\d{3})+(?:\.\d+)?)(?![\w,])"
)
_ENTITY: Final = re.compile(r"&#?\w{1,12};")
_MEANT: Final = {
    ",": re.compile(r",(?! )"),
    ";": re.compile(r";(?! )"),
    "|": re.compile(r"(?<! )\||\|(?! )"),
    "\t": re.compile(r"\t"),
}


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a delimiter is; the larger the likelier.

    `apart` says that it is no punctuation and no padding. `alone` is the share of lines on which no
    other delimiter stands, except in a number or as punctuation. `rare` says that texts hardly have
    it; `rank` orders those of which nothing else is known.
    """

    apart: bool
    alone: float
    rare: bool
    rank: int


NOT_SPLIT: Final = Likelihood(apart=False, alone=1.0, rare=False, rank=0)  # one column


def likelihood(text: str, delimiter: str, quote: str | None) -> Likelihood:
    """Tell how likely a character is the delimiter of a text.

    Args:
        text: the beginning of a member; only its first lines are looked at.
        delimiter: the character.
        quote: what is between two of these is left out.
    """
    lines = _unquoted(text, quote)
    others = [_MEANT[one] for one in DELIMITERS if one != delimiter and one in text]
    crossed = sum(
        any(other.search(line) for other in others) for line in map(_without_numbers, lines)
    )
    return Likelihood(
        apart=not _is_punctuation(lines, delimiter) and not _is_padding(lines, delimiter),
        alone=1 - crossed / max(len(lines), 1),
        rare=delimiter in RARE_IN_TEXTS,
        rank=_DOUBTFUL.index(delimiter) if delimiter in _DOUBTFUL else 0,
    )


def _unquoted(text: str, quote: str | None) -> list[str]:
    """The first lines, without what is quoted as a whole field."""
    beginning = "".join(islice(StringIO(text, newline=""), _LINES))
    if quote is not None and quote in beginning:
        own = re.escape(quote)
        field = rf"(?m)(?:^|(?<=[,;\t|])){own}(?:[^{own}]|{own}{own})*{own}"
        beginning = re.sub(field, "", beginning)
    return [line for line in re.split(r"\r\n|\r|\n", beginning) if line.strip()]


def _without_numbers(line: str) -> str:
    return _ENTITY.sub("", _NUMBER.sub("0", line))


def _is_punctuation(lines: Sequence[str], delimiter: str) -> bool:
    """Whether a blank follows it, and none is before it, most of the times."""
    own = re.escape(delimiter)
    text = "\n".join(lines)
    there = text.count(delimiter)
    return len(re.findall(rf"(?<! ){own} ", text)) > _MOSTLY * there


def _is_padding(lines: Sequence[str], delimiter: str) -> bool:
    """Whether it is a tab that stands behind another delimiter most of the times."""
    if delimiter != "\t":
        return False
    text = "\n".join(lines)
    return len(re.findall(r"[,;|] *\t", text)) > _MOSTLY * text.count(delimiter)
