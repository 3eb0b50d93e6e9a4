"""An endpoint that fails on purpose: a reverse proxy that refuses a share of the requests.

What belongs here: passing bytes on, and failing. What does not: the server behind it and what is
asked of it (`soak.py`). One connection upstream for each request, with `Connection: close`, so
that an answer ends where the connection ends and no body has to be understood: of any length,
chunked, or sent after "100 Continue" (RFC 9112, sections 6 and 9.6; RFC 9110, section 10.1.1).

A request fails in one of four ways: 503 SlowDown, 500 InternalError, the connection is closed
before the request was passed on, or after it was carried out, so that only the answer is lost.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from random import Random
from typing import Self

LOOPBACK = "127.0.0.1"
EXEMPT = b"/_ministack/health"
CHUNK_BYTES = 1 << 16
LINGER_SECONDS = 2.0
STOP_SECONDS = 10.0
SLOW_DOWN, INTERNAL_ERROR = "503 SlowDown", "500 InternalError"
CLOSED, ANSWER_LOST = "closed unasked", "answer lost"
FAULTS = (SLOW_DOWN, INTERNAL_ERROR, CLOSED, ANSWER_LOST)
PASSED, UNREACHABLE = "passed on", "server was down"


class FaultyProxy:
    """Stands before a server on loopback; a context manager.

    `error_share` of the requests fail, and may be changed at any time.
    `counts` says how many requests were passed on, failed in each way, or found the server down.
    """

    def __init__(
        self,
        upstream_port: int,
        *,
        error_share: float,
        seed: int = 0,
        host: str = LOOPBACK,
        port: int = 0,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.error_share = error_share
        self._host = host
        self._upstream_port = upstream_port
        self._random = Random(seed)  # noqa: S311 - faults are no secret
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty proxy")
        self._requests: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None
        self.port = port

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    @property
    def requests(self) -> int:
        return self.counts.total()

    @property
    def injected(self) -> int:
        return sum(self.counts[fault] for fault in FAULTS)

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait_for(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._wait_for(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)
        self._loop.close()

    def _wait_for(self, work: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP_SECONDS)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(
            self._accept, self._host, self.port, limit=CHUNK_BYTES
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        await asyncio.sleep(0)  # what was just accepted begins, so that it can end in order
        for request in self._requests:
            request.cancel()
        await asyncio.gather(*self._requests, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = self._loop.create_task(self._serve(reader, writer))
        self._requests.add(request)
        request.add_done_callback(self._requests.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Anyone who is at either end may go away at any time; that ends this request only.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                fault = self._choose(head)
                if fault in (SLOW_DOWN, INTERNAL_ERROR):
                    await _refuse(reader, writer, fault, head)
                elif fault != CLOSED:
                    await self._pass_on(head, reader, writer, answer_lost=fault == ANSWER_LOST)
            finally:
                await _end(writer)

    def _choose(self, head: bytes) -> str:
        """How a request fails, if it does. One whose answer is to be lost is passed on first."""
        exempt = head.split(b" ", 2)[1].startswith(EXEMPT)
        if exempt or self._random.random() >= self.error_share:
            return PASSED
        fault = self._random.choice(FAULTS)
        if fault != ANSWER_LOST:
            self.counts[fault] += 1
        return fault

    async def _pass_on(
        self,
        head: bytes,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        answer_lost: bool,
    ) -> None:
        try:
            answers, requests = await asyncio.open_connection(LOOPBACK, self._upstream_port)
        except OSError:
            self.counts[UNREACHABLE] += 1
            return
        self.counts[ANSWER_LOST if answer_lost else PASSED] += 1
        requests.write(_closing(head))
        sending = self._loop.create_task(_copy(reader, requests))
        try:
            while (answer := await answers.readuntil(b"\r\n\r\n")).split(b" ", 2)[1][:1] == b"1":
                writer.write(answer)  # "100 Continue": the body may come
            if not answer_lost:
                writer.write(_closing(answer))
                await _copy(answers, writer)
        finally:
            requests.close()  # before anything is awaited that a stop may cut short
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await _end(requests)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(CHUNK_BYTES):
        target.write(chunk)
        await target.drain()


async def _end(writer: asyncio.StreamWriter) -> None:
    """Close a connection after what was written, but do not wait for ever."""
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            await writer.wait_closed()
    writer.transport.abort()


def _closing(head: bytes) -> bytes:
    """A head that says that its connection ends after this request or answer."""
    first, *fields = head[: -len(b"\r\n\r\n")].split(b"\r\n")
    hop = (b"connection:", b"keep-alive:")
    kept = [field for field in fields if not field.lower().startswith(hop)]
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


async def _refuse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: str, head: bytes
) -> None:
    status, code = fault.split(" ")
    body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    writer.write(
        f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    )
    writer.write(b"" if head.startswith(b"HEAD ") else body)
    writer.write_eof()
    # What is still being sent is read, or the system would reset the connection and the client
    # might never see the answer (RFC 9112, section 9.6).
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while await reader.read(CHUNK_BYTES):
                pass
