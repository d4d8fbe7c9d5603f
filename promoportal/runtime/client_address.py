"""Who calls the portal, as far as that can be trusted."""

from __future__ import annotations

from typing import Any

from django.conf import settings


def client_address(meta: dict[str, Any]) -> str:
    """
    The caller's address: only the last `TRUSTED_PROXIES` entries of X-Forwarded-For
    were written by proxies of ours; the caller can write the others.
    """
    if not settings.TRUSTED_PROXIES:
        return str(meta.get("REMOTE_ADDR", ""))[:100]
    hops = [hop.strip() for hop in meta.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    if len(hops) < settings.TRUSTED_PROXIES:
        return ""
    caller: str = hops[-settings.TRUSTED_PROXIES]
    return caller.replace("\0", "")[:100]
