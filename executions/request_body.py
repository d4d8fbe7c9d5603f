"""Reading of a request's body, chunked or not, up to a maximum size."""

from __future__ import annotations

from typing import Any, Protocol

LARGEST = 1024 * 1024
# A sender that is still writing must receive the response, not a reset connection. So a
# body that is too large is read to its end, up to this size, and discarded.
DRAINED = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


class TooLarge(Exception):
    """A body of more than `LARGEST` bytes."""


class CutShort(Exception):
    """A body that ended before its announced length, or could not be read."""


class NoLength(Exception):
    """A chunked body that the server in front does not decode: its end is unknown."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def read_body(environ: dict[str, Any]) -> bytes:
    """
    Return the complete body: Django reads a chunked one, as sent by .NET, as empty.

    :raises TooLarge: if the body has more than `LARGEST` bytes
    :raises CutShort: if the sender stopped before the end
    :raises NoLength: if the end of the body cannot be determined
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
    """Return the announced length in bytes, or None for a chunked body."""
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        if not environ.get("wsgi.input_terminated"):
            raise NoLength
        return None
    length = environ.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isdecimal() else 0


def _take(stream: _Stream, announced: int | None, most: int) -> bytes:
    """Read up to `most` + 1 bytes: the extra one shows that the body is too large."""
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
        # Servers raise errors of their own; gunicorn's chunk errors are no OSErrors.
        raise CutShort from error
