"""
Connections that know when their call must end, and whether it was begun.

The library's timeout is per read: a far side that sends a byte now and then holds a
thread for ever. Here every read and every write gets only what is left of the call's
own time. No thread watches over another, so none can leak.
"""

from __future__ import annotations

import http.client
import io
import socket
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

# A far side closes a connection that idles: gunicorn after 2 s, Node after 5. A request
# sent at that moment is lost without a word, so we let go of it first.
_IDLE_SECONDS = 1.5


@dataclass(slots=True)
class Exchange:
    """One request and its answer."""

    ends_at: float  # by `clock`
    fresh: bool = False  # never on a connection that was used before
    begun: bool = False  # a byte of the request may have left

    def left(self) -> float:
        """
        Seconds until the call must end.

        :raises TimeoutError: if there are none
        """
        left = self.ends_at - clock()
        if left <= 0:
            raise TimeoutError("the time for this call is over")
        return left


# urllib3 does the whole of a call in the caller's thread, and offers no other way to
# hand anything down to the connection.
current: ContextVar[Exchange] = ContextVar("exchange")
_may_send: ContextVar[Callable[[], bool]] = ContextVar("may send")


@contextmanager
def only_while(may_send: Callable[[], bool]) -> Iterator[None]:
    """
    Send nothing inside once this says no: it is asked last of all, as bytes are about to
    leave, however long the process stood still or the machine slept before. A request
    leaves in parts, head and body: one of which the head has left is unanswered.
    """
    token = _may_send.set(may_send)
    try:
        yield
    finally:
        _may_send.reset(token)


class _Timed(io.RawIOBase):
    """What the socket brings, for as long as the call has time."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        self._sock = sock
        self._raw = raw
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(current.get().left())
        count: int | None = self._raw.readinto(buffer)
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._timed = _Timed(sock, self.fp.detach())
        self.fp = io.BufferedReader(self._timed)

    def begin(self) -> None:
        super().begin()
        if self._timed.ended:
            # The library takes half a head for a whole one, without a body: and an
            # empty answer may be what a call hopes for.
            raise http.client.RemoteDisconnected("the head of the answer broke off")


def _always() -> bool:
    return True


class Connection(HTTPConnection):
    response_class = _Response
    _used_at = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether the pool may use it again; if not, it connects anew."""
        idle = clock() - self._used_at
        if current.get().fresh or idle > _IDLE_SECONDS:
            return False
        return super().is_connected

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        # Looking up a name can't be interrupted: whatever that took, no byte of a
        # request leaves after its time.
        self.sock.settimeout(current.get().left())
        if not _may_send.get(_always)():
            raise TimeoutError("there is no leave to send this any more")
        current.get().begun = True
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # urllib3's own
        response = super().getresponse()
        self._used_at = clock()
        if response.status < 200:
            # A 103 is not the answer. The answer is still to come, and must not be
            # read as that of the next request.
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
    Sends prepared requests over kept connections; safe to share between threads.

    urllib3's pools are made for threads. A requests.Session is not promised to be (it
    has one jar of cookies), and what it adds is what we do not want: redirects,
    cookies, proxies from the environment, .netrc. So there is none.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(pool_connections=8, pool_maxsize=threads, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
