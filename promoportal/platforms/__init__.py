"""The operator's own systems, where rewards become real."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from promoportal.platforms.capability import Capability
from promoportal.platforms.http_adapter import HttpPlatform
from promoportal.platforms.orders import Order, Receipt, Reward

__all__ = [
    "Capability",
    "HttpPlatform",
    "Order",
    "Platform",
    "Receipt",
    "Reward",
    "asks",
    "from_settings",
]


class Platform(Protocol):
    """
    An adapter to one platform. Threads share it; it raises nothing but wire's errors.

    Each method is one call, within a time, and tries nothing again: that is for the rows.
    """

    @property
    def capability(self) -> Capability: ...

    def activate(self, order: Order, *, key: UUID) -> Receipt:
        """Turn a reward on."""

    def look_up(self, key: UUID) -> Receipt | None:
        """Ask what became of a key; None if the platform does not know it."""

    def close(self) -> None:
        """Let go of connections."""


def from_settings() -> Platform:
    """
    Make the platform that PLATFORM_ADAPTER names.

    :raises ImproperlyConfigured: with a sentence
    """
    name = settings.PLATFORM_ADAPTER
    try:
        adapter = import_string(name)
    except ImportError as error:
        msg = f"PLATFORM_ADAPTER is {name!r}, which can't be imported: {error}."
        raise ImproperlyConfigured(msg) from error
    make = getattr(adapter, "from_settings", None)
    if not callable(make):
        msg = f"PLATFORM_ADAPTER is {name!r}, which has no from_settings() to make it."
        raise ImproperlyConfigured(msg)
    return _checked(name, make())


# The method of an adapter that makes the call, by the kind of an attempt.
_METHODS = {"ACTIVATE": "activate", "LOOK_UP": "look_up"}


def asks(kind: str, key: UUID) -> str:
    """
    Return the request that the adapter makes for a call, such as "GET /rewards/<key>".

    Empty if the adapter does not describe its requests. `kind` is an `Attempt.Kind`.
    """
    adapter = import_string(settings.PLATFORM_ADAPTER)
    described: Mapping[str, str] = getattr(adapter, "asks", {})
    return described.get(_METHODS[kind], "").format(key=key)


def _checked(name: str, platform: object) -> Platform:
    lacking = [
        method
        for method in ("activate", "look_up", "close")
        if not callable(getattr(platform, method, None))
    ]
    if not isinstance(getattr(platform, "capability", None), Capability):
        lacking.append("capability")
    if lacking:
        msg = f"PLATFORM_ADAPTER is {name!r}, which is no platform: it lacks {', '.join(lacking)}."
        raise ImproperlyConfigured(msg)
    return cast(Platform, platform)
