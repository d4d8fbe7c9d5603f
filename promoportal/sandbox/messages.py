"""Requests to the simulated services, and their answers, independent of sockets."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar


class Unreadable(ValueError):
    """The body is not JSON, or the JSON does not have the expected form."""


class Manner(Enum):
    """The way an answer is sent. It is WHOLE unless a fault changes it."""

    WHOLE = "whole"
    HALF = "half"  # all headers and half the body are sent, the connection closes
    DRIP = "drip"  # byte by byte
    CUT = "cut"  # nothing is sent, the connection closes
    RESET = "reset"  # nothing is sent, the connection is reset


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a simulated service."""

    side: str
    method: str
    path: str  # below the side, without slashes at its ends
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def json(self, *, number: Callable[[str], object] = float) -> object:
        """Return the parsed body; `number` parses numbers with a decimal point."""
        try:
            read: object = json.loads(
                self.body, parse_float=number, parse_constant=_refuse_constant
            )
        except (ValueError, RecursionError) as error:
            raise Unreadable("The body is not JSON.") from error
        return read

    def fields(self, *, number: Callable[[str], object] = float) -> dict[str, object]:
        """Return the fields of the body, which must be a JSON object."""
        read = self.json(number=number)
        if not isinstance(read, dict):
            raise Unreadable("The body must be a JSON object.")
        return read


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and how to send it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Manner = Manner.WHOLE
    pause: float = 0.0  # seconds between two bytes, if the manner is DRIP


Work = Callable[[], Answer]
Handler = Callable[[Request], Answer]


def reply(what: object, status: int = 200) -> Answer:
    """Return an answer with a JSON body. An error of Optimove is a JSON string."""
    return Answer(status, json.dumps(what, default=str).encode())


Found = TypeVar("Found")


def find(routes: Mapping[str, Found], request: Request, path: str) -> Found | Answer:
    """Return the handler for the request's method and the path, or a 404 or 405."""
    handler = routes.get(f"{request.method} {path}")
    if handler is not None:
        return handler
    known = any(route.partition(" ")[2] == path for route in routes)
    return reply("Method Not Allowed", 405) if known else reply("Not Found", 404)


def answered(routes: Mapping[str, Handler], request: Request, path: str) -> Answer:
    """Return the handler's answer. If no handler fits, return a 404 or 405."""
    handler = find(routes, request, path)
    return handler if isinstance(handler, Answer) else handler(request)


def is_same(given: str, secret: str) -> bool:
    """Compare two texts, so that the duration does not show where they differ."""
    # A header may contain bytes that are not valid text.
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())


def identity(value: object) -> str | None:
    """Return a non-empty string or a whole number as text, and None otherwise."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) and value else None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON.")
