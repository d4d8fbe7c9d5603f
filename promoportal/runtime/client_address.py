"""The client's IP address, behind trusted proxies."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def client_address(meta: dict[str, Any]) -> str:
    """
    Return the client's address: the entry of X-Forwarded-For that our proxies wrote.

    These are the last `TRUSTED_PROXIES` entries; the client can write the others.
    """
    if not settings.TRUSTED_PROXIES:
        return str(meta.get("REMOTE_ADDR", ""))[:100]
    hops = [hop.strip() for hop in meta.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if len(hops) < settings.TRUSTED_PROXIES:
        return ""
    client: str = hops[-settings.TRUSTED_PROXIES]
    return client.replace("\0", "")[:100]
