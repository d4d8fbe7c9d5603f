"""
What a delivery says: one small reader per event type, body in, our words out.

Keys in any case and ids as strings or numbers: CONFIRMED (docs/vendor.md section 3).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from executions.models import EventType

MAX_ID_LENGTH = 200


class Unreadable(Exception):
    """The body does not say what a notice of its kind has to say."""


class WrongEventType(Unreadable):
    """The body is a notice of another kind than this listener's."""


@dataclass(frozen=True)
class Scheduled:
    """A scheduled campaign was executed on one channel."""

    occurrence: str


@dataclass(frozen=True)
class Triggered:
    """One customer met a triggered campaign's criteria."""

    occurrence: str
    customer: str


@dataclass(frozen=True)
class Cancelled:
    """A campaign was cancelled; it may come first."""

    occurrence: str


@dataclass(frozen=True)
class UnhandledEvent:
    """An event the portal does nothing about, with the vendor's name for it."""

    name: str


Notice = Scheduled | Triggered | Cancelled | UnhandledEvent


def read(body: bytes, *, event_type: int) -> Notice:
    """
    Read a body sent to a listener for `event_type`.

    :raises Unreadable: with a sentence saying what is wrong
    """
    try:
        said = _object(body)
    except RecursionError:
        raise Unreadable("The body is nested too deeply to be a notice.") from None
    _check_type(said, event_type)
    reader = _READERS.get(event_type)
    return reader(said) if reader else UnhandledEvent(_named(event_type))


def occurrence_of(text: str) -> str:
    """
    An occurrence's id as a person typed it.

    :raises Unreadable: with a sentence, if the vendor could not have sent it
    """
    return _occurrence({"occurrence": text}, "occurrence")


def _scheduled(said: Mapping[str, Any]) -> Notice:
    if "eventtypeid" not in said and "customerid" in said:
        msg = (
            "This listener is for scheduled executions (13); it was sent what looks "
            "like a triggered one (11)."
        )
        raise WrongEventType(msg)
    return Scheduled(_occurrence(said))


def _triggered(said: Mapping[str, Any]) -> Notice:
    if "customerid" not in said and "campaignid" in said:
        msg = (
            "This listener is for triggered executions (11); it was sent a notice "
            "without a customerID, which looks like a scheduled one (13)."
        )
        raise WrongEventType(msg)
    return Triggered(_occurrence(said), _id(said, "customerID"))


def _cancelled(said: Mapping[str, Any]) -> Notice:
    return Cancelled(_occurrence(said))


_READERS: dict[int, Callable[[Mapping[str, Any]], Notice]] = {
    EventType.SCHEDULED: _scheduled,
    EventType.TRIGGERED: _triggered,
    EventType.CANCELLED: _cancelled,
}


def _object(body: bytes) -> dict[str, Any]:
    """The body as an object whose keys are in lower case."""
    if not body.strip():
        raise Unreadable("The body is empty; a JSON object was expected.")
    try:
        said = json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise Unreadable("The body is not UTF-8 text.") from None
    except ValueError as error:
        raise Unreadable(f"The body is not JSON: {str(error)[:200]}.") from None
    if not isinstance(said, dict):
        raise Unreadable(f"The body is {_kind(said)}; a JSON object was expected.")
    return _lowered(said)


def _lowered(said: Mapping[str, Any]) -> dict[str, Any]:
    lowered: dict[str, Any] = {}
    for key, value in said.items():
        if lowered.setdefault(key.lower(), value) != value:
            msg = f"The body says {key!r:.60} twice, in two casings, and they differ."
            raise Unreadable(msg)
    return lowered


def _check_type(said: Mapping[str, Any], event_type: int) -> None:
    if said.get("eventtypeid") is None:
        return
    sent = _id(said, "EventTypeID")
    if sent != str(event_type):
        msg = f"This listener is for event {event_type}; it was sent event {sent}."
        raise WrongEventType(msg)


def _id(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name.lower())
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


def _occurrence(said: Mapping[str, Any], name: str = "campaignID") -> str:
    text = _id(said, name)
    if len(text) > 1 and text[0] == "0" and text.isdecimal():
        # The vendor may take both for the same one, and we would not.
        msg = (
            f"{name} {text} begins with a zero; {text.lstrip('0') or '0'} was expected."
        )
        raise Unreadable(msg)
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


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _named(event_type: int) -> str:
    known = event_type in EventType.values
    return EventType(event_type).label if known else f"event {event_type}"
