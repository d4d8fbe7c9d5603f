"""Whether the portal lives, for probes; nothing here is worth hiding."""

from __future__ import annotations

from datetime import timedelta

from django.db import OperationalError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from promoportal.db import database_identity

# An idle portal ticks once a minute.
_STANDS = timedelta(minutes=5)


@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """The web process serves."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """
    The web process serves, and reaches its database.

    It is ready also while nobody ticks, and says so: notices are kept, and wait.
    """
    try:
        is_ticking = database_identity.was_seen(within=_STANDS)
    except OperationalError:
        return JsonResponse({"status": "no database"}, status=503)
    status = "ok" if is_ticking else "no tick for five minutes"
    return JsonResponse({"status": status})
