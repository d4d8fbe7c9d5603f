"""
HTTP connections that enforce a call's deadline, and record whether sending has begun.

The timeout of `requests` applies to each read. A server that sends one byte now and
then could block a thread forever. These connections limit each read and write to the
rest of the call's time. No second thread is needed, so no thread can leak.

The kernel repeats data that the server did not acknowledge, even after the connection
was closed or its process was killed. So a request could arrive a minute after its call
ended. These connections prevent this in two ways, see `_bound_repeats`.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse

from promoportal.runtime.monotonic_clock import clock

# Servers close idle connections: gunicorn after 2 s, Node after 5 s. A request that is
# sent at this moment is lost. So a connection that was idle for longer is not reused.
_IDLE_SECONDS = 1.5


@dataclass(slots=True)
class Exchange:
    """One request and its response."""

    ends_at: float  # by `clock`
    fresh: bool = False  # the request needs a new connection
    begun: bool = False  # a byte of the request may have been sent

    def left(self) -> float:
        """
        Return the seconds until the call must end.

        :raises TimeoutError: if the time is over
        """
        left = self.ends_at - clock()
        if left <= 0:
            raise TimeoutError("the time for this call is over")
        return left


# urllib3 offers no other way to pass data to a connection. A context variable works,
# because urllib3 makes the whole call in the caller's thread.
current: ContextVar[Exchange] = ContextVar("exchange")
_may_send: ContextVar[Callable[[], bool]] = ContextVar("may send", default=lambda: True)


@contextmanager
def only_while(may_send: Callable[[], bool]) -> Iterator[None]:
    """
    Send the requests of the `with` block only while `may_send` returns True.

    `may_send` is called directly before data is sent, because the process may have been
    suspended until then. Headers and body are sent separately. If `may_send` returns
    False between them, the outcome of a change is unknown.
    """
    token = _may_send.set(may_send)
    try:
        yield
    finally:
        _may_send.reset(token)


# Options of a socket: whether closing it waits, and for how many seconds.
_RESET = struct.pack("ii", 1, 0)  # closing discards all data and resets the connection
_FINISH = struct.pack("ii", 0, 0)  # the kernel sends all data, as usual
# Linux measures TCP_USER_TIMEOUT from its first repeat, and ends a connection up to
# 0.7 seconds late (measured with Linux 6.18).
_LATE_SECONDS = 1.0


def _bound_repeats(sock: socket.socket, seconds: float) -> None:
    """
    Let the kernel send and repeat data for at most `seconds`, until the socket closes.

    If this process closes the socket or is killed, the kernel resets the connection. If
    this process is frozen, TCP_USER_TIMEOUT ends the connection. Only Linux has it.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        bounded = max(seconds - _LATE_SECONDS, seconds / 2)
        # A fraction of a millisecond counts as one: 0 would mean the system's default.
        milliseconds = math.ceil(bounded * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


class _Timed(io.RawIOBase):
    """A raw stream that limits each read to the rest of the call's time."""

    def __init__(
        self, sock: socket.socket, raw: io.RawIOBase, is_complete: Callable[[], bool]
    ) -> None:
        self._sock = sock
        self._raw = raw
        self._is_complete = is_complete
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(current.get().left())
        count: int | None = self._raw.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        if not self._raw.closed and self._is_complete():
            # The call has its response, so the connection need not be reset.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FINISH)
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        # The length that is left is None for a chunked response, which need not finish.
        self._timed = _Timed(sock, self.fp.detach(), lambda: self.length == 0)
        self.fp = io.BufferedReader(self._timed)

    def begin(self) -> None:
        super().begin()
        if self._timed.ended:
            # If a response breaks off in its headers, http.client accepts it as
            # complete, with an empty body. Some calls expect an empty body.
            raise http.client.RemoteDisconnected("the head of the answer broke off")


class Connection(HTTPConnection):
    response_class = _Response
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        """Return whether to reuse this connection. If not, the pool reconnects it."""
        idle = clock() - self._used_at
        if current.get().fresh or idle > _IDLE_SECONDS:
            return False
        return super().is_connected

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        # A name lookup cannot be interrupted. Whatever time it took, no byte of a
        # request is sent after the deadline.
        self.sock.settimeout(current.get().left())
        if not _may_send.get()():
            raise TimeoutError("there is no leave to send this any more")
        _bound_repeats(self.sock, current.get().left())
        current.get().begun = True
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3's own
        response = super().getresponse()
        self._used_at = clock()
        if response.status < 200:
            # A 103 is not the final response. The final one is still to come, and must
            # not be read as the response to the next request.
            self.close()
        return response


class TLSConnection(Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = TLSConnection


class Adapter(HTTPAdapter):
    """
    A transport for prepared requests over kept connections, which threads may share.

    It uses urllib3's pools, which are made for threads. The portal uses no
    `requests.Session`: it is not documented as thread-safe. It also adds redirects,
    cookies, proxies from the environment and .netrc, which the portal must not use.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(pool_connections=8, pool_maxsize=threads, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
