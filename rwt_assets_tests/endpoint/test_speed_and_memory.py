"""Guards: ours stays well ahead of a pandas script, and its memory does not grow with the archive.

No figure here is a time or a size by itself, only how two of one run compare. `make bench` has
the figures.
"""

import json
import subprocess
import sys
import time
import zlib
from base64 import b64encode

import numpy as np
import pytest

from rwt_assets_tests.benchmarks.contenders import DIRECT, KEPT, contenders
from rwt_assets_tests.benchmarks.contenders.endpoint import ARCHIVE, SOURCE, TARGET
from rwt_assets_tests.benchmarks.documented import PAGE, documented_ratio
from rwt_assets_tests.benchmarks.generated import Archive, archive_file
from rwt_assets_tests.odd_archives import Entry, archive

pytestmark = [
    pytest.mark.endpoint,
    pytest.mark.extended,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

SHARE_OF_DOCUMENTED = 0.5
ROUNDS = 2
SMALL = Archive(members=2, rows=150_000, values=25)
FORMS = {KEPT: ("ours", "pandas_kept"), DIRECT: ("ours_direct", "pandas_direct")}
GROWTH = 1.2
FEW_MB, MANY_MB = 30, 300
ROW_BYTES = 400


@pytest.fixture(params=FORMS, ids=lambda form: form)
def form(request):
    return request.param


@pytest.fixture
def buckets(s3):
    for bucket in (SOURCE, TARGET):
        s3.create_bucket(Bucket=bucket)


def test_ours_is_as_far_ahead_of_pandas_as_half_of_what_is_documented(form, s3, buckets, tmp_path):
    s3.upload_file(str(archive_file(SMALL, tmp_path)), SOURCE, ARCHIVE)
    works = [contenders()[name].prepare() for name in FORMS[form]]
    taken = [[_cpu_seconds(work) for work in works] for _ in range(ROUNDS)]
    ours, pandas = (min(each) for each in zip(*taken, strict=True))  # what disturbs only adds
    documented = documented_ratio(PAGE.read_text(), "pandas", form)
    assert pandas / ours >= documented * SHARE_OF_DOCUMENTED, f"{taken}; documented: {documented}"


@pytest.fixture(scope="module")
def archives():
    return {megabytes: _poorly_compressible(megabytes * 10**6) for megabytes in (FEW_MB, MANY_MB)}


def test_the_peak_for_300_mb_is_that_for_30_mb(s3, buckets, archives):
    name, _ = FORMS[KEPT]  # which holds what the direct form holds, and more
    peaks = {}
    for megabytes, body in archives.items():
        s3.put_object(Bucket=SOURCE, Key=ARCHIVE, Body=body)
        command = [sys.executable, "-m", "rwt_assets_tests.benchmarks.contenders", name]
        answer = subprocess.run(command, capture_output=True, check=True)
        peaks[megabytes] = json.loads(answer.stdout)["peak_mb"]
    assert peaks[MANY_MB] <= GROWTH * peaks[FEW_MB], peaks


def _cpu_seconds(work):
    began = time.process_time()
    assert work() == SMALL.members * SMALL.rows
    return time.process_time() - began


def _poorly_compressible(size):
    """An archive of this size, of one member of a third more: random text in base 64."""
    random = np.random.default_rng(1)
    rows = size * 4 // 3 // ROW_BYTES
    packer = zlib.compressobj(1, zlib.DEFLATED, -15, 8, zlib.Z_HUFFMAN_ONLY)
    text = b"ticket,station,note\n"
    crc, length, packed = zlib.crc32(text), len(text), [packer.compress(text)]
    for start in range(0, rows, 50_000):
        text = _rows(random, start, min(rows, start + 50_000))
        crc, length = zlib.crc32(text, crc), length + len(text)
        packed.append(packer.compress(text))
    packed.append(packer.flush())
    body = b"".join(packed)
    made = archive([Entry("notes.csv", body=body, size=length, crc=crc)])
    assert 0.9 * size < len(made) < 1.1 * size
    return made


def _rows(random, first, last):
    notes = b64encode(random.bytes((last - first) * ROW_BYTES * 3 // 4)).decode()
    width = ROW_BYTES - len("T00000000,station-00,\n")
    return "".join(
        f"T{row:08d},station-{row % 50:02d},{notes[at : at + width]}\n"
        for at, row in zip(range(0, len(notes), ROW_BYTES), range(first, last), strict=False)
    ).encode()
