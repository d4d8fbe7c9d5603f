"""Detection of addresses and host names that lead to this machine."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_local(address: str) -> bool:
    """Return whether an http(s) URL leads to this machine; an empty one does not."""
    return leads_here(urlsplit(address).hostname or "") if address else False


def leads_here(host: str) -> bool:
    """Return whether a client of this host reaches this machine, in any notation."""
    address = _ip(_bare(host))
    return is_loopback(host) or (address is not None and address.is_unspecified)


def is_loopback(host: str) -> bool:
    """Return whether a server on this host is reachable from this machine only."""
    host = _bare(host)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _ip(host)
    return address is not None and address.is_loopback


def _bare(host: str) -> str:
    return host.strip("[]").lower().rstrip(".")


def _ip(host: str) -> Ip | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _short_ip(host)
    return getattr(address, "ipv4_mapped", None) or address


def _short_ip(host: str) -> Ip | None:
    """Read 127.1, 2130706433 or 0x7f.1, which resolvers accept as addresses, too."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
