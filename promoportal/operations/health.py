"""Health checks for monitoring. The responses contain no confidential data."""

from __future__ import annotations

from datetime import timedelta

from django.db import OperationalError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from promoportal.db import database_identity

# An idle scheduler runs once a minute.
_MAX_IDLE = timedelta(minutes=5)


@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Answer that the web process is running."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """
    Answer whether the web process reaches its database.

    The status is 200 without a scheduler, too: webhooks are stored, and wait.
    """
    try:
        is_running = database_identity.was_seen(within=_MAX_IDLE)
    except OperationalError:
        return JsonResponse({"status": "no database"}, status=503)
    status = "ok" if is_running else "no tick for five minutes"
    return JsonResponse({"status": status})
