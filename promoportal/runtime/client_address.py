"""The client's IP address, behind trusted proxies."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def client_address(meta: dict[str, Any]) -> str:
    """
    Return the client's IP address, or "" if X-Forwarded-For has too few entries.

    The trusted proxies write the last `TRUSTED_PROXIES` entries, and the first of these
    is the client. A client can write the entries before it.
    """
    if not settings.TRUSTED_PROXIES:
        return str(meta.get("REMOTE_ADDR", ""))[:100]
    hops = [hop.strip() for hop in meta.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if len(hops) < settings.TRUSTED_PROXIES:
        return ""
    client: str = hops[-settings.TRUSTED_PROXIES]
    return client.replace("\0", "")[:100]
