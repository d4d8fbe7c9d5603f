"""HTTP calls to Optimove and the platform: the only way to the network."""

from __future__ import annotations

from promoportal.wire.deadline_transport import only_while
from promoportal.wire.errors import (
    Evidence,
    Malformed,
    Misconfigured,
    Rejected,
    Unanswered,
    Unavailable,
    WireError,
)
from promoportal.wire.http_client import MIB, Answer, Client
from promoportal.wire.json_bodies import (
    Cleaned,
    Json,
    NotJson,
    clean,
    clean_text,
    parse,
)
from promoportal.wire.status_policy import LATER

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
