"""What a far side is asked, and what it answers, before either meets a socket."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar


class Unreadable(ValueError):
    """The body is not JSON, or not the JSON that was due."""


class Manner(Enum):
    """How an answer leaves: most leave whole, a fault may order otherwise."""

    WHOLE = "whole"
    HALF = "half"  # all the headers, half the body, then the line is cut
    DRIP = "drip"  # byte by byte
    CUT = "cut"  # nothing is said, the connection closes
    RESET = "reset"  # nothing is said, the connection is torn down


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as a far side sees it."""

    side: str
    method: str
    path: str  # below the side, without slashes at its ends
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def header(self, name: str) -> str:
        return self.headers.get(name, "")

    def json(self, *, number: Callable[[str], object] = float) -> object:
        """
        Read the body, its numbers with a point as `number` (Decimal, for money).

        :raises Unreadable: if it is not JSON
        """
        try:
            read: object = json.loads(
                self.body, parse_float=number, parse_constant=_refuse_constant
            )
        except (ValueError, RecursionError) as error:
            raise Unreadable("The body is not JSON.") from error
        return read

    def fields(self, *, number: Callable[[str], object] = float) -> dict[str, object]:
        """
        Read the body as an object.

        :raises Unreadable: if it is anything else
        """
        read = self.json(number=number)
        if not isinstance(read, dict):
            raise Unreadable("The body must be a JSON object.")
        return read


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, not yet sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Manner = Manner.WHOLE
    pause: float = 0.0  # seconds between two bytes that drip


Work = Callable[[], Answer]
Handler = Callable[[Asked], Answer]


def said(what: object, status: int = 200) -> Answer:
    """Answer with JSON; a bare string is how the vendor words an error."""
    return Answer(status, json.dumps(what, default=str).encode())


Found = TypeVar("Found")


def find(routes: Mapping[str, Found], asked: Asked, path: str) -> Found | Answer:
    """Find who answers this method at this path, or how it is refused."""
    handler = routes.get(f"{asked.method} {path}")
    if handler is not None:
        return handler
    known = any(route.partition(" ")[2] == path for route in routes)
    return said("Method Not Allowed", 405) if known else said("Not Found", 404)


def answered(routes: Mapping[str, Handler], asked: Asked, path: str) -> Answer:
    """
    Answer a request with the handler of its route, or refuse it.

    :raises Unreadable: as the handler does
    """
    handler = find(routes, asked, path)
    return handler if isinstance(handler, Answer) else handler(asked)


def is_same(given: str, secret: str) -> bool:
    """Compare without telling by the time it takes how much was right."""
    # A header may hold bytes that are no text at all.
    return hmac.compare_digest(given.encode(errors="replace"), secret.encode())


def identity(value: object) -> str | None:
    """An id as text, whether it came as a string or a number; None if it is neither."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) and value else None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON.")
