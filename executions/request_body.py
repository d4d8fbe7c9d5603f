"""Taking in a request's body, however it is sent, and never more than we want."""

from __future__ import annotations

from typing import Any, Protocol

LARGEST = 1024 * 1024
# A sender that is still writing must get the answer and not a reset connection, so
# that what is too large is read to its end, up to here, and thrown away.
DRAINED = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


class TooLarge(Exception):
    """The body has more than a mebibyte."""


class CutShort(Exception):
    """The sender said it would send more than it did."""


class NoLength(Exception):
    """It is sent in chunks, and the server in front of us does not put them together."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_body(environ: dict[str, Any]) -> bytes:
    """
    The body, whole. Django's own reading takes a chunked body for an empty one, and a
    vendor on .NET sends its JSON chunked.

    :raises TooLarge: if it is more than `LARGEST` bytes
    :raises CutShort: if the sender stopped in the middle
    :raises NoLength: if where it ends cannot be known
    """
    announced = _announced(environ)
    body = _take(environ["wsgi.input"], announced, LARGEST)
    if len(body) > LARGEST:
        _drain(environ["wsgi.input"], announced, len(body))
        raise TooLarge
    if announced is not None and len(body) < announced:
        raise CutShort
    return body


def _announced(environ: dict[str, Any]) -> int | None:
    """How many bytes were announced; None for a chunked body."""
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        if not environ.get("wsgi.input_terminated"):
            raise NoLength
        return None
    length = environ.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isdecimal() else 0


def _take(stream: _Stream, announced: int | None, most: int) -> bytes:
    """At most one byte more than wanted, so that too much can be told from enough."""
    left = most + 1 if announced is None else min(announced, most + 1)
    parts: list[bytes] = []
    while left and (part := _read(stream, min(left, _CHUNK_BYTES))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _drain(stream: _Stream, announced: int | None, taken: int) -> None:
    left = (DRAINED if announced is None else min(announced, DRAINED)) - taken
    while left > 0 and (part := _read(stream, min(left, _CHUNK_BYTES))):
        left -= len(part)


def _read(stream: _Stream, size: int) -> bytes:
    try:
        return stream.read(size)
    except Exception as error:
        # Whatever the server calls it: gunicorn's errors of a chunk are no OSErrors.
        raise CutShort from error
