"""Regular expressions of a declaration, compiled by what runs them.

What belongs here: RE2 through Arrow, the whole-match rule, checking at load. What does not: which
column has a pattern (`feed.py`) and what becomes of a text that does not match (`contract.py`).
Rule: RE2 documentation, "Syntax".
"""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def whole_match(texts: Any, pattern: str) -> Any:
    """Which texts match a regular expression (RE2) from end to end; null for null."""
    return pc.match_substring_regex(texts, f"^(?:{pattern})$")


def check_pattern(pattern: str) -> str:
    """The pattern, if it can be run.

    Raises:
        ValueError: RE2 does not take it.
    """
    text = pa.array([""])
    try:
        # By itself as well: `a)(?:b` is only one within the parentheses that are put around it.
        pc.match_substring_regex(text, pattern)
        whole_match(text, pattern)
    except (pa.ArrowException, UnicodeError) as error:
        told = str(error).partition("Invalid regular expression: ")[2] or str(error)
        msg = (
            f"pattern {pattern!r} is no regular expression of RE2 ({told}); RE2 has neither "
            "lookaround nor backreferences"
        )
        raise ValueError(msg) from error
    return pattern
