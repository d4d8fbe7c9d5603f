"""The operator's platform, on which rewards are activated."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
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
    "current_capability",
    "from_settings",
]


class Platform(Protocol):
    """
    An adapter to one platform, which threads share.

    `activate` and `look_up` make one call with a time limit, and raise only
    `wire.WireError`. They never retry, because the portal retries the row later.
    """

    @property
    def capability(self) -> Capability: ...

    def activate(self, order: Order, *, key: UUID) -> Receipt:
        """Activate a reward."""

    def look_up(self, key: UUID) -> Receipt | None:
        """Return the receipt for a key; None if the platform does not know the key."""

    def close(self) -> None:
        """Close all connections."""


def from_settings() -> Platform:
    """
    Create the platform adapter that PLATFORM_ADAPTER names.

    :raises ImproperlyConfigured: with the reason, if the adapter can't be created
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


def current_capability() -> Capability:
    """Return the capability of the platform that PLATFORM_ADAPTER names."""
    with closing(from_settings()) as platform:
        return platform.capability


def asks(kind: str, key: UUID) -> str:
    """
    Return the HTTP request that the adapter makes, such as "GET /rewards/<key>".

    The result is empty if the adapter does not describe its requests. `kind` is an
    `Attempt.Kind`: the name of the adapter's method in upper case.
    """
    adapter = import_string(settings.PLATFORM_ADAPTER)
    described: Mapping[str, str] = getattr(adapter, "asks", {})
    return described.get(kind.lower(), "").format(key=key)


def _checked(name: str, platform: object) -> Platform:
    missing = [
        method
        for method in ("activate", "look_up", "close")
        if not callable(getattr(platform, method, None))
    ]
    if not isinstance(getattr(platform, "capability", None), Capability):
        missing.append("capability")
    if missing:
        msg = f"PLATFORM_ADAPTER is {name!r}, which is no platform: it lacks {', '.join(missing)}."
        raise ImproperlyConfigured(msg)
    return cast(Platform, platform)
