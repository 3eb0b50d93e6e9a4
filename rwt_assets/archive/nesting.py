"""The members of an archive and of the archives within it, one after the other.

What belongs here: which entry is taken, ignored or opened, in what order, and under what
name. What does not: how an archive is read (`kinds.py`, `archive.py`) and what becomes of
a member (`unpacking.py`). PKWARE APPNOTE.TXT 4.3.7 and 4.4.5: a member that is only stored
lies byte for byte in its archive, so an archive within is read where it lies.

    outer.zip/inner.csv       a member of an archive within; rules match this whole name

An archive within that is compressed or encrypted is unpacked into a temporary file that has
no name, which ends with the walk over it. `limits` are counted over all levels together.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from tempfile import TemporaryFile
from typing import Any, Final

from pydantic import SecretStr

from rwt_assets.archive.kinds import SUFFIXES, open_bytes
from rwt_assets.archive.members import Archive, Defect, Member, Opening
from rwt_assets.archive.zip_budget import Budget
from rwt_assets.archive.zip_names import DistinctNames
from rwt_assets.feed import Feed, MemberRule
from rwt_assets.runtime import (
    LimitError,
    MemberCorruptError,
    MemberError,
    MemberInFolderError,
    MemberUnsupportedError,
    NotAZipError,
)
from rwt_assets.storage import ByteRanges, FileRanges
from rwt_assets.text import spelled, without_slips

SEPARATOR: Final = "/"
NO_RULE: Final = "no rule of the feed takes it"
CONTROL: Final = "it is the control file"
NOTHING_WITHIN: Final = "no rule of the feed takes anything in it"
TOO_DEEP: Final = "no rule of the feed takes it, and it is nested deeper than limits.nesting"


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of the walk.

    The name of `member` is distinct in the whole archive. A `rule` takes it, or `ignored`
    says why it is not read, or `broken` why it cannot be: an archive within that could not be
    opened, or a member that a rule names but for its folder. `archive`
    has its bytes as long as the walk has not gone on.
    """

    member: Member
    archive: Archive[Any]
    rule: MemberRule | None = None
    ignored: str = ""
    broken: MemberError | LimitError | None = None

    def chunks(self, where: str) -> Iterator[bytes]:
        """The content of the member, which `where` names in errors; see `Archive.chunks`."""
        return self.archive.chunks(self.member, where)


def open_archive(
    source: ByteRanges, feed: Feed, where: str, password: SecretStr | None = None
) -> Generator[Found, None, None]:
    """Every entry of an archive, and of the archives within it.

    Args:
        source: the archive, of any kind that `kinds.py` names.
        feed: whose rules take members, and whose limits hold.
        where: named in errors.
        password: of encrypted members.

    Raises:
        NotAZipError: it is no archive that is read here.
        LimitError: it is beyond a limit.
    """
    return Walk(source, feed, where, password).entries()


@dataclass(frozen=True, slots=True)
class _Level:
    """One archive of the walk; its members' names begin with these.

    `fruitful` are the numbers of rules that take a member of it, or of an archive around it.
    """

    archive: Archive[Any]
    stored: str = ""
    given: str = ""
    depth: int = 0
    fruitful: frozenset[int] = frozenset()


@dataclass(slots=True)
class Walk:
    """A walk over everything in one archive."""

    source: ByteRanges
    feed: Feed
    where: str
    password: SecretStr | None = None
    _opening: Opening = field(init=False)
    _names: DistinctNames = field(init=False, default_factory=DistinctNames)

    def __post_init__(self) -> None:
        limits, encoding = self.feed.limits, self.feed.source.name_encoding
        self._opening = Opening(limits, Budget(limits, self.source.size), encoding, self.password)

    def entries(self) -> Generator[Found, None, None]:
        """Every entry at every level, in the order of the directories.

        Raises:
            NotAZipError: the archive itself is no ZIP file.
            LimitError: the archive itself is beyond a limit.
        """
        archive = open_bytes(self.source, self.where, self._opening)
        self._names.reserve(member.name for member in archive.members)
        yield from self._below(_Level(archive, fruitful=self._fruitful(archive.members, "")))

    def _fruitful(self, members: Iterable[Member], folder: str) -> frozenset[int]:
        """Numbers of the rules that take one of these members."""
        names = [folder + one.stored_name for one in members if not one.ignored]
        taken = {id(self.feed.rule_for(name)) for name in names}
        return frozenset(n for n, rule in enumerate(self.feed.members) if id(rule) in taken)

    def _passed_over(self, name: str, rule: MemberRule | None, level: _Level) -> MemberRule | None:
        """A rule that takes nothing and would take this member before the rule that does."""
        for number, other in enumerate(self.feed.members):
            if other is rule:
                return None
            if number not in level.fruitful and other.takes_in_a_folder(name, self.feed.case):
                return other
        return None

    def _below(self, level: _Level) -> Iterator[Found]:
        for member in level.archive.members:
            named = self._named(member, level)
            # A file may be named like a folder; see `zip_directory.py`.
            own = named.stored_name.rstrip(SEPARATOR)
            rule = None if member.ignored else self.feed.rule_for(own)
            control = self.feed.control
            if control is not None and not member.ignored and control.takes(named.stored_name):
                yield Found(named, level.archive, ignored=CONTROL)
                continue
            passed_over = None
            if not (member.ignored or _no_file(member)):
                passed_over = self._passed_over(named.stored_name, rule, level)
            if passed_over is not None:
                broken = _in_a_folder(named, rule, passed_over, self.where)
                yield Found(named, level.archive, broken=broken)
            elif rule is not None and own != named.stored_name:
                yield Found(named, level.archive, broken=_like_a_folder(named, self.where))
            elif rule is not None or member.ignored:
                yield Found(named, level.archive, rule, member.ignored)
            elif not named.stored_name.lower().endswith(SUFFIXES) or _no_file(member):
                yield Found(named, level.archive, ignored=NO_RULE)
            elif level.depth >= self.feed.limits.nesting:
                yield Found(named, level.archive, ignored=TOO_DEEP)
            else:
                yield from self._within(named, level)

    def _within(self, archive: Member, level: _Level) -> Iterator[Found]:
        """Entries of an archive within, which can be opened or is one broken member."""
        where = f"{self.where}, archive {archive.name!r} within"
        with ExitStack() as files:
            try:
                source = self._bytes(archive, level.archive, files, where)
                inner = open_bytes(source, where, self._opening)
            except NotAZipError as error:
                broken: MemberError | LimitError = _no_archive(archive, error, where)
            except (MemberError, LimitError) as error:
                broken = error
            else:
                stored, given = archive.stored_name + SEPARATOR, archive.name + SEPARATOR
                fruitful = level.fruitful | self._fruitful(inner.members, stored)
                within = _Level(inner, stored, given, level.depth + 1, fruitful)
                taken = False
                for found in self._below(within):
                    taken = taken or found.rule is not None or found.broken is not None
                    yield found
                if not taken:
                    yield Found(archive, level.archive, ignored=NOTHING_WITHIN)
                return
        yield Found(archive, level.archive, broken=broken)

    @staticmethod
    def _bytes(member: Member, archive: Archive[Any], files: ExitStack, where: str) -> ByteRanges:
        """The bytes of an archive within, in place if they lie there as they are."""
        in_place = archive.in_place(member, where)
        if in_place is not None:
            return in_place
        file = files.enter_context(TemporaryFile())  # noqa: SIM115 - `files` closes it
        for chunk in archive.chunks(member, where):
            file.write(chunk)
        return FileRanges(file)

    def _named(self, member: Member, level: _Level) -> Member:
        """A member under the whole name that it has in the outermost archive."""
        wanted = level.given + member.name
        name = self._names.give(wanted)
        note = member.note if name == wanted else f"another member is named {wanted!r}"
        size, most = len(name.encode()), self.feed.limits.name_bytes
        defect = member.defect
        if level.depth and size > most:
            why = f"its name has {size} bytes; limits.name_bytes of the feed is {most}"
            defect = Defect(LimitError, why)
        stored = level.stored + member.stored_name
        return replace(member, name=name, stored_name=stored, note=note, defect=defect)


def _no_file(member: Member) -> bool:
    """Whether an entry is a link or the like, which is no archive whatever its name is."""
    return member.defect is not None and member.defect.error is MemberUnsupportedError


def _like_a_folder(member: Member, where: str) -> MemberUnsupportedError:
    size = member.uncompressed_bytes
    return MemberUnsupportedError(
        f"its name ends in a slash, as a folder's does, and it holds {size:,} bytes",
        where=f"{where}, member {member.name!r}",
        effect="The whole member was quarantined; the others were processed.",
        fix="Ask the sender for it under the name of a file.",
    )


def _in_a_folder(
    member: Member, rule: MemberRule | None, passed_over: MemberRule, where: str
) -> MemberInFolderError:
    folder, _, base = member.stored_name.rpartition(SEPARATOR)
    instead = f"the rule for {rule.patterns} would take it" if rule else "no rule takes it"
    if without_slips(member.stored_name) != member.stored_name:
        return MemberInFolderError(
            f"the rule for {passed_over.patterns} took nothing, and {member.stored_name!a} is "
            f"named so but for blanks, backslashes or characters that nobody sees; {instead}",
            where=f"{where}, member {member.name!r}",
            effect="The whole member was quarantined; the others were processed.",
            fix=(
                "Ask the sender for it under its right name, or name it as it is in include (or in "
                "exclude, if it is not meant)."
            ),
        )
    return MemberInFolderError(
        f"the rule for {passed_over.patterns} took nothing, and {spelled(base)} lies in the folder "
        f"{spelled(folder)}, where {instead}",
        where=f"{where}, member {member.name!r}",
        effect="The whole member was quarantined; the others were processed.",
        fix=(
            "Set `match: name` for the rule, which takes it in any folder, or name the folder in "
            "include (or in exclude, if it is not meant)."
        ),
    )


def _no_archive(archive: Member, error: NotAZipError, where: str) -> MemberCorruptError:
    return MemberCorruptError(
        f"the archive {archive.name!r} within cannot be read: {error.what}",
        where=where,
        effect="The whole archive within was quarantined; the others were processed.",
        fix="Ask the sender for the archive again; with limits.nesting at 0 none is opened.",
    )
