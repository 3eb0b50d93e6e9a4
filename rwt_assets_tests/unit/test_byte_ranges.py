"""What is asked for past the end is left out, wherever the bytes lie."""

from io import BytesIO

import pytest

from rwt_assets.storage.byte_ranges import FileRanges, Section
from rwt_assets.storage.object_store import ObjectRanges
from rwt_assets.testing import InMemoryObjects

BODY = b"0123456789"


def in_a_store():
    objects = InMemoryObjects()
    objects.put("box", "key", BODY)
    return ObjectRanges.pinned(objects, "box", "key", objects.etag("box", "key"))


SOURCES = {
    "object": in_a_store,
    "file": lambda: FileRanges(BytesIO(BODY)),
    "section": lambda: Section(FileRanges(BytesIO(b"before" + BODY + b"behind")), 6, 10),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("start", [0, 4, 9, 10, 11, 20])
@pytest.mark.parametrize("end", [0, 5, 10, 11, 30])
def test_a_read_past_the_end_gives_what_is_there(source, start, end):
    assert SOURCES[source]().read(start, end) == BODY[start:end]
