"""What a spreadsheet makes of cells that nobody touched, when it opens a CSV and saves it again.

What belongs here: whether a text is another one as a spreadsheet writes it. What does not: the file
of corrected rows (`correction_file.py`) and what becomes of its rows (`taking_back.py`). Rule:
Microsoft, "Keeping leading zeros and large numbers" (15 digits are kept, and `007` is 7); the same
is known of LibreOffice and Numbers.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Final

KEPT_DIGITS: Final = 15
_NUMBER: Final = re.compile(r"([+-]?)0*([0-9]*?)(?:[.,]([0-9]*?)0*)?")
_SCIENTIFIC: Final = re.compile(r"-?[0-9](?:[.,][0-9]+)?E\+[0-9]+")
_DIGITS: Final = re.compile(rf"-?[0-9]{{{KEPT_DIGITS - 3},}}")
_DAYS: Final = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%d/%m/%y"),
    *("%m/%d/%Y", "%m/%d/%y", "%d-%m-%Y"),
)
_AT_MOST: Final = 40  # characters of a number or a day


def is_saved_anew(sent: str, saved: str) -> bool:
    """Whether a cell is another text only because a spreadsheet has saved it."""
    return is_written_anew(sent, saved) or loses_digits(sent, saved)


def loses_digits(sent: str, saved: str) -> bool:
    """Whether a number has lost digits: `1234567890123456789` is `1.23E+18`, or ends in zeros."""
    if _DIGITS.fullmatch(sent) is None or sent == saved:
        return False
    if _SCIENTIFIC.fullmatch(saved):
        return True
    kept = KEPT_DIGITS + sent.startswith("-")
    return len(sent) > kept and saved == sent[:kept] + "0" * (len(sent) - kept)


def is_written_anew(sent: str, saved: str) -> bool:
    """Whether two texts that differ are one number, day or truth value: `007` is `7`."""
    if sent == saved or not sent or not saved or max(len(sent), len(saved)) > _AT_MOST:
        return False
    if sent.lower() == saved.lower() and sent.lower() in {"true", "false"}:
        return True
    one, other = _number(sent), _number(saved)
    if one is not None and one == other and len(saved) < len(sent):
        return True
    return not {*_days(sent)}.isdisjoint(_days(saved))


def _number(text: str) -> tuple[str, str, str] | None:
    found = _NUMBER.fullmatch(text)
    if found is None or not any(map(str.isdigit, text)):
        return None
    sign, whole, fraction = found.groups("")
    return "-" if sign == "-" else "", whole, fraction


def _days(text: str) -> Iterator[date]:
    for one in _DAYS:
        try:
            yield datetime.strptime(text, one).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
