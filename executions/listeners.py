"""
The addresses we give the vendor: opening, registering, rotating, closing.

A secret is shown once, when its listener is opened, and is stored only as a digest: so
that registering, which has to tell it, always opens a new listener.
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

# Whoever raises these says that the vendor knows nothing of it.
_UNTAKEN = (Throttled, wire.Rejected, wire.Unavailable, wire.Misconfigured)
# Servers drop names with an underscore, and read values as Latin-1.
_HEADER = re.compile(r"([A-Za-z0-9-]+)\s*:\s*([!-~](?:[ -~]*[!-~])?)")
_MAX_CHANNEL = 2**31 - 1


class InvalidListener(ValueError):
    """What was asked for makes no listener, as a sentence."""


@dataclass(frozen=True)
class Opened:
    """A new listener, and its address: the only time that it is known."""

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

    :raises WrongListener: with a sentence
    """
    if event_type not in EventType.values:
        known = ", ".join(str(value) for value in EventType.values)
        raise InvalidListener(
            f"There is no event type {event_type}; known are {known}."
        )
    if channel is not None and not 0 < channel <= _MAX_CHANNEL:
        raise InvalidListener(f"There is no channel {channel}; 505 is one.")
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
    Tell the vendor the address; if it does not take it, the listener is closed again.

    Where no answer says whether it did, the listener stays open: what the vendor calls
    may be this address, and a notice sent to a closed one is lost.

    :raises wire.WireError: as the client does
    :raises throttle.Throttled: if the vendor's limit is reached
    """
    listener = opened.listener
    try:
        with throttled_call(Priority.PERSON):
            vendor.register_listener(listener.event_type, listener.channel, opened.url)
    except _UNTAKEN:
        close(listener)
        raise
    Listener.objects.filter(pk=listener.pk).update(registered_at=Now())


def unregister(listener: Listener, vendor: External) -> None:
    """
    Take the address back from the vendor and close it; another that is open for the
    same events is what the vendor now calls, and is left alone.

    :raises wire.WireError: as the client does; the listener stays open
    """
    if not _successors(listener).exists():
        with throttled_call(Priority.PERSON):
            vendor.unregister_listener(listener.event_type, listener.channel)
    close(listener)


def rotate(listener: Listener, vendor: External | None) -> Opened:
    """
    Open a second listener for the same events, and register it where `vendor` is given.

    Both stay open: notices to the old address may be on their way. Unregistering the old
    one ends the rotation.
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
    """Nothing sent there is taken any more."""
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
        msg = f"{network!r} is no network; 192.0.2.0/24 and 2001:db8::1 are."
        raise InvalidListener(msg) from None
