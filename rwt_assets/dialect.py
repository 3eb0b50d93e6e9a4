"""How the text of one member is written: found out from its beginning, or given by the feed.

What belongs here: encoding, delimiter, quote, escape, comments, header. What does not:
records (`records.py`) and fields (`splitting.py`). Rule: RFC 4180 names the default; the
WHATWG "Encoding" standard says what is read as Windows-1252.
"""

from pydantic import BaseModel, ConfigDict


class CsvDialect(BaseModel):
    """The dialect of one member, everything decided; kept in the manifest.

    `encoding` is that of the member; shards are always UTF-8. `quote`, `escape` and `comment`
    are one ASCII character or None.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    comment: str | None = None
    skip_lines: int = 0
    header: bool = True
    trailing_delimiter: bool = False
