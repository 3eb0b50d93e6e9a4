"""What each step costs alone, done by the fastest thing that Python has for it.

What belongs here: the steps of the direct way, one after the other, in one process; and three
clients for the uploads. What does not: putting them together (`contenders/`, and ours).

    python -m rwt_assets_tests.benchmarks.floors SERVER_PID

reads `s3://incoming/bench/archive.zip`, writes below `s3://results/floors/`, and prints the
seconds of each step as JSON. Every step takes a block of
a member at a time, encoding and puts a whole member.
"""

import io
import json
import os
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from isal import isal_zlib
from pyarrow import csv as arrow_csv
from pyarrow import fs

from rwt_assets_tests.benchmarks.contenders.endpoint import ARCHIVE, KEY, SOURCE, SPLIT, TARGET

PUTTERS = 8
BLOCK_BYTES = 16 << 20
REPETITIVE = ["station", "price", "quantity", "channel", "_archive", "_member"]
# The fastest known for each step; the others stand beside them.
CHOSEN = (
    "get",
    "inflate (isal)",
    "parse (pyarrow)",
    "split (take)",
    "crc (numpy)",
    "encode (some dictionaries)",
    "put (obstore, 8 threads)",
)


@dataclass
class Floor:
    """Seconds of one step over the whole archive."""

    step: str
    wall: float = 0.0
    cpu: float = 0.0
    server_cpu: float = 0.0
    bytes: int = 0


class Floors:
    """Collects the steps' seconds over the members."""

    def __init__(self, server_pid: int) -> None:
        self._server = psutil.Process(server_pid)
        self.floors: dict[str, Floor] = {}

    def take(self, step: str, work: Callable[[], Any], size: Callable[[Any], int] = len) -> Any:
        """Do a step, once more for the archive; what it gave."""
        floor = self.floors.setdefault(step, Floor(step))
        server = sum(self._server.cpu_times()[:2])
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        floor.wall += time.perf_counter() - wall
        floor.cpu += time.process_time() - cpu
        floor.server_cpu += sum(self._server.cpu_times()[:2]) - server
        floor.bytes += size(result)
        return result


def measure(server_pid: int) -> list[Floor]:
    """Every step, member after member."""
    floors = Floors(server_pid)
    s3 = boto3.client("s3")
    clients = putters()
    for put in clients.values():
        put("floors/first", b"connections are opened")

    def get() -> bytes:
        return bytes(s3.get_object(Bucket=SOURCE, Key=ARCHIVE)["Body"].read())

    body = floors.take("get", get)
    for raw, info in members(body):
        text = floors.take("inflate (zlib)", lambda raw=raw: zlib.decompress(raw, -15))
        del text
        text = floors.take("inflate (isal)", lambda raw=raw: isal_zlib.decompress(raw, -15))
        pieces: dict[str, list[pa.Table]] = {}
        row = 1
        for block in blocks(text):
            table = floors.take("parse (pyarrow)", lambda block=block: parse(block), rows)
            mapped = floors.take("crc (map)", lambda table=table: crc32_mapped(table), rows)
            hashes = floors.take("crc (numpy)", lambda table=table: crc32(table), rows)
            assert hashes.equals(mapped)
            table = with_provenance(table.append_column("crc32", hashes), info.filename, row)
            row += table.num_rows
            for value, piece in floors.take("split (take)", lambda t=table: list(split(t))):
                pieces.setdefault(value, []).append(piece)
        del text
        shards = [(value, pa.concat_tables(some)) for value, some in pieces.items()]
        encode_all(floors, "encode (pyarrow's defaults)", shards, use_dictionary=True)
        bodies = encode_all(floors, "encode (some dictionaries)", shards, use_dictionary=REPETITIVE)
        for name, put in clients.items():
            for threads in (1, PUTTERS):
                label = f"put ({name}, {threads} thread{'s' * (threads > 1)})"
                keys = [f"floors/{info.filename}/{value}.parquet" for value, _ in shards]
                floors.take(label, lambda k=keys, b=bodies, p=put, t=threads: put_all(p, t, k, b))
    return list(floors.floors.values())


def rows(result: Any) -> int:
    return int(result.num_rows if isinstance(result, pa.Table) else len(result))


def members(body: bytes) -> Iterator[tuple[bytes, zipfile.ZipInfo]]:
    """The compressed bytes of each member."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        for info in archive.infolist():
            start = info.header_offset
            names = int.from_bytes(body[start + 26 : start + 28], "little")
            extra = int.from_bytes(body[start + 28 : start + 30], "little")
            start += 30 + names + extra
            yield body[start : start + info.compress_size], info


def blocks(text: bytes) -> Iterator[bytes]:
    """The text in pieces of whole lines, each with the header; it has no quoted line ends.

    Steps over much more memory than the processor's caches hold are slower by half.
    """
    begin = text.index(b"\n") + 1
    header = text[:begin]
    while begin < len(text):
        end = text.find(b"\n", begin + BLOCK_BYTES) + 1 or len(text)
        yield header + text[begin:end]
        begin = end


def parse(text: bytes) -> pa.Table:
    names = [name.strip('"') for name in text[: text.index(b"\n")].decode().split(",")]
    types = dict.fromkeys(names, pa.string())
    return arrow_csv.read_csv(
        pa.BufferReader(text),
        read_options=arrow_csv.ReadOptions(block_size=4 << 20),
        convert_options=arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=False),
    )


def crc32(table: pa.Table) -> Any:
    """CRC-32 of whole columns: it is linear, one table for each place counted from the end."""
    keys = table.column(KEY).combine_chunks()
    _, offsets, data = keys.buffers()
    ends = np.frombuffer(offsets, np.int32)[keys.offset : keys.offset + len(keys) + 1]
    text = np.frombuffer(data, np.uint8)
    lengths = np.diff(ends)
    longest = int(lengths.max(initial=0))
    hashes = np.array([zlib.crc32(bytes(n)) for n in range(longest + 1)], np.uint32)[lengths]
    for place in range(longest):
        behind = bytes(place)
        zero = zlib.crc32(bytes(1) + behind)
        table_ = np.array([zlib.crc32(bytes([b]) + behind) ^ zero for b in range(256)], np.uint32)
        long = lengths > place
        if long.all():
            hashes ^= table_[text[ends[1:] - 1 - place]]
        else:
            hashes[long] ^= table_[text[ends[1:][long] - 1 - place]]
    return pa.chunked_array([pa.array(hashes)])


def crc32_mapped(table: pa.Table) -> Any:
    keys = table.column(KEY).cast(pa.binary())
    hashed = [
        pa.array(np.fromiter(map(zlib.crc32, chunk.to_pylist()), np.uint32, len(chunk)))
        for chunk in keys.chunks
    ]
    return pa.chunked_array([pa.concat_arrays(hashed)])


def with_provenance(table: pa.Table, member: str, row: int) -> pa.Table:
    count = table.num_rows
    for name, text in (("_archive", ARCHIVE), ("_member", member)):
        same = pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([text]))
        table = table.append_column(name, same)
    return table.append_column("_row", pa.array(np.arange(row, row + count)))


def split(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    table = table.combine_chunks()  # a take over chunks costs four times as much
    coded = table.column(SPLIT).combine_chunks().dictionary_encode()
    codes = np.asarray(coded.indices).astype(np.uint16)  # numpy sorts these by radix
    order = np.argsort(codes, kind="stable").astype(np.int32)
    sorted_ = table.take(pa.array(order))
    bounds = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(coded.dictionary)))])
    for code, value in enumerate(coded.dictionary.to_pylist()):
        yield value, sorted_.slice(bounds[code], bounds[code + 1] - bounds[code])


def encode(table: pa.Table, use_dictionary: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd", use_dictionary=use_dictionary)
    return out.getvalue()


def encode_all(
    floors: Floors, step: str, shards: Iterable[tuple[str, pa.Table]], use_dictionary: Any
) -> list[bytes]:
    def work() -> list[bytes]:
        return [encode(shard, use_dictionary) for _, shard in shards]

    found: list[bytes] = floors.take(step, work, lambda bodies: sum(map(len, bodies)))
    return found


Put = Callable[[str, bytes], object]


def putters() -> dict[str, Put]:
    """One put of each client, without retries of its own doing and with what checksums it makes."""
    from obstore.store import S3Store

    s3 = boto3.client("s3")
    store = S3Store(
        TARGET,
        endpoint=os.environ["AWS_ENDPOINT_URL"],
        region=os.environ["AWS_REGION"],
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )
    arrow = fs.S3FileSystem(
        endpoint_override=urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc,
        scheme="http",
        region=os.environ["AWS_REGION"],
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        allow_delayed_open=True,  # one request for a small object
    )

    def by_boto3(key: str, body: bytes) -> object:
        return s3.put_object(Bucket=TARGET, Key=key, Body=body)

    def by_obstore(key: str, body: bytes) -> object:
        return store.put(key, body, use_multipart=False)

    def by_arrow(key: str, body: bytes) -> object:
        with arrow.open_output_stream(f"{TARGET}/{key}") as stream:
            return stream.write(body)

    return {"boto3": by_boto3, "obstore": by_obstore, "pyarrow": by_arrow}


def put_all(put: Put, threads: int, keys: list[str], bodies: list[bytes]) -> list[object]:
    if threads == 1:
        return list(map(put, keys, bodies))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(put, keys, bodies))


if __name__ == "__main__":
    print(json.dumps([asdict(one) for one in measure(int(sys.argv[1]))]), flush=True)
    os._exit(0)
