"""The grammar of partition keys: any object key, member and value, readable in the UI.

What belongs here: keys to text and back. What does not: the partition sets themselves
(`graph/feed_graph.py`). Rule: Dagster refuses partition keys with `...` or with certain control
characters (Dagster documentation: "Partitioning assets"; error "Partition key ... contains
invalid characters").

    archive         <object key>
    shard           <object key>|<member>                    the member is kept whole
                    <object key>|<member>|<column>=<value>   the value may be empty
                    <object key>|<member>|<column>           rows without a value

Escaped as %XX of its UTF-8 bytes is only what must be: `%`, `|`, control characters, line
separators, lone surrogates, `=` in a column's name, and a dot that follows a dot. Every key
has exactly one text.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from rwt_assets.runtime import PartitionKeyError

SEPARATOR: Final = "|"
_MUST_ESCAPE = re.compile(f"[%{SEPARATOR}\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|(?<=[.])[.]")
_MUST_ESCAPE_COLUMN = re.compile(f"=|{_MUST_ESCAPE.pattern}")
_ESCAPE = re.compile("%(?![0-9A-F]{2})")
_PARTS_AT_MOST: Final = 3
_PARTS_AT_LEAST: Final = 2


@dataclass(frozen=True, slots=True)
class ShardKey:
    """The rows of one member of one archive that share one value of the split column.

    `split_by` is None where the member is kept whole; `value` is None for rows without a
    value.
    """

    archive: str
    member: str
    split_by: str | None = None
    value: str | None = None

    @property
    def partition_key(self) -> str:
        """The key as text."""
        text = f"{_escape(self.archive)}{SEPARATOR}{_escape(self.member)}"
        if self.split_by is None:
            return text
        text += SEPARATOR + _escape(self.split_by, _MUST_ESCAPE_COLUMN)
        return text if self.value is None else f"{text}={_escape(self.value)}"

    @classmethod
    def parse(cls, partition_key: str) -> "ShardKey":
        """The key of a text.

        Raises:
            PartitionKeyError: the text is not one that `partition_key` gives.
        """
        parts = partition_key.split(SEPARATOR)
        if not _PARTS_AT_LEAST <= len(parts) <= _PARTS_AT_MOST:
            raise _no_key(partition_key, "a shard has an archive, a member and at most one value")
        archive, member = (_unescape(part, partition_key) for part in parts[:2])
        if len(parts) == _PARTS_AT_LEAST:
            key = cls(archive, member)
        else:
            column, equals, value = parts[2].partition("=")
            key = cls(
                archive,
                member,
                _unescape(column, partition_key),
                _unescape(value, partition_key) if equals else None,
            )
        if key.partition_key != partition_key:
            raise _no_key(partition_key, f"the same key is written {key.partition_key!r}")
        return key


def archive_partition_key(object_key: str) -> str:
    """The partition key of an archive."""
    return _escape(object_key)


def parse_archive_partition_key(partition_key: str) -> str:
    """The object key of an archive's partition key.

    Raises:
        PartitionKeyError: the text is not one that `archive_partition_key` gives.
    """
    object_key = _unescape(partition_key, partition_key)
    if archive_partition_key(object_key) != partition_key:
        raise _no_key(partition_key, "it is not in its one canonical form")
    return object_key


def shard_partition_prefix(object_key: str) -> str:
    """What the keys of all shards of this archive, and only these, start with."""
    return _escape(object_key) + SEPARATOR


def archive_of_shard(partition_key: str) -> str:
    """The partition key of the archive of a shard; both are written the same way."""
    return partition_key.partition(SEPARATOR)[0]


def _escape(text: str, must: re.Pattern[str] = _MUST_ESCAPE) -> str:
    return must.sub(
        lambda match: "".join(
            f"%{byte:02X}" for byte in match.group().encode("utf-8", "surrogatepass")
        ),
        text,
    )


def _unescape(text: str, partition_key: str) -> str:
    if _ESCAPE.search(text):
        raise _no_key(partition_key, "a '%' without two hexadecimal digits")
    try:
        return unquote_to_bytes(text.encode("utf-8", "surrogatepass")).decode(
            "utf-8", "surrogatepass"
        )
    except UnicodeDecodeError as error:
        raise _no_key(partition_key, "its escapes are no UTF-8") from error


def _no_key(text: str, why: str) -> PartitionKeyError:
    return PartitionKeyError(
        f"{text!r} is no partition key: {why}",
        effect="Nothing was looked up.",
        fix="Copy the key from the catalog; rwt_assets/documents/partitions.py has its grammar.",
    )
