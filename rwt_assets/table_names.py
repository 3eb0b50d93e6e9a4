"""Under what name SQL knows the rows of a member.

What belongs here: the name. What does not: which rows (`delivered.py`, `table_checks.py`).
"""

import re
from pathlib import PurePosixPath


def table_name(member: str) -> str:
    """The table of a member: its name without folders and suffix, as SQL takes it unquoted."""
    stem = PurePosixPath(member).stem or member
    name = re.sub(r"\W+", "_", stem, flags=re.ASCII).strip("_").lower()
    return f"_{name}" if not name or name[0].isdigit() else name
