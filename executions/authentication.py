"""Authentication of requests to a listener."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, ClassVar

from django.utils.crypto import constant_time_compare
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from executions.models import Listener
from promoportal.runtime.client_address import client_address


@dataclass(frozen=True)
class AuthenticatedListener:
    """The sender of a webhook request: the listener, and the result of the checks."""

    listener: Listener
    verdict: dict[str, Any]
    is_authenticated: ClassVar[bool] = True


class ListenerAuthentication(BaseAuthentication):
    """
    Authentication by the secret in the URL of a webhook.

    The secret is the only credential that Optimove always sends. A listener can also
    require a header, allowed networks, or both. A request that fails any of these
    checks gets a 404 and is not stored.
    """

    def authenticate(self, request: Request) -> tuple[AuthenticatedListener, None]:
        secret = request.parser_context["kwargs"]["secret"]
        listener = Listener.objects.known_by(secret)
        if listener is None:
            raise NotFound
        address = client_address(request.META)
        if not (_has_header(listener, request) and _is_from(listener, address)):
            raise NotFound
        return AuthenticatedListener(listener, _verdict(listener, address)), None


def _has_header(listener: Listener, request: Request) -> bool:
    if not listener.header_name:
        return True
    sent = request.headers.get(listener.header_name, "")
    return constant_time_compare(Listener.digest(sent), listener.header_digest)


def _is_from(listener: Listener, address: str) -> bool:
    if not listener.networks:
        return True
    try:
        sender = ipaddress.ip_address(address)
    except ValueError:
        return False
    # A dual-stack socket reports an IPv4 sender as ::ffff:192.0.2.1.
    sender = getattr(sender, "ipv4_mapped", None) or sender
    return any(sender in ipaddress.ip_network(network) for network in listener.networks)


def _verdict(listener: Listener, address: str) -> dict[str, Any]:
    return {
        "address": "known by its secret",
        "header": "matched" if listener.header_name else "not asked for",
        "network": "allowed" if listener.networks else "not asked for",
        "from": address,
    }
