"""Reading of a request body, with or without chunks, up to a maximum size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rest_framework.exceptions import APIException

LARGEST = 1024 * 1024
# A body that is too large is read to its end, up to this size, and discarded. Otherwise
# the sender, still writing, would get a connection reset instead of the response.
DRAINED = 16 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


class TooLarge(APIException):
    """A body of more than `LARGEST` bytes."""

    status_code = 413
    default_detail = "The body is too large: a webhook has at most 1 MiB."


class CutShort(APIException):
    """A body that ended before its announced length, or that could not be read."""

    status_code = 400
    default_detail = "The body was cut short."


class NoLength(APIException):
    """A chunked body that the web server does not decode, so the end is unknown."""

    status_code = 411
    default_detail = "The body needs a length."


def read_body(environ: dict[str, Any]) -> bytes:
    """
    Return the complete body. Django itself cannot read a chunked body, as .NET sends.

    :raises TooLarge: if the body has more than `LARGEST` bytes
    :raises CutShort: if the sender stopped before the end
    :raises NoLength: if the end of the body cannot be determined
    """
    announced, stream = _announced(environ), environ["wsgi.input"]
    # One byte more than allowed shows that the body is too large.
    body = b"".join(_chunks(stream, announced, LARGEST + 1))
    if len(body) > LARGEST:
        rest = None if announced is None else announced - len(body)
        for _ in _chunks(stream, rest, DRAINED - len(body)):
            pass
        raise TooLarge
    if announced is not None and len(body) < announced:
        raise CutShort
    return body


def _announced(environ: dict[str, Any]) -> int | None:
    """Return the announced length in bytes: None if chunked, 0 if missing."""
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        if not environ.get("wsgi.input_terminated"):
            raise NoLength
        return None
    length = environ.get("CONTENT_LENGTH") or "0"
    return int(length) if length.isdecimal() else 0


def _chunks(stream: Any, announced: int | None, most: int) -> Iterator[bytes]:
    """Yield up to `most` bytes, in parts."""
    left = most if announced is None else min(announced, most)
    try:
        while left > 0 and (part := stream.read(min(left, _CHUNK_BYTES))):
            yield part
            left -= len(part)
    except Exception as error:
        # Servers raise errors of their own; gunicorn's chunk errors are no OSErrors.
        raise CutShort from error
