"""As what texts are tried to be read where no type is declared: settings of a notation.

What belongs here: for each type that is inferred, its readings in the order in which they are
tried. What does not: the types (`column_types.py`) and which reading is proposed of those that fit
(`authoring/value_guesses.py`).
"""

from dataclasses import dataclass
from typing import Any, Final

Settings = tuple[tuple[str, Any], ...]  # as a declaration has them
PLAIN: Final[Settings] = ()


@dataclass(frozen=True, slots=True)
class Inferred:
    """How a type is inferred.

    Attributes:
        rank: of the types whose readings fit all texts, the least is preferred: eight digits that
            are days all through are days.
        readings: the notations that are tried.
        refused: texts that would keep the type and lose something, or that chance makes look like
            it.
    """

    rank: int
    readings: tuple[Settings, ...] = (PLAIN,)
    refused: str = "^$"


BOOLEANS: Final = (
    *(("J", "N"), ("Ja", "Nein"), ("Y", "N"), ("Yes", "No"), ("T", "F")),
    *(("Oui", "Non"), ("O", "N"), ("S\u00ed", "No"), ("Si", "No"), ("wahr", "falsch")),
)
DAY_FIRST: Final = ("%d/%m/%Y", "%d-%m-%Y")
MONTH_FIRST: Final = ("%m/%d/%Y", "%m-%d-%Y")
DATES: Final = (
    *("%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y"),
    "%d%b%Y",  # SAS
    *DAY_FIRST,
    *MONTH_FIRST,
)
CLOCKS: Final = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M:%S %p")
THOUSANDS: Final = (".", ",", "'", " ", "\u00a0", "\u202f", "\u2019")
DECIMAL_COMMA: Final = ("decimal_mark", ",")
_LOSES: Final = "^([+]|-?0[0-9]|-0$)"  # the plus of a telephone, the 0 of a postcode, -0

BOOLEAN: Final = Inferred(
    1,
    (PLAIN, *((("true_values", (yes,)), ("false_values", (no,))) for yes, no in BOOLEANS)),
    "^[01]$",  # as likely a number
)
DATE: Final = Inferred(
    2,
    (PLAIN, *((("formats", (one,)),) for one in DATES)),
    # Eight digits, but no year from 1900 to 2099; a version like 2024.1.2.
    "^(([013-9]|1[0-8]|2[1-9])[0-9]+|[0-9]{4}[.]([0-9][.][0-9]+|[0-9]+[.][0-9]))$",
)
TIMESTAMP: Final = Inferred(
    3, (PLAIN, *((("formats", (f"{one} {clock}",)),) for one in DATES for clock in CLOCKS))
)
INTEGER: Final = Inferred(4, (PLAIN, *((("thousands_mark", one),) for one in THOUSANDS)), _LOSES)
NUMBER: Final = Inferred(
    5,
    (
        PLAIN,
        *((("thousands_mark", one),) for one in THOUSANDS[1:]),
        (DECIMAL_COMMA,),
        *((DECIMAL_COMMA, ("thousands_mark", one)) for one in THOUSANDS if one != ","),
    ),
    # Likewise; the digits of a long identifier; a zero with a sign; a mark with nothing after it.
    f"{_LOSES}|^-?[0-9]{{16,}}$|^-0*[.,]?0*$|[.,]$",
)
