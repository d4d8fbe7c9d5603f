"""Health checks for monitoring. The responses contain no confidential data."""

from __future__ import annotations

from datetime import timedelta

from django.db import OperationalError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

from promoportal.db import database_identity

# If no work is unfinished, the scheduler runs its steps only once a minute.
_MAX_IDLE = timedelta(minutes=5)


@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """Respond with 200: the web process is running."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """
    Respond with 200 if the web process reaches its database, otherwise with 503.

    A stopped scheduler changes only the text: webhooks are stored, and processed later.
    """
    try:
        is_running = database_identity.was_seen(within=_MAX_IDLE)
    except OperationalError:
        return JsonResponse({"status": "no database"}, status=503)
    status = "ok" if is_running else "no tick for five minutes"
    return JsonResponse({"status": status})
