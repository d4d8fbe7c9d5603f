"""A server on a real socket, with scripted behaviour for each connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_PATIENCE = 20.0
CERTIFICATE = Path(__file__).with_name("raw_server.pem")


@dataclass
class Connection:
    """One connection, seen from the server."""

    server: Server
    sock: socket.socket

    def hear(self) -> bytes | None:
        """Read a complete request. Return its body, or None if the client has gone."""
        received = b""
        while b"\r\n\r\n" not in received:
            if not (more := self.sock.recv(65536)):
                return None
            received += more
        head, _, body = received.partition(b"\r\n\r\n")
        while len(body) < _length(head):
            if not (more := self.sock.recv(65536)):
                return None
            body += more
        self.server.heads.append(head.decode())
        self.server.bodies.append(body)
        return body

    def say(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def drip(self, parts: bytes, *, every: float = 0.02) -> None:
        """Send a byte at a time, until the client has gone."""
        for index in range(len(parts)):
            self.say(parts[index : index + 1])
            time.sleep(every)

    def reset(self) -> None:
        """Break the connection so that the client gets an error."""
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


Speech = Callable[[Connection], None]


@dataclass
class Server:
    """The requests that the server received."""

    address: str
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0


def answer(
    body: bytes = b"{}", *, status: int = 200, headers: dict[str, str] | None = None
) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def saying(*answers: bytes) -> Speech:
    """Answer each request on a connection with the next of these, then the last."""

    def speak(connection: Connection) -> None:
        count = 0
        while connection.hear() is not None:
            connection.say(answers[min(count, len(answers) - 1)])
            count += 1

    return speak


@contextlib.contextmanager
def serving(speak: Speech, *, tls: bool = False) -> Iterator[Server]:
    listener = socket.create_server(("127.0.0.1", 0))
    scheme = "https" if tls else "http"
    server = Server(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
    secure = _secured() if tls else None
    threads: list[threading.Thread] = []
    socks: list[socket.socket] = []

    def attend(sock: socket.socket) -> None:
        # The client may disconnect at any moment, as in most of these tests.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            if secure is not None:
                sock = stack.enter_context(secure.wrap_socket(sock, server_side=True))
            speak(Connection(server, sock))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                # A client that neither sends nor disconnects must not block forever.
                sock.settimeout(_PATIENCE)
                server.connections += 1
                socks.append(sock)
                threads.append(threading.Thread(target=attend, args=(sock,)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for sock in socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def _secured() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
