"""The names of the columns that rows get beside their own.

What belongs here: names, since a declaration is held to them without loading Arrow. What does
not: the columns (`enrichment.py`, `contract.py`).
"""

from typing import Final

CRC32: Final = "crc32"
ARCHIVE: Final = "_archive"
MEMBER: Final = "_member"
ROW: Final = "_row"
ADDED: Final = (CRC32, ARCHIVE, MEMBER, ROW)
RESCUED: Final = "_rescued"  # made by the contract, where the feed's evolution rescues
