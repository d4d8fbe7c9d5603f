"""The one door to the network."""

from __future__ import annotations

from promoportal.wire._bodies import Cleaned, Json, NotJson, clean, clean_text, parse
from promoportal.wire._client import MIB, Answer, Client
from promoportal.wire._outcomes import LATER
from promoportal.wire._sockets import only_while
from promoportal.wire.errors import (
    Evidence,
    Malformed,
    Misconfigured,
    Rejected,
    Unanswered,
    Unavailable,
    WireError,
)

__all__ = [
    "LATER",
    "MIB",
    "Answer",
    "Cleaned",
    "Client",
    "Evidence",
    "Json",
    "Malformed",
    "Misconfigured",
    "NotJson",
    "Rejected",
    "Unanswered",
    "Unavailable",
    "WireError",
    "clean",
    "clean_text",
    "only_while",
    "parse",
]
