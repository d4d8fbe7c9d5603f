"""Detection of addresses and host names that lead to this machine."""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress
from urllib.parse import urlsplit

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_local(address: str) -> bool:
    """Return whether an http(s) URL leads to this machine; False if it is empty."""
    return leads_here(urlsplit(address).hostname or "") if address else False


def leads_here(host: str) -> bool:
    """Return whether a host name or address, in any notation, is this machine."""
    address = _ip(_bare(host))
    return is_loopback(host) or (address is not None and address.is_unspecified)


def is_loopback(host: str) -> bool:
    """Return whether a server that listens on this host accepts only local clients."""
    host = _bare(host)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _ip(host)
    return address is not None and address.is_loopback


def _bare(host: str) -> str:
    return host.strip("[]").lower().rstrip(".")


def _ip(host: str) -> Ip | None:
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return getattr(address, "ipv4_mapped", None) or address
    # Resolvers accept 127.1, 2130706433 and 0x7f.1 as addresses, too.
    with suppress(OSError, ValueError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    return None
