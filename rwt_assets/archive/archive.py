"""Reading the members of a ZIP archive where they lie, each by one streamed read.

What belongs here: the bytes of a member, and whether they are the ones that the archive
promises. What does not: the directory (`zip_directory.py`), how members are compressed
(`compression.py`) and encrypted (`encryption.py`), archives within archives (`nesting.py`)
and what is in a member (`splitting.py`). Rule: PKWARE APPNOTE.TXT, ".ZIP File Format
Specification", 4.3.7 (local header), 4.3.8 (file data).

The directory is the authority. A local header that names another file, another compression
or another encryption is taken for damage: a reader that goes by local headers would see
another file there. Sizes and checksum of the local header are not looked at, since many
writers leave them empty.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from isal import isal_zlib
from pydantic import SecretStr

from rwt_assets.archive import compression, encryption, zip_joints
from rwt_assets.archive.compression import CHUNK_BYTES, decompressed
from rwt_assets.archive.members import Defect, Opening
from rwt_assets.archive.zip_budget import hold_member
from rwt_assets.archive.zip_directory import (
    AES,
    DESCRIBED_BEHIND,
    ENCRYPTED,
    PATCHED,
    STORED,
    STRONGLY_ENCRYPTED,
    ZipMember,
    read_directory,
)
from rwt_assets.archive.zip_joints import LOCAL_HEADER, LOCAL_SIGNATURE, TAIL_BYTES, find_structure
from rwt_assets.archive.zip_names import decode_name
from rwt_assets.feed import Limits
from rwt_assets.runtime import (
    LimitError,
    MemberCorruptError,
    MemberError,
    MemberPasswordError,
    MemberUnsupportedError,
    MissingExtraError,
    NotAZipError,
)
from rwt_assets.storage import ByteRanges, Section

__all__ = [
    "CHUNK_BYTES",
    "TAIL_BYTES",
    "ByteRanges",
    "ZipArchive",
    "open_zip",
    "read_directory",
    "read_in_place",
    "read_member",
]

Kind = TypeVar("Kind", bound=MemberError)
# Names and extra fields of a local header have 16 bits each; a descriptor may follow the data.
AROUND_BYTES: Final = LOCAL_HEADER.size + 2 * 0xFFFF + 24
THEN_AGAIN: Final = "Then materialize archive_manifest for this archive again."
HOW_TO_UNLOCK: Final = (
    "Set the feed's source.password_variable and the environment variable that it names to the "
    "archive's password, then materialize archive_manifest for this archive again."
)


@dataclass(frozen=True, slots=True)
class ZipArchive:
    """`Archive` of ZIP."""

    source: ByteRanges
    members: tuple[ZipMember, ...]
    limits: Limits
    password: SecretStr | None

    def chunks(self, member: ZipMember, where: str) -> Iterator[bytes]:
        """See `Archive.chunks`."""
        return read_member(self.source, member, self.limits, where=where, password=self.password)

    def in_place(self, member: ZipMember, where: str) -> ByteRanges | None:
        """See `Archive.in_place`: a member that is only stored lies there byte for byte."""
        refuse_unreadable(member, self.limits, where)
        if member.method == STORED and not member.encrypted:
            return read_in_place(self.source, member, where=where)
        return None


def open_zip(source: ByteRanges, where: str, opening: Opening) -> ZipArchive:
    """A ZIP archive; see `read_directory` for what it raises."""
    members = read_directory(
        source,
        opening.limits,
        where=where,
        name_encoding=opening.name_encoding,
        budget=opening.budget,
    )
    return ZipArchive(source, members, opening.limits, opening.password)


def read_member(
    source: ByteRanges,
    member: ZipMember,
    limits: Limits,
    *,
    where: str,
    password: SecretStr | None = None,
) -> Iterator[bytes]:
    """The content of a member, decrypted and unpacked, in chunks.

    Checksum, length and authentication code are compared at the end: what was yielded before
    is of no use if this raises.

    Args:
        source: the archive.
        member: which member.
        limits: on the member's bytes and their ratio to the compressed bytes.
        where: named in errors.
        password: for encrypted members.

    Yields:
        Chunks of about a MiB, 15 MiB at most; never more than the directory says.

    Raises:
        MemberUnsupportedError: a compression, encryption or kind of file that is not read here,
            or not without the extra `zip`.
        MemberPasswordError: encrypted, and there is no password or another one.
        MemberCorruptError: truncated, or checksum or length disagree with the directory.
        LimitError: more bytes than the feed allows.
        NotAZipError: behind it lies a member that the directory does not name.
    """
    refuse_unreadable(member, limits, where)
    if member.encrypted and password is None:
        raise _no_password(member, where, "it is encrypted, and the feed has no password")
    try:
        yield from _checked(source, member, limits, where, password)
    except compression.DamagedError as error:
        why = f"its compressed bytes are damaged: {error}{_doubt(member)}"
        raise _corrupt(member, where, why) from error
    except compression.UnsupportedError as error:
        raise _unsupported(member, where, str(error)) from error
    except MissingExtraError as error:
        raise _member_error(
            MemberUnsupportedError, f"member {member.name!r} cannot be read: {error.what}", where,
            f"{error.fix} {THEN_AGAIN}",
        ) from error  # fmt: skip
    except encryption.TamperedError as error:
        raise _corrupt(member, where, str(error)) from error
    except encryption.WrongPasswordError:
        why = "it is encrypted with another password"
        if password is not None and not password.get_secret_value().isascii():
            why += f", in whichever of {len(encryption.ENCODINGS)} encodings it is tried"
        raise _no_password(member, where, why) from None


def refuse_unreadable(member: ZipMember, limits: Limits, where: str) -> None:
    """Raise what the directory alone tells against reading a member."""
    if member.defect is not None:
        raise _defect_error(member, member.defect, where)
    hold_member(member.compressed_bytes, member.uncompressed_bytes, limits, where)
    if member.flags & STRONGLY_ENCRYPTED:
        raise _unsupported(member, where, "its strong encryption (PKWARE's) is not read here")
    if member.flags & PATCHED:
        raise _unsupported(member, where, "it is a patch of another file")


def read_in_place(source: ByteRanges, member: ZipMember, *, where: str) -> Section:
    """The bytes of a member that is only stored, as a part of the archive; by one small read.

    Its checksum is not compared: an archive within the archive has one for each of its own.

    Raises:
        MemberCorruptError: there is no local header where the directory says, or another's.
    """
    end = member.header_offset + LOCAL_HEADER.size + len(member.raw_name)
    head = source.read(member.header_offset, min(end, member.end))
    start = member.header_offset + _local_length(head, member, where)
    _hold_local_name(head, member, where)
    if start + member.compressed_bytes > member.end:
        raise _corrupt(member, where, "it runs into what comes after it")
    return Section(source, start, member.compressed_bytes)


def _checked(
    source: ByteRanges, member: ZipMember, limits: Limits, where: str, password: SecretStr | None
) -> Iterator[bytes]:
    """The content, held to the length and the checksum of the directory.

    A length that may have been cut to 32 bits is right if it is that of the content modulo 4 GiB.
    """
    secret = b"" if password is None else _secret(source, member, limits, where, password)
    yield from _held(source, member, limits, where, secret)


def _secret(
    source: ByteRanges, member: ZipMember, limits: Limits, where: str, password: SecretStr
) -> bytes:
    """The bytes of the password, in the encoding in which it opens the member.

    The traditional way tells a wrong password by one byte: of several that pass, the one is right
    under which the checksum is.
    """
    secrets = encryption.spellings(password.get_secret_value()) if member.encrypted else (b"",)
    if len(secrets) == 1:
        return secrets[0]
    head = _head(source, member, where)
    passed = [secret for secret in secrets if _passes(head, member, secret)]
    if len(passed) > 1 and member.aes is None:
        return next(
            (one for one in passed if _opens(source, member, limits, where, one)), passed[0]
        )
    return passed[0] if passed else secrets[0]


def _head(source: ByteRanges, member: ZipMember, where: str) -> bytes:
    """The first encrypted bytes of a member, all that a password is told by."""
    head = b""
    for chunk in _compressed(source, member, where):
        head += chunk
        if len(head) >= encryption.HEAD_BYTES:
            break
    return head[: encryption.HEAD_BYTES]


def _passes(head: bytes, member: ZipMember, secret: bytes) -> bool:
    try:
        for _ in _decrypted(iter([head]), member, secret):
            pass
    except encryption.WrongPasswordError:
        return False
    except encryption.TamperedError:
        return True  # of the head alone nothing else can be said
    return True


def _opens(
    source: ByteRanges, member: ZipMember, limits: Limits, where: str, secret: bytes
) -> bool:
    try:
        for _ in _held(source, member, limits, where, secret):
            pass
    except (compression.DamagedError, encryption.TamperedError, MemberCorruptError):
        return False
    return True


def _held(
    source: ByteRanges, member: ZipMember, limits: Limits, where: str, secret: bytes
) -> Iterator[bytes]:
    most = _most_bytes(member, limits)
    chunks = decompressed(
        _decrypted(_compressed(source, member, where), member, secret),
        member.method,
        member.uncompressed_bytes,
    )
    crc = size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            break
        crc = isal_zlib.crc32(chunk, crc)
        yield chunk
    if size > most or (size - member.uncompressed_bytes) % zip_joints.SIZES_WRAP_AT:
        more = " or more" if size > most else ""
        why = f"it has {size} bytes{more}, the directory says {member.uncompressed_bytes}"
        raise _corrupt(member, where, why + _doubt(member))
    if crc != member.crc32 and (member.aes is None or member.aes.checksum):
        why = f"its CRC-32 is {crc:08x}, the directory says {member.crc32:08x}"
        raise _corrupt(member, where, why + _doubt(member))


def _most_bytes(member: ZipMember, limits: Limits) -> int:
    """How many bytes a member may have: those of the directory, and 4 GiB as often as fits."""
    said = member.uncompressed_bytes
    if not member.may_wrap:
        return said
    allowed = min(limits.member_bytes, limits.ratio * member.compressed_bytes)
    return said + max(0, allowed - said) // zip_joints.SIZES_WRAP_AT * zip_joints.SIZES_WRAP_AT


def _doubt(member: ZipMember) -> str:
    """What else damage may mean: one of 256 wrong passwords passes the traditional check."""
    traditional = member.encrypted and member.aes is None
    return "; or it is encrypted with another password" if traditional else ""


def _decrypted(chunks: Iterator[bytes], member: ZipMember, secret: bytes) -> Iterator[bytes]:
    if not member.encrypted:
        return chunks
    if member.aes is not None:
        return encryption.winzip_aes(chunks, secret, member.aes.key_bytes, member.compressed_bytes)
    # APPNOTE 6.1.6 says the checksum; where that follows the data, writers use the time.
    late = member.flags & DESCRIBED_BEHIND
    check = member.modified_time >> 8 if late else member.crc32 >> 24
    return encryption.traditional(chunks, secret, check & 0xFF)


def _compressed(source: ByteRanges, member: ZipMember, where: str) -> Iterator[bytes]:
    """The member's bytes as they lie in the archive, behind its local header."""
    held = b""
    length: int | None = None
    behind = b""
    left = member.compressed_bytes
    end = min(member.end, member.header_offset + AROUND_BYTES + member.compressed_bytes)
    for chunk in source.stream(member.header_offset, end):
        data = chunk
        if length is None:
            held += chunk
            if len(held) < LOCAL_HEADER.size or len(held) < _local_length(held, member, where):
                continue
            length = _local_length(held, member, where)
            _hold_local_name(held, member, where)
            data = held[length:]
        behind += data[left:]
        data = data[:left]
        left -= len(data)
        if data:
            yield data
    if left or length is None:
        raise _corrupt(member, where, f"the archive ends {left} bytes before the member does")
    _refuse_unnamed(behind, member, end, where)


def _refuse_unnamed(behind: bytes, member: ZipMember, end: int, where: str) -> None:
    """Refuse an archive with a member that its directory does not name, behind one that it does."""
    found = find_structure(behind, member.beside)
    if found is not None:
        raise NotAZipError(
            f"the archive has more members than its directory names: one begins at "
            f"{end - len(behind) + found}, behind {member.name!r}",
            where=where,
            effect="Nothing of it is delivered.",
            fix="Ask the sender for a whole archive and upload it under the same key.",
        )


def _local_length(head: bytes, member: ZipMember, where: str) -> int:
    """Bytes of a local header; raises unless it is this member's."""
    if len(head) < LOCAL_HEADER.size or not head.startswith(LOCAL_SIGNATURE):
        raise _corrupt(member, where, "there is no local header where it should begin")
    _, _, _, flags, method, *_, name_length, extra_length = LOCAL_HEADER.unpack_from(head)
    if method != (AES if member.aes is not None else member.method):
        raise _corrupt(member, where, f"its local header says another compression, {method}")
    if (flags ^ member.flags) & ENCRYPTED:
        raise _corrupt(member, where, "its local header and the directory differ on encryption")
    return LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _hold_local_name(head: bytes, member: ZipMember, where: str) -> None:
    """Refuse a local header with another name; a backslash for a slash is no other."""
    _, _, system, flags, *_, name_length, _ = LOCAL_HEADER.unpack_from(head)
    raw = head[LOCAL_HEADER.size : LOCAL_HEADER.size + name_length]
    if raw.replace(b"\\", b"/") == member.raw_name.replace(b"\\", b"/"):
        return
    name = decode_name(raw, flags, system, b"", "utf-8").text
    if name.replace("\\", "/") != member.stored_name.replace("\\", "/"):
        raise _corrupt(member, where, "its local header says another name")


def _defect_error(member: ZipMember, defect: Defect, where: str) -> MemberError | LimitError:
    if issubclass(defect.error, MemberError):
        make = _unsupported if defect.error is MemberUnsupportedError else _corrupt
        return make(member, where, defect.why)
    return LimitError(
        f"member {member.name!r} was not read: {defect.why}",
        where=where,
        effect="The whole member was quarantined; the others were processed.",
        fix="If it is right, raise limits.name_bytes of the feed.",
    )


def _corrupt(member: ZipMember, where: str, why: str) -> MemberCorruptError:
    return _member_error(
        MemberCorruptError, f"member {member.name!r} is corrupt: {why}", where,
        "Ask the sender for the archive again.",
    )  # fmt: skip


def _unsupported(member: ZipMember, where: str, why: str) -> MemberUnsupportedError:
    return _member_error(
        MemberUnsupportedError, f"member {member.name!r} cannot be read: {why}", where,
        "Ask the sender for plain files, compressed with deflate.",
    )  # fmt: skip


def _no_password(member: ZipMember, where: str, why: str) -> MemberPasswordError:
    return _member_error(
        MemberPasswordError, f"member {member.name!r} cannot be read: {why}", where,
        HOW_TO_UNLOCK,
    )  # fmt: skip


def _member_error(kind: type[Kind], what: str, where: str, fix: str) -> Kind:
    effect = "The whole member was quarantined; the others were processed."
    return kind(what, where=where, effect=effect, fix=fix)
