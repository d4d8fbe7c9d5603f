"""A far side on a real socket, which does with each connection what it is told."""

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
    """One connection to the far side, seen from there."""

    far: FarSide
    sock: socket.socket

    def hear(self) -> bytes | None:
        """Read one request whole, and return its body; None if the caller has gone."""
        heard = b""
        while b"\r\n\r\n" not in heard:
            if not (more := self.sock.recv(65536)):
                return None
            heard += more
        head, _, body = heard.partition(b"\r\n\r\n")
        while len(body) < _length(head):
            if not (more := self.sock.recv(65536)):
                return None
            body += more
        self.far.heads.append(head.decode())
        self.far.bodies.append(body)
        return body

    def say(self, *parts: bytes) -> None:
        self.sock.sendall(b"".join(parts))

    def drip(self, parts: bytes, *, every: float = 0.02) -> None:
        """Say it a byte at a time, until nobody listens."""
        for index in range(len(parts)):
            self.say(parts[index : index + 1])
            time.sleep(every)

    def reset(self) -> None:
        """Break the connection so that the other side sees an error."""
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


Speech = Callable[[Connection], None]


@dataclass
class FarSide:
    """What the far side heard."""

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
    """Answer each request on a connection with the next of these, the last for ever."""

    def speak(connection: Connection) -> None:
        said = 0
        while connection.hear() is not None:
            connection.say(answers[min(said, len(answers) - 1)])
            said += 1

    return speak


@contextlib.contextmanager
def serving(speak: Speech, *, tls: bool = False) -> Iterator[FarSide]:
    listener = socket.create_server(("127.0.0.1", 0))
    scheme = "https" if tls else "http"
    far = FarSide(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")
    secure = _secured() if tls else None
    threads: list[threading.Thread] = []
    socks: list[socket.socket] = []

    def attend(sock: socket.socket) -> None:
        # The caller may leave at any moment: that is what most of these tests are about.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(sock)
            if secure is not None:
                sock = stack.enter_context(secure.wrap_socket(sock, server_side=True))
            speak(Connection(far, sock))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                # Nobody waits for ever for a caller who neither speaks nor leaves.
                sock.settimeout(_PATIENCE)
                far.connections += 1
                socks.append(sock)
                threads.append(threading.Thread(target=attend, args=(sock,)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield far
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
