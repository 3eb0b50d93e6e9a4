"""Archives of every kind, damaged at random, and what must hold of whatever is read then."""

import zlib
from random import Random

from pydantic import SecretStr

from rwt_assets.archive import open_archive
from rwt_assets.feed.feed import Feed
from rwt_assets.runtime.errors import RwtError
from rwt_assets_tests.odd_archives import METHODS, STORED, Entry, Ranges, archive

KEY = "swordfish"
FEED = Feed.model_validate(
    {
        "name": "fuzz",
        "source": {"bucket": "incoming", "queue": "fuzz"},
        "target": {"bucket": "results", "prefix": "fuzz"},
        "members": [{"include": ["*.csv"]}],
        "limits": {"nesting": 2, "member_bytes": 8 << 20, "ratio": 100_000},
    }
)
CONTENTS = [
    b"".join(b"%d,%d,pen\n" % (number, number * number % 97) for number in range(400)),
    bytes(range(256)) * 3,
    b"0" * 50_000,
    b"",
]
EDGES = [0, 1, 2, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFE, 0x10000]


def seeds() -> list[bytes]:
    """Whole archives: every method, every encryption, descriptors, Zip64, archives within."""
    plain = [
        Entry(f"{method}-{number}.csv", content, method, descriptor=number % 2 == 0)
        for method in METHODS
        for number, content in enumerate(CONTENTS)
    ]
    locked = [
        Entry(f"{strength}-{method}.csv", CONTENTS[0], method, KEY, strength, ae)
        for strength in (0, 1, 2, 3)
        for method, ae in ((STORED, 1), (8, 2), (93, 1))
    ]
    inner = archive(plain[:6])
    nested = [
        Entry("stored.zip", inner, STORED),
        Entry("packed.zip", archive([Entry("in.zip", inner), *locked[:4]]), 8),
        Entry("locked.zip", inner, 8, KEY, 3),
    ]
    return [
        *(archive([entry]) for entry in [*plain, *locked, *nested]),
        archive(plain, zip64=True),
        archive(locked, before=b"MZ" * 50, comment=b"PK\x05\x06 comment"),
        archive([*nested, *plain[:3]], after=b"trailing"),
    ]


def mutate(body: bytes, random: Random, others: list[bytes]) -> bytes:
    """One to four small damages: bits, bytes, numbers, cuts, copies, splices."""
    data = bytearray(body)
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        if not data:
            break
        place = _place(data, random)
        match random.randrange(7):
            case 0:
                data[place] ^= 1 << random.randrange(8)
            case 1:
                data[place] = random.randrange(256)
            case 2 | 3:
                size = random.choice([2, 4, 8])
                number = random.choice(EDGES) + random.randrange(-1, 2)
                data[place : place + size] = (number % 256**size).to_bytes(size, "little")
            case 4:
                del data[place : place + random.randint(1, 40)]
            case 5:
                data[place:place] = data[place : place + random.randint(1, 60)]
            case 6:
                other = random.choice(others)
                start = random.randrange(len(other))
                data[place : place + 30] = other[start : start + random.randint(1, 60)]
    return bytes(data[: random.randrange(len(data) + 1)]) if random.random() < 0.05 else bytes(data)


def _place(data: bytearray, random: Random) -> int:
    """Mostly in structures, where a change says something else and is not only damage."""
    if random.random() < 0.6:
        signature = random.choice([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"PK\x06\x06"])
        found = data.find(signature, random.randrange(len(data)))
        if found >= 0:
            return min(len(data) - 1, found + random.randrange(60))
    return random.randrange(len(data))


def read_all(body: bytes) -> int:
    """Read whatever a feed takes of an archive; the number of members that are whole.

    Raises whatever is no error of ours, and AssertionError if content was passed off as whole.
    """
    whole = 0
    try:
        for found in open_archive(Ranges(body, 5000), FEED, "fuzz", SecretStr(KEY)):
            if found.rule is not None:
                whole += _read(found)
    except RwtError as error:
        assert str(error)  # noqa: PT017 - the error may come, or not
    return whole


def _read(found) -> bool:
    member = found.member
    content = bytearray()
    chunks = found.chunks("fuzz")
    try:
        for chunk in chunks:
            content += chunk
            assert len(content) <= member.uncompressed_bytes, "more than the directory says"
    except RwtError:
        return False
    assert len(content) == member.uncompressed_bytes
    checked = member.aes is None or member.aes.checksum
    assert bytes(content) in CONTENTS or (checked and zlib.crc32(content) == member.crc32), (
        "another content was passed off as whole"
    )
    return True
