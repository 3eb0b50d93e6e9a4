"""Which of several feeds is meant where none is named.

What belongs here: choosing by what is known, the key of an object or the members of an archive.
What does not: asking a person (`session.py`), and what a feed makes of an archive
(`preview.py`). A guess that could go either way is none: then the feeds are listed, with what to
type.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rwt_assets.archive.nesting import open_archive
from rwt_assets.feed import Feed, MemberRule
from rwt_assets.runtime import ArchiveError, FeedError, LimitError
from rwt_assets.storage import FileRanges
from rwt_assets.text import Case, matches

# `*`, `*.csv`, `*/*.txt`: whatever stands before the suffix.
_CATCH_ALL: Final = re.compile(r"[*?/]+(\..*)?")
_ONE_OF: Final = re.compile(r"\[[^\]]*\]")


@dataclass(frozen=True, slots=True)
class Taken:
    """How many members of an archive a feed takes, how many of them it names, or why none."""

    named: int = 0
    members: int = 0
    problem: str = ""


def count_taken(file: Path, feed: Feed) -> Taken:
    """How many members of an archive the rules of a feed take; none if it is no archive."""
    named = members = 0
    with file.open("rb") as body:
        try:
            for found in open_archive(FileRanges(body), feed, str(file)):
                if found.rule is not None:
                    members += 1
                    named += _names(found.rule, found.member.stored_name, feed.case)
        except (ArchiveError, LimitError) as error:
            return Taken(problem=error.what)
    return Taken(named, members)


def feed_for_archive(file: Path, feeds: Sequence[Feed]) -> Feed:
    """The feed that an archive in a file is for.

    Args:
        file: the archive.
        feeds: of which one is chosen.

    Returns:
        The only feed; else the one that names the most members by another pattern than one that
        takes all of a suffix; else the only one that takes any.

    Raises:
        FeedError: there is no feed, or it cannot be told which.
    """
    if len(feeds) == 1:
        return feeds[0]
    counts = [(feed, count_taken(file, feed)) for feed in feeds]
    most = max((taken.named for _, taken in counts), default=0)
    fit = [feed for feed, one in counts if (one.named == most if most else one.members)]
    if len(fit) == 1:
        return fit[0]
    told = [one.problem or f"{feed.name} takes {one.members} members" for feed, one in counts]
    raise undecided(feeds, where="; ".join([str(file), *dict.fromkeys(told)]))


def feed_for_key(key: str, feeds: Sequence[Feed]) -> Feed:
    """The feed that reads objects of this key.

    Raises:
        FeedError: none or several do, and there is more than one.
    """
    if len(feeds) == 1:
        return feeds[0]
    fit = [feed for feed in feeds if feed.reads(feed.source.bucket, key)]
    if len(fit) != 1:
        raise undecided(feeds, where=key)
    return fit[0]


def nothing_reads(address: str, feeds: Sequence[Feed]) -> FeedError:
    """The error of an object that no feed would ever read."""
    reads = "; ".join(
        f"feed {feed.name} reads s3://{feed.source.bucket}/{feed.source.prefix}*"
        f"{feed.source.suffix}{'' if feed.suffix_is_exact else ' in any case'}"
        for feed in feeds
    )
    return FeedError(
        f"no feed would read it: {reads}",
        where=address,
        effect="Nothing was uploaded.",
        fix="Rename the file, or fix source.suffix of the feed.",
    )


def undecided(feeds: Sequence[Feed], *, where: str = "") -> FeedError:
    """The error that lists the feeds and says what to type."""
    if not feeds:
        return FeedError(
            "no feed is declared",
            where=where,
            effect="Nothing was done.",
            fix="Write rwt_assets/defs/<name>/defs.yaml; `rwt feed infer FILE.zip` makes one.",
        )
    return FeedError(
        "it cannot be told which feed is meant",
        where=where,
        effect="Nothing was done.",
        fix=f"Name it: {' or '.join(f'--feed {feed.name}' for feed in feeds)}.",
    )


def _names(rule: MemberRule, member: str, case: Case) -> bool:
    """Whether a rule takes a member by a pattern that says more than its suffix."""
    name = member.rpartition("/")[2] if rule.match == "name" else member
    return any(
        matches(name, pattern, case)
        for pattern in rule.include
        if not _CATCH_ALL.fullmatch(_ONE_OF.sub("?", pattern))
    )
