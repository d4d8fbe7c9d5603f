"""A minimal HTTP client, and a minimal HTTP server, for the floors."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Self

_END = b"\r\n\r\n"


class Connection:
    """One open connection. Each response must have a `Content-Length`."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, path: str, body: bytes, **headers: str) -> bytes:
        """Send a POST request, and return the body of the response."""
        self.send(path, body, **headers)
        return self.receive()

    def send(self, path: str, body: bytes, **headers: str) -> None:
        self._socket.sendall(_request(path, body, **headers))

    def receive(self) -> bytes:
        """Return the body of the next response. Its status must be 200 or 201."""
        while _END not in self._received:
            self._received += self._more()
        head, _, rest = self._received.partition(_END)
        assert head.partition(b"\r\n")[0].split()[1] in {b"200", b"201"}, head
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        parts, read = [rest], len(rest)
        while read < length:
            parts.append(self._more())
            read += len(parts[-1])
        whole = b"".join(parts)
        self._received = whole[length:]
        return whole[:length]

    def _more(self) -> bytes:
        more = self._socket.recv(1 << 20)
        assert more, "The line was cut."
        return more


def _request(path: str, body: bytes, **headers: str) -> bytes:
    fields = {"Host": "127.0.0.1", "Content-Type": "application/json", **headers}
    lines = "".join(
        f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items()
    )
    head = f"POST {path} HTTP/1.1\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Echo(asyncio.Protocol):
    """A protocol that sends the same response to every request, and parses no body."""

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while _END in self._waiting:
            head, _, rest = self._waiting.partition(_END)
            length = int(head.partition(b"Content-Length: ")[2].split()[0])
            if len(rest) < length:
                return
            self._waiting = rest[length:]
            self._transport.write(self.answer)


def _serve(pipe: Any) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Echo, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


@contextmanager
def echo() -> Iterator[int]:
    """Run the server in a separate process; yield its port."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield int(here.recv())
    finally:
        process.terminate()
        process.join()
