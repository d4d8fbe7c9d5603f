"""Whether an address, or the name of a host, leads back to this machine."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_local(address: str) -> bool:
    """Whether an http(s) address leads back to this machine; an empty one does not."""
    return leads_here(urlsplit(address).hostname or "") if address else False


def leads_here(host: str) -> bool:
    """Whether who calls this host reaches this machine, however it is written."""
    address = _ip(_bare(host))
    return is_loopback(host) or (address is not None and address.is_unspecified)


def is_loopback(host: str) -> bool:
    """Whether who listens at this host is reached from this machine alone."""
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
    """127.1, 2130706433, 0x7f.1: what the resolver takes for an address, too."""
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
