"""
Management of listeners: open, register, rotate, unregister and close.

A secret is shown once, when its listener is opened, and only its digest is stored. To
register a listener, the portal needs the secret. So only a new listener is registered.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import reverse

from executions.models import EventType, Listener
from promoportal import wire
from promoportal.optimove import External
from promoportal.optimove.rate_limiter import Priority
from promoportal.optimove.throttle import Throttled, throttled_call

# Errors after which Optimove certainly did not register the URL.
_NOT_REGISTERED = (Throttled, wire.Rejected, wire.Unavailable, wire.Misconfigured)
# Servers drop headers with an underscore in the name, and read values as Latin-1.
_HEADER = re.compile(r"([A-Za-z0-9-]+)\s*:\s*([!-~](?:[ -~]*[!-~])?)")
_MAX_CHANNEL = 2**31 - 1


class InvalidListener(ValueError):
    """An invalid setting of a listener; the message says how to correct it."""


@dataclass(frozen=True)
class Opened:
    """A new listener and the path of its URL, whose secret is not stored."""

    listener: Listener
    path: str

    @property
    def url(self) -> str:
        return f"{settings.PORTAL_URL}{self.path}"


def open_listener(
    event_type: int,
    *,
    channel: int | None = None,
    header: str = "",
    networks: Sequence[str] = (),
) -> Opened:
    """
    Open a listener. `header` is "Name: secret"; `networks` are in CIDR notation.

    :raises InvalidListener: with a sentence that describes the problem
    """
    if event_type not in EventType.values:
        known = ", ".join(str(value) for value in EventType.values)
        raise InvalidListener(f"Unknown event type {event_type}. Use one of: {known}.")
    if channel is not None and not 0 < channel <= _MAX_CHANNEL:
        msg = f"Invalid channel {channel}. Use an Optimove channel ID, such as 505."
        raise InvalidListener(msg)
    name, value = _header(header)
    secret = Listener.new_secret()
    listener = Listener.objects.create(
        event_type=event_type,
        channel=channel,
        secret_digest=Listener.digest(secret),
        header_name=name,
        header_digest=Listener.digest(value) if name else "",
        networks=[_network(network) for network in networks],
    )
    listener.refresh_from_db()
    return Opened(listener, reverse("webhook", kwargs={"secret": secret}))


def register(opened: Opened, vendor: External) -> None:
    """
    Register the listener with Optimove; close it if it was certainly not registered.

    If the outcome is unknown, the listener stays open. Optimove may then send webhooks
    to its URL, and a webhook to a closed listener is lost.

    :raises wire.WireError: if the call failed
    :raises throttle.Throttled: if no call to Optimove may start now
    """
    listener = opened.listener
    try:
        with throttled_call(Priority.PERSON):
            vendor.register_listener(listener.event_type, listener.channel, opened.url)
    except _NOT_REGISTERED:
        close(listener)
        raise
    Listener.objects.filter(pk=listener.pk).update(registered_at=Now())


def unregister(listener: Listener, vendor: External) -> None:
    """
    Unregister the listener from Optimove, then close it.

    If a newer open listener is registered for the same event type and channel, this
    function only closes the listener.

    :raises wire.WireError: if the call failed; the listener stays open
    :raises throttle.Throttled: if no call to Optimove may start now
    """
    if not _successors(listener).exists():
        with throttled_call(Priority.PERSON):
            vendor.unregister_listener(listener.event_type, listener.channel)
    close(listener)


def rotate(listener: Listener, vendor: External | None) -> Opened:
    """
    Open a second listener for the same events; register it if `vendor` is not None.

    Both listeners stay open, because webhooks to the old URL may be in flight. To
    complete the rotation, unregister the old listener.
    """
    with transaction.atomic():
        opened = open_listener(
            listener.event_type, channel=listener.channel, networks=listener.networks
        )
        Listener.objects.filter(pk=opened.listener.pk).update(
            header_name=listener.header_name, header_digest=listener.header_digest
        )
    opened.listener.refresh_from_db()
    if vendor:
        register(opened, vendor)
    return opened


def close(listener: Listener) -> None:
    """Close the listener: requests to its URL get a 404 from now on."""
    Listener.objects.filter(pk=listener.pk, closed_at=None).update(closed_at=Now())


def _successors(listener: Listener) -> QuerySet[Listener]:
    return (
        Listener.objects.open()
        .exclude(pk=listener.pk)
        .filter(
            event_type=listener.event_type,
            channel=listener.channel,
            registered_at__isnull=False,
            opened_at__gt=listener.opened_at,
        )
    )


def _header(header: str) -> tuple[str, str]:
    if not header:
        return "", ""
    found = _HEADER.fullmatch(header.strip())
    if not found:
        raise InvalidListener(
            'The header must be like "X-Portal-Secret: some long secret".'
        )
    return found[1], found[2]


def _network(network: str) -> str:
    try:
        return str(ipaddress.ip_network(network))
    except ValueError:
        raise InvalidListener(
            f"Invalid network {network!r}. Use a form such as 192.0.2.0/24 or "
            "2001:db8::1."
        ) from None
