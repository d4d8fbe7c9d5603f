"""
Parsers of webhook bodies, one per event type.

Optimove sends keys in different cases, and IDs as strings or as numbers. CONFIRMED:
independent integrations (docs/vendor.md).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from executions.models import EventType

MAX_ID_LENGTH = 200


class Unreadable(Exception):
    """An invalid body: without the content that its event type requires."""


class WrongEventType(Unreadable):
    """A body whose event type is not the event type of the listener."""


@dataclass(frozen=True)
class Scheduled:
    """The notification that a scheduled campaign was executed on one channel."""

    occurrence: str


@dataclass(frozen=True)
class Triggered:
    """The notification that a customer met the criteria of a triggered campaign."""

    occurrence: str
    customer: str


@dataclass(frozen=True)
class Cancelled:
    """The notification of a cancellation. It may be the first of its execution."""

    occurrence: str


@dataclass(frozen=True)
class UnhandledEvent:
    """The notification of an event that the portal ignores, with the event's name."""

    name: str


Notice = Scheduled | Triggered | Cancelled | UnhandledEvent


def read(body: bytes, *, event_type: int) -> Notice:
    """
    Return the notification in a body that was sent to a listener for `event_type`.

    :raises Unreadable: with a sentence that describes the problem
    """
    try:
        fields = _object(body)
    except RecursionError:
        raise Unreadable("The body is nested too deeply to be a notice.") from None
    _check_type(fields, event_type)
    if reader := _READERS.get(event_type):
        return reader(fields)
    names = dict(EventType.choices)
    return UnhandledEvent(str(names.get(event_type, f"event {event_type}")))


def occurrence_of(text: str) -> str:
    """
    Return the execution ID that a user typed, without spaces around it.

    :raises Unreadable: with a sentence, if a webhook with this ID would be invalid
    """
    return _occurrence({"occurrence": text}, "occurrence")


def _scheduled(fields: Mapping[str, Any]) -> Notice:
    if "eventtypeid" not in fields and "customerid" in fields:
        raise WrongEventType(
            "This listener is for scheduled executions (13); it was sent what looks "
            "like a triggered one (11)."
        )
    return Scheduled(_occurrence(fields))


def _triggered(fields: Mapping[str, Any]) -> Notice:
    if "customerid" not in fields and "campaignid" in fields:
        raise WrongEventType(
            "This listener is for triggered executions (11); it was sent a notice "
            "without a customerID, which looks like a scheduled one (13)."
        )
    return Triggered(_occurrence(fields), _id(fields, "customerID"))


_READERS: dict[int, Callable[[Mapping[str, Any]], Notice]] = {
    EventType.SCHEDULED: _scheduled,
    EventType.TRIGGERED: _triggered,
    EventType.CANCELLED: lambda fields: Cancelled(_occurrence(fields)),
}


def _object(body: bytes) -> dict[str, Any]:
    """Return the body as an object with lower-case keys."""
    if not body.strip():
        raise Unreadable("The body is empty; a JSON object was expected.")
    try:
        fields = json.loads(body.decode("utf-8-sig"), parse_constant=_reject_constant)
    except UnicodeDecodeError:
        raise Unreadable("The body is not UTF-8 text.") from None
    except ValueError as error:
        raise Unreadable(f"The body is not JSON: {str(error)[:200]}.") from None
    if not isinstance(fields, dict):
        raise Unreadable(f"The body is {_kind(fields)}; a JSON object was expected.")
    return _lowered(fields)


def _lowered(fields: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in fields.items():
        if result.setdefault(key.lower(), value) != value:
            msg = f"The body says {key!r:.60} twice, in two casings, and they differ."
            raise Unreadable(msg)
    return result


def _check_type(fields: Mapping[str, Any], event_type: int) -> None:
    if fields.get("eventtypeid") is None:
        return
    sent = _id(fields, "EventTypeID")
    if sent != str(event_type):
        msg = f"This listener is for event {event_type}; it was sent event {sent}."
        raise WrongEventType(msg)


def _id(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name.lower())
    if value is None:
        raise Unreadable(f"The body has no {name}.")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        msg = f"{name} is {_kind(value)}; a string or a whole number was expected."
        raise Unreadable(msg)
    text = str(value).strip()
    if not text or len(text) > MAX_ID_LENGTH:
        msg = f"{name} has {len(text)} characters; 1 to {MAX_ID_LENGTH} were expected."
        raise Unreadable(msg)
    if not text.isprintable():
        raise Unreadable(f"{name} has characters that are not printable.")
    return text


def _occurrence(fields: Mapping[str, Any], name: str = "campaignID") -> str:
    text = _id(fields, name)
    if len(text) > 1 and text[0] == "0" and text.isdecimal():
        # For Optimove, 07 and 7 may be the same ID. For the portal, they would differ.
        raise Unreadable(
            f"{name} {text} begins with a zero; {text.lstrip('0') or '0'} was expected."
        )
    return text


_KINDS = {
    bool: "a boolean",
    dict: "an object",
    float: "a number with a fraction",
    int: "a number",
    list: "an array",
    str: "a string",
    type(None): "null",
}


def _kind(value: object) -> str:
    return _KINDS[type(value)]


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
